//! Products of a quantised matrix with constant weights, and what follows them.

use glovebox_kernels::{FinishSums, Quantized, Shape, Weights, WrongSize};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math::{Add, Mul};

use super::Adopted;
use super::finished::{Finished, Sums};
use super::parameters::Parameters;

/// Rows of integers times constant weights; a row of these gives a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct QuantizedProduct {
    shape: Shape,
    zeros: Arc<Tensor>,
    finished: Finished,
}

impl QuantizedProduct {
    /// Ours for tract's, if we have it.
    pub(super) fn adopt(product: &EinSum, inputs: &[TypedFact]) -> TractResult<Option<Adopted>> {
        let ([matrix, weights, bias, ..], Some(to)) = (inputs, product.q_params) else {
            return Ok(None);
        };
        let Some([depth, rows]) = sizes(weights).filter(|_| is_product(product, matrix.rank()))
        else {
            return Ok(None);
        };
        let has_one_bias = bias.shape.volume().is_one();
        let Some(parameters) = Parameters::of(inputs, rows, to)?.filter(|_| has_one_bias) else {
            return Ok(None);
        };
        let shape = Shape {
            groups: 1,
            rows,
            depth,
        };
        let columns = |row: usize| parameters.weights.iter().skip(row).step_by(rows).copied();
        let turned: Vec<i8> = (0..rows).flat_map(columns).collect();
        Ok(Some(Adopted {
            weights: parameters.packed(&shape, &turned),
            op: Box::new(Self {
                shape,
                zeros: tensor1(&parameters.zeros).into_arc_tensor(),
                finished: parameters.finished,
            }),
        }))
    }

    /// This with `next` behind it, and the input that this takes; nothing if that is not possible.
    fn then(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        next: &TypedNode,
    ) -> TractResult<Option<(Self, Option<OutletId>)>> {
        let finished = |finished| Self {
            finished,
            ..self.clone()
        };
        if let Some(cast) = next.op_as::<Cast>() {
            let is_ours = self.is_plain()? && cast.to == f32::datum_type();
            let scaled = finished(Finished::Scaled {
                is_scaled: false,
                bias: None,
            });
            return Ok(is_ours.then_some((scaled, None)));
        }
        let (
            Some(TypedBinOp(op, None)),
            [left, right],
            Finished::Scaled {
                is_scaled,
                bias: None,
            },
        ) = (next.op_as(), &*next.inputs, &self.finished)
        else {
            return Ok(None);
        };
        let other = if left.node == node.id { *right } else { *left };
        let (fact, shape) = (
            model.outlet_fact(other)?,
            &model.outlet_fact(node.id.into())?.shape,
        );
        if model.outlet_fact(next.id.into())?.shape != *shape || !self.is_by_row(fact) {
            return Ok(None);
        }
        if op.is::<Mul>() && !is_scaled {
            let scaled = finished(Finished::Scaled {
                is_scaled: true,
                bias: None,
            });
            return Ok(Some((scaled, Some(other))));
        }
        let Some(bias) = fact.konst.as_ref().filter(|_| op.is::<Add>()) else {
            return Ok(None);
        };
        let bias = match *bias.try_as_plain_ram()?.as_slice::<f32>()? {
            [all] => tensor1(&vec![all; self.shape.rows]),
            ref each => tensor1(each),
        };
        let with_bias = finished(Finished::Scaled {
            is_scaled: *is_scaled,
            bias: Some(bias.into_arc_tensor()),
        });
        Ok(Some((with_bias, None)))
    }

    /// Whether sums come out as they are.
    fn is_plain(&self) -> TractResult<bool> {
        match &self.finished {
            Finished::Summed { bias } => bias.is_all_zero(),
            _ => Ok(false),
        }
    }

    /// Whether a tensor has a number for each column of the output, or one for all.
    fn is_by_row(&self, fact: &TypedFact) -> bool {
        let is_one = |size: &TDim| size.is_one();
        let sizes = fact.shape.to_tvec();
        let (last, before) = match sizes.split_last() {
            Some((last, before)) => (last.clone(), before),
            None => (1.to_dim(), [].as_slice()),
        };
        let is_by_row = is_one(&last) || last == self.shape.rows.to_dim();
        fact.is_plain()
            && fact.datum_type == f32::datum_type()
            && before.iter().all(is_one)
            && is_by_row
    }
}

