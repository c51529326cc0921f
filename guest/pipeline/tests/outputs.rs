//! Answers about places on pictures, against torchvision and numpy (`expected.json`, made by
//! `reference.py`), and what hostile outputs do to them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use glovebox_pipeline::{Answer, CallError, Pipeline};
use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde_json::{Value, json};

/// Half a level of 8 bits of a fraction of a pixel: what rounding to 32 bits may make of a side.
const TOLERANCE: f64 = 1e-3;

fn cases(kind: &str) -> Vec<Value> {
    let cases: Vec<Value> = serde_json::from_str(include_str!("expected.json")).unwrap();
    let is_kind = |case: &Value| case["output"]["kind"] == kind;
    let cases: Vec<_> = cases.into_iter().filter(is_kind).collect();
    assert!(cases.len() > 5);
    cases
}

/// A black picture.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    let levels = vec![0; (width * height) as usize];
    writer.write_image_data(&levels).unwrap();
    writer.finish().unwrap();
    file
}

fn tensor(written: &Value) -> Tensor {
    let numbers = written["data"].as_array().unwrap().iter();
    let data: Vec<u8> = match written["datatype"].as_str().unwrap() {
        "INT64" => numbers
            .flat_map(|number| (number.as_f64().unwrap() as i64).to_le_bytes())
            .collect(),
        _ => numbers
            .flat_map(|number| {
                number
                    .as_f64()
                    .map_or(f32::NAN, |number| number as f32)
                    .to_le_bytes()
            })
            .collect(),
    };
    let shape: Vec<u64> = serde_json::from_value(written["shape"].clone()).unwrap();
    let datatype = serde_json::from_value(written["datatype"].clone()).unwrap();
    Tensor::new(written["name"].as_str().unwrap(), datatype, shape, data).unwrap()
}

fn floats(name: &str, shape: &[u64], numbers: &[f32]) -> Tensor {
    let data = numbers.iter().flat_map(|number| number.to_le_bytes());
    let data: Vec<u8> = data.collect();
    Tensor::new(name, Datatype::Fp32, shape.to_vec(), data).unwrap()
}

fn specs(tensors: &[Tensor]) -> Vec<TensorSpec> {
    let spec = |tensor: &Tensor| TensorSpec {
        name: tensor.name.clone(),
        datatype: tensor.datatype,
        shape: tensor.shape.iter().map(|size| *size as i64).collect(),
    };
    tensors.iter().map(spec).collect()
}

/// A model whose input is as `input` says.
fn input_spec(input: &Value) -> Vec<TensorSpec> {
    let side = |key: &str| input[key].as_i64().unwrap();
    vec![TensorSpec {
        name: "image".into(),
        datatype: Datatype::Fp32,
        shape: vec![1, 1, side("height"), side("width")],
    }]
}

fn pipeline(input: &Value, output: &Value, outputs: &[TensorSpec]) -> Result<Pipeline, String> {
    let config = json!({ "name": "test", "input": input, "output": output });
    Pipeline::from_json(config.to_string().as_bytes(), &input_spec(input), outputs)
}

/// What is answered to a picture of this size when the model's outputs are these.
fn answer(
    (width, height): (u32, u32),
    input: &Value,
    output: &Value,
    tensors: Vec<Tensor>,
) -> Result<Answer, CallError> {
    let pipeline = pipeline(input, output, &specs(&tensors)).unwrap();
    let body = picture(width, height);
    let prepared = pipeline.prepare(&input_spec(input), "image/png", &body)?;
    pipeline.answer(&prepared, tensors)
}

fn answer_to(case: &Value) -> Answer {
    let side = |index: usize| case["picture"][index].as_u64().unwrap() as u32;
    let tensors = case["tensors"].as_array().unwrap().iter().map(tensor);
    let answer = answer(
        (side(0), side(1)),
        &case["input"],
        &case["output"],
        tensors.collect(),
    );
    answer.unwrap_or_else(|error| panic!("{}: {error}", case["name"]))
}

fn detections(answer: &Answer) -> Value {
    assert_eq!(answer.content_type, "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn boxes_are_those_of_torchvision() {
    for case in cases("detection") {
        let answer = detections(&answer_to(&case));
        assert_eq!(answer["width"], case["picture"][0]);
        assert_eq!(answer["height"], case["picture"][1]);
        let found = answer["detections"].as_array().unwrap();
        let expected = case["expected"].as_array().unwrap();
        let name = &case["name"];
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found["label"], expected["label"], "{name}");
            let close = |found: &Value, expected: &Value| {
                let off = found.as_f64().unwrap() - expected.as_f64().unwrap();
                assert!(
                    off.abs() < TOLERANCE,
                    "{name}: {found}, expected {expected}"
                );
            };
            close(&found["score"], &expected["score"]);
            for side in ["x", "y", "width", "height"] {
                close(&found["box"][side], &expected["box"][side]);
            }
        }
    }
}

