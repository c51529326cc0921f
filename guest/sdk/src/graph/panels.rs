//! Rows of activations as the panels of a product.

use glovebox_kernels::Rows;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::matmul::pack::{DynPackedExoticFact, OptMatMulPack};
use tract_onnx::tract_core::tract_linalg::mmm::{MMMInputValue, PackedMatrixStorage};
use tract_onnx::tract_core::tract_linalg::pack::PackedFormat;

use super::spec::is_of_floats;

/// Ours for tract's, which turns a tensor number by number: of rows that lie one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Panels {
    /// What this takes the place of, and whose output this has.
    tract: OptMatMulPack,
    format: PackedFormat,
    /// The axis of the rows; that of their numbers is the last.
    rows: usize,
}

/// How many rows a panel can have for which there is a kernel.
const WIDTHS: [usize; 3] = [4, 8, 16];

impl Panels {
    /// Ours for tract's, if we have it.
    pub(super) fn adopt(
        model: &TypedModel,
        node: &TypedNode,
        pack: &OptMatMulPack,
    ) -> TractResult<Option<Self>> {
        let [input] = node.inputs.as_slice() else {
            return Ok(None);
        };
        let input = model.outlet_fact(*input)?;
        let output = model.outlet_fact(node.id.into())?;
        let packed = output.exotic_fact();
        let packed = packed.and_then(|fact| fact.downcast_ref::<DynPackedExoticFact>());
        let Some([format]) = packed.map(|packed| packed.packers.as_slice()) else {
            return Ok(None);
        };
        let Some(format) = format.downcast_ref::<PackedFormat>() else {
            return Ok(None);
        };
        let axes = pack.axes_mapping(&[input], &[output])?;
        let (numbers, rows) = (
            axes.axis_positions(InOut::In(0), 'K')?,
            axes.axis_positions(InOut::In(0), 'M')?,
        );
        let ([numbers], [rows]) = (numbers, rows) else {
            return Ok(None);
        };
        let is_ours = is_of_floats(input)
            && format.dt == f32::datum_type()
            && WIDTHS.contains(&format.r)
            && numbers + 1 == input.rank();
        Ok(is_ours.then(|| Self {
            tract: pack.clone(),
            format: format.clone(),
            rows: *rows,
        }))
    }

    /// Where each matrix begins.
    fn places(&self, input: &Tensor) -> Vec<usize> {
        let last = input.rank().saturating_sub(1);
        let axes = input.shape().iter().zip(input.strides()).enumerate();
        let mut places = vec![0];
        for (_, (size, stride)) in axes.filter(|(axis, _)| ![self.rows, last].contains(axis)) {
            let stride = stride.unsigned_abs();
            let along = |place: &usize| {
                let place = *place;
                (0..*size).map(move |index| place + index * stride)
            };
            places = places.iter().flat_map(along).collect();
        }
        places
    }
}

impl Op for Panels {
    fn name(&self) -> StaticName {
        "GloveboxPanels".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.tract.info()
    }

    op_as_typed_op!();
}

impl EvalOp for Panels {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let (shape, strides) = (input.shape(), input.strides());
        let (Some(count), Some(length)) = (shape.get(self.rows), shape.last()) else {
            bail!("a matrix, not {shape:?}");
        };
        let stride = strides.get(self.rows).copied().unwrap_or_default();
        let rows = Rows {
            count: *count,
            length: *length,
            stride: stride.unsigned_abs(),
        };
        let plain = input.try_as_plain_ram()?;
        let numbers = plain.as_slice::<f32>()?;
        let mut matrices: TVec<Box<dyn MMMInputValue>> = tvec!();
        for place in self.places(&input) {
            let mut packed = self.format.new_packed_buffer(*length, *count)?;
            let panels = Arc::get_mut(&mut packed.packed).context("panels of somebody else")?;
            let numbers = numbers.get(place..).unwrap_or_default();
            rows.pack(self.format.r, packed.panel_bytes, numbers, panels)?;
            matrices.push(Box::new(packed));
        }
        let shape = self.tract.output_shape(input.shape());
        let packed = PackedMatrixStorage::new_batched(&shape, matrices);
        Ok(tvec!(packed.into_tensor(f32::datum_type()).into_tvalue()))
    }
}

impl TypedOp for Panels {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.tract.output_facts(inputs)
    }

    as_op!();
}
