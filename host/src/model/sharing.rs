//! Code once: where a component holds a packed model with the runtime of this host, the runtime is
//! imported instead.
//!
//! Of a packed model by itself only the image is left: the rest is the same in all of them
//! ([`runtime::SHELL`]). A composition that has one inside, at any depth, becomes a component with
//! one more import, the core module `runtime`; each component around the model hands it inwards.
//! What is compiled is then the image, and the code of the other parts.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use wasm_encoder::{
    Component, ComponentExportKind, ComponentInstanceSection, ComponentSection, Encode, RawSection,
};
use wasmparser::{
    BinaryReaderError, Chunk, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentInstanceSectionReader, ComponentOuterAliasKind, ComponentTypeRef, Parser, Payload,
};

use super::runtime;
use crate::limits;
use crate::sandbox::function::RUNTIME_IMPORT;

/// The ids of a core module's and of a component's section in a component.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// What every packed model ends with: the section of the runtime's code, and our tail.
static ENDING: LazyLock<[&[u8]; 3]> = LazyLock::new(|| {
    let mut section = vec![CORE_MODULE];
    runtime::CODE.len().encode(&mut section);
    [section.leak(), runtime::CODE, runtime::TAIL]
});

/// The bytes before the ending of a packed model, if there is one.
pub(super) fn before_ending(bytes: &[u8]) -> Option<&[u8]> {
    let parts = ENDING.iter().rev();
    parts
        .into_iter()
        .try_fold(bytes, |bytes, part| bytes.strip_suffix(*part))
}

/// How long a file is before the ending of a packed model, if it has one. The ending is as large
/// as a hundred small models, so it is compared piece by piece.
///
/// # Errors
/// The file cannot be read.
pub(super) fn length_before_ending(file: &File, length: u64) -> io::Result<Option<u64>> {
    let ending: usize = ENDING.iter().map(|part| part.len()).sum();
    let Some(start) = length.checked_sub(ending as u64) else {
        return Ok(None);
    };
    let (mut at, mut buffer) = (start, vec![0; limits::SLICE_BYTES]);
    for piece in ENDING
        .iter()
        .flat_map(|part| part.chunks(limits::SLICE_BYTES))
    {
        let read = buffer.get_mut(..piece.len()).unwrap_or_default();
        file.read_exact_at(read, at)?;
        if read != piece {
            return Ok(None);
        }
        at += piece.len() as u64;
    }
    Ok(Some(start))
}

/// Where the image is, if these bytes before the ending are exactly what the packer writes there:
/// a header, metadata, one image.
pub(super) fn image_of_packed(front: &[u8]) -> Result<Option<Range<usize>>, BinaryReaderError> {
    let mut image = None;
    for section in Sections::new(front) {
        match section? {
            (Payload::Version { .. } | Payload::CustomSection(_), _) => {}
            (
                Payload::ModuleSection {
                    unchecked_range, ..
                },
                end,
            ) if end == front.len() && front.get(unchecked_range.clone()).is_some_and(is_image) => {
                image = Some(unchecked_range);
            }
            _ => return Ok(None),
        }
    }
    Ok(image)
}

/// Whether a module is memory and data and nothing else.
fn is_image(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).all(|payload| {
        matches!(
            payload,
            Ok(Payload::Version { .. }
                | Payload::MemorySection(_)
                | Payload::ExportSection(_)
                | Payload::DataSection(_)
                | Payload::End(_))
        )
    })
}

/// A composition without the runtime's code, if it has a packed model inside. The reader of packages
/// has bounded how deep its components are nested.
///
/// # Errors
/// The bytes are no component.
pub(super) fn composed(bytes: &[u8]) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    let mut component = Component::HEADER.to_vec();
    component.extend_from_slice(runtime::IMPORT);
    let (mut components, mut sharing, mut at) = (0, BTreeSet::new(), Component::HEADER.len());
    for section in Sections::new(bytes) {
        let (payload, end) = section?;
        let raw = bytes.get(at..end).unwrap_or_default();
        at = end;
        match payload {
            Payload::Version { .. } => {}
            Payload::ComponentSection {
                unchecked_range, ..
            } => {
                let inner = bytes.get(unchecked_range).unwrap_or_default();
                match without_code(inner)? {
                    None => component.extend_from_slice(raw),
                    Some(inner) => {
                        let section = RawSection {
                            id: COMPONENT,
                            data: &inner,
                        };
                        section.append_to_component(&mut component);
                        sharing.insert(components);
                    }
                }
                components += 1;
            }
            Payload::ComponentInstanceSection(instances) => {
                hand_inwards(instances, &sharing)?.append_to_component(&mut component);
            }
            payload if shifts_modules(&payload)? => return Ok(None),
            payload => {
                components += new_components(&payload)?;
                component.extend_from_slice(raw);
            }
        }
    }
    Ok((!sharing.is_empty()).then_some(component))
}

