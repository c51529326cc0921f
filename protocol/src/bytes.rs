//! The raw form of BYTES data: each element behind its length, four bytes little-endian.

/// Walks over the elements of a BYTES tensor's data. It ends at the end of the data, or before the
/// first element that is cut off; [`rest`](Self::rest) tells which.
#[derive(Clone, Debug)]
pub struct BytesElements<'a> {
    rest: &'a [u8],
}

impl<'a> BytesElements<'a> {
    /// Starts at the first element of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// What has not been walked over yet. Not empty after the last element means that the data is
    /// malformed.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for BytesElements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, behind) = self.rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (element, rest) = behind.split_at_checked(length)?;
        self.rest = rest;
        Some(element)
    }
}

/// Appends one element to a BYTES tensor's data. Returns whether it did: an element of 4 GiB or
/// more has no raw form, and nothing is appended then.
#[must_use = "an element of 4 GiB or more is not appended"]
pub fn push_element(data: &mut Vec<u8>, element: &[u8]) -> bool {
    let Ok(length) = u32::try_from(element.len()) else {
        return false;
    };
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(element);
    true
}
