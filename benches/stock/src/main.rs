//! The worker of the engine `tract`: natively, without a sandbox.
//!
//! ```text
//! glovebox-bench-tract <model> <inputs>
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use glovebox_bench_stock::Model;
use glovebox_bench_worker::{Engine, Failure, Timed, read, serve, shapes, timed};
use tract_onnx::prelude::{TValue, TVec};

fn main() -> ExitCode {
    serve(load)
}

struct Native {
    model: Model,
    inputs: TVec<TValue>,
}

fn load() -> Result<Native, Failure> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(onnx), Some(inputs)) = (arguments.next(), arguments.next()) else {
        return Err("usage: glovebox-bench-tract <model> <inputs>".into());
    };
    let inputs = read(&inputs)?;
    let model = Model::load(&fs::read(onnx)?, &shapes(&inputs)).map_err(describe)?;
    let inputs = model.values(&inputs).map_err(describe)?;
    Ok(Native { model, inputs })
}

impl Engine for Native {
    fn infer(&mut self) -> Result<Timed, Failure> {
        let inputs = self.inputs.clone();
        let (outputs, times) = timed(|| self.model.run(inputs));
        let outputs = outputs.and_then(|outputs| self.model.tensors(outputs));
        Ok(Timed {
            outputs: outputs.map_err(describe)?,
            times,
        })
    }
}

/// With all its causes, in one line.
fn describe(error: tract_onnx::prelude::TractError) -> String {
    format!("{error:#}").replace('\n', " ")
}
