//! All that `model.toml` says of a model, checked against its signature.

use glovebox_protocol::{InferRequest, InferResponse, Tensor, TensorSpec};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::CallError;
use crate::input::{Input, Lengths, Origin, Probe};
use crate::media;
use crate::output::{Answer, Output};

/// What the model says of itself, and the tables `[input]` and `[output]`, all of `model.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    name: String,
    version: Option<String>,
    description: Option<String>,
    licence: Option<String>,
    /// For the engine, which is not known here.
    #[serde(rename = "shapes")]
    _shapes: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "input")]
    input: Option<Input>,
    #[serde(default, deserialize_with = "output")]
    output: Output,
}

fn input<'de, D: Deserializer<'de>>(table: D) -> Result<Option<Input>, D::Error> {
    Option::deserialize(table).map_err(|error| in_table("input", &error, &Input::KINDS))
}

fn output<'de, D: Deserializer<'de>>(table: D) -> Result<Output, D::Error> {
    Output::deserialize(table).map_err(|error| in_table("output", &error, &Output::KINDS))
}

/// An error with the name of the table that it is in, and what its `kind` can be if it has none.
fn in_table<E: Error>(table: &str, error: &E, kinds: &[&str]) -> E {
    let error = error.to_string();
    let hint = match error == "missing field `kind`" {
        true => format!("; it is one of {}", kinds.join(", ")),
        false => String::new(),
    };
    E::custom(format!("[{table}]: {error}{hint}"))
}

/// What a model says of itself.
#[derive(Clone, Default)]
pub struct About {
    /// What it is called.
    pub name: String,
    /// Which of its versions it is.
    pub version: Option<String>,
    /// Texts for people, by what they are.
    pub properties: Vec<(String, String)>,
}

/// Media as the model takes it, with what its answer has to know of it.
pub struct Prepared {
    /// What to ask the model.
    pub request: InferRequest,
    origin: Origin,
}

impl Pipeline {
    /// Reads the configuration (`model.toml` as JSON, its files read) and checks it against the
    /// model's inputs and outputs.
    ///
    /// # Errors
    /// What is written wrong or does not fit, for the model's author.
    pub fn from_json(
        json: &[u8],
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
    ) -> Result<Self, String> {
        let written = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut pipeline = Self::read(&written)?;
        pipeline.fit(inputs, outputs)?;
        Ok(pipeline)
    }

    /// Reads the configuration for a model whose inputs are not known yet; [`Pipeline::fit`] comes
    /// next. It is no text: positions in JSON would mean nothing to the author of `model.toml`.
    ///
    /// # Errors
    /// What is written wrong, for the model's author.
    pub fn read(written: &Map<String, Value>) -> Result<Self, String> {
        Self::deserialize(written).map_err(|error| error.to_string())
    }

    /// Takes the names that the model itself has for the classes of its outputs, where the
    /// configuration has none.
    pub fn name_classes(&mut self, names: &[(String, Vec<String>)]) {
        self.output.name_classes(names);
    }

    /// Fits the configuration to the model's inputs and outputs.
    ///
    /// # Errors
    /// What does not fit, for the model's author.
    pub fn fit(&mut self, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<(), String> {
        if let Some(input) = &mut self.input {
            input.fit(inputs)?;
        }
        self.output.check(outputs)?;
        if self.output.is_about_tokens() && !matches!(self.input, Some(Input::Text(_))) {
            return Err(
                "[output] kind = \"token_classification\" needs [input] kind = \"text\"".into(),
            );
        }
        if self.output.needs_picture() && !matches!(self.input, Some(Input::Image(_))) {
            return Err("this kind of [output] needs [input] kind = \"image\"".into());
        }
        Ok(())
    }

    /// The lengths that rows of tokens should be prepared for; none if the model takes no texts.
    pub fn lengths(&self) -> Option<Lengths> {
        match &self.input {
            Some(Input::Text(text)) => Some(text.lengths()),
            _ => None,
        }
    }

    /// What the model says of itself.
    pub fn about(&self) -> About {
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

    /// The content types that [`Pipeline::prepare`] takes.
    pub fn media(&self) -> Vec<String> {
        let types = self.input.as_ref().map_or(&[] as &[_], Input::media);
        types.iter().map(|media| (*media).to_owned()).collect()
    }

    /// What the model must be able to take, if media can be too much for it.
    ///
    /// # Errors
    /// Its inputs are not those that the configuration was checked against.
    pub fn probe(&self, inputs: &[TensorSpec]) -> Result<Option<Probe>, CallError> {
        let input = self.input.as_ref();
        input.map_or(Ok(None), |input| input.probe(inputs))
    }

    /// Decodes a body to the request that the model answers.
    ///
    /// # Errors
    /// The model does not take the content type, or the body is not what it says.
    pub fn prepare(
        &self,
        inputs: &[TensorSpec],
        content_type: &str,
        body: &[u8],
    ) -> Result<Prepared, CallError> {
        let Some(input) = &self.input else {
            return Err(CallError::UnsupportedMedia(
                "this model takes tensors only: its model.toml has no [input]".into(),
            ));
        };
        let essence = media::essence(content_type, &self.media())?;
        let decoded = input.decode(inputs, &essence, body)?;
        Ok(Prepared {
            request: InferRequest {
                inputs: decoded.tensors,
                outputs: self.output.wanted(),
                ..Default::default()
            },
            origin: decoded.origin,
        })
    }

    /// The answer to what was prepared, from the outputs that its request asked for.
    ///
    /// # Errors
    /// The outputs are not what the configuration was checked against.
    pub fn answer(&self, prepared: &Prepared, outputs: Vec<Tensor>) -> Result<Answer, CallError> {
        if let Some(answer) = self.output.answer(&prepared.origin, &outputs) {
            return answer;
        }
        let response = InferResponse {
            model_name: self.name.clone(),
            model_version: self.version.clone(),
            id: None,
            outputs,
        };
        let json = response.to_json();
        json.map(Answer::json)
            .map_err(|error| CallError::Failed(error.to_string()))
    }
}
