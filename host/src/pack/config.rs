//! `model.toml`: what the model's owner says about the model.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use glovebox_protocol::FIRST_VERSION;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use toml::Spanned;

use super::answer::Expected;
use super::assume::{self, Assumption, Table};
use super::loader::ClassNames;
use crate::limits::{self, Bytes};
use crate::{model, text};

/// What packing needs to know beside the ONNX file.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// What the model is called.
    pub name: String,
    /// Which of its versions this is; the first one, unless the file says otherwise.
    pub version: String,
    /// What it does.
    pub description: Option<String>,
    /// Under which licence it is.
    pub licence: Option<String>,
    /// The shapes of inputs that the model leaves open, for the guest to check and use.
    pub shapes: Option<Value>,
    /// How media becomes tensors, for the guest to check and use. The tokenizer's file is read.
    pub input: Option<Value>,
    /// How tensors become an answer, for the guest to check and use. Labels are resolved.
    pub output: Option<Value>,
    /// What must be answered right before the model is written.
    pub examples: Vec<Example>,
    /// What stands in `tokenizer.json` beside it, if that may be what `[input]` leaves out.
    pub tokenizer: Option<String>,
    /// Where its tables are written: the beginning of each, its file and line.
    tables: Vec<(&'static str, String)>,
}

/// The file that every model of texts has its tokenizer in.
const TOKENIZER: &str = "tokenizer.json";

/// One input with the answer that the model must give.
#[derive(Clone, Debug)]
pub struct Example {
    /// A media file, read by its extension: `.png`, `.jpg`, `.webp`, `.json`, `.ndjson`, `.csv`, `.tsv`, `.txt`.
    pub input: PathBuf,
    /// The label that must come first.
    pub label: Option<String>,
    /// What the best score must be, within the tolerance.
    pub score: Option<f64>,
    /// What the whole answer must be.
    pub answer: Option<Expected>,
    /// How far a number may be off.
    pub tolerance: f64,
}

/// Why `model.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It, or a file that it names, cannot be read.
    #[error("cannot read {path}: {}", text::unreadable(source))]
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
    /// The name cannot be part of a URL; where it is written, and what it is.
    #[error(
        "{place}{} cannot be a model's name: use up to {max} letters, digits, '-', '_' and '.'",
        text::quoted(name),
        max = limits::NAME_BYTES
    )]
    Name {
        /// Where it is written, if it is.
        place: String,
        /// The name.
        name: String,
    },
}

/// How keys are written that it cannot do without.
const SAMPLES: [(&str, &str); 1] = [("input", "input = \"<file>\"")];

/// The file as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelToml {
    name: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "version")]
    version: Option<String>,
    description: Option<String>,
    licence: Option<String>,
    shapes: Option<Spanned<Value>>,
    input: Option<Spanned<Value>>,
    output: Option<Spanned<Value>>,
    #[serde(default)]
    example: Vec<ExampleToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExampleToml {
    input: PathBuf,
    label: Option<String>,
    score: Option<f64>,
    answer: Option<Value>,
    #[serde(default = "default_tolerance")]
    tolerance: f64,
}

