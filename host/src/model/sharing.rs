//! Code once: where a component holds a packed model, its runtime is imported instead, and shared with
//! all models that have the same.
//!
//! Of a packed model by itself only the image is left: the rest is the same in all of them with its
//! runtime ([`shell`](glovebox_split::shell)). A composition that has one inside, at any depth, becomes
//! a component with one more import, the core module `runtime`; each component around the model hands
//! it inwards. What is compiled is then the image, and the code of the other parts.

use std::collections::BTreeSet;
use std::ops::Range;

use wasm_encoder::{
    Component, ComponentExportKind, ComponentInstanceSection, ComponentSection, RawSection,
};
use wasmparser::{
    BinaryReaderError, Chunk, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentInstanceSectionReader, ComponentOuterAliasKind, ComponentTypeRef, Parser, Payload,
    TypeRef,
};

use super::layout::Layout;
use crate::sandbox::function::RUNTIME_IMPORT;

/// The id of a component's section in a component.
const COMPONENT: u8 = 4;

/// The packed model that some bytes are, if its parts are what the packer writes.
pub(super) fn packed(bytes: &[u8]) -> Option<Layout> {
    let layout = Layout::of(bytes, &(0..bytes.len() as u64)).ok()??;
    let image = bytes.get(range(&layout.image))?;
    let head = bytes.get(range(&layout.code_head()))?;
    (is_image(image) && is_code(head)).then_some(layout)
}

/// A place in memory.
pub(super) fn range(range: &Range<u64>) -> Range<usize> {
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    place(range.start)..place(range.end)
}

/// Whether a module has no memory but the one that it imports, by its beginning.
pub(super) fn is_code(head: &[u8]) -> bool {
    let mut memories = 0;
    for payload in Parser::new(0).parse_all(head) {
        match payload {
            Ok(Payload::ImportSection(imports)) => {
                for import in imports.into_imports() {
                    let Ok(import) = import else { return false };
                    memories += usize::from(matches!(import.ty, TypeRef::Memory(_)));
                }
            }
            Ok(Payload::MemorySection(_)) | Err(_) => return false,
            // All that follows is exports, code and data.
            Ok(Payload::GlobalSection(_) | Payload::ExportSection(_)) => return memories == 1,
            Ok(_) => {}
        }
    }
    false
}

/// Whether a module is memory and data and nothing else.
pub(super) fn is_image(module: &[u8]) -> bool {
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

/// A composition that imports its runtime.
pub(super) struct Shared {
    /// The component without the runtime's code.
    pub(super) component: Vec<u8>,
    /// Where the runtime is in the bytes of the composition.
    pub(super) runtime: Layout,
}

/// A composition without its runtime's code, if it has a packed model inside. Of several runtimes
/// the first is shared. The reader of packages has bounded how deep its components are nested.
///
/// # Errors
/// The bytes are no component.
pub(super) fn composed(bytes: &[u8]) -> Result<Option<Shared>, BinaryReaderError> {
    let mut first = None;
    let component = Composition {
        bytes,
        first: &mut first,
    }
    .without_runtime(0..bytes.len())?;
    let shared = component.zip(first);
    Ok(shared.map(|(component, First { layout, .. })| Shared {
        component,
        runtime: layout,
    }))
}

/// The first runtime of a composition.
struct First {
    layout: Layout,
    /// The sections that import it.
    import: Vec<u8>,
}

struct Composition<'a> {
    bytes: &'a [u8],
    first: &'a mut Option<First>,
}

impl Composition<'_> {
    /// A component inside, with its runtime imported, if it has the first one.
    fn without_runtime(
        &mut self,
        place: Range<usize>,
    ) -> Result<Option<Vec<u8>>, BinaryReaderError> {
        let bytes = self.bytes.get(place.clone()).unwrap_or_default();
        let (mut rest, mut sharing, mut at) =
            (Vec::new(), BTreeSet::new(), Component::HEADER.len());
        let mut components = 0;
        for section in Sections::new(bytes) {
            let (payload, end) = section?;
            let raw = bytes.get(at..end).unwrap_or_default();
            at = end;
            match payload {
                Payload::Version { .. } => {}
                Payload::ComponentSection {
                    unchecked_range, ..
                } => {
                    let inner =
                        place.start + unchecked_range.start..place.start + unchecked_range.end;
                    match self.inner(inner)? {
                        None => rest.extend_from_slice(raw),
                        Some(data) => {
                            let (id, data) = (COMPONENT, data.as_slice());
                            RawSection { id, data }.append_to_component(&mut rest);
                            sharing.insert(components);
                        }
                    }
                    components += 1;
                }
                Payload::ComponentInstanceSection(instances) => {
                    hand_inwards(instances, &sharing)?.append_to_component(&mut rest);
                }
                payload if shifts_modules(&payload)? => return Ok(None),
                payload => {
                    components += new_components(&payload)?;
                    rest.extend_from_slice(raw);
                }
            }
        }
        let first = self.first.as_ref().filter(|_| !sharing.is_empty());
        Ok(first.map(|first| [&Component::HEADER, first.import.as_slice(), &rest].concat()))
    }

    fn inner(&mut self, place: Range<usize>) -> Result<Option<Vec<u8>>, BinaryReaderError> {
        let bytes = self.bytes.get(place.clone()).unwrap_or_default();
        let Some(layout) = packed(bytes) else {
            return self.without_runtime(place);
        };
        let layout = layout.moved_by(place.start as u64);
        let part = |part: &Range<u64>| self.bytes.get(range(part)).unwrap_or_default();
        let (code, tail) = (part(&layout.code), part(&layout.tail));
        let front = part(&(layout.start..layout.image.end));
        if self.first.is_none() {
            let Ok(import) = glovebox_split::import(code) else {
                return Ok(None);
            };
            *self.first = Some(First {
                layout: layout.clone(),
                import,
            });
        }
        let first = self.first.as_ref();
        let shared = first.filter(|first| part(&first.layout.code) == code);
        Ok(shared.map(|first| [front, &first.import, tail].concat()))
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
