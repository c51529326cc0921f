//! The typed lists in which a tensor's elements can come: which one is for which datatype, and how its
//! elements become bytes.

use glovebox_protocol::{Datatype, push_element};

use super::super::field::{Fields, Malformed, Value};

/// The list for one datatype.
pub(super) struct List {
    datatype: Datatype,
    /// The number of its field in `InferTensorContents`.
    field: u64,
}

/// Why a list is not read.
pub(super) enum Problem {
    /// It is no list.
    Malformed,
    /// It is another list than the tensor's, or holds what it cannot hold.
    Data(String),
}

impl From<Malformed> for Problem {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Names of the lists, by the numbers of their fields.
const NAMES: [&str; 8] = [
    "bool_contents",
    "int_contents",
    "int64_contents",
    "uint_contents",
    "uint64_contents",
    "fp32_contents",
    "fp64_contents",
    "bytes_contents",
];

impl List {
    /// None for what is only sent raw.
    pub(super) fn of(datatype: Datatype) -> Option<Self> {
        let field = match datatype {
            Datatype::Bool => 1,
            Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => 2,
            Datatype::Int64 => 3,
            Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => 4,
            Datatype::Uint64 => 5,
            Datatype::Fp32 => 6,
            Datatype::Fp64 => 7,
            Datatype::Bytes => 8,
            Datatype::Fp16 | Datatype::Bf16 => return None,
        };
        Some(Self { datatype, field })
    }

    /// The elements as bytes, of which there are `most` at most. Fewer are found by whoever compares
    /// them with the shape.
    pub(super) fn read(&self, contents: &[u8], most: u64) -> Result<Vec<u8>, Problem> {
        // A number of eight bytes can stand in one; whatever the shape claims.
        let possible = (contents.len() as u64).saturating_mul(8).min(most);
        let mut data = Vec::with_capacity(usize::try_from(possible).unwrap_or(0));
        for field in Fields::new(contents) {
            let (number, value) = field?;
            if number != self.field {
                return Err(self.other(number));
            }
            self.append(value, &mut data, most)?;
        }
        Ok(data)
    }

    fn append(&self, value: Value<'_>, data: &mut Vec<u8>, most: u64) -> Result<(), Problem> {
        match (self.datatype, value) {
            (Datatype::Bytes, Value::Bytes(element)) => {
                // Its length takes four bytes more.
                check_room(data, element.len().saturating_add(4), most)?;
                let fits = push_element(data, element);
                fits.then_some(()).ok_or(Problem::Malformed)
            }
            (Datatype::Fp32, Value::Fixed32(element)) => add(data, &element, most),
            (Datatype::Fp64, Value::Fixed64(element)) => add(data, &element, most),
            // Packed floats lie there as a tensor has them.
            (Datatype::Fp32, Value::Bytes(all)) if all.len() % 4 == 0 => add(data, all, most),
            (Datatype::Fp64, Value::Bytes(all)) if all.len() % 8 == 0 => add(data, all, most),
            (Datatype::Fp32 | Datatype::Fp64 | Datatype::Bytes, _) => Err(Problem::Malformed),
            (_, Value::Varint(element)) => self.append_number(element, data, most),
            (_, Value::Bytes(packed)) => {
                let mut packed = Fields::new(packed);
                while let Some(element) = packed.packed()? {
                    self.append_number(element, data, most)?;
                }
                Ok(())
            }
            _ => Err(Problem::Malformed),
        }
    }

    fn append_number(&self, element: u64, data: &mut Vec<u8>, most: u64) -> Result<(), Problem> {
        // A 32-bit list holds the lower half of what is written.
        let signed = i64::from(element as u32 as i32);
        let unsigned = element & u64::from(u32::MAX);
        let out_of_range = |found: i64| {
            let index = data.len() / self.datatype.element_bytes().unwrap_or(1);
            Problem::Data(format!("element {index}: {found} is no {}", self.datatype))
        };
        macro_rules! small {
            ($type:ty, $value:expr) => {
                <$type>::try_from($value)
                    .map_err(|_| out_of_range($value.try_into().unwrap_or(i64::MAX)))?
                    .to_le_bytes()
            };
        }
        match self.datatype {
            Datatype::Bool => add(data, &[u8::from(element != 0)], most),
            Datatype::Int8 => add(data, &small!(i8, signed), most),
            Datatype::Int16 => add(data, &small!(i16, signed), most),
            Datatype::Int32 => add(data, &small!(i32, signed), most),
            Datatype::Uint8 => add(data, &small!(u8, unsigned), most),
            Datatype::Uint16 => add(data, &small!(u16, unsigned), most),
            Datatype::Uint32 => add(data, &small!(u32, unsigned), most),
            Datatype::Int64 | Datatype::Uint64 => add(data, &element.to_le_bytes(), most),
            _ => Err(Problem::Malformed),
        }
    }

    fn other(&self, number: u64) -> Problem {
        let name = |number: u64| {
            let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
            index.and_then(|index| NAMES.get(index)).copied()
        };
        match (name(self.field), name(number)) {
            (Some(own), Some(found)) => {
                Problem::Data(format!("{} takes {own}, found {found}", self.datatype))
            }
            _ => Problem::Malformed,
        }
    }
}

fn add(data: &mut Vec<u8>, bytes: &[u8], most: u64) -> Result<(), Problem> {
    check_room(data, bytes.len(), most)?;
    data.extend_from_slice(bytes);
    Ok(())
}

fn check_room(data: &[u8], more: usize, most: u64) -> Result<(), Problem> {
    match (data.len() as u64).saturating_add(more as u64) > most {
        true => Err(Problem::Data(
            "its contents hold more elements than its shape".into(),
        )),
        false => Ok(()),
    }
}
