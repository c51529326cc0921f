//! Requests of one model put together, so that it runs once for several.
//!
//! Only their tensors are put together: each request keeps its permit, its deadline and its record.
//! A request begins at once while a compute thread has nothing of its model to do. Those that come
//! meanwhile are a group, which begins when an execution ends, when it is full, or when its first
//! request has waited for long enough. If the model fails for all together, it runs for each by
//! itself, so that a bad request fails alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use glovebox_protocol::Tensor;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Loaded;
use super::rows::{split, stack};
use crate::admission::Permit;
use crate::limits::{Batch, Bytes, Limits};
use crate::sandbox::call::{Answer, Call};
use crate::sandbox::invoke::{Fault, Finished, Usage};

/// Puts the requests of one model together.
pub struct Batcher {
    rules: Batch,
    /// What the inputs of one execution may take: they are there twice while it runs, and the memory
    /// of the instances that it saves is reserved.
    most: Bytes,
    /// As many executions leave no compute thread idle.
    threads: usize,
    groups: Mutex<Groups>,
}

#[derive(Default)]
struct Groups {
    /// Those that wait. There are none unless as many executions run as there are threads.
    open: Vec<Group>,
    /// How many there have been, which also numbers them.
    begun: u64,
    /// Executions that run.
    running: usize,
}

/// The right to run the model. When it ends, the oldest group has it.
pub struct Turn(Arc<Batcher>);

/// Takes seats that nobody sits on any more out of the groups.
struct Leaves<'a>(&'a Batcher);

/// Requests that will be one execution.
struct Group {
    number: u64,
    seats: Vec<Seat>,
    rows: u64,
    bytes: u64,
    /// Closed when it begins.
    _waits: oneshot::Sender<()>,
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
    /// For a model with these limits and rules, on so many compute threads.
    pub fn new(rules: Batch, limits: &Limits, threads: usize) -> Arc<Self> {
        Arc::new(Self {
            rules,
            most: Bytes(limits.memory.0 / 2),
            threads,
            groups: Mutex::default(),
        })
    }

    /// Whether others have room beside a request of so many rows.
    pub fn takes(&self, rows: u64) -> bool {
        rows < self.rules.max
    }

    /// The right to run it at once, if a thread has nothing of this model to do.
    pub fn turn(self: &Arc<Self>) -> Option<Turn> {
        let mut groups = lock(&self.groups);
        let is_idle = groups.running < self.threads;
        is_idle.then(|| {
            groups.running += 1;
            Turn(Arc::clone(self))
        })
    }

    /// Has a request wait for others, and gives it its share. Dropping the future gives the wait up,
    /// and what the request holds.
    pub async fn join(self: &Arc<Self>, member: Member) -> Option<Share> {
        // Dropped after the receiver is: then the seat can be told from others.
        let _leaves = Leaves(self);
        self.sit(member).await.ok()
    }

    fn sit(self: &Arc<Self>, member: Member) -> oneshot::Receiver<Share> {
        let (answer, receiver) = oneshot::channel();
        let seat = Seat {
            member,
            since: Instant::now(),
            answer,
        };
        let mut groups = lock(&self.groups);
        match groups.running < self.threads {
            // One has ended since this request has asked for a turn.
            true => self.begin(&mut groups, vec![seat]),
            false => self.gather(&mut groups, seat),
        }
        receiver
    }

    /// Puts a request into the group that it fits into. One that has no room for it begins.
    fn gather(self: &Arc<Self>, groups: &mut Groups, seat: Seat) {
        let mut group = match groups.take(|group| group.fits(&seat.member)) {
            Some(group) if group.has_room(&seat.member, self.rules.max, self.most) => group,
            Some(group) => {
                self.begin(groups, group.seats);
                self.open(groups)
            }
            None => self.open(groups),
        };
        group.push(seat);
        match group.rows >= self.rules.max {
            true => self.begin(groups, group.seats),
            false => groups.open.push(group),
        }
    }

    fn open(self: &Arc<Self>, groups: &mut Groups) -> Group {
        groups.begun += 1;
        let (waits, begins) = oneshot::channel();
        tokio::spawn(Arc::clone(self).hurry(groups.begun, begins));
        Group {
            number: groups.begun,
            seats: Vec::new(),
            rows: 0,
            bytes: 0,
            _waits: waits,
        }
    }

    /// Begins with a group that has waited for long enough.
    async fn hurry(self: Arc<Self>, number: u64, begins: oneshot::Receiver<()>) {
        if timeout(self.rules.delay, begins).await.is_ok() {
            return;
        }
        let mut groups = lock(&self.groups);
        if let Some(group) = groups.take(|group| group.number == number) {
            self.begin(&mut groups, group.seats);
        }
    }

    fn begin(self: &Arc<Self>, groups: &mut Groups, seats: Vec<Seat>) {
        groups.running += 1;
        tokio::spawn(Arc::clone(self).execute(seats));
    }

    /// Has its turn from its first step on: a runtime that ends drops it where it is spawned, and
    /// there the groups are locked.
    async fn execute(self: Arc<Self>, seats: Vec<Seat>) {
        let _turn = Turn(self);
        run(seats).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut groups = lock(&self.0.groups);
        groups.running = groups.running.saturating_sub(1);
        // More may run than there are threads: some could not wait any longer. And nothing begins
        // when the server ends.
        if groups.running < self.0.threads
            && Handle::try_current().is_ok()
            && let Some(group) = groups.oldest()
        {
            self.0.begin(&mut groups, group.seats);
        }
    }
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        // What they hold goes when the groups are no longer locked.
        let _left = lock(&self.0.groups).leave();
    }
}

impl Groups {
    /// Takes out the seats that nobody sits on any more, and groups without any.
    fn leave(&mut self) -> Vec<Seat> {
        let left = self.open.iter_mut().flat_map(Group::leave).collect();
        self.open.retain(|group| !group.seats.is_empty());
        left
    }

    /// Takes out a group.
    fn take(&mut self, wanted: impl Fn(&Group) -> bool) -> Option<Group> {
        let index = self.open.iter().position(wanted)?;
        Some(self.open.swap_remove(index))
    }

    /// Takes out the one that has waited for longest.
    fn oldest(&mut self) -> Option<Group> {
        let oldest = self.open.iter().map(|group| group.number).min()?;
        self.take(|group| group.number == oldest)
    }
}

impl Group {
    fn fits(&self, member: &Member) -> bool {
        let first = self.seats.first();
        first.is_some_and(|seat| seat.member.fits(member))
    }

    fn has_room(&self, member: &Member, rows: u64, bytes: Bytes) -> bool {
        self.rows.saturating_add(member.rows) <= rows
            && self.bytes.saturating_add(member.bytes()) <= bytes.0
    }

    fn leave(&mut self) -> Vec<Seat> {
        let left = self.seats.extract_if(.., |seat| seat.answer.is_closed());
        let left: Vec<_> = left.collect();
        for Seat { member, .. } in &left {
            self.rows = self.rows.saturating_sub(member.rows);
            self.bytes = self.bytes.saturating_sub(member.bytes());
        }
        left
    }

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
        return each(seats).await;
    }
    let stacked = stack(seats.iter().map(|seat| &*seat.member.inputs));
    let (Some(stacked), Some(first)) = (stacked, seats.first()) else {
        return each(seats).await;
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
        None => each(seats).await,
    }
}

/// Runs the model for each by itself.
async fn each(seats: Vec<Seat>) {
    let mut runs: JoinSet<()> = seats.into_iter().map(Seat::run_alone).collect();
    while runs.join_next().await.is_some() {}
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
