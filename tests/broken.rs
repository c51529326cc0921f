//! `up --keep-going`: one component that is broken keeps no other from being served.

use std::fs;

use crate::harness::bodies;
use crate::harness::client::Answer;
use crate::harness::files::{Manifest, manifest, wine};
use crate::harness::guest;
use crate::harness::host::Host;

const TOKEN: &str = "correct-horse-battery-staple";

/// The wines beside a file that is no component, one that is not there, and one with too much memory.
fn served() -> Manifest {
    let models = [
        ("bad", "bad.wasm".as_ref(), ""),
        ("gone", "gone.wasm".as_ref(), ""),
        ("large", "large.wasm".as_ref(), "memory = \"3GiB\""),
        ("wine", wine(), ""),
    ];
    let served = Manifest::new(&manifest(&models));
    fs::write(served.dir.path().join("bad.wasm"), "no wasm").unwrap();
    let large = served.dir.path().join("large.wasm");
    fs::write(large, guest::component(bodies::ANSWER)).unwrap();
    fs::write(served.dir.path().join("token"), TOKEN).unwrap();
    served
}

fn up(served: &Manifest) -> Host {
    let up = served
        .up()
        .arg("--keep-going")
        .option("--memory-budget", "2GiB");
    let token = served.dir.path().join("token");
    up.option("--repository-admin", token).serve()
}

fn index(host: &Host) -> Answer {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str())];
    host.client().send("/v2/repository/index", &headers, b"{}")
}

#[test]
fn a_broken_component_keeps_no_other_from_being_served() {
    let served = served();
    let line = served
        .up()
        .option("--memory-budget", "2GiB")
        .run()
        .refusal();
    assert!(line.contains("bad.wasm"), "{line}");
    let host = up(&served);
    let client = host.client();
    assert_eq!(client.get("/v2/models/wine/ready").status, 200);
    assert_eq!(
        client.get("/v2/models").ok()["models"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    for broken in ["bad", "gone", "large"] {
        client.call(broken).error(502, "not_loaded");
        client
            .get(&format!("/v2/models/{broken}"))
            .error(502, "not_loaded");
        let series = format!("glovebox_component_broken{{model=\"{broken}\"}}");
        assert_eq!(client.metric(&series), 1.0, "{series}");
    }
    assert_eq!(
        client.metric("glovebox_component_broken{model=\"wine\"}"),
        0.0
    );
    assert_eq!(client.get("/readyz").status, 200);
    assert!(
        host.announcement.contains("gone\n  NOT SERVED: "),
        "{}",
        host.announcement
    );
    let index = index(&host).ok();
    let index = index.as_array().unwrap();
    let state = |name: &str| index.iter().find(|entry| entry["name"] == name).unwrap();
    assert_eq!(state("wine")["state"], "READY");
    for (name, reason) in [
        ("bad", "not a wasm component"),
        ("gone", "gone.wasm"),
        ("large", "concurrency"),
    ] {
        assert_eq!(state(name)["state"], "UNAVAILABLE");
        let told = state(name)["reason"].as_str().unwrap();
        assert!(told.contains(reason), "{name}: {told}");
    }
    let (_, log) = host.terminate();
    for name in ["bad", "gone", "large"] {
        assert!(log.contains(&format!("\"component\":\"{name}\"")), "{log}");
    }
}

#[test]
fn a_host_on_which_nothing_works_does_not_start() {
    let served = Manifest::new(&manifest(&[("gone", "gone.wasm".as_ref(), "")]));
    let outcome = served.up().arg("--keep-going").run();
    assert_eq!(outcome.code, Some(1));
    let last = outcome.stderr.lines().last().unwrap();
    assert!(last.contains("no component could be loaded"), "{last}");
}
