//! A packed model's image is little more than its weights.

use std::fs;

use crate::harness::command::Glovebox;
use crate::harness::files::temporary;
use crate::harness::onnx;

const MOST: f64 = 1.5;

fn image_is_dense(name: &str, model: &[u8], weights_bytes: u64) {
    let dir = temporary();
    let file = dir.path().join(format!("{name}.onnx"));
    fs::write(&file, model).unwrap();
    let report = Glovebox::new("pack").arg(&file).arg("--json").run().json();
    let image_bytes = report["image_bytes"].as_u64().unwrap();
    let ratio = image_bytes as f64 / weights_bytes as f64;
    println!("{name}: {weights_bytes} bytes of weights, {image_bytes} of image, {ratio:.3} times");
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