fn without_code(bytes: &[u8]) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    match before_ending(bytes) {
        Some(front) if image_of_packed(front)?.is_some() => {
            Ok(Some([front, runtime::IMPORT, runtime::TAIL].concat()))
        }
        _ => composed(bytes),
    }
}

/// The section again, with the runtime for each instance of a component that imports it.
fn hand_inwards(
    section: ComponentInstanceSectionReader<'_>,
    sharing: &BTreeSet<u32>,
) -> Result<ComponentInstanceSection, BinaryReaderError> {
    let mut instances = ComponentInstanceSection::new();
    for instance in section {
        match instance? {
            ComponentInstance::Instantiate {
                component_index,
                args,
            } => {
                let runtime = (RUNTIME_IMPORT, ComponentExportKind::Module, 0);
                let runtime = sharing.contains(&component_index).then_some(runtime);
                let args = args
                    .iter()
                    .map(|arg| (arg.name, arg.kind.into(), arg.index));
                let args: Vec<_> = args.chain(runtime).collect();
                instances.instantiate(component_index, args);
            }
            ComponentInstance::FromExports(exports) => {
                let items = exports
                    .iter()
                    .map(|export| (export.name.name, export.kind.into(), export.index));
                instances.export_items(items);
            }
        }
    }
    Ok(instances)
}

/// Whether a section numbers core modules or their types, which the import in front would shift.
/// Compositions have none: what they are made of is inside components.
fn shifts_modules(payload: &Payload<'_>) -> Result<bool, BinaryReaderError> {
    Ok(match payload {
        Payload::ModuleSection { .. }
        | Payload::CoreTypeSection(_)
        | Payload::InstanceSection(_) => true,
        Payload::ComponentAliasSection(aliases) => any(aliases.clone(), |alias| {
            matches!(
                alias,
                ComponentAlias::InstanceExport {
                    kind: ComponentExternalKind::Module,
                    ..
                } | ComponentAlias::Outer {
                    kind: ComponentOuterAliasKind::CoreModule | ComponentOuterAliasKind::CoreType,
                    ..
                }
            )
        })?,
        Payload::ComponentImportSection(imports) => any(imports.clone(), |import| {
            matches!(import.ty, ComponentTypeRef::Module(_))
        })?,
        Payload::ComponentExportSection(exports) => any(exports.clone(), |export| {
            export.kind == ComponentExternalKind::Module
        })?,
        _ => false,
    })
}

/// How many components a section gives numbers to, beside those that are written out.
fn new_components(payload: &Payload<'_>) -> Result<u32, BinaryReaderError> {
    match payload {
        Payload::ComponentAliasSection(aliases) => count(aliases.clone(), |alias| {
            matches!(
                alias,
                ComponentAlias::InstanceExport {
                    kind: ComponentExternalKind::Component,
                    ..
                } | ComponentAlias::Outer {
                    kind: ComponentOuterAliasKind::Component,
                    ..
                }
            )
        }),
        Payload::ComponentImportSection(imports) => count(imports.clone(), |import| {
            matches!(import.ty, ComponentTypeRef::Component(_))
        }),
        Payload::ComponentExportSection(exports) => count(exports.clone(), |export| {
            export.kind == ComponentExternalKind::Component
        }),
        _ => Ok(0),
    }
}

fn any<T>(
    items: impl IntoIterator<Item = Result<T, BinaryReaderError>>,
    is: impl Fn(&T) -> bool,
) -> Result<bool, BinaryReaderError> {
    Ok(count(items, is)? > 0)
}

fn count<T>(
    items: impl IntoIterator<Item = Result<T, BinaryReaderError>>,
    is: impl Fn(&T) -> bool,
) -> Result<u32, BinaryReaderError> {
    let mut count = 0;
    for item in items {
        count += u32::from(is(&item?));
    }
    Ok(count)
}

/// The sections of a component's top level, each with its end; modules and inner components are
/// skipped.
pub(super) struct Sections<'a> {
    bytes: &'a [u8],
    parser: Parser,
}

impl<'a> Sections<'a> {
    /// Of these bytes, which may break off behind any section.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            parser: Parser::new(0),
        }
    }

    fn next_section(&mut self) -> Result<Option<(Payload<'a>, usize)>, BinaryReaderError> {
        let offset = |parser: &Parser| usize::try_from(parser.offset()).unwrap_or(usize::MAX);
        let rest = self.bytes.get(offset(&self.parser)..).unwrap_or_default();
        Ok(match self.parser.parse(rest, true)? {
            Chunk::Parsed {
                payload: Payload::End(_),
                ..
            }
            | Chunk::NeedMoreData(_) => None,
            Chunk::Parsed { payload, .. } => Some((payload, offset(&self.parser))),
        })
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Result<(Payload<'a>, usize), BinaryReaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_section().transpose()
    }
}
