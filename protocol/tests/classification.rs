//! Scores as classes.

mod common;

use common::{fp32, tensor};
use glovebox_protocol::{Datatype, Error, Tensor, classify};

fn texts(tensor: &Tensor) -> Vec<String> {
    let elements = tensor.bytes_elements();
    elements
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

fn classes(tensor: &Tensor, count: u32, labels: &[&str]) -> Result<Tensor, Error> {
    let labels: Vec<_> = labels.iter().map(ToString::to_string).collect();
    classify(tensor, count, &labels, &mut 10_000)
}

#[test]
fn the_best_of_each_row_come_first() {
    let scores = tensor(
        "y",
        Datatype::Fp32,
        &[2, 3],
        &fp32(&[0.1, 0.7, 0.2, 5.0, -1.0, 5.0]),
    );
    let best = classes(&scores, 2, &["a", "b", "c"]).unwrap();
    assert_eq!(
        (best.datatype, &*best.shape),
        (Datatype::Bytes, [2u64, 2].as_slice())
    );
    assert_eq!(
        texts(&best),
        [
            "0.700000:1:b",
            "0.200000:2:c",
            "5.000000:0:a",
            "5.000000:2:c"
        ]
    );
    // More than there are, and labels of something else.
    let all = classes(&scores, u32::MAX, &["a", "b"]).unwrap();
    assert_eq!(all.shape, [2, 3]);
    assert_eq!(texts(&all)[0], "0.700000:1");
}

#[test]
fn a_tensor_of_one_dimension_is_one_row() {
    let scores = tensor("y", Datatype::Int8, &[3], &[1, 255, 7]);
    let best = classes(&scores, 2, &[]).unwrap();
    assert_eq!(best.shape, [2]);
    assert_eq!(texts(&best), ["7:2", "1:0"]);
}

#[test]
fn numbers_of_all_kinds_are_read() {
    for (datatype, data, text) in [
        (Datatype::Bool, vec![1], "1:0"),
        (
            Datatype::Uint64,
            u64::MAX.to_le_bytes().to_vec(),
            "18446744073709552000:0",
        ),
        (Datatype::Int64, (-3i64).to_le_bytes().to_vec(), "-3:0"),
        (
            Datatype::Fp16,
            0x3555u16.to_le_bytes().to_vec(),
            "0.333252:0",
        ),
        (Datatype::Fp16, 0xfc00u16.to_le_bytes().to_vec(), "-inf:0"),
        (
            Datatype::Fp16,
            0x0001u16.to_le_bytes().to_vec(),
            "0.000000:0",
        ),
        (
            Datatype::Bf16,
            0xbf80u16.to_le_bytes().to_vec(),
            "-1.000000:0",
        ),
        (Datatype::Fp64, 0.5f64.to_le_bytes().to_vec(), "0.500000:0"),
    ] {
        let scores = tensor("y", datatype, &[1], &data);
        assert_eq!(
            texts(&classes(&scores, 1, &[]).unwrap()),
            [text],
            "{datatype}"
        );
    }
}

#[test]
fn what_is_no_number_comes_last() {
    let scores = tensor(
        "y",
        Datatype::Fp32,
        &[4],
        &fp32(&[f32::NAN, f32::NEG_INFINITY, 1.0, f32::NAN]),
    );
    assert_eq!(
        texts(&classes(&scores, 4, &[]).unwrap()),
        ["1.000000:2", "-inf:1", "NaN:0", "NaN:3"]
    );
}

#[test]
fn empty_tensors_have_no_classes() {
    for (shape, classes_shape) in [([0u64, 3], [0, 0]), ([2, 0], [2, 0])] {
        let scores = tensor("y", Datatype::Fp32, &shape, &[]);
        assert_eq!(classes(&scores, 2, &[]).unwrap().shape, classes_shape);
    }
}

#[test]
fn texts_have_no_classes_and_long_ones_no_room() {
    let strings = tensor("y", Datatype::Bytes, &[1], &common::byte_strings(&[b"a"]));
    assert!(
        classes(&strings, 1, &[])
            .unwrap_err()
            .to_string()
            .contains("BYTES have no classes")
    );
    let scores = tensor("y", Datatype::Fp32, &[2], &fp32(&[1.0, 2.0]));
    let long = "x".repeat(6_000);
    assert!(classes(&scores, 1, &[&long, &long]).is_ok());
    let error = classes(&scores, 2, &[&long, &long])
        .unwrap_err()
        .to_string();
    assert!(error.contains("ask for fewer"), "{error}");
}
