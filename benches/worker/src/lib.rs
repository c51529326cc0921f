//! What the benchmark's workers have in common: they answer the questions of
//! `benches/bench/worker.py` on standard input, and are timed alike.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to the benchmark by printing"
)]

mod engine;
mod tensors;

use std::io::{self, BufRead};
use std::process::ExitCode;

use serde_json::{Value, json};

pub use engine::{Engine, Failure, Timed, Times, timed};
pub use tensors::{Shape, read, shapes};

/// Loads an engine, says that it is ready, and answers until nobody asks any more.
pub fn serve<E: Engine>(load: impl FnOnce() -> Result<E, Failure>) -> ExitCode {
    match load().and_then(|mut engine| answer(&mut engine)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(engine: &mut impl Engine) -> Result<(), Failure> {
    println!("{{}}");
    for line in io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.split_once(' ') {
            Some(("run", times)) => run(engine, times.parse()?)?,
            Some(("outputs", file)) => {
                tensors::write(&engine.infer()?.outputs, file.as_ref())?;
                json!({})
            }
            _ => return Err(format!("unknown question {line:?}").into()),
        };
        println!("{answer}");
    }
    Ok(())
}

/// Nanoseconds of each inference, on the clock of the wall and on the process's own.
fn run(engine: &mut impl Engine, times: usize) -> Result<Value, Failure> {
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let Timed { times, .. } = engine.infer()?;
        wall.push(times.wall.as_nanos());
        cpu.push(times.cpu.as_nanos());
    }
    Ok(json!({ "wall": wall, "cpu": cpu }))
}
