//! JSON records to tensors.

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::CallError;

const MAX_RECORDS: usize = 10_000;

/// `[input] kind = "record"`: an object with a number for each field, or an array of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordInput {
    /// The names of the columns, in the order of the tensor.
    fields: Vec<String>,
}

impl RecordInput {
    /// Whether the configuration fits the tensor that it fills.
    pub(crate) fn check(&self, spec: &TensorSpec) -> Result<(), String> {
        if !matches!(spec.datatype, Datatype::Fp32 | Datatype::Fp64) {
            return Err(format!(
                "input {:?} is {}; records become FP32 or FP64",
                spec.name, spec.datatype
            ));
        }
        match spec.shape.as_slice() {
            [_, columns] if *columns == -1 || *columns == self.fields.len() as i64 => Ok(()),
            shape => Err(format!(
                "[input] names {} fields, but input {:?} has shape {shape:?}, not [records, fields]",
                self.fields.len(),
                spec.name
            )),
        }
    }

    /// Decodes one record or an array of them, a row each.
    pub(crate) fn decode(&self, spec: &TensorSpec, body: &[u8]) -> Result<Tensor, CallError> {
        let json = serde_json::from_slice(body)
            .map_err(|error| CallError::InvalidInput(format!("the body is not JSON: {error}")))?;
        let records = match json {
            Value::Array(records) => records,
            record => vec![record],
        };
        if records.len() > MAX_RECORDS {
            return Err(CallError::TooLarge(format!(
                "{} records; at most {MAX_RECORDS}",
                records.len()
            )));
        }
        let mut data = Vec::with_capacity(records.len() * self.fields.len() * 8);
        for (row, record) in records.iter().enumerate() {
            self.append(record, row, spec.datatype, &mut data)?;
        }
        let shape = vec![records.len() as u64, self.fields.len() as u64];
        Ok(Tensor::new(spec.name.clone(), spec.datatype, shape, data)?)
    }

    fn append(
        &self,
        record: &Value,
        row: usize,
        datatype: Datatype,
        data: &mut Vec<u8>,
    ) -> Result<(), CallError> {
        let invalid = |why: String| CallError::InvalidInput(format!("record {row}: {why}"));
        let Value::Object(record) = record else {
            return Err(invalid(
                "expected an object with a number for each field".into(),
            ));
        };
        if let Some(unknown) = record.keys().find(|key| !self.fields.contains(key)) {
            return Err(invalid(format!(
                "unknown field {unknown:?}; the fields are {}",
                self.fields.join(", ")
            )));
        }
        for field in &self.fields {
            let number = number(record, field).map_err(invalid)?;
            match datatype {
                Datatype::Fp64 => data.extend_from_slice(&number.to_le_bytes()),
                _ => data.extend_from_slice(&(number as f32).to_le_bytes()),
            }
        }
        Ok(())
    }
}

fn number(record: &Map<String, Value>, field: &str) -> Result<f64, String> {
    let value = record
        .get(field)
        .ok_or_else(|| format!("field {field:?} is missing"))?;
    value
        .as_f64()
        .ok_or_else(|| format!("field {field:?} must be a number"))
}
