//! Requests of one model put together, so that it runs once for several.
//!
//! Only their tensors are put together: each request keeps its permit, its deadline and its record.
//! A request that comes first waits for others for a moment, unless it is alone. If the model fails
//! for all together, it runs for each by itself, so that a bad request fails alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use glovebox_protocol::Tensor;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::Loaded;
use super::rows::{split, stack};
use crate::admission::{Gate, Permit};
use crate::limits::{Batch, Bytes, Limits};
use crate::sandbox::call::{Answer, Call};
use crate::sandbox::invoke::{Fault, Finished, Usage};

/// Puts the requests of one model together.
pub struct Batcher {
    rules: Batch,
    /// What the inputs of one execution may take: they are there twice while it runs, and the memory
    /// of the instances that it saves is reserved.
    most: Bytes,
    groups: Mutex<Groups>,
}

#[derive(Default)]
struct Groups {
    open: Vec<Group>,
    /// How many there have been, which also numbers them.
    begun: u64,
}

/// Requests that will be one execution.
struct Group {
    number: u64,
    seats: Vec<Seat>,
    rows: u64,
    bytes: u64,
    /// Told when there is nobody to wait for.
    full: Arc<Notify>,
}

/// A request, and who waits for its answer.
pub struct Member {
    /// The tensors, all with as many rows.
    pub inputs: Vec<Tensor>,
    /// The outputs that are wanted; none means all.
    pub outputs: Vec<String>,
    /// Its rows.
    pub rows: u64,
    /// When its answer must be there.
    pub deadline: Instant,
    /// What it holds while an instance works for it.
    pub held: Arc<(Permit, Arc<Loaded>)>,
}

/// A member in a group.
struct Seat {
    member: Member,
    since: Instant,
    answer: oneshot::Sender<Share>,
}

/// A request's part of an execution.
pub struct Share {
    /// The answer with its part of the cost.
    pub finished: Finished<Answer>,
    /// The rows of the execution, for one of its requests.
    pub execution: Option<u64>,
}

impl Batcher {
    /// For a model with these limits and rules.
    pub fn new(rules: Batch, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            rules,
            most: Bytes(limits.memory.0 / 2),
            groups: Mutex::default(),
        })
    }

    /// Whether a request of so many rows waits for others: not if it fills an execution by itself, or
    /// if nobody else asks this model.
    pub fn takes(&self, rows: u64, gate: &Gate) -> bool {
        rows < self.rules.max && gate.running() > 1
    }

    /// Adds a request to those that wait. Dropping the receiver gives it up.
    pub fn join(self: &Arc<Self>, member: Member, gate: &Gate) -> oneshot::Receiver<Share> {
        let (answer, receiver) = oneshot::channel();
        let seat = Seat {
            member,
            since: Instant::now(),
            answer,
        };
        let mut groups = lock(&self.groups);
        let index = match groups.find(&seat.member, self.rules.max, self.most) {
            Some(index) => index,
            None => groups.open(Arc::clone(self)),
        };
        if let Some(group) = groups.open.get_mut(index) {
            group.push(seat);
            // Who holds a permit and is not here is working or still sends its body.
            if group.rows >= self.rules.max || group.seats.len() >= gate.running() {
                group.full.notify_one();
            }
        }
        receiver
    }

    /// The life of a group.
    async fn collect(self: Arc<Self>, number: u64, full: Arc<Notify>) {
        let _ = timeout(self.rules.delay, full.notified()).await;
        let seats = lock(&self.groups).close(number);
        run(seats).await;
    }
}

impl Groups {
    /// The group that a request fits into. One that is nearly full makes room for a new one.
    fn find(&mut self, member: &Member, max: u64, most: Bytes) -> Option<usize> {
        let fits = |group: &Group| {
            group
                .seats
                .first()
                .is_some_and(|seat| seat.member.fits(member))
        };
        let index = self.open.iter().position(fits)?;
        let group = self.open.get(index)?;
        let rows = group.rows.saturating_add(member.rows);
        let bytes = group.bytes.saturating_add(member.bytes());
        if rows <= max && bytes <= most.0 {
            return Some(index);
        }
        let group = self.open.swap_remove(index);
        tokio::spawn(run(group.seats));
        None
    }

    fn open(&mut self, batcher: Arc<Batcher>) -> usize {
        self.begun += 1;
        let (number, full) = (self.begun, Arc::new(Notify::new()));
        tokio::spawn(batcher.collect(number, Arc::clone(&full)));
        self.open.push(Group {
            number,
            seats: Vec::new(),
            rows: 0,
            bytes: 0,
            full,
        });
        self.open.len() - 1
    }

    fn close(&mut self, number: u64) -> Vec<Seat> {
        let index = self.open.iter().position(|group| group.number == number);
        let group = index.map(|index| self.open.swap_remove(index));
        group.map_or(Vec::new(), |group| group.seats)
    }
}

impl Group {
    fn push(&mut self, seat: Seat) {
        self.rows = self.rows.saturating_add(seat.member.rows);
        self.bytes = self.bytes.saturating_add(seat.member.bytes());
        self.seats.push(seat);
    }
}

