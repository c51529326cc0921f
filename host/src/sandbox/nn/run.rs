//! One run of a graph within a request's allowance, operator by operator.
//!
//! Nobody can interrupt an operator, so the limits are looked at between two of them: memory before
//! and after each, as far as sizes are known before; time once a tick, and then the thread is given
//! up, if it is another's turn.

use std::sync::Arc;
use std::time::Instant;

use glovebox_protocol::Tensor;

use crate::limits;
use crate::native::{Graph, RunError};
use crate::sandbox::allowance::{Allowance, Stop, yield_now};
use crate::sandbox::limiter::Charge;

/// What a graph is run on; it has been checked against the graph's signature.
pub(super) struct Inputs {
    pub(super) tensors: Vec<Tensor>,
    /// What they take.
    pub(super) charges: Vec<Charge>,
}

/// One tensor that came of it.
pub(super) struct Output {
    pub(super) tensor: Tensor,
    /// What it takes.
    pub(super) charge: Charge,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The request is over.
    #[error(transparent)]
    Stop(#[from] Stop),
    /// The run failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Runs a graph; its outputs in their order.
///
/// # Errors
/// A limit is met, or the run fails.
pub(super) async fn run(
    graph: Arc<dyn Graph>,
    inputs: Inputs,
    allowance: Arc<Allowance>,
) -> Result<Vec<Output>, Failure> {
    let mut held = Charge::new(&allowance.memory);
    let Inputs { tensors, charges } = inputs;
    hold(&mut held, bytes(&tensors))?;
    let mut run = graph.begin(&tensors)?;
    drop((tensors, charges));
    let mut since = Instant::now();
    while !run.is_done() {
        hold(&mut held, run.next_bytes())?;
        run.step(allowance.deadline)?;
        hold(&mut held, run.held_bytes())?;
        if since.elapsed() >= limits::TICK {
            allowance.check()?;
            yield_now().await;
            since = Instant::now();
        }
    }
    allowance.check()?;
    hold(&mut held, run.next_bytes())?;
    let outputs = run.outputs()?;
    // They are counted one by one from here on.
    hold(&mut held, 0)?;
    let output = |tensor: Tensor| -> Result<Output, Failure> {
        let mut charge = Charge::new(&allowance.memory);
        hold(&mut charge, tensor.data.len() as u64)?;
        Ok(Output { tensor, charge })
    };
    outputs.into_iter().map(output).collect()
}

fn bytes(tensors: &[Tensor]) -> u64 {
    tensors.iter().map(|tensor| tensor.data.len() as u64).sum()
}

fn hold(charge: &mut Charge, bytes: u64) -> Result<(), Stop> {
    match charge.resize(bytes) {
        true => Ok(()),
        false => Err(Stop::Memory),
    }
}
