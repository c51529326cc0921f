//! Pictures as levels of grey, or of red, green and blue, the way that Pillow's modes `L` and `RGB`
//! hold them.

use super::exif::Orientation;
use super::placement::Placement;

/// How many pixels there are on each side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// A decoded picture: rows from top to bottom, pixels from left to right, `channels` levels each.
pub(super) struct Picture {
    pub(super) size: Size,
    pub(super) channels: usize,
    pub(super) levels: Vec<u8>,
}

impl Picture {
    /// Levels in a row of pixels.
    pub(super) fn row_levels(&self) -> usize {
        self.size.width as usize * self.channels
    }

    /// In one channel, or in three. Transparency is dropped and nothing is put behind it, as Pillow's
    /// `convert("L")` and `convert("RGB")` do it.
    pub(super) fn into_channels(self, channels: usize) -> Self {
        let levels = match (self.channels, channels) {
            (have, want) if have == want => self.levels,
            (_, 1) => self.pixels().map(grey).collect(),
            _ => self.pixels().flat_map(colours).collect(),
        };
        Self {
            size: self.size,
            channels,
            levels,
        }
    }

    /// The way up that its camera noted.
    pub(super) fn upright(self, orientation: Orientation) -> Self {
        if orientation == Orientation::UPRIGHT {
            return self;
        }
        let size = orientation.upright(self.size);
        let mut levels = Vec::with_capacity(self.levels.len());
        for y in 0..size.height {
            for x in 0..size.width {
                let (x, y) = orientation.source(size, x, y);
                let at = (y as usize * self.size.width as usize + x as usize) * self.channels;
                levels.extend_from_slice(self.levels.get(at..at + self.channels).unwrap_or(&[]));
            }
        }
        Self {
            size,
            levels,
            ..self
        }
    }

    /// At its place on an input that it does not cover.
    pub(super) fn on_canvas(self, placement: Placement, padding: u8) -> Self {
        let (left, top) = (
            placement.left.max(0) as usize,
            placement.top.max(0) as usize,
        );
        let row_levels = placement.input.width as usize * self.channels;
        let mut levels = vec![padding; placement.input.height as usize * row_levels];
        let rows = levels.chunks_exact_mut(row_levels).skip(top);
        for (row, source) in rows.zip(self.levels.chunks_exact(self.row_levels())) {
            let row = row.iter_mut().skip(left * self.channels);
            row.zip(source).for_each(|(level, source)| *level = *source);
        }
        Self {
            size: placement.input,
            levels,
            ..self
        }
    }

    /// With blue first, as models want it whose pictures were read by OpenCV.
    pub(super) fn into_bgr(mut self) -> Self {
        for pixel in self.levels.chunks_exact_mut(3) {
            pixel.reverse();
        }
        self
    }

    fn pixels(&self) -> std::slice::ChunksExact<'_, u8> {
        self.levels.chunks_exact(self.channels)
    }
}

/// Rec. 601 luma in 16 bits, as Pillow rounds it.
fn grey(pixel: &[u8]) -> u8 {
    match pixel {
        [red, green, blue, ..] => {
            let weighted = |level: &u8, weight: u32| u32::from(*level) * weight;
            let sum = weighted(red, 19595) + weighted(green, 38470) + weighted(blue, 7471);
            ((sum + 0x8000) >> 16) as u8
        }
        [grey, ..] => *grey,
        [] => 0,
    }
}

fn colours(pixel: &[u8]) -> [u8; 3] {
    match *pixel {
        [red, green, blue, ..] => [red, green, blue],
        [grey, ..] => [grey; 3],
        [] => [0; 3],
    }
}
