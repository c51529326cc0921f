//! Hostile and ragged nesting, and shapes that promise what the body does not hold.

mod common;

use common::{body_refusal, read, refusal};

#[test]
fn arrays_of_different_lengths_at_one_depth_are_refused() {
    assert_eq!(
        refusal("INT8", "[2, 2]", "[[1, 2, 3], [4]]"),
        "tensor \"x\": `data` is ragged: at depth 2 an array of 1 follows one of 3"
    );
    assert_eq!(
        refusal("INT8", "[6]", "[[[1], [2]], [[3], [4], [5]], [[6]]]"),
        "tensor \"x\": `data` is ragged: at depth 2 an array of 3 follows one of 2"
    );
    assert!(refusal("INT8", "[1]", "[[], [1]]").contains("an array of 1 follows one of 0"));
}

#[test]
fn elements_at_different_depths_are_refused() {
    for (data, index) in [("[1, [2]]", 1), ("[[1], 2]", 1), ("[[1, 2], [3, [4]]]", 3)] {
        assert_eq!(
            refusal("INT8", "[4]", data),
            format!(
                "tensor \"x\", element {index}: `data` is ragged: the element is not nested as deep as the first"
            )
        );
    }
}

#[test]
fn arrays_beside_elements_are_refused_even_when_empty() {
    for data in ["[[], 1]", "[1, []]"] {
        assert_eq!(
            refusal("INT8", "[1]", data),
            "tensor \"x\": `data` is ragged: an array holds both arrays and elements"
        );
    }
}

#[test]
fn data_nested_32_deep_is_taken_and_one_more_is_refused() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(read("INT8", "[1]", &nested(32)).unwrap().data, [1]);
    assert_eq!(
        refusal("INT8", "[1]", &nested(33)),
        "tensor \"x\": `data` is nested deeper than 32 arrays"
    );
}

#[test]
fn a_bomb_of_brackets_does_not_reach_the_end_of_the_stack() {
    let depth = 2_000_000;
    let balanced = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(refusal("FP32", "[1]", &balanced).contains("nested deeper than 32 arrays"));
    let unbalanced = "[".repeat(depth);
    assert!(refusal("FP32", "[1]", &unbalanced).contains("not a valid inference request"));
    assert!(body_refusal(&unbalanced).contains("not a valid inference request"));
    let objects = "{\"a\":".repeat(depth);
    assert!(refusal("FP32", "[1]", &objects).contains("not a valid inference request"));
    let ignored = format!(r#"{{"ignored": {balanced}, "inputs": 5}}"#);
    assert!(body_refusal(&ignored).contains("not a valid inference request"));
    let parameter = format!(r#"{{"inputs": [], "parameters": {{"a": {balanced}}}}}"#);
    assert!(body_refusal(&parameter).contains("not a valid inference request"));
    let shape = refusal("FP32", &balanced, "[]");
    assert!(shape.contains("not a valid inference request"), "{shape}");
}

#[test]
fn a_huge_shape_is_refused_without_memory_for_it() {
    assert_eq!(
        refusal("FP64", "[4611686018427387904]", "[1]"),
        "tensor \"x\": its shape holds 4611686018427387904 elements, `data` has 1"
    );
    assert!(refusal("BYTES", "[4611686018427387904]", "[\"\"]").contains("`data` has 1"));
    assert_eq!(
        refusal("UINT8", "[4294967296, 4294967296]", "[]"),
        "tensor \"x\": shape [4294967296, 4294967296] holds more elements than can be counted in 64 bits"
    );
    assert!(read("UINT8", "[18446744073709551615, 0]", "[]").is_ok());
}

#[test]
fn impossible_dimensions_are_refused() {
    assert_eq!(
        refusal("FP32", "[1, -1]", "[1]"),
        "tensor \"x\": dimension 1 of the shape is -1; give the actual size, 0 or more"
    );
    assert!(
        refusal("FP32", "[18446744073709551616]", "[1]")
            .contains("dimension 0 of the shape is 184")
    );
    for shape in ["[1.5]", "[\"1\"]", "[null]", "[true]", "[[1]]", "{}", "1"] {
        assert!(
            refusal("FP32", shape, "[1]").contains("not a valid inference request"),
            "{shape}"
        );
    }
}

#[test]
fn a_shape_of_32_dimensions_is_taken_and_one_more_is_refused() {
    let shape = |rank: usize| format!("[{}]", vec!["1"; rank].join(","));
    assert!(read("INT8", &shape(32), "[1]").is_ok());
    for rank in [33, 1_000_000] {
        assert_eq!(
            refusal("INT8", &shape(rank), "[1]"),
            "tensor \"x\": a shape has at most 32 dimensions"
        );
    }
}

#[test]
fn data_buffers_are_not_larger_than_the_text_warrants() {
    let count = 100_000;
    let text = format!("[{}]", vec!["0"; count].join(","));
    let tensor = read("FP64", "[100000]", &text).unwrap();
    assert!(tensor.data.capacity() <= 4 * text.len() + 8);
}
