//! Whether a request fits a model.

mod common;

use common::tensor;
use glovebox_protocol::{Datatype, InferRequest, Signature, Tensor, TensorSpec};

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec {
        name: name.into(),
        datatype,
        shape: shape.into(),
    }
}

fn signature() -> Signature {
    Signature {
        inputs: vec![
            spec("a", Datatype::Uint8, &[-1, 3]),
            spec("b", Datatype::Int8, &[1]),
        ],
        outputs: vec![
            spec("y", Datatype::Fp32, &[-1]),
            spec("z", Datatype::Fp32, &[]),
        ],
        media: Vec::new(),
    }
}

fn a() -> Tensor {
    tensor("a", Datatype::Uint8, &[2, 3], &[0; 6])
}

fn b() -> Tensor {
    tensor("b", Datatype::Int8, &[1], &[0])
}

fn request(inputs: Vec<Tensor>, outputs: &[&str]) -> InferRequest {
    InferRequest {
        inputs,
        outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
        ..InferRequest::default()
    }
}

#[allow(clippy::unwrap_used, reason = "a helper of the tests below")]
fn refusal(inputs: Vec<Tensor>, outputs: &[&str]) -> String {
    signature()
        .check(&request(inputs, outputs))
        .unwrap_err()
        .to_string()
}

#[test]
fn inputs_in_any_order_and_any_known_outputs_fit() {
    assert_eq!(signature().check(&request(vec![a(), b()], &[])), Ok(()));
    assert_eq!(
        signature().check(&request(vec![b(), a()], &["z", "y"])),
        Ok(())
    );
}

#[test]
fn a_free_dimension_takes_any_size() {
    for batch in [0, 1, 1000] {
        let a = tensor(
            "a",
            Datatype::Uint8,
            &[batch, 3],
            &vec![0; 3 * batch as usize],
        );
        assert_eq!(signature().check(&request(vec![a, b()], &[])), Ok(()));
    }
}

#[test]
fn an_unknown_input_is_refused_with_the_known_ones() {
    let unknown = tensor("A", Datatype::Uint8, &[1], &[0]);
    assert_eq!(
        refusal(vec![unknown, b()], &[]),
        "the model has no input \"A\"; its inputs are: \"a\", \"b\""
    );
    let none = Signature::default()
        .check(&request(vec![a()], &[]))
        .unwrap_err();
    assert_eq!(
        none.to_string(),
        "the model has no input \"a\"; its inputs are: none"
    );
}

#[test]
fn a_missing_input_is_refused_with_its_description() {
    assert_eq!(
        refusal(vec![b()], &[]),
        "input \"a\" is missing: the model expects it as UINT8 with shape [-1, 3]"
    );
}

#[test]
fn an_input_that_comes_twice_is_refused() {
    assert_eq!(
        refusal(vec![a(), b(), a()], &[]),
        "input \"a\" is named more than once; name it once"
    );
}

#[test]
fn a_wrong_datatype_is_refused() {
    let wrong = tensor("a", Datatype::Int8, &[2, 3], &[0; 6]);
    assert_eq!(
        refusal(vec![wrong, b()], &[]),
        "input \"a\": expected datatype UINT8, found INT8"
    );
}

#[test]
fn a_wrong_dimension_is_refused() {
    let wrong = tensor("a", Datatype::Uint8, &[3, 2], &[0; 6]);
    assert_eq!(
        refusal(vec![wrong, b()], &[]),
        "input \"a\": expected shape [-1, 3] (-1 is the caller's choice), found [3, 2]"
    );
}

#[test]
fn a_wrong_rank_is_refused() {
    let wrong = tensor("b", Datatype::Int8, &[1, 1], &[0]);
    assert_eq!(
        refusal(vec![a(), wrong], &[]),
        "input \"b\": expected shape [1], found [1, 1] (another number of dimensions)"
    );
    let scalar = tensor("b", Datatype::Int8, &[], &[0]);
    assert!(refusal(vec![a(), scalar], &[]).contains("found [] (another number"));
}

#[test]
fn an_unknown_or_repeated_output_is_refused() {
    assert_eq!(
        refusal(vec![a(), b()], &["y", "x"]),
        "the model has no output \"x\"; its outputs are: \"y\", \"z\""
    );
    assert_eq!(
        refusal(vec![a(), b()], &["y", "y"]),
        "output \"y\" is named more than once; name it once"
    );
}

#[test]
fn names_in_messages_are_escaped_and_cut() {
    let name = format!("\n\u{202e}\"{}", "x".repeat(1000));
    let refusal = refusal(vec![tensor(&name, Datatype::Uint8, &[1], &[0])], &[]);
    let shown = format!("\"\\n\\u{{202e}}\\\"{}\"...", "x".repeat(61));
    assert_eq!(
        refusal,
        format!("the model has no input {shown}; its inputs are: \"a\", \"b\"")
    );
}

#[test]
fn long_lists_of_a_model_are_cut_in_messages() {
    let signature = Signature {
        inputs: (0..100)
            .map(|n| spec(&format!("input{n}"), Datatype::Int8, &[1; 100]))
            .collect(),
        ..Signature::default()
    };
    let unknown = signature
        .check(&request(vec![a()], &[]))
        .unwrap_err()
        .to_string();
    assert!(unknown.ends_with("\"input31\", ..."), "{unknown}");
    let missing = signature
        .check(&request(Vec::new(), &[]))
        .unwrap_err()
        .to_string();
    assert!(missing.ends_with("1, 1, ...]"), "{missing}");
}

#[test]
fn media_are_written_only_when_there_are_any() {
    let mut signature = signature();
    let json = serde_json::to_string(&signature).unwrap();
    assert!(
        json.contains(r#"{"name":"a","datatype":"UINT8","shape":[-1,3]}"#),
        "{json}"
    );
    assert!(!json.contains("media"), "{json}");
    assert_eq!(serde_json::from_str::<Signature>(&json).unwrap(), signature);
    signature.media.push("image/png".into());
    let json = serde_json::to_string(&signature).unwrap();
    assert!(json.ends_with(r#","media":["image/png"]}"#), "{json}");
    assert_eq!(serde_json::from_str::<Signature>(&json).unwrap(), signature);
}

#[test]
fn only_outputs_of_the_declared_form_are_declared() {
    let declares = |name, datatype, shape: &[u64], data: &[u8]| {
        signature().declares(&tensor(name, datatype, shape, data))
    };
    assert!(declares("y", Datatype::Fp32, &[2], &[0; 8]));
    assert!(declares("y", Datatype::Fp32, &[0], &[]));
    assert!(declares("z", Datatype::Fp32, &[], &[0; 4]));
    assert!(!declares("z", Datatype::Fp32, &[1], &[0; 4]));
    assert!(!declares("y", Datatype::Int32, &[2], &[0; 8]));
    assert!(!declares("a", Datatype::Uint8, &[1, 3], &[0; 3]));
}
