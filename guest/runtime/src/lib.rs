//! The code inside every packed model that brings none of its own: what `[input]` and `[output]` of
//! `model.toml` ask for, around the engine. A guest as everybody can write one.

use glovebox_guest::{Answer, CallError, Config, Function, Model, Pipeline};

struct Standard(Pipeline);

impl Function for Standard {
    fn load(model: &Model, config: &Config) -> Result<Self, String> {
        config.pipeline(model).map(Self)
    }

    fn media(&self) -> Vec<String> {
        self.0.media()
    }

    fn predict(&self, model: &Model, content_type: &str, body: &[u8]) -> Result<Answer, CallError> {
        let prepared = self
            .0
            .prepare(&model.signature().inputs, content_type, body)?;
        let outputs = model.infer(&prepared.request)?;
        self.0.answer(&prepared, outputs)
    }
}

glovebox_guest::export!(Standard);
