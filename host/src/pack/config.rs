//! `model.toml`: what the model's owner says about the model.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::limits::{self, Bytes};
use crate::{model, text};

/// What packing needs to know beside the ONNX file.
#[derive(Debug)]
pub struct ModelConfig {
    /// What the model is called.
    pub name: String,
    /// Which of its versions this is.
    pub version: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// Under which licence it is.
    pub licence: Option<String>,
    /// How media becomes tensors, for the guest to check and use. The tokenizer's file is read.
    pub input: Option<Value>,
    /// How tensors become an answer, for the guest to check and use. Labels are resolved.
    pub output: Option<Value>,
    /// What must be answered right before the model is written.
    pub examples: Vec<Example>,
}

/// One input with the answer that the model must give.
#[derive(Debug)]
pub struct Example {
    /// A media file, read by its extension: `.png`, `.jpg`, `.webp`, `.json`, `.ndjson`, `.csv`, `.txt`.
    pub input: PathBuf,
    /// The label that must come first.
    pub label: Option<String>,
    /// What the best score must be, within the tolerance.
    pub score: Option<f64>,
    /// How far the score may be off.
    pub tolerance: f64,
}

/// Why `model.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It, or a file that it names, cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file that it names is larger than any of its kind.
    #[error("{path} is larger than {max}")]
    TooLarge {
        /// The file.
        path: String,
        /// What it may have.
        max: Bytes,
    },
    /// It is no TOML, or has an unknown key.
    #[error("{0}")]
    Toml(String),
    /// The name cannot be part of a URL.
    #[error(
        "{} cannot be a model's name: use up to {max} letters, digits, '-', '_' and '.'",
        text::quoted(.0),
        max = limits::NAME_BYTES
    )]
    Name(String),
}

/// The file as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelToml {
    name: Option<String>,
    version: Option<String>,
    description: Option<String>,
    licence: Option<String>,
    input: Option<Value>,
    output: Option<Value>,
    #[serde(default)]
    example: Vec<ExampleToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExampleToml {
    input: PathBuf,
    label: Option<String>,
    score: Option<f64>,
    #[serde(default = "default_tolerance")]
    tolerance: f64,
}

fn default_tolerance() -> f64 {
    1e-3
}

impl ModelConfig {
    /// The configuration of a model: `explicit` if given, else `model.toml` beside the model if
    /// there is one, else only a name.
    ///
    /// # Errors
    /// A file cannot be read or does not say what it should.
    pub fn find(model: &Path, explicit: Option<&Path>) -> Result<Self, ConfigError> {
        let beside = model.with_file_name("model.toml");
        let path = explicit.or_else(|| beside.exists().then_some(&beside));
        let stem = model.file_stem().unwrap_or_default().to_string_lossy();
        let Some(path) = path else {
            return Self::resolve(ModelToml::default(), Path::new(""), &stem);
        };
        let mut config = Self::parse(&read_text(path)?, path, &stem)?;
        let dir = path.parent().unwrap_or(Path::new(""));
        if let Some(input) = &mut config.input {
            read_tokenizer(input, dir)?;
        }
        if let Some(output) = &mut config.output {
            read_labels(output, dir)?;
        }
        Ok(config)
    }

    /// What a configuration says that stands in the file `path`, for a model whose file is called
    /// `stem`. No file is read: labels and a tokenizer may still be the names of some.
    ///
    /// # Errors
    /// It has an unknown key, or a name that no model can have.
    pub fn parse(written: &str, path: &Path, stem: &str) -> Result<Self, ConfigError> {
        let toml = toml::from_str(written)
            .map_err(|error| ConfigError::Toml(text::toml_error(path, written, &error)))?;
        Self::resolve(toml, path.parent().unwrap_or(Path::new("")), stem)
    }

    fn resolve(toml: ModelToml, dir: &Path, stem: &str) -> Result<Self, ConfigError> {
        let example = |example: ExampleToml| Example {
            input: dir.join(example.input),
            label: example.label,
            score: example.score,
            tolerance: example.tolerance,
        };
        Ok(Self {
            name: check_name(toml.name.unwrap_or_else(|| url_safe(stem)))?,
            version: toml.version,
            description: toml.description,
            licence: toml.licence,
            input: toml.input,
            output: toml.output,
            examples: toml.example.into_iter().map(example).collect(),
        })
    }

    /// The labels of the output, if it has any.
    pub fn labels(&self) -> Vec<String> {
        let labels = self
            .output
            .as_ref()
            .and_then(|output| output.get("labels"))
            .and_then(Value::as_array);
        labels
            .into_iter()
            .flatten()
            .filter_map(|label| label.as_str().map(str::to_owned))
            .collect()
    }

    /// What the guest gets of it.
    pub(super) fn pipeline(&self) -> Value {
        let mut pipeline = json!({
            "name": self.name, "version": self.version, "description": self.description,
            "licence": self.licence, "input": self.input,
        });
        if let (Some(pipeline), Some(output)) = (pipeline.as_object_mut(), &self.output) {
            pipeline.insert("output".into(), output.clone());
        }
        pipeline
    }
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.display().to_string(),
        source,
    })
}

/// Replaces the name of a tokenizer's file by what stands in it.
fn read_tokenizer(input: &mut Value, dir: &Path) -> Result<(), ConfigError> {
    if let Some(Value::String(tokenizer)) = input.get_mut("tokenizer") {
        *tokenizer = read_bounded(&dir.join(&*tokenizer), limits::TOKENIZER_BYTES)?;
    }
    Ok(())
}

fn read_bounded(path: &Path, max: Bytes) -> Result<String, ConfigError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(max.0 + 1).read_to_string(&mut text));
    let path = path.display().to_string();
    match read {
        Ok(bytes) if bytes as u64 > max.0 => Err(ConfigError::TooLarge { path, max }),
        Ok(_) => Ok(text),
        Err(source) => Err(ConfigError::Read { path, source }),
    }
}

/// Replaces the name of a file of labels by the labels, one a line.
fn read_labels(output: &mut Value, dir: &Path) -> Result<(), ConfigError> {
    if let Some(labels) = output.get_mut("labels")
        && let Some(file) = labels.as_str()
    {
        let text = read_text(&dir.join(file))?;
        *labels = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
    }
    Ok(())
}

/// A file's name as a model's name: what a URL would not like becomes `-`.
fn url_safe(stem: &str) -> String {
    stem.chars()
        .map(|letter| {
            if model::is_name_letter(letter) {
                letter
            } else {
                '-'
            }
        })
        .collect()
}

fn check_name(name: String) -> Result<String, ConfigError> {
    if model::is_name(&name) {
        Ok(name)
    } else {
        Err(ConfigError::Name(name))
    }
}
