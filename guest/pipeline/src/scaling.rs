//! Numbers brought to the scale on which a model was trained, and back.

/// `(x - mean) / scale`.
#[derive(Clone, Copy)]
pub(crate) struct Scaling {
    mean: f64,
    scale: f64,
}

impl Scaling {
    /// The scaling by what was given of it; none if nothing was.
    ///
    /// # Errors
    /// It does not make a number of each number.
    pub(crate) fn new(mean: Option<f64>, scale: Option<f64>) -> Result<Option<Self>, String> {
        if mean.is_none() && scale.is_none() {
            return Ok(None);
        }
        let (mean, scale) = (mean.unwrap_or(0.0), scale.unwrap_or(1.0));
        match mean.is_finite() && scale.is_finite() && scale != 0.0 {
            true => Ok(Some(Self { mean, scale })),
            false => Err("mean must be a finite number, scale one that is not 0".into()),
        }
    }

    /// A number as the model takes it.
    pub(crate) fn apply(self, number: f64) -> f64 {
        (number - self.mean) / self.scale
    }

    /// A number as people read it.
    pub(crate) fn undo(self, number: f64) -> f64 {
        number * self.scale + self.mean
    }
}
