//! Which way up a picture was taken: the tag `Orientation` of EXIF.

use super::picture::Size;

const ORIENTATION: u16 = 0x0112;
/// The type of its value: one 16-bit number.
const SHORT: u16 = 3;
const ENTRY_BYTES: usize = 12;
/// Formats differ in whether this stands before the data.
const PREFIX: &[u8] = b"Exif\0\0";

/// What turns stored rows and columns into those that a person looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Orientation {
    /// Stored columns are rows.
    transposed: bool,
    /// Then left and right are exchanged.
    mirrored: bool,
    /// Then top and bottom are.
    flipped: bool,
}

impl Orientation {
    /// As stored.
    pub(super) const UPRIGHT: Self = Self {
        transposed: false,
        mirrored: false,
        flipped: false,
    };

    /// Reads it from EXIF data. What cannot be read counts as upright, as in Pillow's
    /// `exif_transpose`.
    pub(super) fn read(exif: Option<&[u8]>) -> Self {
        let tag = exif.and_then(|exif| orientation(exif.strip_prefix(PREFIX).unwrap_or(exif)));
        let (transposed, mirrored, flipped) = match tag.unwrap_or(1) {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self {
            transposed,
            mirrored,
            flipped,
        }
    }

    /// The size of the upright picture.
    pub(super) fn upright(self, stored: Size) -> Size {
        match self.transposed {
            true => Size {
                width: stored.height,
                height: stored.width,
            },
            false => stored,
        }
    }

    /// Where a pixel of the upright picture of this size is stored: column and row.
    pub(super) fn source(self, upright: Size, x: u32, y: u32) -> (u32, u32) {
        let x = if self.mirrored {
            upright.width - 1 - x
        } else {
            x
        };
        let y = if self.flipped {
            upright.height - 1 - y
        } else {
            y
        };
        if self.transposed { (y, x) } else { (x, y) }
    }
}

/// The tag's value, from the first directory of TIFF data.
fn orientation(tiff: &[u8]) -> Option<u16> {
    let order = match tiff.get(..2)? {
        b"II" => u16::from_le_bytes,
        b"MM" => u16::from_be_bytes,
        _ => return None,
    };
    let short = |at: usize| Some(order(*tiff.get(at..)?.first_chunk()?));
    let (first, second) = (usize::from(short(4)?), usize::from(short(6)?));
    let directory = match tiff.first()? {
        b'I' => second << 16 | first,
        _ => first << 16 | second,
    };
    let entries = tiff.get(directory..)?;
    let count = usize::from(order(*entries.first_chunk()?));
    let entry = entries.get(2..)?.chunks_exact(ENTRY_BYTES).take(count);
    let field = |entry: &[u8], at: usize| Some(order(*entry.get(at..)?.first_chunk()?));
    let mut found = entry.filter(|entry| field(entry, 0) == Some(ORIENTATION));
    let entry = found.next()?;
    (field(entry, 2) == Some(SHORT)).then_some(field(entry, 8))?
}
