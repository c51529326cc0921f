//! Glovebox as it serves: a fresh instance for each inference, under all limits.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use glovebox::compile::{self, Compiler};
use glovebox::limits::{self, Bytes, Limits};
use glovebox::model::package::Package;
use glovebox::model::{Deployer, Model, graphs};
use glovebox::sandbox::Sandbox;
use glovebox::sandbox::call::{Answer, Call};
use glovebox::sandbox::compute::Tenant;
use glovebox::worker::Worker;
use glovebox_bench_worker::{Engine, Failure, Timed, timed};
use glovebox_protocol::Tensor;
use tokio::runtime::{self, Runtime};

/// A deployed model.
pub(crate) struct Limited {
    runtime: Runtime,
    model: Model,
    inputs: Vec<Tensor>,
}

impl Limited {
    /// What `glovebox pack` made, with the file of its graph if it does not hold that.
    pub(crate) fn load(
        wasm: &Path,
        graph: Option<&Path>,
        inputs: Vec<Tensor>,
        deployer: &Deployer,
    ) -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let package = Package::open(wasm)?;
        let limits = Limits::for_image(package.image.0);
        let tenant = Tenant {
            name: "bench".into(),
            weight: 1,
        };
        let metadata = package.metadata.as_ref();
        let name = metadata.and_then(|metadata| Some(metadata.graph.as_ref()?.name.clone()));
        let files = graphs::Files {
            paths: name.zip(graph.map(Path::to_owned)).into_iter().collect(),
            ..Default::default()
        };
        let graphs = graphs::load(&files, metadata, deployer.compiler.worker())?;
        let model = deployer.deploy("bench", &package, graphs, tenant, limits);
        let model = runtime.block_on(model)?;
        Ok(Self {
            runtime,
            model,
            inputs,
        })
    }
}

/// As `glovebox up` makes one.
pub(crate) fn deployer(glovebox: &Path, cache: &Path, size: Bytes) -> Result<Deployer, Failure> {
    let sandbox = Sandbox::new(thread::available_parallelism()?.get())?;
    let worker = Worker {
        program: glovebox.into(),
        cache_dir: cache.into(),
        onnxruntime: None,
    };
    let budget = compile::budget(limits::COMPILE_CPU, Bytes(limits::COMPILE_MEMORY_BYTES));
    let compiler = Compiler::new(&sandbox, worker, size, budget)?;
    Ok(Deployer {
        sandbox,
        compiler: Arc::new(compiler),
    })
}

impl Engine for Limited {
    fn infer(&mut self) -> Result<Timed, Failure> {
        let call = Call::Infer(self.inputs.clone(), Vec::new());
        let deadline = Instant::now() + self.model.limits.timeout;
        let loaded = self.runtime.block_on(self.model.loaded(deadline))?;
        let invoke = || loaded.function.invoke(call, deadline, ());
        let (finished, times) = timed(|| self.runtime.block_on(invoke()));
        match finished.outcome? {
            Answer::Tensors(outputs) => Ok(Timed { outputs, times }),
            _ => Err("the answer is of another call".into()),
        }
    }
}
