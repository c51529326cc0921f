//! The weights that graphs of one model have in common.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::prelude::{Tensor, TypedModel, TypedNode};
use tract_onnx::tract_core::dyn_clone;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::matmul::optimized::{MatMulOperand, OptMatMul, ProtoFusedSpec};
use tract_onnx::tract_core::tract_linalg::mmm::{EagerPackedInput, PackedMatrixStorage};
use tract_onnx::tract_core::tract_linalg::pack::PackedFormat;

use crate::error::LoadError;

/// The weights of all graphs of one model, by the names of their nodes: each of them once.
#[derive(Default)]
pub struct Weights {
    constants: HashMap<String, Vec<Arc<Tensor>>>,
    /// Those of products, which have them packed and not as a node of their own.
    factors: HashMap<String, Vec<EagerPackedInput>>,
}

impl Weights {
    /// Adds those of a graph.
    pub fn learn(&mut self, model: &TypedModel) {
        for node in &model.nodes {
            self.learn_of(node);
        }
    }

    fn learn_of(&mut self, node: &TypedNode) {
        if let Some(constant) = node.op_as::<Const>() {
            let known = self.constants.entry(node.name.clone()).or_default();
            known.push(Arc::clone(constant.val()));
        }
        if let Some(product) = node.op_as::<OptMatMul>() {
            let operands = product.micro_ops.iter().flat_map(|step| match step {
                ProtoFusedSpec::AddMatMul { a, b, .. } => vec![a, b],
                _ => Vec::new(),
            });
            let factors = operands.filter_map(|operand| match operand {
                MatMulOperand::Const(value) => value.downcast_ref::<EagerPackedInput>(),
                _ => None,
            });
            let known = self.factors.entry(node.name.clone()).or_default();
            known.extend(factors.cloned());
        }
    }

    /// Gives a graph those that another graph has, too.
    ///
    /// # Errors
    /// A constant is not what its graph says of it.
    pub fn share(&mut self, model: &mut TypedModel) -> Result<(), LoadError> {
        for node in &mut model.nodes {
            self.share_constant(node)?;
            self.share_factors(node);
        }
        Ok(())
    }

    fn share_constant(&mut self, node: &mut TypedNode) -> Result<(), LoadError> {
        let Some(constant) = node.op_as::<Const>() else {
            return Ok(());
        };
        let known = self.constants.entry(node.name.clone()).or_default();
        let shared = first(known, constant.val(), |known, new| {
            Arc::ptr_eq(known, new) || is_same(known, new)
        });
        let fact = constant.exotic_fact().map(dyn_clone::clone_box);
        for output in &mut node.outputs {
            if let Some(value) = &mut output.fact.konst {
                *value = Arc::clone(&shared);
            }
        }
        node.op = Box::new(Const::new_with_opt_exotic_fact(shared, fact)?);
        Ok(())
    }

    fn share_factors(&mut self, node: &mut TypedNode) {
        let name = node.name.clone();
        let Some(product) = node.op_as_mut::<OptMatMul>() else {
            return;
        };
        let factors = product.micro_ops.iter_mut().flat_map(|step| match step {
            ProtoFusedSpec::AddMatMul { a, b, .. } => vec![a, b],
            _ => Vec::new(),
        });
        for factor in factors {
            if let MatMulOperand::Const(value) = factor
                && let Some(packed) = value.downcast_mut::<EagerPackedInput>()
            {
                let known = self.factors.entry(name.clone()).or_default();
                *packed = first(known, packed, is_same_packed);
            }
        }
    }
}

/// The first that was the same as this one, perhaps this one itself.
fn first<T: Clone>(known: &mut Vec<T>, new: &T, is_same: impl Fn(&T, &T) -> bool) -> T {
    if let Some(same) = known.iter().find(|known| is_same(known, new)) {
        return same.clone();
    }
    known.push(new.clone());
    new.clone()
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
