//! The answer to a request for inference.

use serde::{Deserialize, Serialize};

use crate::decoder::{Body, Few, JsonTensor, decode};
use crate::encoder::{EncodedTensor, encode};
use crate::tail::Tail;
use crate::{Error, Tensor};

/// What a model answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InferResponse {
    /// The model that answered.
    pub model_name: String,
    /// Its version; `None` where a server tells none.
    pub model_version: Option<String>,
    /// The request's own id, when it had one.
    pub id: Option<String>,
    /// The tensors asked for.
    pub outputs: Vec<Tensor>,
}

impl InferResponse {
    /// Writes the response as JSON. NaN and infinities, for which JSON has no form, become `null`.
    ///
    /// # Errors
    ///
    /// [`Error::NoJsonForm`] or [`Error::NotText`] for what only binary data can carry, which the
    /// caller may ask for; or what [`Tensor::check`] says of an inconsistent tensor, which is the
    /// model's fault.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        let (text, _) = self.write(|_| false)?;
        Ok(text)
    }

    /// Writes the response with the outputs behind the JSON that are to be binary. Gives the length
    /// of the JSON too.
    pub(crate) fn write(
        &self,
        is_binary: impl Fn(&str) -> bool,
    ) -> Result<(Vec<u8>, usize), Error> {
        let outputs = self.outputs.iter();
        let outputs = outputs.map(|tensor| EncodedTensor::new(tensor, is_binary(&tensor.name)));
        let response = EncodedResponse {
            model_name: &self.model_name,
            model_version: self.model_version.as_deref(),
            id: self.id.as_deref(),
            outputs: outputs.collect::<Result<_, _>>()?,
        };
        encode(JsonResponse::NAME, &response, &response.outputs)
    }

    /// Reads a response. Its `parameters` are dropped, and a `null` element is refused: which
    /// number it stood for is lost.
    ///
    /// # Errors
    ///
    /// Any [`Error`] about JSON, datatypes, shapes, data or elements.
    pub fn from_json(body: &[u8]) -> Result<Self, Error> {
        let response: JsonResponse<'_> = decode(body)?;
        let outputs = response.outputs.0.into_iter();
        let outputs = outputs.map(|output| output.into_tensor(&mut Tail::new(&[])));
        Ok(Self {
            model_name: response.model_name,
            model_version: response.model_version,
            id: response.id,
            outputs: outputs.collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Deserialize)]
struct JsonResponse<'a> {
    model_name: String,
    model_version: Option<String>,
    id: Option<String>,
    #[serde(borrow)]
    outputs: Few<JsonTensor<'a>>,
}

impl<'a> Body<'a> for JsonResponse<'a> {
    const NAME: &'static str = "inference response";

    fn tensors(&self) -> &[JsonTensor<'a>] {
        &self.outputs.0
    }
}

#[derive(Serialize)]
struct EncodedResponse<'a> {
    model_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<EncodedTensor<'a>>,
}
