//! A slice that is not as long as it should be.

/// An image, a filter or an output is not of the size that it should have.
#[derive(Debug, thiserror::Error)]
#[error("{found} numbers for the {what}, which has {expected}")]
pub struct WrongSize {
    /// Of what.
    pub what: &'static str,
    /// How many numbers there are.
    pub found: usize,
    /// How many there should be.
    pub expected: usize,
}

impl WrongSize {
    pub(crate) fn check(what: &'static str, found: usize, expected: usize) -> Result<(), Self> {
        match found == expected {
            true => Ok(()),
            false => Err(Self {
                what,
                found,
                expected,
            }),
        }
    }
}
