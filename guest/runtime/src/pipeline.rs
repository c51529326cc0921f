//! What stands around the graph: how media becomes tensors, how tensors become an answer.

use glovebox_protocol::{InferRequest, InferResponse, Signature, Tensor};
use serde::Deserialize;

use crate::answer::Classification;
use crate::error::{CallError, LoadError};
use crate::image::ImageInput;
use crate::onnx::Graph;
use crate::record::RecordInput;

/// What the model says of itself, and the tables `[input]` and `[output]`, all of `model.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pipeline {
    name: String,
    version: Option<String>,
    description: Option<String>,
    licence: Option<String>,
    input: Option<Input>,
    #[serde(default)]
    output: Output,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Input {
    Image(ImageInput),
    Record(RecordInput),
}

#[derive(Default, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Output {
    /// All outputs, as the protocol writes tensors.
    #[default]
    Tensors,
    Classification(Classification),
}

/// What a model says of itself.
#[derive(Default)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// Texts for people, by what they are.
    pub(crate) properties: Vec<(String, String)>,
}

impl Pipeline {
    /// Reads the configuration and checks it against the graph.
    pub(crate) fn from_json(json: &[u8], graph: &Graph) -> Result<Self, LoadError> {
        let config = |error: serde_json::Error| LoadError::Config(error.to_string());
        // By way of a value: positions in this text mean nothing to the author of `model.toml`.
        let value: serde_json::Value = serde_json::from_slice(json).map_err(config)?;
        let pipeline = Self::deserialize(value).map_err(config)?;
        pipeline.check(graph).map_err(LoadError::Config)?;
        Ok(pipeline)
    }

    fn check(&self, graph: &Graph) -> Result<(), String> {
        if let Some(input) = &self.input {
            let [spec] = graph.inputs.as_slice() else {
                let count = graph.inputs.len();
                return Err(format!(
                    "[input] feeds one tensor, and the model has {count} inputs"
                ));
            };
            match input {
                Input::Image(image) => image.check(spec)?,
                Input::Record(record) => record.check(spec)?,
            }
        }
        match &self.output {
            Output::Tensors => Ok(()),
            Output::Classification(classification) => classification.check(&graph.outputs),
        }
    }

    pub(crate) fn about(&self) -> About {
        let properties = [
            ("description", &self.description),
            ("licence", &self.licence),
        ];
        let written = |(key, value): (&str, &Option<String>)| {
            value.clone().map(|value| (key.to_owned(), value))
        };
        About {
            name: self.name.clone(),
            version: self.version.clone(),
            properties: properties.into_iter().filter_map(written).collect(),
        }
    }

    /// The content types that become tensors.
    pub(crate) fn media(&self) -> Vec<String> {
        let types: &[&str] = match &self.input {
            None => &[],
            Some(Input::Image(_)) => &["image/png", "image/jpeg"],
            Some(Input::Record(_)) => &["application/json"],
        };
        types.iter().map(|media| (*media).to_owned()).collect()
    }

    /// Decodes the body to the request that the model answers.
    pub(crate) fn request(
        &self,
        signature: &Signature,
        content_type: &str,
        body: &[u8],
    ) -> Result<InferRequest, CallError> {
        let essence = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let (Some(input), [spec, ..], true) = (
            &self.input,
            signature.inputs.as_slice(),
            self.media().contains(&essence),
        ) else {
            return Err(self.unsupported(&essence));
        };
        let input = match input {
            Input::Image(image) => image.decode(spec, &essence, body)?,
            Input::Record(record) => record.decode(spec, body)?,
        };
        let outputs = match &self.output {
            Output::Tensors => Vec::new(),
            Output::Classification(classification) => classification.wanted(),
        };
        Ok(InferRequest {
            inputs: vec![input],
            outputs,
            ..Default::default()
        })
    }

    /// The answer, a JSON text.
    pub(crate) fn answer(&self, outputs: Vec<Tensor>) -> Result<Vec<u8>, CallError> {
        match &self.output {
            Output::Classification(classification) => classification.answer(&outputs),
            Output::Tensors => {
                let (model_name, model_version) = (self.name.clone(), self.version.clone());
                let response = InferResponse {
                    model_name,
                    model_version,
                    id: None,
                    outputs,
                };
                response
                    .to_json()
                    .map_err(|error| CallError::Failed(error.to_string()))
            }
        }
    }

    fn unsupported(&self, content_type: &str) -> CallError {
        let media = self.media();
        CallError::UnsupportedMedia(if media.is_empty() {
            "this model takes tensors only: its model.toml has no [input]".into()
        } else {
            format!(
                "content type {content_type:?} is not supported; send {}",
                media.join(" or ")
            )
        })
    }
}
