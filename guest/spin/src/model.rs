//! The model that this component is composed with.

use glovebox_protocol::rest::Refusal;
use glovebox_protocol::{
    FIRST_VERSION, InferRequest, ModelConfig, ModelMetadata, PLATFORM, Signature, Tensor,
};

use crate::bindings::glovebox::inference::model as wit;

glovebox_protocol::convert_wit!(wit);

/// The model, with what it says of itself.
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) version: String,
    properties: Vec<(String, String)>,
    pub(crate) signature: Signature,
}

impl Model {
    /// Asks the model.
    pub(crate) fn get() -> Self {
        let mut signature = wit::signature();
        let version = signature
            .version
            .take()
            .filter(|version| !version.is_empty());
        Self {
            name: std::mem::take(&mut signature.name),
            version: version.unwrap_or_else(|| FIRST_VERSION.to_owned()),
            properties: std::mem::take(&mut signature.properties),
            signature: signature.into(),
        }
    }

    pub(crate) fn describe(&self) -> ModelMetadata {
        ModelMetadata::describe(
            &self.name,
            &self.version,
            &self.signature,
            self.properties.iter().cloned(),
        )
    }

    pub(crate) fn config(&self) -> ModelConfig {
        ModelConfig::describe(&self.name, PLATFORM, &self.signature)
    }

    /// Tensors to tensors.
    ///
    /// # Errors
    /// The request does not fit the model, the model refuses it or fails, or it answers something
    /// else than it declares.
    pub(crate) fn infer(&self, request: InferRequest) -> Result<Vec<Tensor>, Refusal> {
        self.signature.check(&request)?;
        let inputs: Vec<wit::Tensor> = request.inputs.into_iter().map(Into::into).collect();
        let outputs = wit::infer(&inputs, &request.outputs)?;
        drop(inputs);
        let outputs = outputs.into_iter().map(Tensor::try_from);
        let outputs: Vec<Tensor> = outputs
            .collect::<Result<_, _>>()
            .map_err(|_| Refusal::BadOutput)?;
        match outputs.iter().all(|output| self.signature.declares(output)) {
            true => Ok(outputs),
            false => Err(Refusal::BadOutput),
        }
    }

    /// Media to an answer: its content type and its bytes.
    ///
    /// # Errors
    /// The model refuses the media or fails.
    pub(crate) fn predict(
        &self,
        content_type: String,
        body: Vec<u8>,
    ) -> Result<(String, Vec<u8>), Refusal> {
        let answer = wit::predict(&wit::Media { content_type, body })?;
        Ok((answer.content_type, answer.body))
    }
}

/// What the model says is only passed on where it explains what is wrong with the input.
impl From<wit::Error> for Refusal {
    fn from(error: wit::Error) -> Self {
        match error {
            wit::Error::InvalidInput(text) => Self::invalid_input(&text),
            wit::Error::UnsupportedMedia(text) => Self::unsupported_media(&text),
            wit::Error::TooLarge(text) => Self::input_too_large(&text),
            wit::Error::Failed(_) => Self::ModelFailed,
        }
    }
}
