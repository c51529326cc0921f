//! The pages below `docs/reference` leave nothing out: options, limits, codes and metrics.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, workspace};

fn page(name: &str) -> String {
    fs::read_to_string(workspace().join("docs/reference").join(name)).unwrap()
}

/// The words of a text that begin with `start`, without what stands around them.
fn words(text: &str, start: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    text.split(|letter| !is_part(letter))
        .filter(|word| word.starts_with(start) && *word != start)
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn all_are_on(name: &str, wanted: impl IntoIterator<Item = String>) {
    let text = page(name);
    let missing: Vec<_> = wanted
        .into_iter()
        .filter(|word| !text.contains(word))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/reference/{name} lacks {missing:?}"
    );
}

#[test]
fn every_option_is_on_the_page_of_the_command_line() {
    for command in [
        "init", "new", "pack", "compose", "up", "run", "inspect", "bench",
    ] {
        let help = Glovebox::new(command).arg("--help").run().success();
        let mut options = words(&help, "--");
        options.remove("--help");
        options.remove("--version");
        assert!(options.len() > 3, "{help}");
        all_are_on("cli.md", options);
    }
}

#[test]
fn every_code_is_on_the_page_of_errors() {
    let mut codes = Vec::new();
    for source in ["host/src/error.rs", "protocol/src/rest/refusal.rs"] {
        let text = fs::read_to_string(workspace().join(source)).unwrap();
        let arms = text.split("=> (\"").skip(1);
        codes.extend(arms.map(|rest| format!("`{}`", rest.split('"').next().unwrap())));
    }
    assert!(codes.len() > 20, "codes are written otherwise: {codes:?}");
    all_are_on("errors.md", codes);
}

#[test]
fn every_limit_is_on_its_page() {
    let manifest = Manifest::new(&manifest(&[("digits", digits(), "unknown = 1")]));
    let refusal = manifest.up().run().refusal();
    let (_, keys) = refusal.split_once("expected one of ").unwrap();
    let keys: Vec<_> = keys.split('`').skip(1).step_by(2).collect();
    assert!(keys.len() > 8, "{refusal}");
    all_are_on("limits.md", keys.iter().map(|key| format!("`{key}`")));
}

#[test]
fn every_metric_is_on_its_page() {
    let host = Manifest::new(&manifest(&[("digits", digits(), "")]))
        .up()
        .serve();
    let metrics = host.client().get("/metrics").text();
    let ours = words(&metrics, "glovebox_").into_iter();
    let ours = ours.map(|name| name.trim_start_matches("glovebox_").to_owned());
    let names: BTreeSet<_> = ours
        .chain(words(&metrics, "nv_"))
        .map(|name| {
            let parts = ["_bucket", "_sum", "_count"];
            let base = parts.iter().find_map(|part| name.strip_suffix(part));
            // `nv_inference_count` has no parts.
            match base {
                Some(base) if metrics.contains(&format!("{base}_bucket")) => base.to_owned(),
                _ => name,
            }
        })
        .collect();
    assert!(names.len() > 20, "{names:?}");
    all_are_on("metrics.md", names);
}
