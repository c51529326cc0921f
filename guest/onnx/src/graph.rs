//! An optimised graph, ready to run.

use glovebox_protocol::{CallError, Tensor, TensorSpec};
use tract_onnx::prelude::*;

use crate::error::{LoadError, failed};
use crate::ml::ClassNames;
use crate::parsed::Parsed;
use crate::shapes::Shapes;
use crate::tensor::{datatype, from_tract, to_tract};

/// What puts operators of one's own into a graph.
#[derive(Clone, Copy, Debug)]
pub struct Adopt {
    /// In the place of those that tract has not yet optimised.
    pub before: fn(&mut TypedModel) -> TractResult<()>,
    /// In the place of those that tract has made of others when it optimised the graph.
    pub after: fn(&mut TypedModel) -> TractResult<()>,
}

impl Adopt {
    /// Leaves a graph as tract has it.
    pub const NOTHING: Self = Self {
        before: |_| Ok(()),
        after: |_| Ok(()),
    };
}

/// An optimised graph and what it is called with.
pub struct Graph {
    /// What runs.
    pub plan: Arc<TypedRunnableModel>,
    /// What it takes; an open dimension is -1.
    pub inputs: Vec<TensorSpec>,
    /// What it gives; an open dimension is -1.
    pub outputs: Vec<TensorSpec>,
    /// What the classes are called for which an output has scores, where the model says so.
    pub class_names: ClassNames,
}

impl Graph {
    /// Parses and optimises the model in `file`, for inputs of these shapes; `adopt` may put other
    /// operators in the place of tract's.
    ///
    /// # Errors
    /// What in the file is not ONNX, not supported or not consistent, with the node's name; shapes
    /// that the model does not take.
    pub fn load(file: &[u8], shapes: &Shapes, adopt: Adopt) -> Result<Self, LoadError> {
        let mut parsed = match shapes.is_empty() {
            true => Parsed::of(file, adopt)?,
            false => Parsed::of_sized(file, adopt)?,
        };
        parsed.set_shapes(shapes)?;
        parsed.name_open_dimensions()?;
        let graph = parsed.optimised().and_then(|model| parsed.graph(model));
        graph.map_err(|error| parsed.explain(error))
    }

    /// Makes ready to run what was optimised.
    pub(crate) fn new(
        model: TypedModel,
        input_names: &[String],
        output_names: &[String],
    ) -> Result<Self, LoadError> {
        Ok(Self {
            inputs: specs(&model, input_names, model.input_outlets()?)?,
            outputs: specs(&model, output_names, model.output_outlets()?)?,
            plan: model.into_runnable()?,
            class_names: ClassNames::new(),
        })
    }

    /// Runs it; all outputs in their order. The inputs have been checked against [`Graph::inputs`].
    ///
    /// # Errors
    /// The engine fails.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, CallError> {
        let find = |name: &str| inputs.iter().find(|tensor| tensor.name == name);
        let ordered = self.inputs.iter().filter_map(|spec| find(&spec.name));
        let values = ordered.map(to_tract).collect::<Result<TVec<_>, _>>()?;
        let outputs = self.plan.run(values).map_err(|error| failed(&error))?;
        let outputs = self.outputs.iter().zip(outputs);
        let named = |(spec, value): (&TensorSpec, TValue)| from_tract(&spec.name, value);
        outputs.map(named).collect()
    }

    /// Runs the graph once, open dimensions being 1. Zeros may make no sense to a model, so a
    /// failure says nothing.
    pub fn run_on_zeros(&self) {
        let zeros = |spec: &TensorSpec| {
            let shape: Vec<u64> = spec
                .shape
                .iter()
                .map(|size| u64::try_from(*size).unwrap_or(1))
                .collect();
            let elements = glovebox_protocol::element_count(&shape)? as usize;
            // An empty string is a length of four zero bytes.
            let data = vec![0; elements.checked_mul(spec.datatype.element_bytes().unwrap_or(4))?];
            let tensor = Tensor::new(spec.name.clone(), spec.datatype, shape, data).ok()?;
            to_tract(&tensor).ok()
        };
        if let Some(inputs) = self
            .inputs
            .iter()
            .map(zeros)
            .collect::<Option<TVec<TValue>>>()
        {
            let _ = self.plan.run(inputs);
        }
    }
}

fn specs(
    model: &TypedModel,
    names: &[String],
    outlets: &[OutletId],
) -> Result<Vec<TensorSpec>, LoadError> {
    names
        .iter()
        .zip(outlets)
        .map(|(name, outlet)| spec(name.clone(), model.outlet_fact(*outlet)?))
        .collect()
}

fn spec(name: String, fact: &TypedFact) -> Result<TensorSpec, LoadError> {
    let datatype = datatype(fact.datum_type).ok_or_else(|| {
        LoadError::Model(format!(
            "tensor {name:?} has datatype {:?}, which the protocol lacks",
            fact.datum_type
        ))
    })?;
    let shape = fact
        .shape
        .iter()
        .map(|dimension| dimension.to_i64().unwrap_or(-1))
        .collect();
    Ok(TensorSpec {
        name,
        datatype,
        shape,
    })
}
