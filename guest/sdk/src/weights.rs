//! The weights that graphs of one model have in common.

use std::collections::HashMap;
use std::sync::Arc;

use glovebox_onnx::LoadError;
use tract_onnx::prelude::{Tensor, TypedModel};
use tract_onnx::tract_core::dyn_clone;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::tract_linalg::mmm::{EagerPackedInput, PackedMatrixStorage};
use tract_onnx::tract_core::tract_linalg::pack::PackedFormat;

/// The weights of all graphs: each of them once.
#[derive(Default)]
pub(crate) struct Weights(HashMap<String, Vec<Arc<Tensor>>>);

impl Weights {
    /// Gives a graph those that another graph has, too.
    ///
    /// # Errors
    /// A constant is not what its graph says of it.
    pub(crate) fn share(&mut self, model: &mut TypedModel) -> Result<(), LoadError> {
        for node in &mut model.nodes {
            let Some(constant) = node.op_as::<Const>() else {
                continue;
            };
            let known = self.0.entry(node.name.clone()).or_default();
            let Some(shared) = known.iter().find(|known| is_same(known, constant.val())) else {
                known.push(Arc::clone(constant.val()));
                continue;
            };
            let fact = constant.exotic_fact().map(dyn_clone::clone_box);
            node.op = Box::new(Const::new_with_opt_exotic_fact(Arc::clone(shared), fact)?);
            for output in &mut node.outputs {
                if let Some(value) = &mut output.fact.konst {
                    *value = Arc::clone(shared);
                }
            }
        }
        Ok(())
    }
}

/// Whether two constants hold the same numbers.
fn is_same(one: &Tensor, other: &Tensor) -> bool {
    match (packed(one), packed(other)) {
        (Some(one), Some(other)) => {
            one.len() == other.len() && one.iter().zip(&other).all(|(a, b)| is_same_packed(a, b))
        }
        _ => one == other,
    }
}

/// The matrices of a constant that is packed for products.
fn packed(constant: &Tensor) -> Option<Vec<&EagerPackedInput>> {
    let storage = constant.storage_as::<PackedMatrixStorage>()?;
    let values = storage.values().iter();
    values.map(|value| value.downcast_ref()).collect()
}

/// Compares what packing has written: between two panels lie bytes that nobody has.
fn is_same_packed(one: &EagerPackedInput, other: &EagerPackedInput) -> bool {
    let Some(format) = one.fact.format.downcast_ref::<PackedFormat>() else {
        return one == other;
    };
    let written = one.fact.k * format.r * format.dt.size_of();
    let mut panels = panels(one).zip(panels(other));
    one.fact == other.fact
        && one.mn == other.mn
        && one.panel_bytes == other.panel_bytes
        && panels.all(|(one, other)| one.get(..written) == other.get(..written))
}

fn panels(packed: &EagerPackedInput) -> impl Iterator<Item = &[u8]> {
    packed.packed.as_bytes().chunks(packed.panel_bytes.max(1))
}
