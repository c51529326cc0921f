//! What a connection is doing, so that none is held without end.
//!
//! At every moment a connection works on requests, which have deadlines of their own, delivers
//! answers, which must keep their pace, or is idle, which has a limit. hyper has none of these but
//! the time of an HTTP/1 header.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pace::Transfer;
use crate::limits;

/// One connection's requests.
pub(super) struct Activity {
    now: Mutex<Doing>,
}

struct Doing {
    requests: HashMap<u64, Stage>,
    /// How many there have been, which also numbers them.
    begun: u64,
    /// When the last request ended, or when the connection was opened.
    idle_since: Instant,
}

/// How far a request is.
enum Stage {
    /// Its handler works on it.
    Work,
    /// Its client takes the answer.
    Delivery(Transfer),
}

/// One request, from its headers until the last of its answer is handed to the connection.
pub(super) struct Ticket {
    activity: Arc<Activity>,
    number: u64,
}

impl Activity {
    /// A connection without requests.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(Doing {
                requests: HashMap::new(),
                begun: 0,
                idle_since: Instant::now(),
            }),
        })
    }

    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>) -> Ticket {
        let mut doing = self.lock();
        doing.begun += 1;
        let number = doing.begun;
        doing.requests.insert(number, Stage::Work);
        Ticket {
            activity: Arc::clone(self),
            number,
        }
    }

    /// Why the connection must be closed, if it must. `crowded` says that others need its place.
    pub(super) fn fault(&self, crowded: bool) -> Option<&'static str> {
        let (now, doing) = (Instant::now(), self.lock());
        if doing.requests.is_empty() {
            let idle = now.saturating_duration_since(doing.idle_since);
            return (idle >= doing.patience(crowded)).then_some("it was idle");
        }
        let late =
            |stage: &Stage| matches!(stage, Stage::Delivery(transfer) if transfer.due() <= now);
        let late = doing.requests.values().any(late);
        late.then_some("its client took an answer too slowly")
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doing {
    /// How long the connection may be idle.
    fn patience(&self, crowded: bool) -> Duration {
        match (crowded, self.begun) {
            (true, _) => limits::CROWDED_TIME,
            (false, 0) => limits::HEADER_TIME,
            (false, _) => limits::IDLE_TIME,
        }
    }
}

impl Ticket {
    /// The answer is there: from now on its client has to take it.
    pub(super) fn deliver(&self) {
        let delivery = Stage::Delivery(Transfer::new(limits::ANSWER_PACE));
        self.activity.lock().requests.insert(self.number, delivery);
    }

    /// There is no more of the answer yet: its client has taken all there is.
    pub(super) fn work(&self) {
        let mut doing = self.activity.lock();
        doing.requests.insert(self.number, Stage::Work);
    }

    /// So many bytes more of the answer were taken.
    pub(super) fn taken(&self, bytes: usize) {
        let mut doing = self.activity.lock();
        match doing.requests.get_mut(&self.number) {
            Some(Stage::Delivery(transfer)) => transfer.moved(bytes),
            Some(stage) => *stage = Stage::Delivery(Transfer::new(limits::ANSWER_PACE)),
            None => {}
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut doing = self.activity.lock();
        doing.requests.remove(&self.number);
        doing.idle_since = Instant::now();
    }
}
