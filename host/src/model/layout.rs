//! Where the parts of a packed model lie in a file, found by the headers of its sections alone.
//!
//! A packed model is a component of metadata, image, code and tail. It is a whole file, or stands
//! inside a composition behind the HTTP front of Glovebox. Both are recognised here without reading
//! the code, which is as large as a hundred small images.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use wasm_encoder::Component;

use super::runtime;
use crate::limits;

/// The ids of sections in a component.
const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const CORE_TYPE: u8 = 3;
const COMPONENT: u8 = 4;
const COMPONENT_INSTANCE: u8 = 5;
const ALIAS: u8 = 6;
const TYPE: u8 = 7;
const IMPORT: u8 = 10;
const EXPORT: u8 = 11;

/// The sections around the components of a composition that has no code of its own.
const WIRING: [u8; 6] = [CUSTOM, COMPONENT_INSTANCE, ALIAS, TYPE, IMPORT, EXPORT];

/// The longest header of a section: an id and a length, which LEB128 writes in at most five bytes.
type Header = [u8; 6];

/// Bytes that are read piece by piece.
pub(super) trait ReadAt {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// There are not as many bytes, or they cannot be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Reads a range of bytes.
///
/// # Errors
/// There are not as many bytes, or they cannot be read.
pub(super) fn read(source: &(impl ReadAt + ?Sized), range: &Range<u64>) -> io::Result<Vec<u8>> {
    let length = range.end.saturating_sub(range.start);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    source.read_at(&mut bytes, range.start)?;
    Ok(bytes)
}

/// The parts of a packed model, as places in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The first byte of the component.
    pub(super) start: u64,
    /// The core module that holds the memory.
    pub(super) image: Range<u64>,
    /// The core module that holds the functions.
    pub(super) code: Range<u64>,
    /// The sections that connect both and export the model.
    pub(super) tail: Range<u64>,
    /// Whether the tail imports anything from a host.
    pub(super) has_imports: bool,
}

impl Layout {
    /// The packed model that a component is, if it is nothing else.
    ///
    /// # Errors
    /// The bytes cannot be read.
    pub(super) fn of(
        source: &(impl ReadAt + ?Sized),
        component: &Range<u64>,
    ) -> io::Result<Option<Self>> {
        let Some(sections) = sections(source, component)? else {
            return Ok(None);
        };
        let custom = sections.iter().take_while(|section| section.id == CUSTOM);
        let (_, rest) = sections.split_at(custom.count());
        let [image, code, tail @ ..] = rest else {
            return Ok(None);
        };
        // Types of modules stand in front of the tail where its modules are imported.
        let shifts = tail.iter().any(|section| section.id == CORE_TYPE);
        if image.id != CORE_MODULE || code.id != CORE_MODULE || shifts {
            return Ok(None);
        }
        Ok(Some(Self {
            start: component.start,
            image: image.content.clone(),
            code: code.content.clone(),
            tail: code.content.end..component.end,
            has_imports: tail.iter().any(|section| section.id == IMPORT),
        }))
    }

    /// The beginning of the code, which tells whose memory it uses.
    pub(super) fn code_head(&self) -> Range<u64> {
        let end = self.code.start.saturating_add(limits::CODE_HEAD_BYTES);
        self.code.start..self.code.end.min(end)
    }

    /// The places in the component by itself.
    pub(super) fn moved_to_start(self) -> Self {
        let start = self.start;
        self.moved(|at| at - start)
    }

    /// The places in a file where the component begins at `offset`.
    pub(super) fn moved_by(self, offset: u64) -> Self {
        self.moved(|at| at + offset)
    }

    fn moved(self, to: impl Fn(u64) -> u64) -> Self {
        let range = |range: Range<u64>| to(range.start)..to(range.end);
        Self {
            start: to(self.start),
            image: range(self.image),
            code: range(self.code),
            tail: range(self.tail),
            ..self
        }
    }

    /// The packed model behind the HTTP front of Glovebox, if a file is a composition of these two
    /// and of nothing else.
    ///
    /// # Errors
    /// The bytes cannot be read.
    pub(super) fn behind_front(
        source: &(impl ReadAt + ?Sized),
        file: &Range<u64>,
    ) -> io::Result<Option<Self>> {
        let Some(sections) = sections(source, file)? else {
            return Ok(None);
        };
        let (components, wiring): (Vec<_>, Vec<_>) = sections
            .into_iter()
            .partition(|section| section.id == COMPONENT);
        let [one, other] = components.as_slice() else {
            return Ok(None);
        };
        if !wiring.iter().all(|section| WIRING.contains(&section.id)) {
            return Ok(None);
        }
        for (front, model) in [(one, other), (other, one)] {
            if is_front(source, &front.content)? {
                return Self::of(source, &model.content);
            }
        }
        Ok(None)
    }
}

/// Whether a component is the HTTP front of Glovebox, of this build or another one: it ends with a
/// section that holds the digest of all before it.
fn is_front(source: &(impl ReadAt + ?Sized), component: &Range<u64>) -> io::Result<bool> {
    let size = component.end.saturating_sub(component.start);
    if size > limits::FRONT_BYTES {
        return Ok(false);
    }
    Ok(runtime::is_front(&read(source, component)?))
}

/// A section by its header.
struct Section {
    id: u8,
    content: Range<u64>,
}

/// All sections of a component. Nothing if it is none, breaks off, or has more sections than a
/// packed model or a composition of two.
fn sections(
    source: &(impl ReadAt + ?Sized),
    component: &Range<u64>,
) -> io::Result<Option<Vec<Section>>> {
    let preamble = Component::HEADER.len() as u64;
    if component.end.saturating_sub(component.start) < preamble
        || read(source, &(component.start..component.start + preamble))? != Component::HEADER
    {
        return Ok(None);
    }
    let (mut at, mut sections) = (component.start + preamble, Vec::new());
    while at < component.end {
        let most = at + size_of::<Header>() as u64;
        let header = read(source, &(at..component.end.min(most)))?;
        let section = section(&header, at).filter(|section| section.content.end <= component.end);
        let Some(section) = section.filter(|_| sections.len() < limits::LAYOUT_SECTIONS) else {
            return Ok(None);
        };
        at = section.content.end;
        sections.push(section);
    }
    Ok(Some(sections))
}

fn section(header: &[u8], at: u64) -> Option<Section> {
    let (id, rest) = header.split_first()?;
    let (mut length, mut shift, mut used) = (0u64, 0, 1);
    for byte in rest {
        length |= u64::from(byte & 0x7f) << shift;
        (shift, used) = (shift + 7, used + 1);
        if byte & 0x80 == 0 {
            let start = at + used;
            return Some(Section {
                id: *id,
                content: start..start + length,
            });
        }
    }
    None
}
