//! The bytes behind a JSON header: the data of those tensors that announce a `binary_data_size`, one
//! after the other, with nothing before, between or behind them.

use crate::{Datatype, Error, Tensor, push_element};

/// What has not been given to a tensor yet.
pub(crate) struct Tail<'a> {
    rest: &'a [u8],
}

impl<'a> Tail<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `size` bytes, for a tensor of this name.
    pub(crate) fn take(&mut self, tensor: &str, size: u64) -> Result<&'a [u8], Error> {
        let left = self.rest.len();
        let split = usize::try_from(size)
            .ok()
            .and_then(|size| self.rest.split_at_checked(size));
        let Some((data, rest)) = split else {
            return Err(Error::Data {
                tensor: tensor.to_owned(),
                problem: format!(
                    "binary_data_size is {size}, but only {left} bytes are left behind the JSON"
                ),
            });
        };
        self.rest = rest;
        Ok(data)
    }

    /// Refuses bytes that no tensor has announced.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Error::Binary(format!(
                "{left} bytes are left behind the last tensor; the sizes in binary_data_size and \
                 the JSON must add up to the body"
            ))),
        }
    }
}

/// Cuts a body where its JSON ends.
pub(crate) fn split(body: &[u8], header_length: usize) -> Result<(&[u8], &[u8]), Error> {
    body.split_at_checked(header_length).ok_or_else(|| {
        Error::Binary(format!(
            "Inference-Header-Content-Length is {header_length}, but the body has {} bytes",
            body.len()
        ))
    })
}

/// A body without JSON: all of it is the model's only input.
pub(crate) fn raw(body: &[u8], inputs: &[crate::TensorSpec]) -> Result<Tensor, Error> {
    let [spec] = inputs else {
        return Err(Error::Binary(format!(
            "a body without JSON is for models with one input, this one has {}",
            inputs.len()
        )));
    };
    if spec.datatype == Datatype::Bytes {
        let mut data = Vec::with_capacity(body.len().saturating_add(4));
        // An element of 4 GiB has no raw form; the check below finds none then.
        let _ = push_element(&mut data, body);
        return Tensor::new(&spec.name, spec.datatype, raw_shape(spec, 1)?, data);
    }
    let elements = body.len() / spec.datatype.element_bytes().unwrap_or(1);
    let shape = raw_shape(spec, elements as u64)?;
    Tensor::new(&spec.name, spec.datatype, shape, body)
}

/// The shape of so many elements: one open dimension takes what the others leave. Of two, the first
/// is the batch, which is 1.
fn raw_shape(spec: &crate::TensorSpec, elements: u64) -> Result<Vec<u64>, Error> {
    let mut shape = spec.shape.clone();
    let is_open = |dimension: &&mut i64| **dimension < 0;
    if shape.iter_mut().filter(is_open).count() == 2
        && let Some(batch) = shape.first_mut().filter(is_open)
    {
        *batch = 1;
    }
    if shape.iter_mut().filter(is_open).count() > 1 {
        return Err(Error::Binary(format!(
            "a body without JSON cannot tell the shape of input {}: it has more than one open \
             dimension",
            crate::quote::quoted(&spec.name)
        )));
    }
    let fixed = shape.iter().filter_map(|size| u64::try_from(*size).ok());
    let fixed = fixed.fold(1, u64::saturating_mul).max(1);
    let size = |size: i64| u64::try_from(size).unwrap_or(elements / fixed);
    Ok(shape.into_iter().map(size).collect())
}
