//! The second wall: what is printed of it, and what the kernel says. `walled.rs` tries it.

use std::fs;

use crate::harness::command::Glovebox;
use crate::harness::files::{digits, model_dir};
use crate::harness::host::Host;
use crate::harness::process;

const LAYERS: [&str; 4] = ["no_new_privs", "rlimits", "landlock", "seccomp"];

fn serve(harden: &[&str]) -> Host {
    let up = Glovebox::new("up").option("--from", digits());
    harden.iter().fold(up, Glovebox::arg).serve()
}

fn stands(host: &Host, layer: &str) -> bool {
    let series = format!("glovebox_hardening{{layer=\"{layer}\"}}");
    host.client().metric(&series) == 1.0
}

#[test]
fn a_host_is_hardened_unless_told_otherwise_and_says_so() {
    let host = serve(&[]);
    let line = host
        .announcement
        .lines()
        .find(|line| line.contains("hardened: "));
    let line = line.expect("it says so");
    for layer in LAYERS {
        assert_eq!(
            line.contains(layer),
            stands(&host, layer),
            "{layer}: {line}"
        );
    }
    // What every kernel has that this program runs on.
    assert!(stands(&host, "no_new_privs") && stands(&host, "seccomp") && stands(&host, "rlimits"));
}

#[test]
fn every_thread_is_behind_the_wall_also_those_that_start_later() {
    let host = serve(&[]);
    let picture = fs::read(model_dir("digits").join("examples/7.png")).unwrap();
    let answer = host.client().predict("digits", "image/png", &picture);
    assert_eq!(answer.ok()["label"], "7");
    // A body that is worked on off the network threads makes new ones.
    let large = format!("{{\"inputs\":[],\"more\":\"{}\"}}", "x".repeat(1 << 20));
    host.client().post(
        "/v2/models/digits/infer",
        "application/json",
        large.as_bytes(),
    );
    let threads = process::threads(host.id());
    assert!(threads.len() > 4, "{threads:?}");
    for thread in threads {
        assert_eq!(
            process::status(&thread, "NoNewPrivs:").as_deref(),
            Some("1")
        );
        assert_eq!(process::status(&thread, "Seccomp:").as_deref(), Some("2"));
    }
    assert_eq!(process::limit(host.id(), "Max core file size"), "0");
}

#[test]
fn a_host_without_a_wall_says_so() {
    let host = serve(&["--harden", "off"]);
    assert!(
        host.announcement.contains("not hardened"),
        "{}",
        host.announcement
    );
    for layer in LAYERS {
        assert!(!stands(&host, layer), "{layer}");
    }
    assert_eq!(
        process::status(&host.id().to_string(), "Seccomp:").as_deref(),
        Some("0")
    );
}

#[test]
fn a_host_that_requires_the_wall_serves_behind_all_of_it_or_not_at_all() {
    let best = serve(&[]);
    let is_whole = LAYERS.iter().all(|layer| stands(&best, layer));
    if is_whole {
        let host = serve(&["--harden", "require"]);
        assert!(LAYERS.iter().all(|layer| stands(&host, layer)));
    } else {
        let up = Glovebox::new("up").option("--from", digits());
        let line = up.option("--harden", "require").run().refusal();
        assert!(line.contains("--harden=require"), "{line}");
    }
}
