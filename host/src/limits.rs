//! Every number that bounds something, with its reason. Nothing else defines one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::Visitor;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// How long guest code runs before the next tenant's turn; the grain of CPU limits.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without a guest, one after the other, after which there are none until the next guest. Few, for
/// each is a thread that wakes; not one, for the next guest has to wake it by a system call.
pub const IDLE_TICKS: u32 = 4;

/// By how much compute threads are nicer than others: enough that Linux lets a thread that wakes
/// run before them, and a fair share remains for guests on a machine that does other work too.
pub const COMPUTE_NICE: i32 = 5;

/// The same for the threads that run operators of graphs, which nobody can interrupt: a thread of a
/// guest gets three times as much as one of them where both want the same core.
pub const NATIVE_NICE: i32 = 10;
/// Plans of one graph for inputs of different shapes, where there is none for all: as many as a model
/// of 512 tokens has lengths of rows, and some more. Weights that are equal they have in common.
pub const GRAPH_PLANS: usize = 16;
/// The largest size of an input of such a graph: what the engine computes of sizes while it prepares a
/// plan is not counted, and may be a matrix of so many rows and columns, 64 MiB of FP32.
pub const GRAPH_SIZE: u64 = 4096;

/// What a byte of a body can become on the host: itself and its tensor. `1,` is an FP64 of 8 bytes.
pub const BYTES_PER_BODY_BYTE: u64 = 1 + 4;
/// What a byte of output can become on the host: itself and its JSON. A BOOL is `false,`.
pub const BYTES_PER_OUTPUT_BYTE: u64 = 1 + 6;
/// What a request takes besides, at most: names and shapes of as many tensors as the protocol takes,
/// and the store of an instance.
pub const REQUEST_BYTES: u64 = 2 * MIB;
/// The part of the available memory that requests may take. The rest is for connections, files in
/// the page cache and what the allocator does not give back.
pub const MEMORY_PERCENT: u64 = 80;
/// Memory is reserved in steps of this, so that a semaphore can count it.
pub const MEMORY_STEP: Bytes = Bytes(MIB);
/// A refused request's body up to this length is taken and dropped, so that the connection can go
/// on and the client sees the answer.
pub const DISCARD_BYTES: u64 = 256 * KIB;
/// How long a refusal waits for the rest of such a body.
pub const DISCARD_TIME: Duration = Duration::from_millis(250);
/// A request's header section; clients of the protocol send a few hundred bytes.
pub const HEADER_BYTES: usize = (16 * KIB) as usize;
/// From the first byte of a request to the end of its headers.
pub const HEADER_TIME: Duration = Duration::from_secs(10);
/// A body arrives while its request holds a permit. The grace is for small bodies whose packets
/// get lost; the largest body needs 2 MiB/s.
pub const BODY_PACE: Pace = Pace {
    grace: Duration::from_secs(3),
    bytes_per_second: 16 * KIB,
    whole: Duration::from_secs(30),
};
/// An answer holds memory while its client takes it.
pub const ANSWER_PACE: Pace = Pace {
    grace: Duration::from_secs(5),
    bytes_per_second: 64 * KIB,
    whole: Duration::from_secs(120),
};
/// What the system buffers of an answer (Linux doubles it). By default it takes megabytes at once,
/// and whether the client takes them cannot be seen.
pub const SEND_BUFFER_BYTES: usize = (256 * KIB) as usize;
/// What is handed to a connection of an answer at once.
pub const SLICE_BYTES: usize = (64 * KIB) as usize;
/// Open connections; each costs a header buffer and a file descriptor.
pub const CONNECTIONS: usize = 1024;
/// Connections that the system holds ready while there is no permit for them.
pub const BACKLOG: u32 = 1024;
/// File descriptors that are no connections: the listener, the log, what the system needs.
pub const SPARE_DESCRIPTORS: usize = 64;
/// How long a connection may be without a request. (HTTP/1 waits for headers: `HEADER_TIME`.)
pub const IDLE_TIME: Duration = Duration::from_secs(30);
/// The same while it is crowded.
pub const CROWDED_TIME: Duration = Duration::from_secs(2);
/// It is crowded while less than one over this of all connections is free, so that newcomers find
/// room although silent clients come again and again.
pub const CROWDED_PART: usize = 4;
/// How often a connection is looked at.
pub const WATCH_TIME: Duration = Duration::from_millis(500);
/// HTTP/2 requests in flight on one connection.
pub const STREAMS: u32 = 100;
/// What a client may send of one HTTP/2 request before it is read: the protocol's own default.
pub const STREAM_WINDOW_BYTES: u32 = (64 * KIB) as u32;
/// The same for all requests of one connection.
pub const CONNECTION_WINDOW_BYTES: u32 = MIB as u32;
/// HTTP/2 streams that a client may reset before they are served, at once. Clients cancel requests,
/// but not that fast.
pub const RESET_STREAMS: usize = 20;
/// HTTP/2 streams that may break the protocol's rules in the life of one connection.
pub const WRONG_STREAMS: usize = 100;
/// What is read of a gRPC message to find out which model it is for, before there is a permit: its
/// first two fields, which every library writes first.
pub const GRPC_BEGINNING_BYTES: usize = (4 * KIB) as usize;
/// A gRPC message that is no inference: names, versions and parameters, no more than headers may have.
pub const GRPC_MESSAGE_BYTES: Bytes = Bytes(16 * KIB);
/// How long a stream of gRPC may wait for its client's next message, or to have something to tell it.
/// nginx ends streams of gRPC after as long.
pub const GRPC_IDLE_TIME: Duration = Duration::from_secs(60);
/// Tensors in one gRPC message: as many as in one of JSON.
pub const GRPC_TENSORS: usize = 1024;
/// Parameters in one gRPC message: as many as in one of JSON.
pub const GRPC_PARAMETERS: usize = 256;
/// How long a request waits for one of its component's permits.
pub const QUEUE_TIME: Duration = Duration::from_secs(5);
/// How long a request that was put together with others waits behind its deadline for its bill: a
/// guest that runs over it is stopped within some ticks.
pub const BATCH_GRACE: Duration = Duration::from_millis(20);
/// Numbers of rows in one execution that statistics tell apart; clients choose the rows.
pub const BATCH_SIZES: usize = 64;
/// The body of a call to the model repository, from a client that knows the operator's token.
pub const REPOSITORY_BODY: Bytes = Bytes(64 * KIB);
/// How long such a call may take to arrive, and a model to be loaded by it.
pub const REPOSITORY_TIME: Duration = Duration::from_secs(60);
/// The shortest token that opens it; one of random letters is out of reach of guessing.
pub const TOKEN_BYTES: usize = 16;
/// Requests waiting for a permit, for each permit that there is.
pub const QUEUE_PER_PERMIT: usize = 16;
/// The longest that a refused client is told to stay away: by then everything has changed.
pub const RETRY_TIME: Duration = Duration::from_secs(30);
/// One over the part of the host that a tenant may hold while there are others.
pub const TENANT_SHARE: u32 = 2;
/// Instances alive at once, over all components. Each reserves address space, not memory.
pub const INSTANCES: u32 = 256;
/// How long a client may use a connection that it has when draining begins.
pub const LINGER_TIME: Duration = Duration::from_millis(500);
/// Answers up to this size are not compressed: they fit into one packet as they are.
pub const PLAIN_BYTES: usize = KIB as usize;
/// Bodies from this size on are decoded and encoded off the network threads.
pub const HEAVY_BODY_BYTES: usize = (128 * KIB) as usize;
/// How long accepted requests may take to finish after SIGTERM.
pub const DRAIN_TIME: Duration = Duration::from_secs(30);

