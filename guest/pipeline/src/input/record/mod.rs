//! Records to tensors: their fields become columns of the model's inputs.

mod categories;
mod columns;
mod field;

use glovebox_protocol::{Tensor, TensorSpec, name_list};
use serde::Deserialize;

use self::columns::Columns;
use self::field::Field;
use super::rows::{Found, Rows, Terms};
use crate::CallError;

/// The content types that become tensors.
pub(super) const MEDIA: &[&str] = &[
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "text/tab-separated-values",
];

/// Records of one request. All of them are in the model at once.
const MAX_RECORDS: usize = 10_000;

/// `[input] kind = "record"`: a record, or a list of them, a row each.
#[derive(Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct RecordInput {
    fields: Vec<Field>,
    rows: Rows,
    /// The model's inputs, once they are known.
    columns: Vec<Columns>,
}

/// The table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// In the order of the columns.
    fields: Vec<Field>,
}

impl TryFrom<Written> for RecordInput {
    type Error = String;

    fn try_from(Written { fields }: Written) -> Result<Self, String> {
        let terms = Terms {
            row: "record",
            cell: "field",
            most: MAX_RECORDS,
            is_ordered: false,
        };
        let names = fields.iter().map(|field| field.name.clone()).collect();
        Ok(Self {
            rows: Rows::new(terms, names)?,
            fields,
            columns: Vec::new(),
        })
    }
}

impl RecordInput {
    /// Finds the place of each field in the model's inputs.
    ///
    /// # Errors
    /// A field has none, or does not fit there.
    pub(crate) fn fit(&mut self, inputs: &[TensorSpec]) -> Result<(), String> {
        for field in &self.fields {
            let target = field.target(inputs);
            if !inputs.iter().any(|spec| spec.name == target) {
                let names = name_list(inputs.iter().map(|spec| spec.name.as_str()));
                return Err(format!(
                    "[input] field {:?} fills input {target:?}, which the model lacks; its inputs are {names}",
                    field.name
                ));
            }
        }
        let columns = inputs.iter();
        let columns = columns.map(|spec| Columns::new(spec, &self.fields, inputs));
        self.columns = columns.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Decodes records, a row each.
    pub(crate) fn decode(
        &self,
        content_type: &str,
        body: &[u8],
    ) -> Result<(Vec<Tensor>, Found), CallError> {
        let mut values: Vec<_> = self.columns.iter().map(Columns::values).collect();
        let found = self.rows.read(content_type, body, &mut |record| {
            let mut columns = self.columns.iter().zip(&mut values);
            columns.try_for_each(|(columns, values)| {
                columns.append(record, &self.fields, &self.rows, values)
            })
        })?;
        let tensors = self.columns.iter().zip(values);
        let tensors = tensors.map(|(columns, values)| columns.tensor(values, found.count));
        Ok((tensors.collect::<Result<_, _>>()?, found))
    }
}