/// Rows and columns of a constant matrix, which may have more axes of one.
fn sizes(weights: &TypedFact) -> Option<[usize; 2]> {
    let shape = weights.konst.as_ref()?.shape();
    let (sizes, before) = (shape.last_chunk::<2>()?, shape.len() - 2);
    let is_one = shape.iter().take(before).all(|size| *size == 1);
    (is_one && !sizes.contains(&0)).then_some(*sizes)
}

/// Whether it multiplies rows of one tensor of this rank with columns of another, as ONNX has it.
fn is_product(product: &EinSum, rank: usize) -> bool {
    let axes = &product.axes;
    if rank < 2 || axes.rank(InOut::In(1)) != rank || axes.rank(InOut::Out(0)) != rank {
        return false;
    }
    let places = |slot: InOut, at: usize| {
        let axis = axes.axis((slot, at)).ok()?;
        let [first, second] = [0, 1].map(|input| axis.inputs.get(input).map(|at| &**at));
        Some((
            first?.to_vec(),
            second?.to_vec(),
            axis.outputs.first()?.to_vec(),
        ))
    };
    let (row, column) = (rank - 2, rank - 1);
    places(InOut::In(0), row) == Some((vec![row], vec![], vec![row]))
        && places(InOut::In(0), column) == Some((vec![column], vec![row], vec![]))
        && places(InOut::In(1), column) == Some((vec![], vec![column], vec![column]))
        && (0..row).all(|at| places(InOut::In(0), at) == Some((vec![at], vec![at], vec![at])))
}

impl Op for QuantizedProduct {
    fn name(&self) -> StaticName {
        "GloveboxQuantizedProduct".into()
    }

    op_as_typed_op!();
}

/// The sums of all rows of a matrix.
struct OfRows<'a, N> {
    weights: Weights<'a>,
    matrix: Quantized<'a, N>,
}

impl<N: Copy + Into<i16>> Sums for OfRows<'_, N> {
    fn store<F: FinishSums>(&self, finish: &F, output: &mut [F::Output]) -> Result<(), WrongSize> {
        self.weights.product(self.matrix, finish, output)
    }
}

impl EvalOp for QuantizedProduct {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [matrix, zero, weights, scale @ ..] = inputs.as_slice() else {
            bail!("a product of two matrices");
        };
        let (weights, zeros) = (weights.try_as_plain_ram()?, self.zeros.try_as_plain_ram()?);
        let weights = Weights {
            shape: &self.shape,
            packed: weights.as_slice()?,
            zeros: zeros.as_slice()?,
        };
        let zero = zero.cast_to_scalar::<i16>()?;
        let plain = matrix.try_as_plain_ram()?;
        let mut shape: TVec<usize> = matrix.shape().into();
        shape
            .iter_mut()
            .rev()
            .take(1)
            .for_each(|last| *last = self.shape.rows);
        let (scale, rows) = (scale.first(), self.shape.rows);
        let output = match matrix.datum_type() {
            DatumType::I8 => {
                let values = plain.as_slice::<i8>()?;
                let matrix = Quantized { values, zero };
                let sums = OfRows { weights, matrix };
                self.finished.tensor(&shape, rows, scale, &sums)?
            }
            _ => {
                let values = plain.as_slice::<u8>()?;
                let matrix = Quantized { values, zero };
                let sums = OfRows { weights, matrix };
                self.finished.tensor(&shape, rows, scale, &sums)?
            }
        };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for QuantizedProduct {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let matrix = inputs.first().context("a product without a matrix")?;
        let mut shape = matrix.shape.to_tvec();
        shape.pop();
        shape.push(self.shape.rows.to_dim());
        Ok(tvec!(self.finished.datum_type().fact(shape)))
    }

    /// Takes in the next node.
    fn declutter(
        &self,
        model: &TypedModel,
        node: &TypedNode,
    ) -> TractResult<Option<TypedModelPatch>> {
        let Some(next) = model.single_succ(node.id)? else {
            return Ok(None);
        };
        let Some((fused, other)) = self.then(model, node, next)? else {
            return Ok(None);
        };
        let mut patch = TypedModelPatch::new("taken in by a product");
        let inputs: TVec<_> = node.inputs.iter().copied().chain(other).collect();
        let inputs = patch.taps(model, &inputs)?;
        let outputs = patch.wire_node(&next.name, fused, &inputs)?;
        for output in outputs {
            patch.shunt_outside(model, next.id.into(), output)?;
        }
        Ok(Some(patch))
    }

    as_op!();
}
