//! Scores as classes: the extension `classification`, where an output becomes the best of its
//! numbers, written `value:index` or `value:index:label`.

use std::cmp::Ordering;
use std::io::Write;

use crate::{Datatype, Error, Tensor};

/// The best `count` numbers of each row, best first, as a tensor of BYTES. The first dimension counts
/// rows, unless there is no other. The texts are taken from `room`, in bytes: they may be longer than
/// the numbers, and labels can have any length.
///
/// # Errors
///
/// [`Error::Classification`] for a tensor without numbers, or when there is no room.
pub fn classify(
    tensor: &Tensor,
    count: u32,
    labels: &[String],
    room: &mut usize,
) -> Result<Tensor, Error> {
    let problem = |problem: &str| Error::Classification {
        tensor: tensor.name.clone(),
        problem: problem.to_owned(),
    };
    let read = reader(tensor.datatype).ok_or_else(|| problem("BYTES have no classes"))?;
    let size = tensor.datatype.element_bytes().unwrap_or(1);
    let (rows, columns) = rows(tensor);
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(columns);
    // Labels of another output would be wrong names.
    let labels = match labels.len() == columns {
        true => labels,
        false => &[],
    };
    let mut data = Vec::new();
    for row in tensor
        .data
        .chunks_exact(columns.saturating_mul(size).max(1))
    {
        let number = |index: u32| {
            let start = (index as usize).saturating_mul(size);
            read(row.get(start..).unwrap_or_default())
        };
        for index in best(columns, count, number) {
            let text = class(tensor.datatype, number(index), index, labels);
            *room = room
                .checked_sub(text.len().saturating_add(4))
                .ok_or_else(|| problem("its classes are too long for an answer; ask for fewer"))?;
            // Shorter than the room, and so than 4 GiB.
            let _ = crate::push_element(&mut data, &text);
        }
    }
    let shape = match tensor.shape.len() {
        0 | 1 => vec![count as u64],
        _ => vec![rows, count as u64],
    };
    Tensor::new(&tensor.name, Datatype::Bytes, shape, data)
}

/// How many rows a tensor has and how many numbers in each.
fn rows(tensor: &Tensor) -> (u64, usize) {
    let elements = tensor.elements().unwrap_or(0);
    let rows = match tensor.shape.as_slice() {
        [] | [_] => 1,
        [rows, ..] => *rows,
    };
    let columns = elements.checked_div(rows).unwrap_or(0);
    (rows, usize::try_from(columns).unwrap_or(0))
}

/// The places of the largest numbers, largest first; of equal ones the first. Those that are no
/// number come last.
fn best(columns: usize, count: usize, number: impl Fn(u32) -> f64) -> Vec<u32> {
    let columns = u32::try_from(columns).unwrap_or(u32::MAX);
    let mut places: Vec<u32> = (0..columns).collect();
    let order =
        |one: &u32, other: &u32| descending(number(*one), number(*other)).then(one.cmp(other));
    if count < places.len() {
        places.select_nth_unstable_by(count, order);
        places.truncate(count);
    }
    places.sort_unstable_by(order);
    places
}

fn descending(one: f64, other: f64) -> Ordering {
    other
        .partial_cmp(&one)
        .unwrap_or_else(|| one.is_nan().cmp(&other.is_nan()))
}

fn class(datatype: Datatype, number: f64, index: u32, labels: &[String]) -> Vec<u8> {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = match datatype {
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64 => {
            write!(text, "{number:.6}:{index}")
        }
        _ => write!(text, "{number}:{index}"),
    };
    if let Some(label) = labels.get(index as usize) {
        text.push(b':');
        text.extend_from_slice(label.as_bytes());
    }
    text
}

/// Reads the number at the beginning of some bytes; those are whole elements.
fn reader(datatype: Datatype) -> Option<fn(&[u8]) -> f64> {
    fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.first_chunk().copied().unwrap_or([0; N])
    }
    Some(match datatype {
        Datatype::Bool | Datatype::Uint8 => |bytes| u8::from_le_bytes(first(bytes)).into(),
        Datatype::Uint16 => |bytes| u16::from_le_bytes(first(bytes)).into(),
        Datatype::Uint32 => |bytes| u32::from_le_bytes(first(bytes)).into(),
        Datatype::Uint64 => |bytes| u64::from_le_bytes(first(bytes)) as f64,
        Datatype::Int8 => |bytes| i8::from_le_bytes(first(bytes)).into(),
        Datatype::Int16 => |bytes| i16::from_le_bytes(first(bytes)).into(),
        Datatype::Int32 => |bytes| i32::from_le_bytes(first(bytes)).into(),
        Datatype::Int64 => |bytes| i64::from_le_bytes(first(bytes)) as f64,
        Datatype::Fp16 => |bytes| half(u16::from_le_bytes(first(bytes))),
        Datatype::Bf16 => |bytes| {
            let upper = u32::from(u16::from_le_bytes(first(bytes)));
            f32::from_bits(upper << 16).into()
        },
        Datatype::Fp32 => |bytes| f32::from_le_bytes(first(bytes)).into(),
        Datatype::Fp64 => |bytes| f64::from_le_bytes(first(bytes)),
        Datatype::Bytes => return None,
    })
}

/// The value of an IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    }
}
