//! What `model.toml` says to a guest.

use std::cell::RefCell;

use glovebox_image::while_doing;
use glovebox_onnx::Shapes;
use glovebox_pipeline::{About, CallError, Lengths, Pipeline};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::model::Model;

/// What `model.toml` says. The packer has read the files that it names: the labels of `[output]` are
/// a list.
pub struct Config {
    written: Map<String, Value>,
    /// The standard pipeline, until somebody asks for it: a tokenizer is built once.
    standard: RefCell<Option<Result<Pipeline, String>>>,
}

impl Config {
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, String> {
        let written = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let standard = RefCell::new(Some(Pipeline::read(&written)));
        Ok(Self { written, standard })
    }

    /// The table `[input]` as a type of the guest's; what the standard pipeline takes there is no
    /// concern of other guests. Without such a table it is an empty one.
    ///
    /// # Errors
    /// The table is not of this type.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, String> {
        self.table("input")
    }

    /// The table `[output]`, as [`Config::input`].
    ///
    /// # Errors
    /// The table is not of this type.
    pub fn output<T: DeserializeOwned>(&self) -> Result<T, String> {
        self.table("output")
    }

    /// The standard pre- and post-processing: what `[input]` and `[output]` mean without a guest of
    /// one's own.
    ///
    /// # Errors
    /// What is written wrong there, or does not fit the model.
    pub fn pipeline(&self, model: &Model) -> Result<Pipeline, String> {
        let read = self.standard.take();
        let mut pipeline = read.unwrap_or_else(|| Pipeline::read(&self.written))?;
        pipeline.name_classes(model.class_names());
        let signature = model.signature();
        pipeline.fit(&signature.inputs, &signature.outputs)?;
        probe(&pipeline, model)?;
        Ok(pipeline)
    }

    /// The lengths of rows that the standard pipeline asks for, if it is one of texts. Where it is
    /// none, that is said when the guest asks for it.
    pub(crate) fn lengths(&self) -> Option<Lengths> {
        self.standard.borrow().as_ref()?.as_ref().ok()?.lengths()
    }

    /// The shapes of inputs that the model leaves open.
    pub(crate) fn shapes(&self) -> Result<Shapes, String> {
        self.table("shapes")
    }

    /// What the model says of itself. Without its tables, every configuration is one of a standard
    /// pipeline.
    pub(crate) fn about(&self) -> Result<About, String> {
        let texts = self.written.iter().filter(|(_, value)| !value.is_object());
        let texts = texts.map(|(key, value)| (key.clone(), value.clone()));
        Ok(Pipeline::read(&texts.collect())?.about())
    }

    fn table<T: DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let table = self.written.get(name).filter(|table| !table.is_null());
        let table = table.cloned().unwrap_or_else(|| Map::new().into());
        T::deserialize(table).map_err(|error| format!("[{name}]: {error}"))
    }
}

/// Tries the largest that media can become. Where the engine panics over it, the note says what it
/// was.
fn probe(pipeline: &Pipeline, model: &Model) -> Result<(), String> {
    let unfit = |error: CallError| error.to_string();
    let Some(probe) = pipeline.probe(&model.signature().inputs).map_err(unfit)? else {
        return Ok(());
    };
    let about = format!("the model fails on {}", probe.about);
    let run = while_doing(&about, || model.run(probe.tensors));
    run.map(drop).map_err(|error| format!("{about}: {error}"))
}