/// A version stands in paths, so there must be something of it.
fn version<'de, D: Deserializer<'de>>(version: D) -> Result<Option<String>, D::Error> {
    let version = String::deserialize(version)?;
    match version.is_empty() {
        true => Err(D::Error::custom("it is empty; leave it out for version 1")),
        false => Ok(Some(version)),
    }
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
        let Some(path) = path else {
            return Self::unwritten(model, &beside);
        };
        let mut config = Self::parse(&read_text(path)?, path, &stem(model))?;
        let dir = path.parent().unwrap_or(Path::new(""));
        if let Some(input) = &mut config.input {
            read_tokenizer(input, dir)?;
        }
        if let Some(output) = &mut config.output {
            read_labels(output, dir)?;
        }
        if config.input.as_ref().is_none_or(lacks_tokenizer) {
            config.tokenizer = find_tokenizer(dir);
        }
        Ok(config)
    }

    /// The configuration of a model for which the file `path` is not written yet: a name, and the
    /// tokenizer that lies there.
    ///
    /// # Errors
    /// The model's file has a name that no model can have.
    pub fn unwritten(model: &Path, path: &Path) -> Result<Self, ConfigError> {
        let dir = path.parent().unwrap_or(Path::new(""));
        let mut config = Self::resolve(ModelToml::default(), dir, &stem(model))?;
        config.tokenizer = find_tokenizer(dir);
        Ok(config)
    }

    /// What a configuration says that stands in the file `path`, for a model whose file is called
    /// `stem`. No file is read: labels and a tokenizer may still be the names of some.
    ///
    /// # Errors
    /// It has an unknown key, or a name that no model can have.
    pub fn parse(written: &str, path: &Path, stem: &str) -> Result<Self, ConfigError> {
        let toml: ModelToml = toml::from_str(written).map_err(|error| {
            ConfigError::Toml(text::toml_error(path, written, &error, &SAMPLES))
        })?;
        let place = |start| format!("{}:{}", path.display(), text::line(written, start));
        if let Some(name) = &toml.name
            && !model::is_name(name.get_ref())
        {
            let place = format!("{}: name: ", place(name.span().start));
            return Err(ConfigError::Name {
                place,
                name: name.get_ref().clone(),
            });
        }
        let tables = [
            ("shapes", &toml.shapes),
            ("[input]", &toml.input),
            ("[output]", &toml.output),
        ];
        let tables = tables.into_iter();
        let tables =
            tables.filter_map(|(name, table)| Some((name, place(table.as_ref()?.span().start))));
        let tables = tables.collect();
        let config = Self::resolve(toml, path.parent().unwrap_or(Path::new("")), stem)?;
        Ok(Self { tables, ..config })
    }

    /// Where the table is written that an error begins with.
    pub(super) fn place(&self, error: &str) -> Option<&str> {
        let mut tables = self.tables.iter();
        let table = tables.find(|(table, _)| error.starts_with(table));
        table.map(|(_, place)| place.as_str())
    }

    fn resolve(toml: ModelToml, dir: &Path, stem: &str) -> Result<Self, ConfigError> {
        let example = |example: ExampleToml| Example {
            input: dir.join(example.input),
            label: example.label,
            score: example.score,
            answer: example.answer.map(|answer| Expected::written(answer, dir)),
            tolerance: example.tolerance,
        };
        Ok(Self {
            name: match toml.name {
                Some(name) => name.into_inner(),
                None => check_name(url_safe(stem))?,
            },
            version: toml.version.unwrap_or_else(|| FIRST_VERSION.into()),
            description: toml.description,
            licence: toml.licence,
            shapes: toml.shapes.map(Spanned::into_inner),
            input: toml.input.map(Spanned::into_inner),
            output: toml.output.map(Spanned::into_inner),
            examples: toml.example.into_iter().map(example).collect(),
            tokenizer: None,
            tables: Vec::new(),
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

    /// The same with the names that the model itself gives to its classes, where `labels` is left out.
    pub(super) fn with_class_names(&self, names: &ClassNames, assumed: &[Assumption]) -> Self {
        let (mut named, pipeline) = (self.clone(), self.pipeline(assumed));
        let output = pipeline.get("output");
        let key = |key: &str| output.and_then(|output| output.get(key)?.as_str());
        let mut names = names.iter();
        let labels = names.find(|(tensor, _)| key("tensor") == Some(tensor));
        if let Some((_, labels)) = labels
            && key("kind") == Some("classification")
            && self.labels().is_empty()
        {
            let output = named.output.get_or_insert_with(|| json!({}));
            insert(output, "labels", json!(labels));
        }
        named
    }

    /// What the guest gets of it, and of what was assumed besides.
    pub(super) fn pipeline(&self, assumed: &[Assumption]) -> Value {
        let (mut input, mut output) = (self.input.clone(), self.output.clone());
        for Assumption {
            table, key, value, ..
        } in assumed
        {
            let table = match table {
                Table::Input => &mut input,
                Table::Output => &mut output,
            };
            let value = match *key {
                "tokenizer" => self.tokenizer.clone().into(),
                _ => value.clone(),
            };
            insert(table.get_or_insert_with(|| json!({})), key, value);
        }
        let mut pipeline = json!({
            "name": self.name, "version": self.version, "description": self.description,
            "licence": self.licence, "input": input,
        });
        let tables = [("shapes", self.shapes.clone()), ("output", output)];
        for (key, table) in tables {
            if let Some(table) = table {
                insert(&mut pipeline, key, table);
            }
        }
        pipeline
    }

    /// As much of it as shows the model's signature: how texts become tokens, on which a graph
    /// depends, with rows as short as they can be where it is not written how long they are.
    pub(super) fn sketch(&self) -> Value {
        let mut input = match &self.input {
            Some(input) if assume::is_whole(input) => Some(input.clone()),
            Some(input) => lacks_tokenizer(input).then(|| input.clone()),
            None => self.tokenizer.as_ref().map(|_| json!({ "kind": "text" })),
        };
        if let (Some(input), Some(tokenizer)) = (&mut input, &self.tokenizer) {
            insert(input, "tokenizer", tokenizer.as_str().into());
            if input.get("max_tokens").is_none() {
                insert(input, "max_tokens", limits::SKETCH_TOKENS.into());
            }
        }
        let sketch = Self {
            input,
            output: None,
            ..self.clone()
        };
        sketch.pipeline(&[])
    }
}

/// Tables are objects; what else somebody may have written stays for the guest to refuse.
fn insert(table: &mut Value, key: &str, value: Value) {
    if let Some(table) = table.as_object_mut() {
        table.insert(key.into(), value);
    }
}

fn stem(model: &Path) -> String {
    let stem = model.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn lacks_tokenizer(input: &Value) -> bool {
    input.get("kind").is_some_and(|kind| kind == "text") && input.get("tokenizer").is_none()
}

/// The tokenizer in a folder. One that cannot be read is none, for nobody has asked for it.
fn find_tokenizer(dir: &Path) -> Option<String> {
    read_bounded(&dir.join(TOKENIZER), limits::TOKENIZER_BYTES).ok()
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
        Err(ConfigError::Name {
            place: String::new(),
            name,
        })
    }
}
