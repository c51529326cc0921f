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
    pub(super) fn pairs(&self, image: &[i16], places: [usize; 2]) -> Option<ColumnPairs> {
        let [first, second] = places;
        let [a, b, c, d, e, f, g, h] = self.numbers(image, first)?;
        let [i, j, k, l, m, n, o, p] = self.numbers(image, second)?;
        Some([
            [a, i],
            [b, j],
            [c, k],
            [d, l],
            [e, m],
            [f, n],
            [g, o],
            [h, p],
        ])
    }

    /// What the windows see at a place.
    #[inline(always)]
    fn numbers(&self, image: &[i16], place: usize) -> Option<[i16; COLUMNS]> {
        match self {
            Self::Adjacent(first) => some(image, first + place),
            Self::Halves([low, high]) => {
                let [a, b, c, d] = low.numbers(image, place)?;
                let [e, f, g, h] = high.numbers(image, place)?;
                Some([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl Four {
    /// What four windows see at a place.
    #[inline(always)]
    fn numbers(&self, image: &[i16], place: usize) -> Option<[i16; LANES]> {
        match *self {
            Self::Adjacent(first) => some(image, first + place),
            Self::EverySecond(first) => {
                let [a, _, b, _, c, _, d, _] = some(image, first + place)?;
                Some([a, b, c, d])
            }
            Self::Scattered([a, b, c, d]) => {
                let number = |first: usize| image.get(first + place).copied();
                Some([number(a)?, number(b)?, number(c)?, number(d)?])
            }
        }
    }
}

/// So many numbers from one on.
#[inline(always)]
fn some<const COUNT: usize>(image: &[i16], first: usize) -> Option<[i16; COUNT]> {
    image.get(first..)?.first_chunk().copied()
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
        let odd = odd.iter().map(|last| [centred(*last), 0]);
        let pairs = pairs.iter().map(|[a, b]| [centred(*a), centred(*b)]);
        for (pair, columns) in pairs.chain(odd).zip(&mut *columns) {
            if let Some(column) = columns.get_mut(index) {
                *column = pair;
            }
        }
    }
}
