//! The columns of a convolution's matrix: what the window sees, for eight pixels of the output.
#![allow(
    unsafe_code,
    reason = "reads an image at places that its geometry names"
)]

use crate::lanes::{LANES, Lanes};
use crate::window::Geometry;

/// Pixels of a panel.
pub(crate) const PIXELS: usize = 2 * LANES;

/// Where the windows of eight pixels are.
pub(crate) struct Panel([Four; 2]);

/// Where the windows of four pixels are.
pub(crate) enum Four {
    /// Side by side, the first one here.
    Adjacent(usize),
    /// One is left out between two.
    EverySecond(usize),
    Scattered([usize; LANES]),
}

impl Panel {
    /// The panel of the pixels from `first` on. Behind the last pixel it repeats that one.
    pub(crate) fn at(geometry: &Geometry, first: usize) -> Self {
        Self([Four::at(geometry, first), Four::at(geometry, first + LANES)])
    }

    /// Writes a row of eight numbers for each place of the window, of which `places` says how far it
    /// is from the first.
    ///
    /// # Safety
    /// `image` is an image of the panel's geometry with its border, behind which all `places` are;
    /// `rows` has room for all rows.
    pub(crate) unsafe fn gather(&self, image: *const f32, places: &[usize], rows: *mut f32) {
        for (half, four) in self.0.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { four.gather(image, places, rows.add(half * LANES)) };
        }
    }
}

impl Four {
    /// Those of the pixels from this one on. Behind the last pixel it repeats that one.
    pub(crate) fn at(geometry: &Geometry, pixel: usize) -> Self {
        let last = geometry.output_pixels() - 1;
        let mut places = [0; LANES];
        for (place, pixel) in places.iter_mut().zip(pixel..) {
            *place = geometry.place(pixel.min(last));
        }
        let [first, ..] = places;
        let is_every = |step: usize| {
            (0..)
                .zip(&places)
                .all(|(at, place)| *place == first + at * step)
        };
        match (is_every(1), is_every(2)) {
            (true, _) => Self::Adjacent(first),
            (_, true) => Self::EverySecond(first),
            _ => Self::Scattered(places),
        }
    }

    /// # Safety
    /// See [`Panel::gather`].
    unsafe fn gather(&self, image: *const f32, places: &[usize], rows: *mut f32) {
        // SAFETY: the caller's promise; a vector is read only where there are four pixels, or, of
        // every second one, seven.
        unsafe {
            match *self {
                Self::Adjacent(first) => {
                    each(places, rows, |place| Lanes::load(image.add(first + place)));
                }
                Self::EverySecond(first) => each(places, rows, |place| {
                    let from = image.add(first + place);
                    Lanes::even_odd(Lanes::load(from), Lanes::load(from.add(LANES - 1)))
                }),
                Self::Scattered([a, b, c, d]) => each(places, rows, |place| {
                    let from = image.add(place);
                    Lanes::of([*from.add(a), *from.add(b), *from.add(c), *from.add(d)])
                }),
            }
        }
    }
}

/// Stores a vector to each row. Four rows a turn: the engine may stop the guest at the head of each
/// loop.
///
/// # Safety
/// There is room for a row for each place.
#[inline(always)]
unsafe fn each(places: &[usize], rows: *mut f32, vector: impl Fn(usize) -> Lanes) {
    let (fours, rest) = places.as_chunks::<4>();
    let mut to = rows;
    for four in fours {
        for (row, place) in four.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { vector(*place).store(to.add(row * PIXELS)) };
        }
        to = to.wrapping_add(4 * PIXELS);
    }
    for place in rest {
        // SAFETY: the caller's promise.
        unsafe { vector(*place).store(to) };
        to = to.wrapping_add(PIXELS);
    }
}
