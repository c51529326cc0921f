//! Columns of a product, in pairs: what windows see of an image, and rows of another matrix.

use super::Quantized;
use super::dot::{COLUMNS, ColumnPairs};
use crate::columns::Four;
use crate::lanes::LANES;
use crate::window::Geometry;

/// Numbers behind an image that may be read with it.
pub(super) const BEYOND: usize = 2 * LANES;

/// Where the windows of eight pixels are.
pub(super) enum Panel {
    /// Side by side, the first one here.
    Adjacent(usize),
    Halves([Four; 2]),
}

impl Panel {
    /// The panel of the pixels from `first` on. Behind the last pixel it repeats that one.
    pub(super) fn at(geometry: &Geometry, first: usize) -> Self {
        match [Four::at(geometry, first), Four::at(geometry, first + LANES)] {
            [Four::Adjacent(first), Four::Adjacent(second)] if second == first + LANES => {
                Self::Adjacent(first)
            }
            halves => Self::Halves(halves),
        }
    }

    /// What the windows see at each pair of places, which say how far they are from the first.
    /// `image` has its border, and [`BEYOND`] more numbers behind it.
    pub(super) fn gather(
        &self,
        image: &[i16],
        places: &[[usize; 2]],
        columns: &mut [ColumnPairs],
    ) -> Option<()> {
        for (places, columns) in places.iter().zip(columns) {
            *columns = self.pairs(image, *places)?;
        }
        Some(())
    }

    /// What the windows see at a pair of places.
    #[inline(always)]
    fn pairs(&self, image: &[i16], [a, b]: [usize; 2]) -> Option<ColumnPairs> {
        match self {
            Self::Adjacent(first) => Some(paired(some(image, first + a)?, some(image, first + b)?)),
            Self::Halves(halves) => {
                let mut numbers = [[0; COLUMNS]; 2];
                for (numbers, place) in numbers.iter_mut().zip([a, b]) {
                    let (fours, _) = numbers.as_chunks_mut::<LANES>();
                    for (four, numbers) in halves.iter().zip(fours) {
                        *numbers = four.numbers(image, place)?;
                    }
                }
                let [a, b] = &numbers;
                Some(paired(a, b))
            }
        }
    }
}

impl Four {
    /// What four windows see at a place.
    #[inline(always)]
    fn numbers(&self, image: &[i16], place: usize) -> Option<[i16; LANES]> {
        match *self {
            Self::Adjacent(first) => some(image, first + place).copied(),
            Self::EverySecond(first) => {
                let [a, _, b, _, c, _, d, _] = *some(image, first + place)?;
                Some([a, b, c, d])
            }
            Self::Scattered([a, b, c, d]) => Some([
                *image.get(a + place)?,
                *image.get(b + place)?,
                *image.get(c + place)?,
                *image.get(d + place)?,
            ]),
        }
    }
}

/// So many numbers from one on.
#[inline(always)]
fn some<const COUNT: usize>(image: &[i16], first: usize) -> Option<&[i16; COUNT]> {
    image.get(first..)?.first_chunk()
}

/// The numbers of one and of the other in turns.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "reads arrays as vectors")]
#[inline(always)]
fn paired(a: &[i16; COLUMNS], b: &[i16; COLUMNS]) -> ColumnPairs {
    use std::arch::wasm32::{i16x8_shuffle, v128, v128_load, v128_store};

    let mut pairs = [[0; 2]; COLUMNS];
    let to = (&raw mut pairs).cast::<v128>();
    // SAFETY: the numbers are a vector each, the pairs are two.
    unsafe {
        let (a, b) = (
            v128_load((&raw const *a).cast()),
            v128_load((&raw const *b).cast()),
        );
        v128_store(to, i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b));
        v128_store(to.add(1), i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b));
    }
    pairs
}

/// The numbers of one and of the other in turns.
#[cfg(not(target_family = "wasm"))]
fn paired(a: &[i16; COLUMNS], b: &[i16; COLUMNS]) -> ColumnPairs {
    let mut pairs = [[0; 2]; COLUMNS];
    for (pair, (a, b)) in pairs.iter_mut().zip(a.iter().zip(b)) {
        *pair = [*a, *b];
    }
    pairs
}

/// Rows of a matrix as columns, each of so many numbers. An odd one is paired with zero.
pub(super) fn turn<N: Copy + Into<i16>>(
    rows: Quantized<'_, N>,
    depth: usize,
    columns: &mut [ColumnPairs],
) {
    let centred = rows.centred();
    for (index, row) in rows.values.chunks_exact(depth).enumerate().take(COLUMNS) {
        let (pairs, odd) = row.as_chunks::<2>();
        for ([a, b], columns) in pairs.iter().zip(&mut *columns) {
            if let Some(column) = columns.get_mut(index) {
                *column = [centred(*a), centred(*b)];
            }
        }
        if let ([last], Some(columns)) = (odd, columns.last_mut())
            && let Some(column) = columns.get_mut(index)
        {
            *column = [centred(*last), 0];
        }
    }
}
