//! A tensor: named, typed, shaped bytes.

use crate::bytes::BytesElements;
use crate::{Datatype, Error, quote};

/// The most dimensions a tensor may have, and the deepest that `data` may be nested in JSON.
/// Frameworks stop at 8 to 64; a bound keeps the parser's recursion far from the end of a guest's
/// stack.
pub const MAX_RANK: usize = 32;

/// A tensor as it goes into a model or comes out of it.
///
/// The fields are open, so a tensor can be built inconsistent; [`Tensor::new`] and
/// [`Tensor::check`] tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name by which the model knows it.
    pub name: String,
    /// What each element is.
    pub datatype: Datatype,
    /// The size of each dimension, the batch included. No dimension at all makes it a scalar of one
    /// element.
    pub shape: Vec<u64>,
    /// The elements, little-endian and row-major, without gaps. BOOL elements are 0 or 1; each
    /// BYTES element stands behind its length, a little-endian `u32`.
    pub data: Vec<u8>,
}

impl Tensor {
    /// Makes a tensor and checks it, see [`check`](Self::check).
    pub fn new(
        name: impl Into<String>,
        datatype: Datatype,
        shape: impl Into<Vec<u64>>,
        data: impl Into<Vec<u8>>,
    ) -> Result<Self, Error> {
        let tensor = Self {
            name: name.into(),
            datatype,
            shape: shape.into(),
            data: data.into(),
        };
        tensor.check()?;
        Ok(tensor)
    }

    /// Makes a tensor of FP32.
    ///
    /// # Errors
    ///
    /// There are not as many numbers as the shape has elements.
    pub fn fp32(
        name: impl Into<String>,
        shape: impl Into<Vec<u64>>,
        numbers: &[f32],
    ) -> Result<Self, Error> {
        let data: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        Self::new(name, Datatype::Fp32, shape, data)
    }

    /// The elements of a tensor of FP32; `None` if it is of another datatype.
    pub fn to_fp32(&self) -> Option<Vec<f32>> {
        let (numbers, _) = self.data.as_chunks();
        let is_fp32 = self.datatype == Datatype::Fp32;
        is_fp32.then(|| numbers.iter().copied().map(f32::from_le_bytes).collect())
    }

    /// The number of elements by the shape; `None` when it does not fit 64 bits, which
    /// [`check`](Self::check) refuses.
    pub fn elements(&self) -> Option<u64> {
        element_count(&self.shape)
    }

    /// The elements of a BYTES tensor. For other datatypes the answer has no meaning.
    pub fn bytes_elements(&self) -> BytesElements<'_> {
        BytesElements::new(&self.data)
    }

    /// Checks that shape, datatype and data agree: at most [`MAX_RANK`] dimensions, a countable
    /// number of elements, exactly that many in the data, BOOL only 0 and 1, BYTES elements
    /// complete. Takes constant time, except for BOOL and BYTES, whose data is walked over.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`], [`Error::Data`] or [`Error::Element`], naming the tensor.
    pub fn check(&self) -> Result<(), Error> {
        let elements = check_shape(&self.name, &self.shape)?;
        match self.datatype.element_bytes() {
            Some(element_bytes) => self.check_length(elements, element_bytes)?,
            None => self.check_bytes(elements)?,
        }
        if self.datatype == Datatype::Bool {
            self.check_bools()?;
        }
        Ok(())
    }

    fn check_length(&self, elements: u64, element_bytes: usize) -> Result<(), Error> {
        let expected = elements.checked_mul(element_bytes as u64);
        if expected == Some(self.data.len() as u64) {
            return Ok(());
        }
        Err(self.data_error(format!(
            "{} with shape {} takes {elements} elements of {element_bytes} bytes, found {} bytes",
            self.datatype,
            quote::shape(&self.shape),
            self.data.len()
        )))
    }

    fn check_bytes(&self, elements: u64) -> Result<(), Error> {
        let mut walk = self.bytes_elements();
        let found = walk.by_ref().count() as u64;
        if !walk.rest().is_empty() {
            return Err(Error::Element {
                tensor: self.name.clone(),
                index: found,
                problem: "the length of a BYTES element, or the element behind it, is cut off"
                    .into(),
            });
        }
        match found == elements {
            true => Ok(()),
            false => Err(self.data_error(format!(
                "BYTES with shape {} takes {elements} elements, found {found}",
                quote::shape(&self.shape)
            ))),
        }
    }

    fn check_bools(&self) -> Result<(), Error> {
        match self.data.iter().enumerate().find(|(_, byte)| **byte > 1) {
            None => Ok(()),
            Some((index, byte)) => Err(Error::Element {
                tensor: self.name.clone(),
                index: index as u64,
                problem: format!("a BOOL byte is 0 or 1, found {byte}"),
            }),
        }
    }

    fn data_error(&self, problem: String) -> Error {
        Error::Data {
            tensor: self.name.clone(),
            problem,
        }
    }
}

/// How many elements a shape holds: 1 for no dimensions, 0 when any dimension is 0, `None` when the
/// product does not fit 64 bits.
pub fn element_count(shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .try_fold(1, |product: u64, dimension| product.checked_mul(*dimension))
}

/// Checks the shape alone and returns how many elements it holds.
pub(crate) fn check_shape(tensor: &str, shape: &[u64]) -> Result<u64, Error> {
    let error = |problem: String| Error::Shape {
        tensor: tensor.into(),
        problem,
    };
    if shape.len() > MAX_RANK {
        return Err(error(format!("a shape has at most {MAX_RANK} dimensions")));
    }
    element_count(shape).ok_or_else(|| {
        error(format!(
            "shape {} holds more elements than can be counted in 64 bits",
            quote::shape(shape)
        ))
    })
}
