//! Resizing as Pillow does it, to the last bit: `Resample.c` for windows of weights, and `Geometry.c`
//! for the nearest pixel. torchvision resizes pictures of Pillow with it.
//!
//! Rows first, then columns, each to whole levels in between; weights have 22 bits behind the point.
//! When a picture is made smaller, the window grows with the factor: that is what torchvision calls
//! antialiasing.

use std::f64::consts::PI;
use std::ops::Range;

use serde::Deserialize;

use super::picture::{Picture, Size};

/// Behind the point of a weight: 8 bits of level and a sign with room for overshoot are before it.
const PRECISION_BITS: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// What a resized pixel is made of.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Filter {
    Nearest,
    #[default]
    Bilinear,
    Bicubic,
    Lanczos,
}

/// Which pixels of the resized picture are wanted.
pub(super) struct Window {
    pub(super) columns: Range<u32>,
    pub(super) rows: Range<u32>,
}

/// The pixels of which one is made: the first of them, and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

impl Filter {
    /// The part of `picture` in `window`, were it resized to `scaled`.
    pub(super) fn resize(self, picture: Picture, scaled: Size, window: &Window) -> Picture {
        let columns = usize_range(&window.columns);
        let rows = usize_range(&window.rows);
        let Size { width, height } = picture.size;
        if let Self::Nearest = self {
            let columns = nearest(width, scaled.width)
                .skip(columns.start)
                .take(columns.len());
            let rows = nearest(height, scaled.height)
                .skip(rows.start)
                .take(rows.len());
            return pick(
                &picture,
                &columns.collect::<Vec<_>>(),
                &rows.collect::<Vec<_>>(),
            );
        }
        let columns = self.taps(width, scaled.width, window.columns.clone());
        let rows = self.taps(height, scaled.height, window.rows.clone());
        let picture = match width == scaled.width && columns.len() == width as usize {
            true => picture,
            false => across(&picture, &columns, needed(&rows)),
        };
        match height == scaled.height && rows.len() == height as usize {
            true => picture,
            false => down(&picture, &rows),
        }
    }

    /// How far from a pixel's centre the filter reaches, in pixels.
    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight at a distance from the centre.
    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            _ if x >= self.support() => 0.0,
            Self::Nearest => 1.0,
            Self::Bilinear => 1.0 - x,
            // Keys' cubic with a = -0.5.
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            Self::Lanczos => sinc(x) * sinc(x / 3.0),
        }
    }

    fn taps(self, length: u32, scaled: u32, wanted: Range<u32>) -> Vec<Taps> {
        let factor = f64::from(length) / f64::from(scaled);
        let stretch = factor.max(1.0);
        let (support, shrink) = (self.support() * stretch, 1.0 / stretch);
        let pixel = |pixel: u32| {
            let centre = (f64::from(pixel) + 0.5) * factor;
            // A cast of a negative number gives 0.
            let first = (centre - support + 0.5) as u32;
            let last = ((centre + support + 0.5) as u32).min(length);
            let distances = (first..last).map(|at| f64::from(at) - centre + 0.5);
            let weights: Vec<f64> = distances.map(|at| self.weight(at * shrink)).collect();
            let sum: f64 = weights.iter().sum();
            Taps {
                first: first as usize,
                weights: weights.iter().map(|weight| fixed(weight / sum)).collect(),
            }
        };
        wanted.map(pixel).collect()
    }
}

fn sinc(x: f64) -> f64 {
    match x {
        0.0 => 1.0,
        x => (x * PI).sin() / (x * PI),
    }
}

/// A weight as a whole number, rounded half away from zero.
fn fixed(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION_BITS)).round() as i32
}

/// A sum of weighted levels, begun at [`HALF`], as a level.
fn level(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The rows that these taps touch.
fn needed(rows: &[Taps]) -> Range<usize> {
    let end = |taps: &Taps| taps.first + taps.weights.len();
    rows.first().map_or(0, |taps| taps.first)..rows.last().map_or(0, end)
}

/// Resizes each of these rows; all others stay empty.
fn across(picture: &Picture, columns: &[Taps], rows: Range<usize>) -> Picture {
    let row_levels = columns.len() * picture.channels;
    let mut levels = vec![0; picture.size.height as usize * row_levels];
    let sources = picture.levels.chunks_exact(picture.row_levels());
    let targets = levels.chunks_exact_mut(row_levels);
    for (source, target) in sources.zip(targets).skip(rows.start).take(rows.len()) {
        match picture.channels {
            1 => across_row::<1>(source, columns, target),
            _ => across_row::<3>(source, columns, target),
        }
    }
    Picture {
        size: Size {
            width: columns.len() as u32,
            height: picture.size.height,
        },
        channels: picture.channels,
        levels,
    }
}

fn across_row<const CHANNELS: usize>(source: &[u8], columns: &[Taps], target: &mut [u8]) {
    let (pixels, _) = source.as_chunks::<CHANNELS>();
    let (targets, _) = target.as_chunks_mut::<CHANNELS>();
    for (taps, target) in columns.iter().zip(targets) {
        let mut sums = [HALF; CHANNELS];
        let pixels = pixels.get(taps.first..).unwrap_or_default();
        for (pixel, weight) in pixels.iter().zip(&taps.weights) {
            for (sum, level) in sums.iter_mut().zip(pixel) {
                // Weights add up to 1, so this stays within 32 bits; unchecked, so that it is fast.
                *sum = sum.wrapping_add(i32::from(*level).wrapping_mul(*weight));
            }
        }
        *target = sums.map(level);
    }
}

/// Resizes each column.
fn down(picture: &Picture, rows: &[Taps]) -> Picture {
    let row_levels = picture.row_levels();
    let mut levels = Vec::with_capacity(rows.len() * row_levels);
    let mut sums = vec![HALF; row_levels];
    for taps in rows {
        sums.fill(HALF);
        let sources = picture.levels.chunks_exact(row_levels).skip(taps.first);
        for (source, weight) in sources.zip(&taps.weights) {
            for (sum, level) in sums.iter_mut().zip(source) {
                *sum = sum.wrapping_add(i32::from(*level).wrapping_mul(*weight));
            }
        }
        levels.extend(sums.iter().map(|sum| level(*sum)));
    }
    Picture {
        size: Size {
            width: picture.size.width,
            height: rows.len() as u32,
        },
        channels: picture.channels,
        levels,
    }
}

/// The pixel at the centre of each resized one. Pillow adds up the steps and does not multiply, which
/// rounds otherwise.
fn nearest(length: u32, scaled: u32) -> impl Iterator<Item = usize> {
    let factor = f64::from(length) / f64::from(scaled);
    let centres = std::iter::successors(Some(factor * 0.5), move |at| Some(at + factor));
    centres.map(move |at| (at as usize).min(length as usize - 1))
}

fn pick(picture: &Picture, columns: &[usize], rows: &[usize]) -> Picture {
    let channels = picture.channels;
    let mut levels = Vec::with_capacity(columns.len() * rows.len() * channels);
    for row in rows {
        let row = picture.levels.chunks_exact(picture.row_levels()).nth(*row);
        let row = row.unwrap_or_default();
        for column in columns {
            let pixel = row.chunks_exact(channels).nth(*column);
            levels.extend_from_slice(pixel.unwrap_or_default());
        }
    }
    Picture {
        size: Size {
            width: columns.len() as u32,
            height: rows.len() as u32,
        },
        channels,
        levels,
    }
}

fn usize_range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}
