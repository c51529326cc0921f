//! The elements of a tensor, one after the other, as its type wants them.

use glovebox_protocol::{Datatype, push_element};

use super::rows::Number;

/// The elements of a tensor while it is filled.
pub(super) struct Values {
    datatype: Datatype,
    data: Vec<u8>,
}

impl Values {
    /// None yet, of this type.
    pub(super) fn new(datatype: Datatype) -> Self {
        let data = Vec::new();
        Self { datatype, data }
    }

    /// Whether numbers or texts can become elements of this type.
    pub(super) fn can_be(datatype: Datatype) -> bool {
        use Datatype::{Bool, Bytes, Fp32, Fp64, Int32, Int64};
        matches!(datatype, Bool | Bytes | Fp32 | Fp64 | Int32 | Int64)
    }

    /// Whether elements are texts.
    pub(super) fn are_texts(&self) -> bool {
        self.datatype == Datatype::Bytes
    }

    /// Whether elements may have a fraction.
    pub(super) fn are_real(&self) -> bool {
        matches!(self.datatype, Datatype::Fp32 | Datatype::Fp64)
    }

    /// Appends a number.
    ///
    /// # Errors
    /// It is none of the type's.
    pub(super) fn push(&mut self, number: Number) -> Result<(), String> {
        let Number { real, whole } = number;
        let real = fitting(self.datatype, real)?;
        let whole = whole.ok_or("must be a whole number");
        match self.datatype {
            Datatype::Fp64 => self.data.extend(real.to_le_bytes()),
            Datatype::Fp32 => self.data.extend((real as f32).to_le_bytes()),
            Datatype::Int64 => self.data.extend(whole?.to_le_bytes()),
            Datatype::Int32 => {
                let narrow = i32::try_from(whole?).map_err(|_| "is too large for INT32")?;
                self.data.extend(narrow.to_le_bytes());
            }
            Datatype::Bool => match whole {
                Ok(truth @ (0 | 1)) => self.data.push(truth as u8),
                _ => return Err("must be true or false".into()),
            },
            other => return Err(format!("is a number, which cannot become {other}")),
        }
        Ok(())
    }

    /// Appends a text.
    ///
    /// # Errors
    /// It is longer than any text of a tensor.
    pub(super) fn push_text(&mut self, text: &str) -> Result<(), String> {
        match push_element(&mut self.data, text.as_bytes()) {
            true => Ok(()),
            false => Err("is too long a text".into()),
        }
    }

    /// All of them, as a tensor has them.
    pub(super) fn into_data(self) -> Vec<u8> {
        self.data
    }
}

/// A number that does not become infinite as an element of this type.
///
/// # Errors
/// It does.
pub(super) fn fitting(datatype: Datatype, number: f64) -> Result<f64, String> {
    let is_infinite = match datatype {
        Datatype::Fp32 => (number as f32).is_infinite(),
        _ => number.is_infinite(),
    };
    match is_infinite {
        true => Err(format!("is too large for {datatype}")),
        false => Ok(number),
    }
}
