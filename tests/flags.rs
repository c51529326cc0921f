//! Limits of one file on the command line, and those that follow from the file where nobody says any.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::Value;

use crate::harness::command::Glovebox;
use crate::harness::damage::reworded;
use crate::harness::files::{Manifest, digits, manifest, model_dir, temporary, wine};
use crate::harness::host::Host;
use crate::harness::onnx::{Graph, Node};

fn up(flags: &[(&str, &str)]) -> Glovebox {
    let up = Glovebox::new("up").arg(wine());
    flags
        .iter()
        .fold(up, |up, (flag, value)| up.option(flag, value))
}

/// The line of limits that `up` announces.
fn limits(host: &Host) -> &str {
    let lines = host.announcement.lines();
    let mut limits =
        lines.filter(|line| line.trim_start().starts_with("memory ") && line.contains("cpu"));
    limits.next().unwrap()
}

#[test]
fn limits_of_one_file_are_given_as_flags() {
    let host = up(&[
        ("--name", "cellar"),
        ("--memory", "32MiB"),
        ("--cpu", "100ms"),
        ("--fuel", "50000000"),
        ("--timeout", "2s"),
        ("--concurrency", "3"),
        ("--body", "1MiB"),
        ("--output", "2MiB"),
        ("--tenant", "acme"),
        ("--weight", "2"),
        ("--batch", "4"),
    ])
    .serve();
    assert_eq!(
        limits(&host).trim(),
        "memory 32 MiB, cpu 100ms, fuel 50000000, timeout 2s, concurrency 3, body 1 MiB, output 2 MiB, \
         batch up to 4 rows within 2ms: 55 MiB a request"
    );
    assert_eq!(host.client().get("/v2/models").ok()["models"][0], "cellar");
    let host = up(&[("--batch", "{ max = 9, delay = '7ms' }")]).serve();
    assert!(limits(&host).contains("batch up to 9 rows within 7ms"));
}

#[test]
fn a_flag_that_says_nothing_sensible_is_named() {
    for (flag, value, problem) in [
        ("--memory", "much", "much"),
        ("--cpu", "0s", "cpu and timeout must be more than 0"),
        ("--concurrency", "0", "concurrency must be from 1"),
        ("--concurrency", "many", "whole number"),
        ("--fuel", "0", "fuel must be more than 0"),
        ("--weight", "0", "weight must be at least 1"),
        ("--batch", "1", "batch.max must be from 2"),
        ("--batch", "{ most = 7 }", "most"),
        ("--batch", "x", "max = 8"),
        ("--memory", "1KiB", "raise `memory`"),
    ] {
        let line = up(&[(flag, value)]).run().refusal();
        assert!(line.contains(problem), "{flag} {value}: {line}");
        assert!(line.contains(flag) || value == "1KiB", "{line}");
    }
}

#[test]
fn flags_of_one_file_are_refused_for_a_manifest() {
    let served = Manifest::new(&manifest(&[("wine", wine(), "")]));
    for (flag, value) in [("--memory", "1GiB"), ("--name", "x"), ("--batch", "4")] {
        let line = served.up().option(flag, value).run().refusal();
        assert!(
            line.contains(flag) && line.contains("tool.glovebox"),
            "{line}"
        );
    }
}

#[test]
fn the_bundled_digits_serve_with_128_mib() {
    let host = Glovebox::new("up")
        .arg(digits())
        .option("--memory-budget", "128MiB")
        .serve();
    println!("{}", limits(&host));
    let seven = model_dir("digits").join("examples/7.png");
    let seven = fs::read(seven).unwrap();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (client, seven) = (host.client(), seven.clone());
            thread::spawn(move || {
                client.predict("digits", "image/png", &seven).ok()["label"].clone()
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), "7");
    }
}

/// The limits of a model on a large machine, as JSON of `check`.
fn on_a_large_machine(file: &Path) -> String {
    let check = Glovebox::new("check")
        .arg(file)
        .arg("--json")
        .option("--memory-budget", "64GiB");
    let verdicts: Value = check.run().json();
    verdicts[0]["limits"].as_str().unwrap().to_owned()
}

#[test]
fn a_model_of_fixed_sizes_reserves_what_it_needs() {
    let dir = temporary();
    let (onnx, wasm) = (dir.path().join("m.onnx"), dir.path().join("m.wasm"));
    let graph = Graph::new().input("x", &[1, 16]).output("y", &[1, 16]);
    let graph = graph.node(Node::new("Relu", "", &["x"], &["y"]));
    fs::write(&onnx, graph.model()).unwrap();
    Glovebox::new("pack").arg(&onnx).run().success();
    let limits = on_a_large_machine(&wasm);
    assert!(limits.contains("body 1 MiB, output 1 MiB"), "{limits}");
    let bytes: u64 = limits
        .rsplit(": ")
        .next()
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(bytes < 64, "{limits}");
    // What is open stays so where there is room.
    assert!(on_a_large_machine(wine()).contains("body 16 MiB, output 16 MiB"));
}

#[test]
fn what_a_file_says_of_its_memory_makes_a_default_smaller_and_never_larger() {
    let dir = temporary();
    let file = dir.path().join("wine.wasm");
    let bytes = fs::read(wine()).unwrap();
    let most = 4_000_000_000_u64;
    for (peak, request) in [(most, 0), (0, most), (0, 0)] {
        let claim = format!("\"memory\":{{\"peak_bytes\":{peak},\"request_bytes\":{request}}}");
        fs::write(&file, reworded(&bytes, "\"memory\":{", "}", &claim)).unwrap();
        let limits = on_a_large_machine(&file);
        let memory = limits
            .strip_prefix("memory ")
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        assert!(memory.parse::<f64>().unwrap() < 270.0, "{limits}");
    }
}
