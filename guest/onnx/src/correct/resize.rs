//! `Resize` to sizes that depend on those of the inputs, which tract's looks at without their values.

use tract_onnx::tract_core::internal::*;
use tract_onnx_opl::resize::Resize;

/// Tract's, with sizes as numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResizeTo(Resize);

impl ResizeTo {
    /// Ours for tract's, if its sizes are known only when it runs.
    pub(super) fn adopt(resize: &Resize, inputs: &[TypedFact]) -> Option<Self> {
        let sizes = inputs.get(resize.optional_sizes_input?)?.konst.as_ref()?;
        let sizes = sizes.try_as_plain_ram().ok()?;
        let is_open = |size: &TDim| size.to_i64().is_err();
        let is_ours = sizes
            .as_slice::<TDim>()
            .is_ok_and(|sizes| sizes.iter().any(is_open));
        is_ours.then(|| Self(resize.clone()))
    }
}

impl Op for ResizeTo {
    fn name(&self) -> StaticName {
        "GloveboxResize".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ResizeTo {
    not_out_of_plan!();

    fn eval(&self, context: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let sizes = self
            .0
            .optional_sizes_input
            .and_then(|sizes| inputs.get_mut(sizes));
        if let Some(sizes) = sizes.filter(|sizes| sizes.datum_type() == TDim::datum_type()) {
            let plain = sizes.try_as_plain_ram()?;
            let open = plain.as_slice::<TDim>()?.iter();
            let known = open.map(|size| size.eval(context.symbols).to_i64());
            let known: Vec<i64> = known.collect::<Result<_, _>>()?;
            *sizes = tensor1(&known).into_tvalue();
        }
        self.0.eval(context, inputs)
    }
}

impl TypedOp for ResizeTo {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}
