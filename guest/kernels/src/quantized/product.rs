//! Products of a matrix with the rows of weights.

use super::Quantized;
use super::dot::{COLUMNS, ROWS};
use super::finish::Finish;
use super::gather::turn;
use super::weights::{Shape, Weights};
use crate::size::WrongSize;

impl Weights<'_> {
    /// Each row of `matrix` times each row of the weights, which are one group: `output` has a row for
    /// each row of the matrix, with a value for each row of the weights.
    ///
    /// # Errors
    /// A slice is not as long as the weights say.
    pub fn product<N: Copy + Into<i16>, F: Finish>(
        &self,
        matrix: Quantized<'_, N>,
        finish: &F,
        output: &mut [F::Output],
    ) -> Result<(), WrongSize> {
        let Shape { rows, depth, .. } = *self.shape;
        self.check()?;
        let count = output.len() / rows.max(1);
        WrongSize::check("matrix", matrix.values.len(), count * depth)?;
        WrongSize::check("output", output.len(), count * rows)?;
        if depth == 0 || rows == 0 {
            return Ok(());
        }
        let mut columns = vec![[[0; 2]; COLUMNS]; self.shape.pairs()];
        let matrices = matrix.values.chunks(COLUMNS * depth);
        for (values, output) in matrices.zip(output.chunks_mut(COLUMNS * rows)) {
            turn(Quantized { values, ..matrix }, depth, &mut columns);
            self.multiply(0, &columns, finish, |row, tile| {
                store(tile, row, rows, output);
            });
        }
        Ok(())
    }
}

/// Stores the columns of a tile to rows of so many values, from the value `at` on.
#[inline(always)]
fn store<T: Copy + Default>(
    tile: [[T; COLUMNS]; ROWS],
    at: usize,
    values: usize,
    output: &mut [T],
) {
    for (column, output) in turned(tile).iter().zip(output.chunks_exact_mut(values)) {
        let output = output.get_mut(at..).unwrap_or_default();
        match output.first_chunk_mut() {
            Some(whole) => *whole = *column,
            None => output
                .iter_mut()
                .zip(column)
                .for_each(|(to, value)| *to = *value),
        }
    }
}

#[inline(always)]
fn turned<T: Copy + Default>(tile: [[T; COLUMNS]; ROWS]) -> [[T; ROWS]; COLUMNS] {
    let mut turned = [[T::default(); ROWS]; COLUMNS];
    let [a, b, c, d] = &tile;
    for ((column, (a, b)), (c, d)) in turned.iter_mut().zip(a.iter().zip(b)).zip(c.iter().zip(d)) {
        *column = [*a, *b, *c, *d];
    }
    turned
}