/// Core instances in one component: image, code, what composition adds, and the libraries of
/// languages that bring a runtime. CPython, as componentize-py 0.25 makes a guest of it, has 38.
pub const CORE_INSTANCES: u32 = 64;
/// Linear memories in one instance: a model's, and those of components around it.
pub const MEMORIES: u32 = 4;
/// Tables in one instance: each of those has one, and one for what it imports.
pub const TABLES: u32 = 8;
/// Elements in one table; the runtime's has about 15,000 functions.
pub const TABLE_ELEMENTS: usize = 50_000;
/// What stays in memory of a table between two instances: all of the runtime's.
pub const KEPT_TABLE_BYTES: usize = (128 * KIB) as usize;
/// What stays in memory of a fiber's stack: most guests use less.
pub const KEPT_STACK_BYTES: usize = (16 * KIB) as usize;
/// Component-model handles in one store; a model function needs none.
pub const HANDLES: usize = 1_000;
/// Stack of guest code.
pub const GUEST_STACK_BYTES: usize = (512 * KIB) as usize;
/// Stack of a guest's fiber: the guest's own and what the host needs on top.
pub const FIBER_STACK_BYTES: usize = (2 * MIB) as usize;

/// What an HTTP component's request takes besides, at most: its header fields, the pieces of bodies
/// on their way and the buffers of its calls, each bounded below.
pub const HTTP_REQUEST_BYTES: u64 = 12 * MIB;
/// Resources of WASI that one instance has at once: requests, bodies, streams, header fields; and,
/// counted by themselves, graphs, tensors and errors of `wasi:nn`.
pub const RESOURCES: usize = 256;
/// The header fields of one request or answer that a guest makes, as they lie in memory.
pub const FIELDS_BYTES: usize = (16 * KIB) as usize;
/// What a guest writes of a body at once; two such pieces are on their way.
pub const BODY_CHUNK_BYTES: usize = (16 * KIB) as usize;
/// What is kept for the log of a guest's standard output and error.
pub const CONSOLE_BYTES: usize = (4 * KIB) as usize;
/// Random bytes that a guest gets at once.
pub const RANDOM_BYTES: u64 = 64 * KIB;
/// Calls of one instance to other hosts at once.
pub const OUTBOUND_CALLS: usize = 16;
/// What is read ahead of the answer to such a call.
pub const OUTBOUND_BUFFER_BYTES: usize = (64 * KIB) as usize;
/// From a host's name to a connection with it.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// A wasm file, which holds the weights. Core modules cannot be larger than 1 GiB.
pub const ARTIFACT_BYTES: u64 = GIB + 64 * MIB;
/// What is looked at of a file to tell what it is: pickles name their library among their first lines.
pub const KIND_BYTES: usize = (4 * KIB) as usize;
/// Where the first key of a JSON text ends, at the latest, by which it is recognised.
pub const FIRST_KEY_BYTES: usize = 32;
/// A tokenizer's file; those of a quarter of a million tokens have 20 MB.
pub const TOKENIZER_BYTES: Bytes = Bytes(64 * MIB);
/// Memory that packing may use: the file, its parsed form, the weights and their packed form.
pub const PACK_MEMORY_BYTES: u64 = 4 * GIB - 64 * KIB;
/// Pages of 64 KiB that a packed model has behind its image and what its graph needs, for what a
/// request needs besides. To grow a memory, and to shrink it for the next instance, changes the
/// protection of pages, which stops the process's other threads; most models need neither.
pub const HEADROOM_PAGES: u64 = 16;
/// CPU time that packing may use, for each of its two loads.
pub const PACK_CPU: Duration = Duration::from_secs(300);
/// CPU time of one example while packing; also of `glovebox run`.
pub const RUN_CPU: Duration = Duration::from_secs(60);
/// CPU time that compiling a component may use, over all threads; the runtime takes 30 s.
pub const COMPILE_CPU: Duration = Duration::from_secs(180);
/// Memory that compiling may use, beside four times the component itself.
pub const COMPILE_MEMORY_BYTES: u64 = 2 * GIB;
/// Machine code of one component; it is some times larger than its wasm.
pub const COMPILED_BYTES: u64 = 4 * GIB;
/// Threads that compile what somebody waits for: the runtime, and others' code for `pack` and `run`. To
/// serve, others' code gets one.
pub const URGENT_COMPILE_THREADS: usize = 4;
/// How long a worker may wait for a busy machine, beside four times its CPU time.
pub const WORKER_WAIT: Duration = Duration::from_secs(600);
/// CPU time of a worker before its job begins: a process and an engine.
pub const WORKER_START_CPU: Duration = Duration::from_secs(10);
/// Memory of a worker beside its job's.
pub const WORKER_OWN_BYTES: u64 = 512 * MIB;
/// What is read of a worker's standard error.
pub const WORKER_LOG_BYTES: u64 = 64 * KIB;
/// What Linux maps at once where a file lies in memory in such pieces: machine code that has less is not
/// read ahead.
pub const HUGE_PAGE: Bytes = Bytes(2 * MIB);
/// How long to wait for another process that compiles the same: longer than it can take.
pub const CACHE_LOCK_TIME: Duration = Duration::from_secs(4 * 180 + 600 + 60);
/// How often to ask whether it is done.
pub const CACHE_LOCK_POLL: Duration = Duration::from_millis(20);
/// When half-written files in the cache are nobody's any more.
pub const CACHE_LEFTOVER_TIME: Duration = Duration::from_secs(3600);

