//! An operator of ONNX as a plain function of tensors, made one of tract's.

use std::fmt::Debug;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::{InferenceOp, InferenceResult, Solver, TensorProxy};
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

/// What tract gets for a node: an operator, and the outer tensors that its graphs take.
pub(crate) type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// An operator with its attributes.
pub(crate) trait Operator: Debug + Send + Sync {
    /// As ONNX calls it.
    fn name(&self) -> &'static str;

    /// How many outputs it has.
    fn count(&self) -> usize {
        1
    }

    /// The inputs whose values decide the outputs' shapes.
    fn shaping(&self) -> &[usize] {
        &[]
    }

    /// Whether a dimension of the outputs is known only when they are computed.
    fn mints(&self) -> bool {
        false
    }

    /// What computes on inputs of these datatypes, if that is prepared for each of them.
    ///
    /// # Errors
    /// The operator is not consistent.
    fn prepared(&self, _inputs: &[&TypedFact]) -> TractResult<Option<Arc<dyn Operator>>> {
        Ok(None)
    }

    /// Datatypes and shapes of the outputs.
    ///
    /// # Errors
    /// The inputs are not those of the operator, or not supported.
    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>>;

    /// The outputs. Datatypes and ranks of the inputs have passed [`Operator::outputs`].
    ///
    /// # Errors
    /// The inputs' values make no sense.
    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>>;
}

/// The operator for a node.
pub(crate) fn build(operator: impl Operator + 'static) -> Built {
    Ok((expand(Own(Arc::new(operator))), Vec::new()))
}

/// The name under which tract's own operator is kept, where ours takes its place only sometimes.
pub(super) fn name_of_tracts(operator: &str) -> String {
    format!("tract.{operator}")
}

/// What tract makes of a node itself.
pub(super) fn tracts(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let builder = context
        .framework
        .op_register
        .0
        .get(&name_of_tracts(&node.op_type));
    let builder = builder.with_context(|| format!("tract has no {}", node.op_type))?;
    builder(context, node)
}

/// An operator as tract wants it, while it infers shapes and afterwards.
#[derive(Clone, Debug)]
struct Own(Arc<dyn Operator>);

impl Own {
    /// What computes on these outlets.
    fn prepared(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<Self> {
        let facts = inputs.iter().map(|input| model.outlet_fact(*input));
        let facts: TVec<&TypedFact> = facts.collect::<TractResult<_>>()?;
        let prepared = self.0.prepared(&facts)?;
        Ok(prepared.map_or_else(|| self.clone(), Self))
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Own {}

impl Op for Own {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        self.0.mints()
    }

    op_as_typed_op!();
}

impl EvalOp for Own {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let outputs = self.0.compute(&inputs)?;
        Ok(outputs.into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl TypedOp for Own {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.outputs(inputs)
    }

    as_op!();
}

impl Expansion for Own {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.0.count())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let types = inputs.iter().map(|input| &input.datum_type);
        solver.given_all(types, move |solver, types| {
            let shapes = inputs.iter().map(|input| &input.shape);
            solver.given_all(shapes, move |solver, shapes| {
                let fact = |(datum_type, shape): (&DatumType, &TVec<TDim>)| {
                    TypedFact::dt_shape(*datum_type, shape)
                };
                let facts: Vec<TypedFact> = types.iter().zip(&shapes).map(fact).collect();
                let shaping = self.0.shaping();
                let values = shaping.iter().filter_map(|input| inputs.get(*input));
                solver.given_all(values.map(|input| &input.value), move |solver, values| {
                    let mut facts = facts.clone();
                    for (input, value) in shaping.iter().zip(values) {
                        if let Some(fact) = facts.get_mut(*input) {
                            *fact = TypedFact::try_from(value)?;
                        }
                    }
                    let made = self.0.outputs(&facts.iter().collect::<TVec<_>>())?;
                    for (output, fact) in outputs.iter().zip(made) {
                        solver.equals(&output.datum_type, fact.datum_type)?;
                        solver.equals(&output.shape, fact.shape.to_tvec())?;
                    }
                    Ok(())
                })
            })
        })
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let own = self.prepared(model, inputs)?;
        model.wire_node(name, own, inputs)
    }
}
