//! Weights in the order in which they are read.

use super::dot::{COLUMNS, ColumnPairs, ROWS, RowPairs, Sums, dot, sums_of};
use super::finish::Finish;
use crate::size::WrongSize;

/// The sizes of weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Parts that know nothing of each other.
    pub groups: usize,
    /// Rows of a group, each of which gives a value for each column.
    pub rows: usize,
    /// Numbers in a row.
    pub depth: usize,
}

impl Shape {
    /// Pairs of numbers in a row.
    pub(super) fn pairs(&self) -> usize {
        self.depth.div_ceil(2)
    }

    /// Tiles of rows in a group.
    fn tiles(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// Numbers of packed weights.
    pub fn packed_len(&self) -> usize {
        self.groups * self.tiles() * self.pairs() * size_of::<RowPairs>()
    }

    /// Packs weights, which are row by row: for each four rows pairs of numbers. An odd one is paired
    /// with what stands for zero in its row; `zeros` is empty where that is 0.
    pub fn pack(&self, weights: &[i8], zeros: &[i32]) -> Vec<i8> {
        let rows: Vec<_> = weights.chunks_exact(self.depth.max(1)).collect();
        let number = |row: usize, step: usize| {
            let zero = zeros.get(row).copied().unwrap_or_default() as i8;
            let number = rows.get(row).map(|row| row.get(step));
            number.map_or(0, |number| number.copied().unwrap_or(zero))
        };
        let mut packed = Vec::with_capacity(self.packed_len());
        for group in 0..self.groups {
            let (first, last) = (group * self.rows, (group + 1) * self.rows);
            for tile in (first..last).step_by(ROWS) {
                for pair in 0..self.pairs() {
                    for row in tile..tile + ROWS {
                        // Behind the last row lies another group.
                        let pair = [2 * pair, 2 * pair + 1];
                        packed.extend(
                            pair.map(|step| if row < last { number(row, step) } else { 0 }),
                        );
                    }
                }
            }
        }
        packed
    }
}

/// Packed weights.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Their sizes.
    pub shape: &'a Shape,
    /// What [`Shape::pack`] made of them.
    pub packed: &'a [i8],
    /// What stands for zero, for each row of all groups; empty where all are 0.
    pub zeros: &'a [i32],
}

impl Weights<'_> {
    /// Whether they are as long as their sizes say.
    pub(super) fn check(&self) -> Result<(), WrongSize> {
        let Shape { groups, rows, .. } = *self.shape;
        WrongSize::check("weights", self.packed.len(), self.shape.packed_len())?;
        match self.zeros {
            [] => Ok(()),
            zeros => WrongSize::check("zero points", zeros.len(), groups * rows),
        }
    }

    /// The pairs of four rows of a group, then those of the next four.
    pub(super) fn rows(&self, group: usize) -> &[RowPairs] {
        let each = self.shape.tiles() * self.shape.pairs();
        let (pairs, _) = self.packed.as_chunks::<2>();
        let (rows, _) = pairs.as_chunks::<ROWS>();
        rows.get(group * each..(group + 1) * each)
            .unwrap_or_default()
    }

    /// The rows of a group times eight columns: for each four rows the number of the first one among
    /// those of all groups, and what is made of their sums.
    pub(super) fn multiply<F: Finish>(
        &self,
        group: usize,
        columns: &[ColumnPairs],
        finish: &F,
        mut store: impl FnMut(usize, [[F::Output; COLUMNS]; ROWS]),
    ) {
        let of_columns = match self.zeros {
            [] => None,
            _ => Some(sums_of(columns)),
        };
        let pairs = self.shape.pairs().max(1);
        for (tile, rows) in self.rows(group).chunks_exact(pairs).enumerate() {
            let row = group * self.shape.rows + tile * ROWS;
            let mut sums = dot(rows, columns);
            if let Some(of_columns) = &of_columns {
                self.centre(row, of_columns, &mut sums);
            }
            let [a, b, c, d] = sums;
            store(
                row,
                [
                    finish.finish(row, a),
                    finish.finish(row + 1, b),
                    finish.finish(row + 2, c),
                    finish.finish(row + 3, d),
                ],
            );
        }
    }

    /// Takes the zero points of the weights from the sums.
    fn centre(&self, row: usize, of_columns: &[i32; COLUMNS], sums: &mut Sums) {
        let zeros = self.zeros.get(row..).unwrap_or_default();
        for (zero, sums) in zeros.iter().zip(sums) {
            for (sum, of_column) in sums.iter_mut().zip(of_columns) {
                *sum = sum.wrapping_sub(zero.wrapping_mul(*of_column));
            }
        }
    }
}
