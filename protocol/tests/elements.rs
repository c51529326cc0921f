//! The elements of a tensor: what each datatype takes, and how the rest is refused.

mod common;

use common::{byte_strings, fp32, read, refusal};

#[test]
fn an_element_out_of_range_is_refused_with_its_index_and_the_range() {
    assert_eq!(
        refusal("INT8", "[3]", "[127, -128, 128]"),
        "tensor \"x\", element 2: expected INT8, a whole number from -128 to 127, found 128"
    );
    let cases = [
        ("UINT8", "255", "256"),
        ("UINT16", "65535", "65536"),
        ("UINT32", "4294967295", "4294967296"),
        ("UINT64", "18446744073709551615", "18446744073709551616"),
        ("UINT8", "0", "-1"),
        ("UINT64", "0", "-1"),
        ("INT8", "-128", "-129"),
        ("INT16", "-32768", "-32769"),
        ("INT32", "2147483647", "2147483648"),
        ("INT64", "9223372036854775807", "9223372036854775808"),
        ("INT64", "-9223372036854775808", "-9223372036854775809"),
    ];
    for (datatype, inside, outside) in cases {
        assert!(
            read(datatype, "[1]", &format!("[{inside}]")).is_ok(),
            "{datatype} {inside}"
        );
        let refusal = refusal(datatype, "[1]", &format!("[{outside}]"));
        assert!(refusal.ends_with(&format!("found {outside}")), "{refusal}");
    }
}

#[test]
fn the_index_counts_through_nested_arrays() {
    let refusal = refusal("INT8", "[2, 2]", "[[1, 2], [3, null]]");
    assert!(
        refusal.starts_with("tensor \"x\", element 3: "),
        "{refusal}"
    );
}

#[test]
fn integers_take_no_fractions_and_no_exponents() {
    for number in ["1.0", "1.5", "1e2", "true", "\"1\"", "null", "{}"] {
        let refusal = refusal("INT32", "[1]", &format!("[{number}]"));
        assert!(
            refusal.contains("element 0: expected INT32, a whole number"),
            "{refusal}"
        );
    }
}

#[test]
fn bool_takes_true_false_1_and_0_and_nothing_else() {
    assert_eq!(
        read("BOOL", "[4]", "[true, false, 1, 0]").unwrap().data,
        [1, 0, 1, 0]
    );
    assert_eq!(
        refusal("BOOL", "[1]", "[2]"),
        "tensor \"x\", element 0: expected BOOL, true or false, found 2"
    );
    for value in ["-1", "1.0", "\"true\"", "null"] {
        assert!(
            read("BOOL", "[1]", &format!("[{value}]")).is_err(),
            "{value}"
        );
    }
}

#[test]
fn floats_take_whole_numbers_fractions_and_exponents() {
    let tensor = read(
        "FP32",
        "[6]",
        "[1, -2, 0.5, 1e3, 1E-3, 18446744073709551616]",
    )
    .unwrap();
    assert_eq!(
        tensor.data,
        fp32(&[1.0, -2.0, 0.5, 1000.0, 0.001, 18_446_744_073_709_551_616.0])
    );
    let tensor = read("FP64", "[2]", "[0.1, -0]").unwrap();
    assert_eq!(
        tensor.data,
        [0.1_f64.to_le_bytes(), (-0.0_f64).to_le_bytes()].concat()
    );
}

#[test]
fn floats_too_large_for_the_datatype_are_refused() {
    assert_eq!(
        refusal("FP64", "[2]", "[1e308, 1e400]"),
        "tensor \"x\", element 1: expected FP64, a finite number in its range, found 1e400"
    );
    assert!(refusal("FP64", "[1]", "[-1e400]").contains("found -1e400"));
    assert!(refusal("FP32", "[1]", "[1e39]").contains("found 1e39"));
    assert!(refusal("FP32", "[1]", &format!("[{}]", "9".repeat(400))).ends_with("999..."));
    assert!(read("FP32", "[1]", "[3.4028235e38]").is_ok());
    assert_eq!(read("FP32", "[1]", "[1e-400]").unwrap().data, fp32(&[0.0]));
}

