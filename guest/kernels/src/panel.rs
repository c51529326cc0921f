//! Rows of a matrix as panels of a product: for each column the numbers of some rows, then the next column.
#![allow(unsafe_code, reason = "works on addresses within slices")]

use crate::lanes::{LANES, Lanes};
use crate::size::WrongSize;

/// Rows of so many numbers, which begin so far from one another.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// How many rows there are.
    pub count: usize,
    /// Numbers of a row.
    pub length: usize,
    /// From the beginning of a row to that of the next.
    pub stride: usize,
}

impl Rows {
    /// Writes panels of `width` rows, each beginning so many bytes behind the one before. What belongs to no
    /// row is left as it is.
    ///
    /// # Errors
    /// There are fewer numbers than rows take, less room than panels take, or panels do not lie where
    /// numbers can.
    pub fn pack(
        &self,
        width: usize,
        panel_bytes: usize,
        numbers: &[f32],
        panels: &mut [u8],
    ) -> Result<(), WrongSize> {
        let between = self.count.saturating_sub(1).saturating_mul(self.stride);
        let taken = between.saturating_add(self.length);
        WrongSize::check("rows", numbers.len().min(taken), taken)?;
        // SAFETY: any bytes are a number.
        let (unaligned, panels, _) = unsafe { panels.align_to_mut::<f32>() };
        WrongSize::check("bytes before the panels", unaligned.len(), 0)?;
        let panel = panel_bytes / size_of::<f32>();
        let room = self.count.div_ceil(width.max(1)).saturating_mul(panel);
        let columns = self.length.saturating_mul(width);
        WrongSize::check("panels", panels.len().min(room), room)?;
        WrongSize::check("panel", panel.min(columns), columns)?;
        for (index, panel) in panels.chunks_mut(panel.max(1)).enumerate() {
            let first = index * width;
            let count = width.min(self.count.saturating_sub(first));
            let Some(numbers) = numbers.get(first * self.stride..) else {
                break;
            };
            match (width, count) {
                (4, 4) => self.pack_whole::<4>(numbers, panel),
                (8, 8) => self.pack_whole::<8>(numbers, panel),
                (16, 16) => self.pack_whole::<16>(numbers, panel),
                _ => self.pack_some(width, 0, count, numbers, panel),
            }
        }
        Ok(())
    }

    /// Four columns of all rows in each turn of the loop.
    #[inline(always)]
    fn pack_whole<const WIDTH: usize>(&self, numbers: &[f32], panel: &mut [f32]) {
        let whole = self.length / LANES * LANES;
        for column in (0..whole).step_by(LANES) {
            for row in (0..WIDTH).step_by(LANES) {
                let from = numbers.as_ptr().wrapping_add(row * self.stride + column);
                let to = panel.as_mut_ptr().wrapping_add(column * WIDTH + row);
                // SAFETY: `pack` has seen that all rows are there, and room for all columns.
                unsafe {
                    let [a, b, c, d] = Lanes::turn([
                        Lanes::load(from),
                        Lanes::load(from.add(self.stride)),
                        Lanes::load(from.add(2 * self.stride)),
                        Lanes::load(from.add(3 * self.stride)),
                    ]);
                    a.store(to);
                    b.store(to.add(WIDTH));
                    c.store(to.add(2 * WIDTH));
                    d.store(to.add(3 * WIDTH));
                }
            }
        }
        self.pack_some(WIDTH, whole, WIDTH, numbers, panel);
    }

    /// The columns from `first` on, of the first `count` rows.
    fn pack_some(
        &self,
        width: usize,
        first: usize,
        count: usize,
        numbers: &[f32],
        panel: &mut [f32],
    ) {
        for (row, numbers) in numbers.chunks(self.stride.max(1)).take(count).enumerate() {
            let columns = numbers.iter().take(self.length).skip(first);
            let places = panel.iter_mut().skip(first * width + row).step_by(width);
            for (place, number) in places.zip(columns) {
                *place = *number;
            }
        }
    }
}
