//! `check`: all that is wrong, and nothing that is not.

use std::fs;

use serde_json::Value;

use crate::harness::bodies;
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, model_dir, wine};
use crate::harness::guest;

fn check(served: &Manifest) -> Glovebox {
    Glovebox::new("check").arg(&served.path)
}

#[test]
fn an_application_that_can_be_served_is_all_right() {
    let models = [
        ("digits", digits(), ""),
        ("wine", wine(), "memory = \"64MiB\""),
    ];
    let served = Manifest::new(&manifest(&models));
    let text = check(&served).run().success();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("ok     digits: memory "), "{text}");
    assert!(
        lines[1].starts_with("ok     wine: memory 64 MiB, "),
        "{text}"
    );
    let json: Value = check(&served).arg("--json").run().json();
    assert_eq!(json[1]["component"], "wine");
    assert_eq!(json[1]["problems"].as_array().unwrap().len(), 0);
    let onnx = model_dir("wine").join("wine.onnx");
    let text = Glovebox::new("check").arg(onnx).run().success();
    assert!(text.starts_with("ok     wine: "), "{text}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let models = [
        ("gone", "nowhere.wasm".as_ref(), ""),
        ("large", "large.wasm".as_ref(), "memory = \"2GiB\""),
        ("odd", "odd.wasm".as_ref(), ""),
        ("right", wine(), ""),
    ];
    let text = manifest(&models).replace("/v2/models/odd/...", "/odd")
        + "[component.odd.environment]\nA = \"1\"\n"
        + "[[trigger.http]]\nroute = \"/healthz\"\ncomponent = \"odd\"\n";
    let text = text.replace(
        "[component.odd]\n",
        "[component.odd]\nfiles = [\"missing.txt\"]\n",
    );
    let served = Manifest::new(&text);
    for name in ["large.wasm", "odd.wasm"] {
        let file = served.dir.path().join(name);
        fs::write(file, guest::component(bodies::ANSWER)).unwrap();
    }
    let outcome = check(&served).option("--memory-budget", "1GiB").run();
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    println!("{}", outcome.stdout);
    for named in [
        "wrong  gone: ",
        "nowhere.wasm",
        "wrong  large: ",
        "raise --memory-budget",
        "wrong  odd: [[trigger.http]] with route \"/healthz\"",
        "wrong  odd: files \"missing.txt\"",
        "wrong  odd: environment is for components that speak HTTP",
        "ok     right: ",
    ] {
        assert!(
            outcome.stdout.contains(named),
            "{named}: {}",
            outcome.stdout
        );
    }
    let outcome = check(&served).arg("--json").run();
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(json[0]["component"], "gone");
    assert!(json[2]["problems"].as_array().unwrap().len() >= 3, "{json}");
}

#[test]
fn a_manifest_that_cannot_be_read_is_one_problem() {
    let served = Manifest::new("spin_manifest_version = 2\n[application\n");
    let outcome = check(&served).run();
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stdout.contains("spin.toml:2:"),
        "{}",
        outcome.stdout
    );
}
