//! The columns of one of the model's inputs, and which fields they are made of.

use glovebox_protocol::{Tensor, TensorSpec, quoted};

use super::field::Field;
use crate::CallError;
use crate::input::rows::{Cell, Rows};
use crate::input::values::Values;

/// An input of the model with the fields that go into it.
pub(super) struct Columns {
    spec: TensorSpec,
    /// Where these fields stand in a record.
    places: Vec<usize>,
    /// How many columns they become.
    width: usize,
}

impl Columns {
    /// The columns of `spec`, one of the inputs.
    ///
    /// # Errors
    /// No field goes into it, or what goes into it does not fit.
    pub(super) fn new(
        spec: &TensorSpec,
        fields: &[Field],
        inputs: &[TensorSpec],
    ) -> Result<Self, String> {
        let TensorSpec {
            name,
            datatype,
            shape,
        } = spec;
        if !Values::can_be(*datatype) {
            return Err(format!(
                "input {name:?} is {datatype}; records become FP32, FP64, INT64, INT32, BOOL or BYTES"
            ));
        }
        let own = fields.iter().enumerate();
        let own = own.filter(|(_, field)| field.target(inputs) == name);
        let (mut places, mut width) = (Vec::new(), 0);
        for (place, field) in own {
            field
                .check(*datatype)
                .map_err(|why| format!("[input] field {:?}: {why}", field.name))?;
            places.push(place);
            width += field.width();
        }
        if places.is_empty() {
            return Err(format!("[input] has no field for input {name:?}"));
        }
        match shape.as_slice() {
            [_] if width == 1 => {}
            [_, columns] if *columns == -1 || *columns == width as i64 => {}
            shape => {
                return Err(format!(
                    "[input] has {width} columns for input {name:?}, whose shape {shape:?} is not [records, {width}]"
                ));
            }
        }
        Ok(Self {
            spec: spec.clone(),
            places,
            width,
        })
    }

    /// None yet.
    pub(super) fn values(&self) -> Values {
        Values::new(self.spec.datatype)
    }

    /// Appends what the columns hold for a record.
    ///
    /// # Errors
    /// What is wrong with a cell of it.
    pub(super) fn append(
        &self,
        record: &[Cell<'_>],
        fields: &[Field],
        rows: &Rows,
        values: &mut Values,
    ) -> Result<(), String> {
        for place in &self.places {
            let (Some(field), Some(cell)) = (fields.get(*place), record.get(*place)) else {
                continue;
            };
            field
                .encode(cell, values)
                .map_err(|why| rows.about(&field.name, &why))?;
        }
        Ok(())
    }

    /// The input with the values of so many records.
    ///
    /// # Errors
    /// The model takes another number of them.
    pub(super) fn tensor(&self, values: Values, records: usize) -> Result<Tensor, CallError> {
        let TensorSpec {
            name,
            datatype,
            shape,
        } = &self.spec;
        if let Some(fixed @ 0..) = shape.first().copied()
            && fixed != records as i64
        {
            return Err(CallError::InvalidInput(format!(
                "{records} records; input {} takes {fixed} at once",
                quoted(name)
            )));
        }
        let mut sizes = vec![records as u64, self.width as u64];
        sizes.truncate(shape.len());
        Ok(Tensor::new(
            name.clone(),
            *datatype,
            sizes,
            values.into_data(),
        )?)
    }
}
