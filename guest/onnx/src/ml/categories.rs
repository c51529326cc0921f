//! Categories, and which one a value is.

use tract_onnx::tract_core::internal::*;

use crate::ops::elements::numbers;

/// Categories with their numbers, sorted to be found.
#[derive(Debug)]
pub(super) enum Categories {
    Texts(Vec<(String, usize)>),
    Whole(Vec<(i64, usize)>),
    /// The bits of [`comparable`].
    Floats(Vec<(u64, usize)>),
}

impl Categories {
    /// The elements of a tensor, numbered from 0; the first of equal ones counts.
    ///
    /// # Errors
    /// They are of a datatype that categories cannot have.
    pub(super) fn of(tensor: &Tensor) -> TractResult<Self> {
        let datum_type = tensor.datum_type();
        Ok(if datum_type == DatumType::String {
            let texts = tensor.try_as_plain_ram()?;
            Self::Texts(sorted(texts.as_slice::<String>()?.iter().cloned()))
        } else if datum_type.is_float() {
            Self::Floats(sorted(numbers(tensor)?.into_iter().map(comparable)))
        } else if datum_type.is_integer() {
            Self::Whole(sorted(numbers::<i64>(tensor)?))
        } else {
            bail!("categories of datatype {datum_type:?}")
        })
    }

    pub(super) fn are_texts(&self) -> bool {
        matches!(self, Self::Texts(_))
    }

    /// Whether values of this datatype can be among them.
    ///
    /// # Errors
    /// They cannot.
    pub(super) fn check(&self, datum_type: DatumType) -> TractResult<()> {
        let fits = match self {
            Self::Texts(_) => datum_type == DatumType::String,
            Self::Whole(_) => datum_type.is_integer() || datum_type.is_tdim(),
            Self::Floats(_) => datum_type.is_float(),
        };
        ensure!(fits, "{datum_type:?}, and keys of another datatype");
        Ok(())
    }

    /// The number of the category of each element; nothing if it is none.
    ///
    /// # Errors
    /// The elements are of another datatype.
    pub(super) fn find(&self, tensor: &Tensor) -> TractResult<Vec<Option<usize>>> {
        match self {
            Self::Texts(texts) => {
                let plain = tensor.try_as_plain_ram()?;
                let values = plain.as_slice::<String>()?.iter();
                Ok(values.map(|value| number(texts, value)).collect())
            }
            Self::Whole(whole) => {
                let values = numbers::<i64>(tensor)?.into_iter();
                Ok(values.map(|value| number(whole, &value)).collect())
            }
            Self::Floats(floats) => {
                let values = numbers(tensor)?.into_iter().map(comparable);
                Ok(values.map(|value| number(floats, &value)).collect())
            }
        }
    }
}

fn sorted<K: Ord>(keys: impl IntoIterator<Item = K>) -> Vec<(K, usize)> {
    let mut sorted: Vec<_> = keys.into_iter().zip(0..).collect();
    sorted.sort();
    sorted.dedup_by(|later, first| later.0 == first.0);
    sorted
}

fn number<K: Ord>(sorted: &[(K, usize)], key: &K) -> Option<usize> {
    let place = sorted
        .binary_search_by(|(category, _)| category.cmp(key))
        .ok()?;
    sorted.get(place).map(|(_, number)| *number)
}

/// Bits that are equal for equal numbers: zero has two signs, and NaN very many forms.
fn comparable(number: f64) -> u64 {
    match number {
        number if number.is_nan() => f64::NAN.to_bits(),
        0.0 => 0,
        number => number.to_bits(),
    }
}
