//! Runs one model in a sandbox, as `benches/bench/worker.py` asks it on standard input.

mod component;
mod limited;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use glovebox::limits::Bytes;
use glovebox_bench_worker::{Engine, Failure, read, serve};

/// As the command has it.
#[global_allocator]
static ALLOCATOR: glovebox::allocator::Allocator = glovebox::allocator::Allocator;

/// Runs one model in a sandbox.
#[derive(Parser)]
struct Arguments {
    /// The engine
    engine: Name,
    /// The model: for `tract-wasm` an ONNX file, else what `glovebox pack` made of it
    model: PathBuf,
    /// Its inputs
    inputs: PathBuf,
    /// The module of `benches/stock`, for `tract-wasm`
    #[arg(long)]
    stock: PathBuf,
    /// The glovebox command, for `glovebox`
    #[arg(long)]
    glovebox: PathBuf,
    /// Where `glovebox` keeps machine code
    #[arg(long)]
    cache: PathBuf,
    /// How much of it
    #[arg(long)]
    cache_size: Bytes,
    /// The ONNX file, for `glovebox-native`
    #[arg(long)]
    graph: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    TractWasm,
    GloveboxBare,
    GloveboxEpochs,
    Glovebox,
    GloveboxNative,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    serve(|| load(&arguments))
}

fn load(arguments: &Arguments) -> Result<Box<dyn Engine>, Failure> {
    let (model, inputs) = (&arguments.model, read(&arguments.inputs)?);
    Ok(match arguments.engine {
        Name::TractWasm => Box::new(component::Plain::stock(&arguments.stock, model, inputs)?),
        Name::GloveboxBare => Box::new(component::Plain::packed(model, inputs, false)?),
        Name::GloveboxEpochs => Box::new(component::Plain::packed(model, inputs, true)?),
        Name::Glovebox | Name::GloveboxNative => {
            let (command, cache) = (&arguments.glovebox, &arguments.cache);
            let deployer = limited::deployer(command, cache, arguments.cache_size)?;
            let graph = arguments.graph.as_deref();
            Box::new(limited::Limited::load(model, graph, inputs, &deployer)?)
        }
    })
}