/// Blocks of memory from this size on are made of huge pages: the system's allocator maps each of
/// them by itself from here on, whatever was allocated before.
pub const HUGE_BLOCK_BYTES: usize = (32 * MIB) as usize;

/// Addresses that a pool reserves at the least: a memory of 4 GiB for each that there can be.
pub const POOL_BYTES: usize = INSTANCES as usize * MEMORIES as usize * (4 * GIB) as usize;

/// Open files for each model: the file of the image that its instances map, and the one that it is
/// loaded from on demand.
pub const DESCRIPTORS_PER_MODEL: usize = 2;
/// What is read of a packed model's file to register it: its metadata, and where its image begins.
pub const GLANCE_BYTES: u64 = 256 * KIB;
/// Models that are loaded at once, on demand: loading keeps a core busy, and others wait for it.
pub const LOADS: usize = 2;
/// What loading takes at its height, in images: the file, three steps of compiling it, the result.
pub const LOAD_COPIES: u64 = 5;
/// How long a model that could not be loaded is not tried again: reading it can be dear.
pub const FAILED_LOAD_TIME: Duration = Duration::from_secs(5);
/// What edge platforms take of a component: `glovebox pack --profile edge`. The numbers are those of
/// Akamai Functions, "Quotas and limits".
pub const EDGE_COMPONENT: Bytes = Bytes(50 * MIB);
/// The memory that they give to one request.
pub const EDGE_MEMORY: Bytes = Bytes(128 * MIB);
/// Sections of a packed model, or of a composition of one with its front: they have some forty. A
/// file with more is read as any other component.
pub const LAYOUT_SECTIONS: usize = 256;
/// The HTTP front of Glovebox, of this version or another one; it has half of that.
pub const FRONT_BYTES: u64 = MIB;
/// What is read of a shared code module to see that it has no memory of its own: its types, imports
/// and the numbers of its functions.
pub const CODE_HEAD_BYTES: u64 = 512 * KIB;
/// Components inside components in one file: a model in a composition in a composition.
pub const COMPONENT_DEPTH: usize = 8;
/// Names that are made up for columns or labels, which a person has to read and change.
pub const GUESSED_NAMES: i64 = 256;
/// Tokens of the rows with which a model of texts is loaded to see its signature.
pub const SKETCH_TOKENS: u64 = 16;
/// Columns of a drafted `model.toml`; an editor has room for them.
pub const DRAFT_COLUMNS: usize = 100;
/// Tensors of a signature that a drafted `model.toml` shows, for a person to read.
pub const DRAFTED_TENSORS: usize = 64;
/// The longest name of a model; it is part of URLs.
pub const NAME_BYTES: usize = 64;
/// Ports that the wall allows one by one; who may call more of them may call all.
pub const NAMED_PORTS: usize = 16;

