//! What tests of records and series begin with.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use glovebox_pipeline::{CallError, Pipeline};
use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde_json::{Value, json};

pub(crate) const JSON: &str = "application/json";
pub(crate) const LINES: &str = "application/x-ndjson";
pub(crate) const CSV: &str = "text/csv";
pub(crate) const TABS: &str = "text/tab-separated-values";

/// A pipeline with the inputs of its model.
pub(crate) struct Input {
    pipeline: Pipeline,
    inputs: Vec<TensorSpec>,
}

impl Input {
    /// # Errors
    /// What `[input]` does not fit these inputs.
    pub(crate) fn new(table: &Value, inputs: &[TensorSpec]) -> Result<Self, String> {
        let config = json!({ "name": "test", "input": table });
        let pipeline = Pipeline::from_json(config.to_string().as_bytes(), inputs, &[])?;
        let inputs = inputs.to_vec();
        Ok(Self { pipeline, inputs })
    }

    /// Records of these fields.
    ///
    /// # Errors
    /// The fields do not fit these inputs.
    pub(crate) fn records(fields: &Value, inputs: &[TensorSpec]) -> Result<Self, String> {
        Self::new(&json!({ "kind": "record", "fields": fields }), inputs)
    }

    pub(crate) fn decode(&self, content_type: &str, body: &[u8]) -> Result<Vec<Tensor>, CallError> {
        let prepared = self.pipeline.prepare(&self.inputs, content_type, body)?;
        Ok(prepared.request.inputs)
    }

    /// The shape of the first input with its numbers.
    #[track_caller]
    pub(crate) fn tensor(&self, content_type: &str, body: &str) -> (Vec<u64>, Vec<f32>) {
        let tensors = self.decode(content_type, body.as_bytes()).unwrap();
        let numbers = tensors[0].to_fp32().unwrap();
        (tensors[0].shape.clone(), numbers)
    }

    /// The numbers alone.
    #[track_caller]
    pub(crate) fn numbers(&self, content_type: &str, body: &str) -> Vec<f32> {
        self.tensor(content_type, body).1
    }

    /// Why a body is invalid.
    #[track_caller]
    pub(crate) fn refusal(&self, content_type: &str, body: impl AsRef<[u8]>) -> String {
        match self.decode(content_type, body.as_ref()) {
            Err(CallError::InvalidInput(why)) => {
                assert!(why.len() < 3000, "{} bytes", why.len());
                assert!(!why.chars().any(char::is_control), "{why:?}");
                why
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it is taken"),
        }
    }
}

/// Fields that become columns of one input of FP32.
pub(crate) fn floats(fields: &Value) -> Input {
    let input = spec("x", Datatype::Fp32, &[-1, -1]);
    Input::records(fields, &[input]).unwrap()
}

/// Two such fields.
pub(crate) fn ab() -> Input {
    floats(&json!(["a", "b"]))
}

pub(crate) fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec {
        name: name.into(),
        datatype,
        shape: shape.to_vec(),
    }
}

#[track_caller]
pub(crate) fn assert_holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}