#[test]
fn null_and_other_kinds_of_values_are_refused_as_numbers() {
    let cases = [
        ("null", "null"),
        ("true", "true"),
        ("\"NaN\"", "the string \"NaN\""),
        ("{\"a\": [1]}", "an object"),
    ];
    for (value, shown) in cases {
        assert_eq!(
            refusal("FP32", "[2]", &format!("[1, {value}]")),
            format!(
                "tensor \"x\", element 1: expected FP32, a finite number in its range, found {shown}"
            )
        );
    }
    assert!(refusal("FP32", "[1]", "[NaN]").contains("not a valid inference request"));
    assert!(refusal("FP32", "[1]", "[Infinity]").contains("not a valid inference request"));
}

#[test]
fn bytes_are_strings_with_their_escapes_resolved() {
    let data = r#"["", "a\"]b", "\\", "\u00e9\ud83e\udd80", "é,[]{}"]"#;
    let expected: [&[u8]; 5] = [
        b"",
        b"a\"]b",
        b"\\",
        "\u{e9}\u{1f980}".as_bytes(),
        "\u{e9},[]{}".as_bytes(),
    ];
    assert_eq!(
        read("BYTES", "[5]", data).unwrap().data,
        byte_strings(&expected)
    );
    assert!(
        refusal("BYTES", "[1]", "[5]")
            .contains("expected BYTES, a string shorter than 4 GiB, found 5")
    );
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    for half in ["\\ud800", "\\udc00", "\\ud800x", "\\ud800\\ud800"] {
        let refusal = refusal("BYTES", "[2]", &format!("[\"fine\", \"{half}\"]"));
        assert!(
            refusal.starts_with("tensor \"x\", element 1: "),
            "{refusal}"
        );
        assert!(
            refusal.contains("surrogate") || refusal.contains("hex escape"),
            "{refusal}"
        );
        assert!(!refusal.contains("line"), "{refusal}");
    }
}

#[test]
fn half_floats_are_refused_in_both_directions() {
    use glovebox_protocol::{Datatype, InferResponse};
    for datatype in [Datatype::Fp16, Datatype::Bf16] {
        let expected = format!(
            "tensor \"x\": {datatype} has no JSON form; send and ask for it as binary data, over REST or gRPC"
        );
        assert_eq!(refusal(datatype.name(), "[1]", "[1]"), expected);
        let response = InferResponse {
            outputs: vec![common::tensor("x", datatype, &[1], &[0, 0])],
            ..InferResponse::default()
        };
        assert_eq!(response.to_json().unwrap_err().to_string(), expected);
    }
}

#[test]
fn data_with_more_or_fewer_elements_than_the_shape_is_refused() {
    assert_eq!(
        refusal("INT8", "[2, 2]", "[1, 2, 3]"),
        "tensor \"x\": its shape holds 4 elements, `data` has 3"
    );
    assert_eq!(
        refusal("INT8", "[2]", "[1, 2, 3]"),
        "tensor \"x\": its shape holds 2 elements, `data` has more"
    );
    assert!(refusal("INT8", "[0]", "[1]").contains("holds 0 elements, `data` has more"));
    assert!(refusal("INT8", "[1]", "[]").contains("holds 1 elements, `data` has 0"));
}

#[test]
fn data_that_is_no_array_is_refused() {
    for value in ["5", "\"x\"", "true", "{}"] {
        let refusal = refusal("INT8", "[]", value);
        assert!(
            refusal.starts_with("tensor \"x\": `data` must be a JSON array, found "),
            "{refusal}"
        );
    }
}

#[test]
fn empty_arrays_hold_nothing() {
    for data in ["[]", "[[]]", "[[], []]", "[ [ ] ]"] {
        assert_eq!(read("FP32", "[2, 0]", data).unwrap().data, [0_u8; 0]);
    }
}
