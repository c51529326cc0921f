//! Every number that bounds something, with its reason. Nothing else defines one.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// How long guest code runs before the next tenant's turn; the grain of CPU limits.
pub const TICK: Duration = Duration::from_millis(1);

/// Largest request body; also bounds what is lowered into a guest.
pub const BODY_BYTES: u64 = 64 * MIB;
/// What a guest may return in one call.
pub const OUTPUT_BYTES: usize = (64 * MIB) as usize;
/// A request's header section; clients of the protocol send a few hundred bytes.
pub const HEADER_BYTES: usize = (16 * KIB) as usize;
/// From the first byte of a request to the end of its headers.
pub const HEADER_TIME: Duration = Duration::from_secs(10);
/// From the end of the headers to the end of the body.
pub const BODY_TIME: Duration = Duration::from_secs(30);
/// Open connections; each costs a header buffer and a file descriptor.
pub const CONNECTIONS: usize = 1024;
/// HTTP/2 requests in flight on one connection.
pub const STREAMS: u32 = 100;
/// How long a request waits for one of its component's permits.
pub const QUEUE_TIME: Duration = Duration::from_secs(5);
/// Requests waiting for a permit, for each permit that there is.
pub const QUEUE_PER_PERMIT: usize = 16;
/// Instances alive at once, over all components. Each reserves address space, not memory.
pub const INSTANCES: u32 = 256;
/// How long a client may use a connection that it has when draining begins.
pub const LINGER_TIME: Duration = Duration::from_millis(500);
/// Bodies from this size on are decoded and encoded off the network threads.
pub const HEAVY_BODY_BYTES: usize = (128 * KIB) as usize;
/// How long accepted requests may take to finish after SIGTERM.
pub const DRAIN_TIME: Duration = Duration::from_secs(30);

/// Core instances in one component: image, code and what composition adds.
pub const CORE_INSTANCES: u32 = 8;
/// Linear memories in one instance.
pub const MEMORIES: u32 = 2;
/// Tables in one instance.
pub const TABLES: u32 = 4;
/// Elements in one table; the runtime's has about 15,000 functions.
pub const TABLE_ELEMENTS: usize = 50_000;
/// Component-model handles in one store; a model function needs none.
pub const HANDLES: usize = 1_000;
/// Stack of guest code.
pub const GUEST_STACK_BYTES: usize = (512 * KIB) as usize;
/// Stack of a guest's fiber: the guest's own and what the host needs on top.
pub const FIBER_STACK_BYTES: usize = (2 * MIB) as usize;

/// A wasm file, which holds the weights. Core modules cannot be larger than 1 GiB.
pub const ARTIFACT_BYTES: u64 = GIB + 64 * MIB;
/// Memory that packing may use: the file, its parsed form, the weights and their packed form.
pub const PACK_MEMORY_BYTES: u64 = 4 * GIB - 64 * KIB;
/// CPU time that packing may use, for each of its two loads.
pub const PACK_CPU: Duration = Duration::from_secs(300);
/// CPU time of one example while packing; also of `glovebox run`.
pub const RUN_CPU: Duration = Duration::from_secs(60);
/// The longest name of a model; it is part of URLs.
pub const NAME_BYTES: usize = 64;
/// Bytes of guest text that are shown to anybody, control characters escaped.
pub const GUEST_TEXT_BYTES: usize = 400;

/// What one component may use; the table `[component.<id>.tool.glovebox]` of `spin.toml`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// All memories and tables of one instance together.
    pub memory: Bytes,
    /// CPU time of one request.
    pub cpu: Duration,
    /// From accepting a request to its answer.
    pub timeout: Duration,
    /// Requests of this component in the sandbox at once.
    pub concurrency: usize,
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

    /// The defaults for a component whose image has `image_bytes`.
    pub fn for_image(image_bytes: u64) -> Self {
        Self {
            memory: Bytes(image_bytes.saturating_add(Self::MEMORY_HEADROOM.0)),
            cpu: Self::CPU,
            timeout: Self::TIMEOUT,
            concurrency: Self::CONCURRENCY,
        }
    }

    /// For work that its owner waits for: packing, and one inference on the command line.
    pub fn generous(cpu: Duration) -> Self {
        Self {
            memory: Bytes(PACK_MEMORY_BYTES),
            cpu,
            timeout: cpu.saturating_mul(4).min(Self::LONGEST),
            concurrency: 1,
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            memory,
            cpu,
            timeout,
            concurrency,
        } = self;
        write!(
            f,
            "memory {memory}, cpu {cpu:?}, timeout {timeout:?}, concurrency {concurrency}"
        )
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

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<bytesize::ByteSize>()
            .map(|size| Self(size.as_u64()))
            .map_err(serde::de::Error::custom)
    }
}
