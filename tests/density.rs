//! A packed model's image is little more than its weights.

use std::fs;
use std::path::Path;

use wasmparser::{Data, DataKind, Operator, Parser, Payload};

use crate::harness::command::Glovebox;
use crate::harness::files::{temporary, workspace};
use crate::harness::onnx;

const MOST: f64 = 1.5;

fn image_is_dense(name: &str, model: &[u8], weights_bytes: u64) {
    let dir = temporary();
    let file = dir.path().join(format!("{name}.onnx"));
    fs::write(&file, model).unwrap();
    packs_densely(&file, weights_bytes);
}

fn packs_densely(file: &Path, weights_bytes: u64) {
    let report = Glovebox::new("pack").arg(file).arg("--json").run().json();
    let image_bytes = report["image_bytes"].as_u64().unwrap();
    let ratio = image_bytes as f64 / weights_bytes as f64;
    println!(
        "{}: {weights_bytes} bytes of weights, {image_bytes} of image, {ratio:.3} times",
        file.display()
    );
    assert!(image_bytes >= weights_bytes, "something is missing");
    assert!(ratio < MOST, "{ratio:.3}");
    // The file holds the image, less its zeros, and the code.
    assert!(report["bytes"].as_u64().unwrap() > weights_bytes);
}

#[test]
fn six_megabytes_of_dense_layers_make_a_dense_image() {
    image_is_dense("dense-6", &onnx::dense_layers(0, 3, 708), 3 * 709 * 708 * 4);
}

#[test]
fn twenty_megabytes_of_dense_layers_make_a_dense_image() {
    image_is_dense(
        "dense-20",
        &onnx::dense_layers(0, 3, 1290),
        3 * 1291 * 1290 * 4,
    );
}

#[test]
fn seven_megabytes_of_convolutions_make_a_dense_image() {
    image_is_dense(
        "convolutions-7",
        &onnx::convolutions(3, 256),
        3 * 256 * 256 * 9 * 4,
    );
}

#[test]
fn graphs_for_rows_of_many_lengths_share_their_weights() {
    let (words, layers, width) = (512, 3, 708);
    let dir = temporary();
    let file = dir.path().join("texts.onnx");
    fs::write(&file, onnx::texts(words, layers, width)).unwrap();
    let tokenizer = "tests/text/wordpiece.json";
    fs::copy(
        workspace().join(tokenizer),
        dir.path().join("tokenizer.json"),
    )
    .unwrap();
    // Eleven lengths.
    let config = "[input]\nkind = \"text\"\ntokenizer = \"tokenizer.json\"\nmax_tokens = 256\n";
    fs::write(dir.path().join("model.toml"), config).unwrap();
    packs_densely(&file, (words + layers as u64 * width) * width * 4);
}

/// Wasmtime's rule for every host that does not say otherwise (`memory_guaranteed_dense_image_size`):
/// an image beyond 16 MiB is mapped and not copied only if at least half of it is data.
#[test]
fn hosts_with_the_defaults_of_wasmtime_map_the_image_behind_a_front() {
    const ALWAYS_MAPPED: u64 = 16 << 20;
    let dir = temporary();
    let (model, packed) = (dir.path().join("dense.onnx"), dir.path().join("dense.wasm"));
    fs::write(&model, onnx::dense_layers(0, 3, 1290)).unwrap();
    let pack = Glovebox::new("pack").arg(&model).arg("--http");
    pack.option("--output", &packed).run().success();
    let component = fs::read(&packed).unwrap();
    let mut largest = 0;
    for segments in data_of_modules(&component) {
        let starts = segments.iter().map(|(start, _)| *start).min();
        let ends = segments.iter().map(|(start, length)| start + length).max();
        let span = ends.unwrap_or(0) - starts.unwrap_or(0);
        let data: u64 = segments.iter().map(|(_, length)| length).sum();
        assert!(span < ALWAYS_MAPPED || 2 * data >= span, "{data} of {span}");
        largest = largest.max(span);
    }
    assert!(largest > ALWAYS_MAPPED, "the model is inside");
}

/// Where the data segments of each module lie, which have constant addresses.
fn data_of_modules(component: &[u8]) -> Vec<Vec<(u64, u64)>> {
    let payloads = Parser::new(0).parse_all(component);
    let sections = payloads.filter_map(|payload| match payload.unwrap() {
        Payload::DataSection(data) => Some(data),
        _ => None,
    });
    let segment = |data: wasmparser::Result<Data<'_>>| {
        let data = data.unwrap();
        let DataKind::Active { offset_expr, .. } = data.kind else {
            panic!("a segment that is not part of the image");
        };
        match offset_expr.get_operators_reader().read().unwrap() {
            Operator::I32Const { value } => (u64::from(value as u32), data.data.len() as u64),
            other => panic!("{other:?} is no constant address"),
        }
    };
    sections
        .map(|section| section.into_iter().map(segment).collect())
        .collect()
}
