//! Limits of a component for which nobody has written any, from what its file tells about it.
//!
//! What the file tells was measured when the model was packed, but anybody can write a file: it makes a
//! default smaller than that of a component of which nothing is known, never larger.

use glovebox_protocol::{Signature, TensorSpec, element_count};

use super::metadata::{Measured, Metadata};
use crate::limits::{self, Bytes, Limits};

/// What a component needs at least, and what is usual.
pub struct Defaults {
    /// What its memory has before a request, and what its own examples took.
    taken: u64,
    memory: Room,
    body: Room,
    output: Room,
}

/// Room for what clients may send: as much as is usual, or less where memory is short.
#[derive(Clone, Copy)]
struct Room {
    least: u64,
    usual: u64,
}

impl Room {
    fn reduced(self, divisor: u64) -> u64 {
        let part = self.usual.checked_div(divisor);
        part.unwrap_or_default().max(self.least)
    }
}

impl Defaults {
    /// By how much room is divided, step by step, until requests fit into the memory that there is.
    pub const DIVISORS: [u64; 5] = [1, 2, 4, 8, 16];

    /// Those of a component with this image.
    pub fn of(image: Bytes, metadata: Option<&Metadata>) -> Self {
        let unknown = Self {
            taken: image.0,
            memory: Room {
                least: limits::LEAST_ROOM.0,
                usual: Limits::MEMORY_HEADROOM.0,
            },
            body: open(limits::LEAST_BODY.0, Limits::BODY),
            output: open(limits::LEAST_BODY.0, Limits::OUTPUT),
        };
        let known = metadata.and_then(|metadata| Some((metadata.memory?, &metadata.signature)));
        let Some((measured, signature)) = known else {
            return unknown;
        };
        Self {
            memory: memory(image, measured, signature),
            body: body(signature),
            output: output(signature),
            ..unknown
        }
    }

    /// The limits with room divided by this.
    pub fn limits(&self, divisor: u64) -> Limits {
        let memory = self.taken.saturating_add(self.memory.reduced(divisor));
        Limits {
            memory: Bytes(memory),
            body: Bytes(self.body.reduced(divisor)),
            output: Bytes(self.output.reduced(divisor)),
            ..Limits::for_image(0)
        }
    }
}

/// Behind the image: what the examples took there, and room for other requests.
fn memory(image: Bytes, measured: Measured, signature: &Signature) -> Room {
    let more = measured.peak_bytes.saturating_sub(image.0);
    let request = measured.request_bytes;
    let has_pictures = signature
        .media
        .iter()
        .any(|kind| kind.starts_with("image/"));
    let (share, room) = match () {
        () if has_pictures => (request.saturating_mul(4), limits::PICTURE_ROOM),
        () if is_open(signature) => (request.saturating_mul(4), limits::OPEN_ROOM),
        () => (request / 2, limits::CLOSED_ROOM),
    };
    let most = Limits::MEMORY_HEADROOM.0;
    let sum = |room: Bytes| {
        let parts = [more, share, room.0];
        parts.into_iter().fold(0, u64::saturating_add).min(most)
    };
    let least = more.saturating_add(limits::LEAST_ROOM.0).min(most);
    Room {
        least,
        usual: sum(room).max(least),
    }
}

fn body(signature: &Signature) -> Room {
    let least = written(&signature.inputs);
    match is_open(signature) {
        true => open(least, Limits::BODY),
        false => closed(least, Limits::BODY),
    }
}

fn output(signature: &Signature) -> Room {
    let least = written(&signature.outputs);
    match signature.outputs.iter().any(has_open_size) {
        true => open(least, Limits::OUTPUT),
        false => closed(least, Limits::OUTPUT),
    }
}

fn open(least: u64, usual: Bytes) -> Room {
    Room {
        least: least.min(usual.0),
        usual: usual.0,
    }
}

fn closed(least: u64, most: Bytes) -> Room {
    let least = least.min(most.0);
    Room {
        least,
        usual: least,
    }
}

/// Whether requests may be of any size: by their tensors, or as records, texts or pictures.
fn is_open(signature: &Signature) -> bool {
    !signature.media.is_empty() || signature.inputs.iter().any(has_open_size)
}

fn has_open_size(spec: &TensorSpec) -> bool {
    let is_open = spec.shape.iter().any(|size| *size < 0);
    is_open || spec.datatype.element_bytes().is_none()
}

/// The most that tensors take as JSON, open sizes being 1; in whole steps.
fn written(specs: &[TensorSpec]) -> u64 {
    let elements = specs.iter().map(|spec| {
        let size = |size: &i64| u64::try_from(*size).unwrap_or(1);
        let shape: Vec<_> = spec.shape.iter().map(size).collect();
        element_count(&shape).unwrap_or(u64::MAX)
    });
    let numbers = elements.fold(0, u64::saturating_add);
    let bytes = numbers.saturating_mul(limits::JSON_NUMBER_BYTES);
    let step = limits::LEAST_BODY.0;
    bytes.div_ceil(step).max(1).saturating_mul(step)
}