impl Member {
    /// Whether both can be one execution: they differ in their rows only.
    fn fits(&self, other: &Self) -> bool {
        let same = |(one, other): (&Tensor, &Tensor)| {
            one.name == other.name && one.shape.get(1..) == other.shape.get(1..)
        };
        self.outputs == other.outputs
            && self.inputs.len() == other.inputs.len()
            && self.inputs.iter().zip(&other.inputs).all(same)
    }

    fn bytes(&self) -> u64 {
        let lengths = self.inputs.iter().map(|input| input.data.len() as u64);
        lengths.fold(0, u64::saturating_add)
    }
}

/// Runs the model for all whose clients are still there.
async fn run(mut seats: Vec<Seat>) {
    seats.retain(|seat| !seat.answer.is_closed());
    if seats.len() < 2 {
        return each(seats);
    }
    let stacked = stack(seats.iter().map(|seat| &*seat.member.inputs));
    let (Some(stacked), Some(first)) = (stacked, seats.first()) else {
        return each(seats);
    };
    let outputs = first.member.outputs.clone();
    let deadlines = seats.iter().map(|seat| seat.member.deadline);
    let deadline = deadlines.max().unwrap_or(first.member.deadline);
    let held: Vec<_> = seats
        .iter()
        .map(|seat| Arc::clone(&seat.member.held))
        .collect();
    let loaded = Arc::clone(&first.member.held.1);
    let (start, call) = (Instant::now(), Call::Infer(stacked, outputs));
    let requests = u32::try_from(seats.len()).unwrap_or(u32::MAX);
    let finished = tokio::select! {
        finished = loaded.function.invoke_for(requests, call, deadline, held) => finished,
        () = all_gone(&mut seats) => return,
    };
    drop(loaded);
    match shares(&seats, finished, start) {
        Some(shares) => {
            for (seat, share) in seats.into_iter().zip(shares) {
                seat.send(share);
            }
        }
        None => each(seats),
    }
}

/// Runs the model for each by itself.
fn each(seats: Vec<Seat>) {
    for seat in seats {
        tokio::spawn(seat.run_alone());
    }
}

/// Ends when nobody waits for an answer any more.
async fn all_gone(seats: &mut [Seat]) {
    for seat in seats {
        seat.answer.closed().await;
    }
}

impl Seat {
    async fn run_alone(mut self) {
        let Member {
            inputs,
            outputs,
            rows,
            deadline,
            held,
        } = self.member;
        let (waited, call) = (self.since.elapsed(), Call::Infer(inputs, outputs));
        let loaded = Arc::clone(&held.1);
        let finished = tokio::select! {
            finished = loaded.function.invoke(call, deadline, held) => finished,
            () = self.answer.closed() => return,
        };
        let Finished { outcome, mut usage } = finished;
        usage.queue += waited;
        // Who asked may have gone in this very moment.
        let _ = self.answer.send(Share {
            finished: Finished { outcome, usage },
            execution: Some(rows),
        });
    }

    /// What the request holds goes before its answer does: that counts who has its memory.
    fn send(self, share: Share) {
        drop(self.member);
        let _ = self.answer.send(share);
    }
}

/// Each request's part of what came of all. None if it should be tried one by one: the fault may be
/// that of one of them.
fn shares(seats: &[Seat], finished: Finished<Answer>, start: Instant) -> Option<Vec<Share>> {
    let Finished { outcome, usage } = finished;
    let rows: Vec<_> = seats.iter().map(|seat| seat.member.rows).collect();
    let parts: Vec<Result<Vec<Tensor>, Fault>> = match outcome {
        Ok(Answer::Tensors(outputs)) => split(&outputs, &rows)?.into_iter().map(Ok).collect(),
        Err(Fault::Timeout) => rows.iter().map(|_| Err(Fault::Timeout)).collect(),
        Err(Fault::Exhausted) => rows.iter().map(|_| Err(Fault::Exhausted)).collect(),
        _ => return None,
    };
    let mut execution = Some(rows.iter().sum());
    // Who is gone counts nothing any more: the others bear it.
    let there = seats.iter().filter(|seat| !seat.answer.is_closed());
    let there = there.count();
    let mut shares = Vec::with_capacity(parts.len());
    for (seat, part) in seats.iter().zip(parts) {
        let mut usage = part_of(&usage, there);
        usage.queue += start.saturating_duration_since(seat.since);
        shares.push(Share {
            finished: Finished {
                outcome: part.map(Answer::Tensors),
                usage,
            },
            execution: execution.take_if(|_| !seat.answer.is_closed()),
        });
    }
    Some(shares)
}

/// One of so many equal parts of what was used up; what passed has passed for each of them.
fn part_of(usage: &Usage, parts: usize) -> Usage {
    let parts = u32::try_from(parts).unwrap_or(u32::MAX).max(1);
    Usage {
        cpu: usage.cpu / parts,
        native: usage.native / parts,
        fuel: usage.fuel / u64::from(parts),
        ..*usage
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
