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
    /// It is a stream, and its client has nothing to ask.
    Pause(Instant),
}

/// One request, from its headers until the last of its answer is handed to the connection.
pub(super) struct Ticket {
    activity: Arc<Activity>,
    number: u64,
}

/// The same request, for who answers it: tells when that waits for the client.
#[derive(Clone)]
pub(super) struct Pause {
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
        if crowded && doing.all_pause_since(now - limits::CROWDED_TIME) {
            return Some("its streams were idle");
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

impl Doing {
    /// Whether all requests are streams that have waited for their client since then.
    fn all_pause_since(&self, then: Instant) -> bool {
        let mut stages = self.requests.values();
        stages.all(|stage| matches!(stage, Stage::Pause(since) if *since <= then))
    }
}

impl Pause {
    /// From now on the stream waits for its client.
    pub(super) fn begin(&self) {
        self.set(Stage::Pause(Instant::now()));
    }

    /// Its client has sent something.
    pub(super) fn end(&self) {
        self.set(Stage::Work);
    }

    fn set(&self, stage: Stage) {
        if let Some(now) = self.activity.lock().requests.get_mut(&self.number) {
            *now = stage;
        }
    }
}

impl Ticket {
    /// For who answers the request.
    pub(super) fn pause(&self) -> Pause {
        Pause {
            activity: Arc::clone(&self.activity),
            number: self.number,
        }
    }

    /// The answer is there: from now on its client has to take it.
    pub(super) fn deliver(&self) {
        let delivery = Stage::Delivery(Transfer::new(limits::ANSWER_PACE));
        self.activity.lock().requests.insert(self.number, delivery);
    }

    /// There is no more of the answer yet: its client has taken all there is. A stream may have said
    /// meanwhile that it waits for its client.
    pub(super) fn work(&self) {
        let mut doing = self.activity.lock();
        if let Some(stage @ Stage::Delivery(_)) = doing.requests.get_mut(&self.number) {
            *stage = Stage::Work;
        }
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
