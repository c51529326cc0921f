//! From how often one class beats another to how probable each class is: the second method of Wu, Lin
//! and Weng, "Probability Estimates for Multi-class Classification by Pairwise Coupling" (2004).

/// Rounds at most.
const ROUNDS: usize = 100;
/// How near to a solution is near enough, for all classes together.
const NEAR: f32 = 0.005;
/// No class is beaten for certain.
const LEAST: f32 = 1e-7;

/// All pairs of classes, in the order in which files list what is about them.
pub(super) fn pairs(classes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..classes).flat_map(move |i| (i + 1..classes).map(move |j| (i, j)))
}

/// Computes the probabilities of classes, in room that it keeps.
pub(super) struct Shares {
    /// The matrix of the form that the probabilities minimise.
    quadratic: Vec<f32>,
    slopes: Vec<f32>,
    shares: Vec<f32>,
}

impl Shares {
    /// For so many classes.
    pub(super) fn new(classes: usize) -> Self {
        Self {
            quadratic: vec![0.0; classes * classes],
            slopes: vec![0.0; classes],
            shares: vec![0.0; classes],
        }
    }

    /// The probabilities of the classes. For each pair of them, in order, `beats` says how probable the
    /// first one is if it is one of the two.
    pub(super) fn share(&mut self, beats: &[f32]) -> &mut [f32] {
        self.begin(beats);
        let Self {
            quadratic,
            slopes,
            shares,
        } = self;
        let classes = shares.len();
        let rows = || quadratic.chunks_exact(classes.max(1));
        shares.fill(1.0 / classes as f32);
        for _ in 0..ROUNDS {
            for (slope, row) in slopes.iter_mut().zip(rows()) {
                *slope = product(row, shares);
            }
            let mut total = product(shares, slopes);
            let errors = slopes.iter().map(|slope| (slope - total).abs());
            if errors.fold(0.0, f32::max) < NEAR / classes as f32 {
                break;
            }
            for (class, row) in rows().enumerate() {
                let (Some(slope), Some(own)) = (slopes.get(class).copied(), row.get(class)) else {
                    continue;
                };
                let step = (total - slope) / own;
                let scale = 1.0 + step;
                total = (total + step * (step * own + 2.0 * slope)) / scale / scale;
                shares
                    .iter_mut()
                    .skip(class)
                    .take(1)
                    .for_each(|share| *share += step);
                for ((slope, share), factor) in slopes.iter_mut().zip(&mut *shares).zip(row) {
                    *slope = (*slope + step * factor) / scale;
                    *share /= scale;
                }
            }
        }
        shares
    }

    /// Fills the matrix.
    fn begin(&mut self, beats: &[f32]) {
        let classes = self.shares.len();
        self.quadratic.fill(0.0);
        let mut add = |row: usize, column: usize, value: f32| {
            let entry = self.quadratic.get_mut(row * classes + column);
            entry.into_iter().for_each(|entry| *entry += value);
        };
        for ((i, j), beats) in pairs(classes).zip(beats) {
            let beats = beats.clamp(LEAST, 1.0 - LEAST);
            let loses = 1.0 - beats;
            add(i, i, loses * loses);
            add(j, j, beats * beats);
            add(i, j, -loses * beats);
            add(j, i, -loses * beats);
        }
    }
}

fn product(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(l, r)| l * r).sum()
}
