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
