//! The runtime of a packed model: its code and its tail, which others share, whoever's they are.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use blake3::{Hash, Hasher};

use super::layout::{Layout, ReadAt, read};
use super::runtime;
use crate::limits;

/// A runtime, told from others by the digest of its bytes. Those stay where they are until somebody
/// wants them, once for each digest.
#[derive(Clone)]
pub struct Runtime {
    digest: Hash,
    place: Place,
}

#[derive(Clone)]
enum Place {
    /// In this program.
    Embedded,
    File(Arc<File>, Layout),
    Memory(Arc<Parts<'static>>),
}

/// The bytes of a runtime.
#[derive(Clone)]
pub struct Parts<'a> {
    /// A core module that imports its memory.
    pub code: Cow<'a, [u8]>,
    /// The sections behind it.
    pub tail: Cow<'a, [u8]>,
}

static EMBEDDED: LazyLock<Hash> = LazyLock::new(|| Parts::EMBEDDED.digest());

impl Parts<'static> {
    const EMBEDDED: Self = Self {
        code: Cow::Borrowed(runtime::CODE),
        tail: Cow::Borrowed(runtime::TAIL),
    };
}

impl Parts<'_> {
    fn digest(&self) -> Hash {
        let mut hasher = begin(self.code.len() as u64);
        hasher.update(&self.code).update(&self.tail);
        hasher.finalize()
    }
}

/// A hasher for a runtime with code of this length, so that code and tail cannot be taken for each
/// other.
fn begin(code: u64) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(&code.to_le_bytes());
    hasher
}

impl Runtime {
    /// The runtime of this host, which packs models that bring no guest of their own.
    pub fn embedded() -> Self {
        Self {
            digest: *EMBEDDED,
            place: Place::Embedded,
        }
    }

    /// A runtime in a file, which is read once, piece by piece.
    pub(super) fn in_file(file: &Arc<File>, layout: &Layout) -> io::Result<Self> {
        let digest = digest(&**file, layout)?;
        let place = Place::File(Arc::clone(file), layout.clone());
        Ok(Self { digest, place }.known())
    }

    /// A runtime in memory; its bytes are copied unless they are this host's own.
    pub(super) fn in_memory(bytes: &[u8], layout: &Layout) -> io::Result<Self> {
        let (digest, embedded) = (digest(bytes, layout)?, Self::embedded());
        if digest == embedded.digest {
            return Ok(embedded);
        }
        let parts = Parts {
            code: read(bytes, &layout.code)?.into(),
            tail: read(bytes, &layout.tail)?.into(),
        };
        let place = Place::Memory(Arc::new(parts));
        Ok(Self { digest, place })
    }

    fn known(self) -> Self {
        match self.is_embedded() {
            true => Self::embedded(),
            false => self,
        }
    }

    /// What tells it from others: BLAKE3 of code and tail.
    pub fn digest(&self) -> Hash {
        self.digest
    }

    /// Whether it is the runtime of this host.
    pub fn is_embedded(&self) -> bool {
        self.digest == *EMBEDDED
    }

    /// Its bytes, with the digest that it is known by.
    ///
    /// # Errors
    /// The file cannot be read, or has changed since.
    pub fn parts(&self) -> io::Result<Cow<'_, Parts<'static>>> {
        let (file, layout) = match &self.place {
            Place::Embedded => return Ok(Cow::Owned(Parts::EMBEDDED)),
            Place::Memory(parts) => return Ok(Cow::Borrowed(parts)),
            Place::File(file, layout) => (file, layout),
        };
        let parts = Parts {
            code: read(&**file, &layout.code)?.into(),
            tail: read(&**file, &layout.tail)?.into(),
        };
        match parts.digest() == self.digest {
            true => Ok(Cow::Owned(parts)),
            false => Err(io::Error::other("the file changed while it was read")),
        }
    }
}

fn digest(source: &(impl ReadAt + ?Sized), layout: &Layout) -> io::Result<Hash> {
    let mut hasher = begin(layout.code.end - layout.code.start);
    for range in [&layout.code, &layout.tail] {
        for piece in pieces(range) {
            hasher.update(&read(source, &piece)?);
        }
    }
    Ok(hasher.finalize())
}

fn pieces(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let (end, step) = (range.end, limits::SLICE_BYTES);
    (range.start..end)
        .step_by(step)
        .map(move |start| start..end.min(start + step as u64))
}
