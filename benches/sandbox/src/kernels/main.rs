//! The kernels alone: how much of the processor's peak they reach.
//!
//! Runs the module of `benches/kernels`, which is its only argument, and prints a table.

mod peak;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use glovebox_bench_worker::Failure;
use wasmtime::{Config, Engine, Instance, Module, Store};

/// Seconds of a turn: long enough for the clock, short enough for a busy machine.
const TURN_SECONDS: f64 = 0.05;
const TURNS: usize = 9;

#[allow(clippy::print_stderr, reason = "a command")]
fn main() -> ExitCode {
    let module = env::args_os().nth(1).map(PathBuf::from).unwrap_or_default();
    match measure(&module) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", module.display());
            ExitCode::FAILURE
        }
    }
}

/// Runs each work of the module in turns with the peak.
#[allow(clippy::print_stdout, reason = "a command")]
fn measure(module: &Path) -> Result<(), Failure> {
    let mut kernels = Kernels::load(module)?;
    println!("{:46} {:>9} {:>7}", "", "GFLOP/s", "of peak");
    for number in 0.. {
        let operations = kernels.start(number)?;
        if operations == 0.0 {
            break;
        }
        let (mut speeds, mut parts) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let peak = peak::flops(TURN_SECONDS);
            let speed = kernels.turn(operations)?;
            speeds.push(speed);
            parts.push(speed / peak);
        }
        let (name, speed, part) = (kernels.name()?, median(speeds) / 1e9, median(parts));
        println!("{name:46} {speed:9.1} {part:7.2}");
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// An instance of the module, interrupted by epochs as a guest of Glovebox is.
struct Kernels {
    store: Store<()>,
    instance: Instance,
}

impl Kernels {
    fn load(module: &Path) -> Result<Self, Failure> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, fs::read(module)?)?;
        let mut store = Store::new(&engine, ());
        // Nobody counts epochs here: only the checks cost something.
        store.set_epoch_deadline(1);
        let instance = Instance::new(&mut store, &module, &[])?;
        Ok(Self { store, instance })
    }

    fn start(&mut self, number: u32) -> Result<f64, Failure> {
        let start = self
            .instance
            .get_typed_func::<u32, f64>(&mut self.store, "start")?;
        Ok(start.call(&mut self.store, number)?)
    }

    fn name(&mut self) -> Result<String, Failure> {
        let number = |store: &mut Store<()>, name: &str| -> Result<u32, Failure> {
            let function = self.instance.get_typed_func::<(), u32>(&mut *store, name)?;
            Ok(function.call(store, ())?)
        };
        let at = number(&mut self.store, "name_at")?;
        let mut name = vec![0; number(&mut self.store, "name_bytes")? as usize];
        let memory = self.instance.get_memory(&mut self.store, "memory");
        let memory = memory.ok_or("the module exports no memory")?;
        memory.read(&self.store, at as usize, &mut name)?;
        Ok(String::from_utf8(name)?)
    }

    /// Operations in a second.
    fn turn(&mut self, operations: f64) -> Result<f64, Failure> {
        let run = self
            .instance
            .get_typed_func::<(), u32>(&mut self.store, "run")?;
        let (began, mut runs) = (Instant::now(), 0.0);
        while began.elapsed().as_secs_f64() < TURN_SECONDS {
            if run.call(&mut self.store, ())? == 0 {
                return Err("a kernel failed".into());
            }
            runs += 1.0;
        }
        Ok(runs * operations / began.elapsed().as_secs_f64())
    }
}