/// What the input of an example may have to be kept in the packed file, to be shown and tried: a record,
/// a sentence, a small picture. It is part of a command that people paste.
pub const PACKED_EXAMPLE_BYTES: usize = KIB as usize;
/// How long nothing may change before `watch` looks at what has: editors and compilers write files in
/// pieces.
pub const QUIET_TIME: Duration = Duration::from_millis(100);
/// How long `watch` waits for that at most.
pub const UNREST_TIME: Duration = Duration::from_secs(2);
/// Models that `up` shows a command for; more would hide the rest of what it says.
pub const SHOWN_COMMANDS: usize = 5;
/// Elements of a tensor in such a command: some lines of a terminal.
pub const SHOWN_ELEMENTS: u64 = 64;

/// Room in the memory of a model whose inputs have fixed sizes, beside what its request took and half as
/// much again: the input and the output as they come and go, and what the allocator cannot use.
pub const CLOSED_ROOM: Bytes = Bytes(16 * MIB);
/// The same for a model that takes any number of rows, beside four times what its request took: the
/// largest body by default, as rows of JSON in memory, has some six times its size.
pub const OPEN_ROOM: Bytes = Bytes(96 * MIB);
/// The same for a model that takes pictures: a photograph of 12 megapixels, decoded, twice.
pub const PICTURE_ROOM: Bytes = Bytes(128 * MIB);
/// As small as any of these becomes where memory is short.
pub const LEAST_ROOM: Bytes = Bytes(4 * MIB);
/// The smallest default of `body` and `output`.
pub const LEAST_BODY: Bytes = Bytes(MIB);
/// The longest number of JSON, `-2.2250738585072014e-308,`.
pub const JSON_NUMBER_BYTES: u64 = 25;
/// Requests that should fit at once before limits that nobody has written become smaller: one that is slow
/// should not keep all others waiting.
pub const WANTED_CONCURRENCY: usize = 2;

