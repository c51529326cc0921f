//! `SVMRegressor`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::kernel::{Kernel, floats};
use crate::ml::rows::{declared, dot};
use crate::ops::operator::{Built, Operator, build};

/// A number for each row.
#[derive(Debug)]
struct SvmRegressor {
    kernel: Kernel,
    /// How much each support vector counts.
    coefficients: Vec<f32>,
    rho: f32,
    /// The answer is whether a row is of the class, 1 or -1.
    is_one_class: bool,
}

pub(in crate::ml) fn regressor(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let count: usize = node.get_attr_opt("n_supports")?.unwrap_or(0);
    let coefficients = floats(node, "coefficients", count.max(1))?;
    let rho = floats(node, "rho", 1)?;
    let (kernel, coefficients) = match count {
        0 => (Kernel::linear(&coefficients, 1)?, vec![1.0]),
        count => (Kernel::of(node, count)?, coefficients),
    };
    build(SvmRegressor {
        kernel,
        coefficients,
        rho: rho.first().copied().unwrap_or_default(),
        is_one_class: node.get_attr_opt::<i64>("one_class")?.unwrap_or(0) != 0,
    })
}

impl Operator for SvmRegressor {
    fn name(&self) -> &'static str {
        "SVMRegressor"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = declared(inputs, Some(self.kernel.width()))?;
        Ok(tvec!(DatumType::F32.fact([rows, 1.to_dim()])))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = self.kernel.rows(inputs)?;
        let mut likenesses = Vec::new();
        let answer = |row: &[f32]| {
            self.kernel.measure(row, &mut likenesses);
            let sum = dot(&likenesses, &self.coefficients) + self.rho;
            match self.is_one_class {
                true if sum > 0.0 => 1.0,
                true => -1.0,
                false => sum,
            }
        };
        let answers: Vec<f32> = rows.iter().map(answer).collect();
        Ok(tvec!(Tensor::from_shape(&[answers.len(), 1], &answers)?))
    }
}
