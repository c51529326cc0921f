//! What a request may use, for whatever works for it: its guest, and the host on its guest's behalf.

use std::any::Any;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::compute::{Compute, Tenant};
use super::limiter::Account;
use super::meter::Meter;

/// Why a request is stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// Its CPU time is used up.
    #[error("cpu limit")]
    Cpu,
    /// Its time is over.
    #[error("deadline")]
    Deadline,
    /// It may have no more memory.
    #[error("memory limit")]
    Memory,
    /// What ran a graph for it panicked, and said so.
    #[error("the engine of graphs panicked: {0}")]
    Engine(String),
    /// A thread that worked for it gave it up.
    #[error("the work on a graph was lost")]
    Lost,
}

/// What one request may use, and what it has used.
pub(super) struct Allowance {
    /// All memory of its instance and of what works for it.
    pub(super) memory: Arc<Account>,
    /// CPU time on all threads.
    pub(super) meter: Arc<Meter>,
    /// The part of it that is not the guest's own code.
    pub(super) native_meter: Arc<Meter>,
    pub(super) cpu: Duration,
    pub(super) deadline: Instant,
    pub(super) tenant: Tenant,
    /// The threads for what is not the guest's own code.
    pub(super) native: Arc<Compute>,
    /// What is given back when nobody works for the request any more.
    pub(super) _permit: Box<dyn Any + Send + Sync>,
}

impl Allowance {
    /// Whether it may go on; asked from within a slice.
    ///
    /// # Errors
    /// A limit on time is met.
    pub(super) fn check(&self) -> Result<(), Stop> {
        if self.meter.spent_in_slice() >= self.cpu {
            Err(Stop::Cpu)
        } else if Instant::now() >= self.deadline {
            Err(Stop::Deadline)
        } else {
            Ok(())
        }
    }

    /// Has work done on a thread for what is not the guest's own code, and waits for it. Dropping
    /// this ends the work the next time that it yields.
    ///
    /// # Errors
    /// It was lost.
    pub(super) async fn native<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Stop> {
        let (sender, receiver) = oneshot::channel();
        let meter = Arc::clone(&self.native_meter);
        let held = Arc::clone(self);
        let work = async move {
            let result = work.await;
            // The request goes on elsewhere before this slice has ended.
            held.native_meter.book();
            result
        };
        self.meter.book();
        self.native
            .submit(self.tenant.clone(), meter, until_closed(work, sender));
        receiver.await.map_err(|_| Stop::Lost)
    }
}

/// Lets others have the thread, if their turn is before.
pub(super) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| match mem::replace(&mut yielded, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Sends the result, or stops as soon as nobody waits for it.
pub(super) async fn until_closed<T>(work: impl Future<Output = T>, mut sender: oneshot::Sender<T>) {
    let mut work = std::pin::pin!(work);
    let result = poll_fn(|context| {
        if sender.poll_closed(context).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    });
    if let Some(result) = result.await {
        // The receiver may have gone in this very moment.
        let _ = sender.send(result);
    }
}