/// The levels of a PNG, which are classes, with its size.
fn mask(answer: &Answer) -> (u32, u32, Vec<u8>) {
    assert_eq!(answer.content_type, "image/png");
    let decoder = png::Decoder::new(std::io::Cursor::new(&answer.body));
    let mut reader = decoder.read_info().unwrap();
    let mut levels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut levels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Indexed);
    (info.width, info.height, levels)
}

#[test]
fn masks_are_as_large_as_the_picture_with_a_class_for_each_pixel() {
    for case in cases("segmentation") {
        let (width, height, levels) = mask(&answer_to(&case));
        assert_eq!(json!([width, height]), case["picture"], "{}", case["name"]);
        let hex: String = levels.iter().map(|level| format!("{level:02x}")).collect();
        assert_eq!(hex, case["expected"], "{}", case["name"]);
    }
}

#[test]
fn colours_of_a_mask_are_those_of_pascal_voc() {
    let input = json!({ "kind": "image", "colour": "grey", "width": 1, "height": 1 });
    let output = json!({ "kind": "segmentation", "tensor": "out" });
    let scores = floats("out", &[1, 2, 1, 1], &[0.0, 1.0]);
    let answer = answer((1, 1), &input, &output, vec![scores]).unwrap();
    let decoder = png::Decoder::new(std::io::Cursor::new(&answer.body));
    let reader = decoder.read_info().unwrap();
    let palette = reader.info().palette.as_deref().unwrap();
    // Background, aeroplane, bird, person.
    let colours = [
        (0, [0, 0, 0]),
        (1, [128, 0, 0]),
        (3, [128, 128, 0]),
        (15, [192, 128, 128]),
    ];
    for (class, colour) in colours {
        assert_eq!(palette[3 * class..][..3], colour);
    }
}

fn stretched() -> Value {
    json!({ "kind": "image", "colour": "grey", "width": 64, "height": 64 })
}

fn rows(extra: Value) -> Value {
    let mut output = json!({ "kind": "detection", "tensor": "out", "format": "xyxy" });
    let keys = extra.as_object().unwrap().clone();
    output.as_object_mut().unwrap().extend(keys);
    output
}

#[test]
fn a_hundred_thousand_boxes_take_bounded_work_and_give_as_many_as_an_answer_may_have() {
    let boxes: Vec<f32> = (0..100_000)
        .flat_map(|index| {
            // All overlap, none enough to be the same.
            let (x, y) = ((index % 300) as f32 / 10.0, (index / 300) as f32 / 10.0);
            [x, y, x + 0.09, y + 0.09, 0.9]
        })
        .collect();
    let tensor = floats("out", &[1, 100_000, 5], &boxes);
    let answer = answer(
        (64, 64),
        &stretched(),
        &rows(json!({ "max": 1000 })),
        vec![tensor],
    );
    let found = detections(&answer.unwrap());
    assert_eq!(found["detections"].as_array().unwrap().len(), 1000);
}

#[test]
fn what_is_no_number_is_never_in_an_answer() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let boxes = [
        [nan, 0.0, 9.0, 9.0, 0.9],
        [0.0, 0.0, inf, 9.0, 0.9],
        [0.0, 0.0, 9.0, 9.0, nan],
        [0.0, 0.0, 9.0, 9.0, inf],
        [-f32::MAX, -f32::MAX, f32::MAX, f32::MAX, 0.8],
        // Nothing of these is on the picture.
        [9.0, 9.0, 9.0, 20.0, 0.9],
        [20.0, 20.0, 10.0, 10.0, 0.9],
        [-20.0, 0.0, -10.0, 10.0, 0.9],
    ];
    let tensor = floats("out", &[1, 8, 5], boxes.as_flattened());
    let answer = answer((64, 64), &stretched(), &rows(json!({})), vec![tensor]).unwrap();
    let whole = json!({ "x": 0.0, "y": 0.0, "width": 64.0, "height": 64.0 });
    let found = detections(&answer);
    let found = found["detections"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["box"], whole);
}

