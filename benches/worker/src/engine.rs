//! An engine with a model, and what an inference takes.

use std::time::{Duration, Instant};

use glovebox_protocol::Tensor;
use rustix::time::{ClockId, clock_gettime};

/// What went wrong, in one line.
pub type Failure = Box<dyn std::error::Error>;

/// A loaded model with its inputs.
pub trait Engine {
    /// One inference.
    ///
    /// # Errors
    /// The engine fails.
    fn infer(&mut self) -> Result<Timed, Failure>;
}

impl<E: Engine + ?Sized> Engine for Box<E> {
    fn infer(&mut self) -> Result<Timed, Failure> {
        (**self).infer()
    }
}

/// The outputs of an inference and what it took.
pub struct Timed {
    /// All outputs.
    pub outputs: Vec<Tensor>,
    /// From tensors in memory to tensors in memory.
    pub times: Times,
}

/// What an inference took.
pub struct Times {
    /// As a caller sees it.
    pub wall: Duration,
    /// Of all threads of the process.
    pub cpu: Duration,
}

/// Calls `infer` between two looks at the clocks.
pub fn timed<T>(infer: impl FnOnce() -> T) -> (T, Times) {
    let (wall, cpu) = (Instant::now(), cpu_time());
    let answer = infer();
    let times = Times {
        wall: wall.elapsed(),
        cpu: cpu_time().saturating_sub(cpu),
    };
    (answer, times)
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(time.tv_sec.unsigned_abs(), nanoseconds)
}
