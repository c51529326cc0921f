//! What a model takes and gives, and whether a request fits that.

use serde::{Deserialize, Serialize};

use crate::{Datatype, Error, InferRequest, Role, Tensor, quote};

/// The tensors of a model, and the media it takes instead of tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// The tensors the model takes, all of them required.
    pub inputs: Vec<TensorSpec>,
    /// The tensors the model gives.
    pub outputs: Vec<TensorSpec>,
    /// The content types that its `predict` takes; none when the model takes tensors only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
}

/// One tensor of a model, as metadata describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// The tensor's name.
    pub name: String,
    /// What each element is.
    pub datatype: Datatype,
    /// The size of each dimension, the batch included; -1 is the caller's choice.
    pub shape: Vec<i64>,
}

impl Signature {
    /// Checks that a request has each input exactly once, with the right datatype and shape,
    /// nothing else, and asks only for outputs the model has. Whether a tensor's data fits its own
    /// shape is [`Tensor::check`]'s business.
    ///
    /// # Errors
    ///
    /// The first mismatch, which names the tensor, what was expected and what came.
    pub fn check(&self, request: &InferRequest) -> Result<(), Error> {
        let names = request.inputs.iter().map(|tensor| tensor.name.as_str());
        let specs = matched(Role::Input, &self.inputs, names)?;
        for (tensor, spec) in request.inputs.iter().zip(&specs) {
            spec.check(tensor)?;
        }
        if let Some(missing) = self.inputs.iter().find(|spec| !specs.contains(spec)) {
            return Err(Error::MissingInput {
                expected: missing.clone(),
            });
        }
        let names = request.outputs.iter().map(String::as_str);
        matched(Role::Output, &self.outputs, names)?;
        Ok(())
    }

    /// Whether requests can be put together into one: the first dimension of all tensors is the
    /// caller's choice.
    pub fn has_rows(&self) -> bool {
        let mut specs = self.inputs.iter().chain(&self.outputs);
        let is_open = |spec: &TensorSpec| spec.shape.first().is_some_and(|size| *size < 0);
        !self.inputs.is_empty() && !self.outputs.is_empty() && specs.all(is_open)
    }

    /// How many rows a request has, if it has as many in all of its inputs and at least one.
    pub fn rows(&self, inputs: &[Tensor]) -> Option<u64> {
        let rows = *inputs.first()?.shape.first()?;
        let mut others = inputs.iter().map(|input| input.shape.first());
        let agree = self.has_rows() && others.all(|other| other == Some(&rows));
        (agree && rows > 0).then_some(rows)
    }

    /// Whether the model declares such an output: one of this name, datatype and shape.
    pub fn declares(&self, output: &Tensor) -> bool {
        let mut specs = self.outputs.iter();
        let spec = specs.find(|spec| spec.name == output.name);
        spec.is_some_and(|spec| spec.check(output).is_ok())
    }
}

impl TensorSpec {
    /// Checks a tensor's datatype and shape, not its name.
    ///
    /// # Errors
    ///
    /// [`Error::DatatypeMismatch`] or [`Error::ShapeMismatch`].
    pub fn check(&self, tensor: &Tensor) -> Result<(), Error> {
        if self.datatype != tensor.datatype {
            return Err(Error::DatatypeMismatch {
                tensor: tensor.name.clone(),
                expected: self.datatype,
                found: tensor.datatype,
            });
        }
        if !self.takes_shape(&tensor.shape) {
            return Err(Error::ShapeMismatch {
                tensor: tensor.name.clone(),
                expected: self.shape.clone(),
                found: tensor.shape.clone(),
            });
        }
        Ok(())
    }

    fn takes_shape(&self, shape: &[u64]) -> bool {
        let mut dimensions = self.shape.iter().zip(shape);
        self.shape.len() == shape.len()
            && dimensions.all(|(expected, found)| {
                u64::try_from(*expected).map_or(true, |expected| expected == *found)
            })
    }
}

/// The spec of each name, in the order of the names. It stops at the first name that is unknown or
/// came before, so the work is bounded by the model's tensors and not by how many names a caller
/// sends.
fn matched<'s, 'n>(
    role: Role,
    specs: &'s [TensorSpec],
    names: impl Iterator<Item = &'n str>,
) -> Result<Vec<&'s TensorSpec>, Error> {
    let mut found: Vec<&TensorSpec> = Vec::with_capacity(specs.len());
    for name in names {
        let tensor = || name.to_owned();
        let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
            let known = quote::name_list(specs.iter().map(|spec| spec.name.as_str()));
            return Err(Error::UnknownTensor {
                role,
                tensor: tensor(),
                known,
            });
        };
        if found.iter().any(|earlier| earlier.name == name) {
            return Err(Error::DuplicateTensor {
                role,
                tensor: tensor(),
            });
        }
        found.push(spec);
    }
    Ok(found)
}