#[test]
fn a_mask_of_numbers_that_are_no_classes_is_the_models_failure() {
    let output = json!({ "kind": "segmentation", "tensor": "out" });
    for number in [-1_i64, 256, i64::MAX] {
        let data = number.to_le_bytes().to_vec();
        let tensor = Tensor::new("out", Datatype::Int64, vec![1, 1, 1], data).unwrap();
        let answer = answer((3, 3), &stretched(), &output, vec![tensor]);
        assert!(matches!(answer, Err(CallError::Failed(_))), "{number}");
    }
    // Scores that are no numbers make no class.
    let tensor = floats("out", &[1, 2, 1, 1], &[f32::NAN, f32::NAN]);
    let answer = answer((3, 3), &stretched(), &output, vec![tensor]).unwrap();
    assert_eq!(mask(&answer), (3, 3, vec![0; 9]));
}

#[test]
fn outputs_without_elements_are_answered() {
    let tensor = floats("out", &[1, 0, 5], &[]);
    let found = answer((64, 64), &stretched(), &rows(json!({})), vec![tensor]).unwrap();
    assert_eq!(detections(&found)["detections"], json!([]));
    let output = json!({ "kind": "segmentation", "tensor": "out" });
    let tensor = floats("out", &[1, 3, 0, 4], &[]);
    let mask = answer((64, 64), &stretched(), &output, vec![tensor]);
    assert!(matches!(mask, Err(CallError::Failed(_))));
}

/// Why a table does not fit a model whose output `out` has this shape.
#[track_caller]
fn refusal(input: &Value, output: &Value, shape: &[i64]) -> String {
    let spec = TensorSpec {
        name: "out".into(),
        datatype: Datatype::Fp32,
        shape: shape.to_vec(),
    };
    match pipeline(input, output, &[spec]) {
        Ok(_) => panic!("{output} fits {shape:?}"),
        Err(why) => why,
    }
}

#[test]
fn a_table_that_does_not_fit_the_model_is_refused_with_what_would() {
    let labels = json!({ "labels": ["a", "b", "c"] });
    let shape = [1, 7, 8400];
    let why = refusal(&stretched(), &rows(labels.clone()), &shape);
    assert!(
        why.contains("8400") && why.contains("transposed = true"),
        "{why}"
    );
    let why = refusal(&stretched(), &rows(labels), &[1, 8400, 9]);
    assert!(why.contains("expected 7"), "{why}");
    let end_to_end = rows(json!({ "row": "box score class" }));
    assert!(refusal(&stretched(), &end_to_end, &[1, 300, 7]).contains("expected 6"));
    let both = rows(json!({ "boxes": "b" }));
    assert!(refusal(&stretched(), &both, &shape).contains("either tensor"));
    let other = rows(json!({ "tensor": "other" }));
    assert!(refusal(&stretched(), &other, &shape).contains("\"other\" does not exist"));
    let many = rows(json!({ "max": 1001 }));
    assert!(refusal(&stretched(), &many, &shape).contains("max must be from 1 to 1000"));
    let mask = json!({ "kind": "segmentation", "tensor": "out" });
    assert!(refusal(&stretched(), &mask, &[1, 257, 4, 4]).contains("256 classes"));
    let record = json!({ "kind": "record", "fields": ["a"] });
    let spec = TensorSpec {
        name: "x".into(),
        datatype: Datatype::Fp32,
        shape: vec![-1, 1],
    };
    let config = json!({ "name": "test", "input": record, "output": rows(json!({})) });
    let output = [TensorSpec {
        name: "out".into(),
        shape: vec![1, 9, 5],
        ..spec.clone()
    }];
    let why = Pipeline::from_json(config.to_string().as_bytes(), &[spec], &output).err();
    assert!(why.unwrap().contains("kind = \"image\""));
}

#[test]
fn sizes_that_do_not_go_together_are_refused() {
    let with = |key: &str, value: Value| {
        let mut input = stretched();
        input[key] = value;
        input
    };
    let output = json!({ "kind": "tensors" });
    let why = refusal(&with("resize", json!(80)), &output, &[1]);
    assert!(why.contains("fit = \"crop\""), "{why}");
    let mut crop = with("fit", json!("crop"));
    crop["resize"] = json!(63);
    assert!(refusal(&crop, &output, &[1]).contains("from 64"));
    let why = refusal(&with("padding", json!(0)), &output, &[1]);
    assert!(why.contains("letterbox"), "{why}");
    assert!(refusal(&with("filter", json!("cubic")), &output, &[1]).contains("bicubic"));
}
