//! Sizes of inputs that the model leaves open, and its owner does not.

use std::collections::BTreeMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{DimFact, Factoid, GenericFactoid, ShapeFactoid};

use crate::error::LoadError;
use crate::parsed::Parsed;

/// The shapes of inputs, by their names; a size of -1 stays as the model has it.
pub type Shapes = BTreeMap<String, Vec<i64>>;

const OPEN: i64 = -1;
/// Of what the engine says, so that there is room for what may help.
const SHOWN_LETTERS: usize = 240;

impl Parsed {
    /// Gives inputs their shapes.
    ///
    /// # Errors
    /// An input is not there, or has other sizes.
    pub(crate) fn set_shapes(&mut self, shapes: &Shapes) -> Result<(), LoadError> {
        for (name, shape) in shapes {
            self.set_shape(name, shape)
                .map_err(|what| LoadError::Config(format!("shapes: {what}")))?;
        }
        Ok(())
    }

    fn set_shape(&mut self, name: &str, shape: &[i64]) -> Result<(), String> {
        let names = &self.input_names;
        let input = names.iter().position(|input| input == name);
        let input = input
            .ok_or_else(|| format!("the model has no input {name:?}, its inputs are {names:?}"))?;
        let inconsistent = |error: TractError| format!("{error:#}");
        let mut fact = self.model.input_fact(input).map_err(inconsistent)?.clone();
        let rank = fact.shape.rank().concretize();
        if rank.is_some_and(|rank| rank != shape.len() as i64) {
            let rank = rank.unwrap_or_default();
            let given = shape.len();
            return Err(format!("input {name:?} has {rank} dimensions, not {given}"));
        }
        let sizes = shape.iter().enumerate();
        let sizes = sizes.map(|(axis, size)| {
            let declared = fact.shape.dim(axis);
            sized(declared, *size).map_err(|what| format!("size {axis} of input {name:?} {what}"))
        });
        fact.shape = ShapeFactoid::closed(sizes.collect::<Result<_, _>>()?);
        let set = self.model.set_input_fact(input, fact);
        set.map_err(inconsistent)
    }

    /// Why a graph cannot be prepared, with what may help where inputs have open sizes.
    pub(crate) fn explain(&self, error: LoadError) -> LoadError {
        let inputs = self.inputs().unwrap_or_default();
        let open = inputs.iter().find(|input| input.shape.contains(&OPEN));
        match (error, open) {
            (LoadError::Model(why), Some(open)) => {
                let why: String = why.chars().take(SHOWN_LETTERS).collect();
                let size = |size: &i64| match *size {
                    OPEN => "?".to_owned(),
                    size => size.to_string(),
                };
                let shape: Vec<String> = open.shape.iter().map(size).collect();
                LoadError::Model(format!(
                    "{why}; if it makes sense only for some sizes of its inputs, write them into model.toml: \
                     shapes = {{ {:?} = [{}] }} with a number for each ?",
                    open.name,
                    shape.join(", ")
                ))
            }
            (error, _) => error,
        }
    }
}

/// One size, where it is left open.
fn sized(declared: Option<DimFact>, size: i64) -> Result<DimFact, String> {
    let declared = declared.unwrap_or(GenericFactoid::Any);
    let known = declared.concretize().and_then(|size| size.to_i64().ok());
    match (size, known) {
        (OPEN, _) => Ok(declared),
        (size, _) if size < 1 => Err(format!(
            "is {size}; write 1 or more, or -1 to leave it open"
        )),
        (size, Some(known)) if size != known => Err(format!("is {known} in the model, not {size}")),
        (size, _) => Ok(GenericFactoid::Only(size.to_dim())),
    }
}
