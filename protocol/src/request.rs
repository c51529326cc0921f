//! A request for inference.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::decoder::{Body, Few, JsonTensor, decode};
use crate::encoder::{EncodedTensor, encode};
use crate::parameter::{self, Parameters};
use crate::tail::Tail;
use crate::{Error, Tensor};

/// A request to run a model once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InferRequest {
    /// The caller's own name for the request; the response repeats it.
    pub id: Option<String>,
    /// The tensors for the model.
    pub inputs: Vec<Tensor>,
    /// The names of the outputs wanted; empty for all.
    pub outputs: Vec<String>,
    /// What the caller asks of the server or the model beyond the protocol.
    pub parameters: Parameters,
}

impl InferRequest {
    /// Reads the JSON body of an inference call. The tensors of the result are consistent, see
    /// [`Tensor::check`]. It takes memory for a small multiple of the body at most.
    ///
    /// # Errors
    ///
    /// Any [`Error`] about JSON, datatypes, shapes, data or elements; all are the caller's fault.
    pub fn from_json(body: &[u8]) -> Result<Self, Error> {
        let request: JsonRequest<'_> = decode(body)?;
        request.read(Tail::new(&[]))
    }

    /// Writes the request as the JSON body of an inference call; NaN and infinities become `null`.
    ///
    /// # Errors
    ///
    /// [`Error::NoJsonForm`], [`Error::NotText`] for BYTES that are not UTF-8, or what
    /// [`Tensor::check`] says of an inconsistent tensor.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        let outputs = self.outputs.iter().map(|name| EncodedOutput { name });
        let request = EncodedRequest {
            id: self.id.as_deref(),
            inputs: EncodedTensor::all(&self.inputs)?,
            outputs: outputs.collect(),
            parameters: &self.parameters,
        };
        let (text, _) = encode(JsonRequest::NAME, &request, &request.inputs)?;
        Ok(text)
    }
}

/// A request whose tensors have not been read yet.
#[derive(Deserialize)]
pub(crate) struct JsonRequest<'a> {
    id: Option<String>,
    #[serde(borrow)]
    inputs: Few<JsonTensor<'a>>,
    pub(crate) outputs: Option<Few<JsonOutput>>,
    #[serde(default, deserialize_with = "parameter::deserialize")]
    pub(crate) parameters: Parameters,
}

impl JsonRequest<'_> {
    /// Reads the tensors; those with binary data have it from `tail`, which must be all of it.
    pub(crate) fn read(self, mut tail: Tail<'_>) -> Result<InferRequest, Error> {
        let inputs = self.inputs.0.into_iter();
        let inputs = inputs.map(|input| input.into_tensor(&mut tail));
        let inputs = inputs.collect::<Result<_, _>>()?;
        tail.finish()?;
        let outputs = self.outputs.into_iter().flat_map(|outputs| outputs.0);
        Ok(InferRequest {
            id: self.id,
            inputs,
            outputs: outputs.map(|output| output.name).collect(),
            parameters: self.parameters,
        })
    }
}

impl<'a> Body<'a> for JsonRequest<'a> {
    const NAME: &'static str = "inference request";

    fn tensors(&self) -> &[JsonTensor<'a>] {
        &self.inputs.0
    }
}

/// A requested output.
#[derive(Deserialize)]
pub(crate) struct JsonOutput {
    pub(crate) name: String,
    pub(crate) parameters: Option<OutputParameters>,
}

/// The parameters of a requested output that mean something here: in which form it is wanted.
#[derive(Default, Deserialize)]
pub(crate) struct OutputParameters {
    pub(crate) binary_data: Option<bool>,
    pub(crate) classification: Option<u32>,
    pub(crate) shared_memory_region: Option<IgnoredAny>,
}

#[derive(Serialize)]
struct EncodedRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    inputs: Vec<EncodedTensor<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<EncodedOutput<'a>>,
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    parameters: &'a Parameters,
}

#[derive(Serialize)]
struct EncodedOutput<'a> {
    name: &'a str,
}