/// Models that the description of the paths has an example for; with thousands nobody could read it.
pub const EXAMPLES: usize = 50;
/// Elements of a tensor in such an example; pictures would be a hundred times the description.
pub const EXAMPLE_ELEMENTS: u64 = 256;
/// Clients of `bench` at a fixed rate; when all wait for answers, requests are late, and counted so.
pub const BENCH_CLIENTS: usize = 64;
/// How long `bench` waits for an answer.
pub const BENCH_TIME: Duration = Duration::from_secs(60);
/// What `bench` sends at most before it measures: connections, caches, a model loaded on demand.
pub const BENCH_WARM_UP: Duration = Duration::from_secs(2);
/// How long a client of `bench` waits before it tries to connect again.
pub const BENCH_RETRY_TIME: Duration = Duration::from_millis(100);
/// How finely `bench` keeps a rate: about what the system's sleep can.
pub const BENCH_PACE_TIME: Duration = Duration::from_micros(50);
/// The highest rate of `bench`: far beyond what one machine sends.
pub const BENCH_RATE: f64 = 1e6;
/// The shortest and the longest time that `bench` measures.
pub const BENCH_SHORTEST: Duration = Duration::from_millis(100);
/// See above.
pub const BENCH_LONGEST: Duration = Duration::from_secs(3600);
/// Elements of a tensor that `bench` makes up.
pub const BENCH_ELEMENTS: u64 = 16 * MIB;

/// How fast bytes must move.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What may pass before any has moved, and the longest pause.
    pub grace: Duration,
    /// What must move on average.
    pub bytes_per_second: u64,
    /// What may pass until all have moved.
    pub whole: Duration,
}

/// What one component may use; the table `[component.<id>.tool.glovebox]` of `spin.toml`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// All memories and tables of one instance together.
    pub memory: Bytes,
    /// CPU time of one request.
    pub cpu: Duration,
    /// Instructions of one request, the same on every machine; counting them costs time, so they
    /// are only counted where a budget is given.
    pub fuel: Option<u64>,
    /// From accepting a request to its answer.
    pub timeout: Duration,
    /// Requests of this component in the sandbox at once.
    pub concurrency: usize,
    /// The body of one request; also bounds what is lowered into the guest.
    pub body: Bytes,
    /// What the guest may return in one call, or as the body of its answer.
    pub output: Bytes,
    /// What the host itself takes for a request, at most; follows from what kind of component it is.
    pub own: Bytes,
    /// Whether requests are put together, and how many.
    pub batch: Option<Batch>,
}

/// How requests of one model are put together.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { max = 8 }")]
pub struct Batch {
    /// Rows of one execution, of all its requests.
    pub max: u64,
    /// How long a request waits at most while its model works for others.
    #[serde(default = "Batch::default_delay", with = "humantime_serde")]
    pub delay: Duration,
}

impl Batch {
    /// The largest `max`: a larger one would wait for more requests than there can be.
    pub const ROWS: u64 = 1024;
    /// The longest `delay`. A request waits only while its model runs for others on all cores.
    pub const LONGEST_DELAY: Duration = Duration::from_secs(10);

    /// About the time of a small model.
    fn default_delay() -> Duration {
        Duration::from_millis(2)
    }
}

