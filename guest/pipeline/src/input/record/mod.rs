//! Records to tensors: their fields become columns of the model's inputs.

mod categories;
mod field;

use glovebox_protocol::{Tensor, TensorSpec, name_list, quoted};
use serde::Deserialize;

use self::field::Field;
use super::rows::{Cell, Found, Rows, Terms};
use super::values::Values;
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
}

/// The table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// In the order of the columns.
    fields: Vec<Field>,
}

/// An input of the model while it is filled.
struct Columns<'a> {
    spec: &'a TensorSpec,
    /// The fields that go into it, with their places in a record.
    fields: Vec<(usize, &'a Field)>,
    values: Values,
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
        let rows = Rows::new(terms, names)?;
        Ok(Self { fields, rows })
    }
}

impl RecordInput {
    /// Whether the fields fit the model's inputs, and each has its place there.
    pub(crate) fn check(&self, inputs: &[TensorSpec]) -> Result<(), String> {
        for field in &self.fields {
            let target = target(field, inputs);
            if !inputs.iter().any(|spec| spec.name == target) {
                let names = name_list(inputs.iter().map(|spec| spec.name.as_str()));
                return Err(format!(
                    "[input] field {:?} fills input {target:?}, which the model lacks; its inputs are {names}",
                    field.name
                ));
            }
        }
        let mut columns = inputs.iter().map(|spec| self.columns(spec, inputs));
        columns.try_for_each(|columns| columns.check())
    }

    /// Decodes records, a row each.
    pub(crate) fn decode(
        &self,
        inputs: &[TensorSpec],
        content_type: &str,
        body: &[u8],
    ) -> Result<(Vec<Tensor>, Found), CallError> {
        let columns = inputs.iter().map(|spec| self.columns(spec, inputs));
        let mut columns: Vec<_> = columns.collect();
        let found = self.rows.read(content_type, body, &mut |row| {
            let mut columns = columns.iter_mut();
            columns.try_for_each(|columns| columns.append(row, &self.rows))
        })?;
        let tensors = columns.into_iter();
        let tensors = tensors.map(|columns| columns.into_tensor(found.count));
        Ok((tensors.collect::<Result<_, _>>()?, found))
    }

    fn columns<'a>(&'a self, spec: &'a TensorSpec, inputs: &[TensorSpec]) -> Columns<'a> {
        let fields = self.fields.iter().enumerate();
        Columns {
            spec,
            fields: fields
                .filter(|(_, field)| target(field, inputs) == spec.name)
                .collect(),
            values: Values::new(spec.datatype),
        }
    }
}

/// The name of the input that a field goes into.
fn target<'a>(field: &'a Field, inputs: &'a [TensorSpec]) -> &'a str {
    match (&field.tensor, inputs) {
        (Some(tensor), _) => tensor,
        (None, [only]) => &only.name,
        (None, _) => &field.name,
    }
}

impl Columns<'_> {
    fn check(&self) -> Result<(), String> {
        let TensorSpec {
            name,
            datatype,
            shape,
        } = self.spec;
        if self.fields.is_empty() {
            return Err(format!("[input] has no field for input {name:?}"));
        }
        if !Values::can_be(*datatype) {
            return Err(format!(
                "input {name:?} is {datatype}; records become FP32, FP64, INT64, INT32, BOOL or BYTES"
            ));
        }
        for (_, field) in &self.fields {
            field
                .check(*datatype)
                .map_err(|why| format!("[input] field {:?}: {why}", field.name))?;
        }
        let width = self.width();
        match shape.as_slice() {
            [_] if width == 1 => Ok(()),
            [_, columns] if *columns == -1 || *columns == width as i64 => Ok(()),
            shape => Err(format!(
                "[input] has {width} columns for input {name:?}, whose shape {shape:?} is not [records, {width}]"
            )),
        }
    }

    fn width(&self) -> usize {
        self.fields.iter().map(|(_, field)| field.width()).sum()
    }

    fn append(&mut self, row: &[Cell<'_>], rows: &Rows) -> Result<(), String> {
        for (place, field) in &self.fields {
            let cell = row.get(*place).unwrap_or(&Cell::Missing);
            field
                .encode(cell, &mut self.values)
                .map_err(|why| rows.about(&field.name, &why))?;
        }
        Ok(())
    }

    fn into_tensor(self, records: usize) -> Result<Tensor, CallError> {
        if let Some(fixed @ 0..) = self.spec.shape.first().copied()
            && fixed != records as i64
        {
            return Err(CallError::InvalidInput(format!(
                "{records} records; input {} takes {fixed} at once",
                quoted(&self.spec.name)
            )));
        }
        let mut shape = vec![records as u64, self.width() as u64];
        shape.truncate(self.spec.shape.len());
        let (name, datatype) = (self.spec.name.clone(), self.spec.datatype);
        Ok(Tensor::new(name, datatype, shape, self.values.into_data())?)
    }
}
