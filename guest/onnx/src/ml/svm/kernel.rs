//! How alike a row and a support vector are.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use crate::ml::rows::{Rows, dot, only};

/// Support vectors, and what measures how alike rows are to them.
#[derive(Debug)]
pub(super) struct Kernel {
    kind: Kind,
    gamma: f32,
    offset: f32,
    degree: f32,
    /// One behind the other.
    vectors: Vec<f32>,
    width: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Linear,
    Polynomial,
    Radial,
    Sigmoid,
}

impl Kernel {
    /// The kernel of a node that has so many support vectors.
    ///
    /// # Errors
    /// It is not consistent.
    pub(super) fn of(node: &NodeProto, count: usize) -> TractResult<Self> {
        let kind = match node.get_attr_opt("kernel_type")?.unwrap_or("LINEAR") {
            "LINEAR" => Kind::Linear,
            "POLY" => Kind::Polynomial,
            "RBF" => Kind::Radial,
            "SIGMOID" => Kind::Sigmoid,
            other => bail!("kernel_type {other:?} does not exist"),
        };
        let floats = |name| node.get_attr_opt_slice::<f32>(name);
        let [gamma, offset, degree] = match floats("kernel_params")?.unwrap_or_default() {
            [] => [0.0; 3],
            [gamma, offset, degree] => [*gamma, *offset, *degree],
            other => bail!("kernel_params has {} elements, not 3", other.len()),
        };
        let vectors = floats("support_vectors")?.unwrap_or_default().to_vec();
        ensure!(
            !vectors.is_empty() && vectors.len().is_multiple_of(count),
            "support_vectors has {} elements for {count} vectors",
            vectors.len()
        );
        Ok(Self {
            kind,
            gamma,
            offset,
            degree,
            width: vectors.len() / count,
            vectors,
        })
    }

    /// Linear, with these instead of support vectors.
    ///
    /// # Errors
    /// There are not as many for each.
    pub(super) fn linear(coefficients: &[f32], count: usize) -> TractResult<Self> {
        ensure!(
            !coefficients.is_empty() && coefficients.len().is_multiple_of(count),
            "{} coefficients for {count} scores",
            coefficients.len()
        );
        Ok(Self {
            kind: Kind::Linear,
            gamma: 0.0,
            offset: 0.0,
            degree: 0.0,
            vectors: coefficients.to_vec(),
            width: coefficients.len() / count,
        })
    }

    /// How many features a row has.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The rows of the only input.
    ///
    /// # Errors
    /// They have another number of features.
    pub(super) fn rows(&self, inputs: &[TValue]) -> TractResult<Rows<f32>> {
        let input = only(inputs)?;
        let rows = Rows::of(input)?;
        ensure!(
            rows.width == self.width,
            "{} features instead of {}",
            rows.width,
            self.width
        );
        Ok(rows)
    }

    /// How alike a row is to each vector.
    pub(super) fn measure(&self, row: &[f32], likenesses: &mut Vec<f32>) {
        likenesses.clear();
        let vectors = self.vectors.chunks_exact(self.width);
        likenesses.extend(vectors.map(|vector| self.likeness(row, vector)));
    }

    fn likeness(&self, row: &[f32], vector: &[f32]) -> f32 {
        let shifted = || self.gamma * dot(row, vector) + self.offset;
        match self.kind {
            Kind::Linear => dot(row, vector),
            Kind::Polynomial => shifted().powf(self.degree),
            Kind::Radial => (-self.gamma * distance(row, vector)).exp(),
            Kind::Sigmoid => shifted().tanh(),
        }
    }
}

/// The square of the distance between two vectors.
fn distance(left: &[f32], right: &[f32]) -> f32 {
    let squares = left.iter().zip(right).map(|(l, r)| (l - r) * (l - r));
    squares.sum()
}

/// Numbers that a node must have at least so many of.
///
/// # Errors
/// It has fewer.
pub(super) fn floats(node: &NodeProto, name: &str, least: usize) -> TractResult<Vec<f32>> {
    let floats: &[f32] = node.get_attr_opt_slice(name)?.unwrap_or_default();
    ensure!(
        floats.len() >= least,
        "{name} has {} elements, and not at least {least}",
        floats.len()
    );
    Ok(floats.to_vec())
}