impl Limits {
    /// Default of `memory`, on top of the model's own image.
    pub const MEMORY_HEADROOM: Bytes = Bytes(256 * MIB);
    /// Default of `cpu`.
    pub const CPU: Duration = Duration::from_secs(10);
    /// Default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
    /// The largest `cpu` and `timeout`: nobody waits longer, and clocks end far behind it.
    pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    /// Default of `concurrency`.
    pub const CONCURRENCY: usize = 8;
    /// Default of `body`: some ten pictures of 224 x 224 as numbers of JSON.
    pub const BODY: Bytes = Bytes(16 * MIB);
    /// Default of `output`.
    pub const OUTPUT: Bytes = Bytes(16 * MIB);

    /// The defaults for a component whose image has `image_bytes`.
    pub fn for_image(image_bytes: u64) -> Self {
        Self {
            memory: Bytes(image_bytes.saturating_add(Self::MEMORY_HEADROOM.0)),
            cpu: Self::CPU,
            fuel: None,
            timeout: Self::TIMEOUT,
            concurrency: Self::CONCURRENCY,
            body: Self::BODY,
            output: Self::OUTPUT,
            own: Bytes(REQUEST_BYTES),
            batch: None,
        }
    }

    /// The most memory that one request can take, whatever its client and its guest do; in whole
    /// steps.
    pub fn footprint(&self) -> Bytes {
        let body = self.body.0.saturating_mul(BYTES_PER_BODY_BYTE);
        let output = self.output.0.saturating_mul(BYTES_PER_OUTPUT_BYTE);
        let parts = [self.memory.0, body, output, self.fixed().0];
        let bytes = parts.into_iter().fold(0, u64::saturating_add);
        Bytes(bytes.div_ceil(MEMORY_STEP.0).saturating_mul(MEMORY_STEP.0))
    }

    /// The limits of so many requests that are one execution. Memory is not among them: what the
    /// others have reserved is for their tensors.
    pub fn for_requests(&self, requests: u32) -> Self {
        let times = u64::from(requests);
        Self {
            cpu: self.cpu.saturating_mul(requests),
            fuel: self.fuel.map(|fuel| fuel.saturating_mul(times)),
            output: Bytes(self.output.0.saturating_mul(times)),
            ..self.clone()
        }
    }

    /// The part of the footprint that no key changes: the stack, and what the host needs.
    pub fn fixed(&self) -> Bytes {
        Bytes((FIBER_STACK_BYTES as u64).saturating_add(self.own.0))
    }

    /// For work that its owner waits for: packing, and one inference on the command line.
    pub fn generous(cpu: Duration) -> Self {
        Self {
            memory: Bytes(PACK_MEMORY_BYTES),
            cpu,
            fuel: None,
            timeout: cpu.saturating_mul(4).min(Self::LONGEST),
            concurrency: 1,
            body: Bytes(64 * MIB),
            output: Bytes(64 * MIB),
            own: Bytes(REQUEST_BYTES),
            batch: None,
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            memory,
            cpu,
            fuel,
            timeout,
            concurrency,
            body,
            output,
            own: _,
            batch,
        } = self;
        write!(f, "memory {memory}, cpu {cpu:?}, ")?;
        if let Some(fuel) = fuel {
            write!(f, "fuel {fuel}, ")?;
        }
        write!(
            f,
            "timeout {timeout:?}, concurrency {concurrency}, body {body}, output {output}"
        )?;
        match batch {
            Some(Batch { max, delay }) => write!(f, ", batch up to {max} rows within {delay:?}"),
            None => Ok(()),
        }
    }
}

/// A number of bytes, written `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Eq, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            GIB.. => (GIB, "GiB"),
            MIB.. => (MIB, "MiB"),
            KIB.. => (KIB, "KiB"),
            _ => return write!(f, "{} B", self.0),
        };
        let tenths = (u128::from(self.0) * 10).div_ceil(u128::from(unit));
        match tenths % 10 {
            0 => write!(f, "{} {name}", tenths / 10),
            tenth => write!(f, "{}.{tenth} {name}", tenths / 10),
        }
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.parse::<bytesize::ByteSize>();
        size.map(|size| Self(size.as_u64())).map_err(|_| {
            format!("{text:?} is no size: write a number and KiB, MiB or GiB, such as \"64MiB\"")
        })
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(BytesVisitor)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64MiB\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
        text.parse().map_err(E::custom)
    }
}
