//! Pictures become the tensors that Pillow makes of them: `tests/images` of the workspace, natively.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use glovebox_pipeline::{CallError, Pipeline};
use glovebox_protocol::{Datatype, TensorSpec};
use serde_json::{Value, json};

/// The levels of the UINT8 tensor that a table makes of a picture.
fn levels(input: &Value, shape: &Value, name: &str, body: &[u8]) -> Result<Vec<u8>, CallError> {
    let spec = [TensorSpec {
        name: "x".into(),
        datatype: Datatype::Uint8,
        shape: serde_json::from_value(shape.clone()).unwrap(),
    }];
    let mut input = input.clone();
    input["kind"] = "image".into();
    let config = json!({ "name": "test", "input": input }).to_string();
    let pipeline = Pipeline::from_json(config.as_bytes(), &spec, &spec).unwrap();
    let content_type = match name.rsplit_once('.').unwrap().1 {
        "jpg" => "image/jpeg",
        "png" => "image/png",
        _ => "image/webp",
    };
    let prepared = pipeline.prepare(&spec, content_type, body)?;
    Ok(prepared.request.inputs[0].data.clone())
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/images"))
}

fn picture(name: &str) -> Vec<u8> {
    fs::read(folder().join("pictures").join(name)).unwrap()
}

#[test]
fn levels_are_those_of_pillow() {
    let text = fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let cases = expected["cases"].as_array().unwrap();
    assert!(cases.len() > 100);
    let mut apart = Vec::new();
    for case in cases {
        let (model, name) = (
            case["model"].as_str().unwrap(),
            case["picture"].as_str().unwrap(),
        );
        let input = &expected["models"][model];
        let have = levels(input, &case["shape"], name, &picture(name)).unwrap();
        let hex: String = have.iter().map(|level| format!("{level:02x}")).collect();
        if hex != case["levels"].as_str().unwrap() {
            apart.push(format!("{model}, {name}"));
        }
    }
    assert!(apart.is_empty(), "{apart:?}");
}

#[test]
fn what_is_cut_off_is_refused() {
    let (input, shape) = (
        json!({ "colour": "rgb", "width": 8, "height": 8 }),
        json!([1, 3, 8, 8]),
    );
    for name in [
        "420.jpg",
        "progressive.jpg",
        "wide.png",
        "lossy.webp",
        "lossless.webp",
    ] {
        let whole = picture(name);
        for share in [0, 1, 2, 10, 50, 90] {
            let part = &whole[..whole.len() * share / 100];
            let refused = levels(&input, &shape, name, part);
            assert!(
                matches!(refused, Err(CallError::InvalidInput(_))),
                "{share} % of {name}"
            );
        }
    }
}

/// A JPEG whose components are sampled so, one byte each: across in the upper half, down in the lower.
fn sampled(jpeg: &[u8], factors: &[u8]) -> Vec<u8> {
    let mut jpeg = jpeg.to_vec();
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    assert_eq!(usize::from(jpeg[frame + 9]), factors.len());
    for (component, factor) in factors.iter().enumerate() {
        jpeg[frame + 11 + 3 * component] = *factor;
    }
    jpeg
}

/// All sequences of so many of these.
fn sequences(of: &[u8], length: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..of.len().pow(length)).map(move |index| {
        let digit = |place: u32| of[index / of.len().pow(place) % of.len()];
        (0..length).map(digit).collect()
    })
}

#[test]
fn jpegs_of_any_sampling_are_decoded_or_refused() {
    let (input, shape) = (
        json!({ "colour": "rgb", "width": 4, "height": 4 }),
        json!([1, 3, 4, 4]),
    );
    let factors = [0x00, 0x11, 0x12, 0x13, 0x21, 0x22, 0x31, 0x41, 0x44];
    let (mut decoded, mut refused) = (0, 0);
    for (name, components) in [("grey.jpg", 1), ("420.jpg", 3), ("cmyk.jpg", 4)] {
        let jpeg = picture(name);
        for factors in sequences(&factors, components) {
            match levels(&input, &shape, name, &sampled(&jpeg, &factors)) {
                Ok(_) => decoded += 1,
                Err(CallError::InvalidInput(_)) => refused += 1,
                Err(error) => unreachable!("{factors:x?}: {error}"),
            }
        }
    }
    assert!(
        decoded > 10 && refused > 10,
        "{decoded} decoded, {refused} refused"
    );
}
