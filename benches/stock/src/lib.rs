//! Tract as it ships, and nothing of Glovebox's own: what the packed models are compared with.
//!
//! Natively this is a library. For wasm it is a component, built with the flags and the profile of
//! Glovebox's guests.

#[cfg(target_arch = "wasm32")]
mod component;

use glovebox_protocol::{Datatype, Tensor};
use tract_onnx::tract_hir::internal::*;

/// A loaded and optimised ONNX file.
pub struct Model {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

/// The name of an input and its shape.
pub type Shape = (String, Vec<u64>);

impl Model {
    /// Loads an ONNX file for inputs of these shapes.
    ///
    /// # Errors
    /// Tract cannot read or optimise it.
    pub fn load(mut onnx: &[u8], shapes: &[Shape]) -> TractResult<Self> {
        let mut model = tract_onnx::onnx().model_for_read(&mut onnx)?;
        let inputs = input_names(&model)?;
        for (index, input) in inputs.iter().enumerate() {
            let (_, shape) = find(shapes, input, |(name, _)| name)?;
            let shape: TVec<usize> = shape.iter().map(|size| *size as usize).collect();
            let datum_type = model.input_fact(index)?.datum_type.concretize();
            let datum_type = datum_type.with_context(|| format!("{input} has no datatype"))?;
            model.set_input_fact(index, InferenceFact::dt_shape(datum_type, shape))?;
        }
        let outputs = output_names(&model)?;
        Ok(Self {
            plan: model.into_optimized()?.into_runnable()?,
            inputs,
            outputs,
        })
    }

    /// The inputs as tract takes them, in its order.
    ///
    /// # Errors
    /// One is missing.
    pub fn values(&self, tensors: &[Tensor]) -> TractResult<TVec<TValue>> {
        let value = |input: &String| to_tract(find(tensors, input, |tensor| &tensor.name)?);
        self.inputs.iter().map(value).collect()
    }

    /// Runs the model.
    ///
    /// # Errors
    /// Tract fails.
    pub fn run(&self, values: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.plan.run(values)
    }

    /// The outputs with their names.
    ///
    /// # Errors
    /// The protocol has no such datatype.
    pub fn tensors(&self, values: TVec<TValue>) -> TractResult<Vec<Tensor>> {
        let named = |(name, value): (&String, TValue)| from_tract(name, &value);
        self.outputs.iter().zip(values).map(named).collect()
    }
}

fn find<'a, T>(items: &'a [T], name: &str, name_of: impl Fn(&T) -> &String) -> TractResult<&'a T> {
    let found = items.iter().find(|item| name_of(item) == name);
    found.with_context(|| format!("input {name} is missing"))
}

fn input_names(model: &InferenceModel) -> TractResult<Vec<String>> {
    let outlets = model.input_outlets()?.iter();
    Ok(outlets
        .map(|outlet| model.node(outlet.node).name.clone())
        .collect())
}

fn output_names(model: &InferenceModel) -> TractResult<Vec<String>> {
    let name = |outlet: &OutletId| match model.outlet_label(*outlet) {
        Some(label) => label.to_owned(),
        None => model.node(outlet.node).name.clone(),
    };
    Ok(model.output_outlets()?.iter().map(name).collect())
}

/// The datatypes that the benchmark's models take and give.
const DATATYPES: [(Datatype, DatumType); 6] = [
    (Datatype::Fp32, DatumType::F32),
    (Datatype::Int64, DatumType::I64),
    (Datatype::Int32, DatumType::I32),
    (Datatype::Int8, DatumType::I8),
    (Datatype::Uint8, DatumType::U8),
    (Datatype::Bool, DatumType::Bool),
];

fn to_tract(tensor: &Tensor) -> TractResult<TValue> {
    let known = DATATYPES.iter().find(|(name, _)| *name == tensor.datatype);
    let (_, datum_type) = known.with_context(|| format!("no {}", tensor.datatype))?;
    let shape: TVec<usize> = tensor.shape.iter().map(|size| *size as usize).collect();
    let mut value = tract_onnx::prelude::Tensor::zero_dt(*datum_type, &shape)?;
    value.as_bytes_mut().copy_from_slice(&tensor.data);
    Ok(value.into_tvalue())
}

fn from_tract(name: &str, value: &TValue) -> TractResult<Tensor> {
    let datum_type = value.datum_type().unquantized();
    let known = DATATYPES.iter().find(|(_, known)| *known == datum_type);
    let (datatype, _) = known.with_context(|| format!("no {datum_type:?}"))?;
    Ok(Tensor {
        name: name.to_owned(),
        datatype: *datatype,
        shape: value.shape().iter().map(|size| *size as u64).collect(),
        data: value.try_as_plain_ram()?.as_bytes().to_vec(),
    })
}
