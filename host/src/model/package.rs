//! A wasm file, read without running it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use wasm_encoder::Component;
use wasmparser::{Encoding, Parser, Payload, TypeRef};

use super::layout::{self, Layout};
use super::metadata::{self, Metadata};
use super::shared::Runtime;
use super::sharing::{self, Sections};
use super::{kind, regular};
use crate::limits::{self, Bytes};
use crate::text;

const WASM_PAGE_BYTES: u64 = 65536;
/// The versions of the interface between a model and its host that this host speaks: additions change
/// the last number, all else the one before it.
const MODEL_CONTRACT: &str = "glovebox:inference/model@0.1.";

/// A component as it came from a file, and what its sections say. Nothing in it is trusted.
pub struct Package {
    bytes: Vec<u8>,
    /// The part of them that is compiled.
    compiled: Range<usize>,
    /// Whose code it runs.
    pub code: Code,
    /// What it is to other hosts, if this host looks through its front.
    pub front: Option<Front>,
    /// What the packer wrote about the model, if the packer made this file.
    pub metadata: Option<Metadata>,
    /// Names of the component's imports: a model function has none.
    pub imports: Vec<String>,
    /// Names of the component's exports.
    pub exports: Vec<String>,
    /// Size of its core modules, in order of appearance.
    pub modules: Vec<Bytes>,
    /// What an instance's memories have at least.
    pub image: Bytes,
}

/// The code that a component runs.
#[derive(Clone)]
pub enum Code {
    /// A runtime, and nothing else: this is what the packer writes, and nothing in the rest can cost a
    /// compiler more than its length.
    Shared(Runtime),
    /// A runtime, and code of its own around it.
    SharedAndOwn(Runtime),
    /// Its own.
    Own,
}

/// The HTTP front of Glovebox before a packed model. The host serves the model itself; other hosts
/// run the front.
pub struct Front {
    /// Names of the whole component's imports.
    pub imports: Vec<String>,
    /// Names of its exports.
    pub exports: Vec<String>,
}

/// What the beginning of a packed model's file says. The rest may be anything.
pub struct Glance {
    /// What the packer wrote about the model.
    pub metadata: Metadata,
    /// What an instance's memory has at least; the loaded image is no larger, however few bytes the
    /// file has for it.
    pub image: Bytes,
    /// Whether it stands behind the HTTP front of Glovebox.
    pub is_behind_front: bool,
}

/// What a component is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// It is a model function: tensors or media in, tensors or an answer out.
    ModelFunction,
    /// It speaks HTTP.
    Http,
}

/// Why a file is no component.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The file cannot be read.
    #[error("cannot read {path}: {}", text::unreadable(source))]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Larger than a packed model can be.
    #[error(
        "{path} has {size}, more than the {} that a packed model can have",
        Bytes(limits::ARTIFACT_BYTES)
    )]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        size: Bytes,
    },
    /// The file is read but not right.
    #[error("{path}: {source}")]
    In {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: Box<PackageError>,
    },
    /// Another kind of file.
    #[error("{0}")]
    NotAComponent(String),
    /// The beginning of one.
    #[error("the file ends in the middle of the component; copy or download the whole of it again")]
    CutOff,
    /// The file breaks off while it is read.
    #[error("it cannot be read: {0}")]
    Bytes(#[from] io::Error),
    /// Broken.
    #[error("not a valid wasm component: {}", text::escape(&.0.to_string()))]
    Invalid(wasmparser::Error),
    /// More components inside each other than there is stack for.
    #[error("its components are nested more than {} deep", limits::COMPONENT_DEPTH)]
    TooDeep,
    /// Code that uses several memories at once: only what wasmtime puts between components may.
    #[error("one of its core modules has more than one memory, which is not supported")]
    Memories,
    /// It is called by nothing that is known here.
    #[error(
        "the component exports {}, and neither glovebox:inference/model@0.1.0 nor \
         wasi:http/incoming-handler@0.2.0; make a model with `glovebox pack`, and build a Spin \
         component with an SDK for WASI 0.2",
        names(.0)
    )]
    World(Vec<String>),
    /// A model of another version of the interface.
    #[error(
        "it is a model of {}, and this host speaks glovebox:inference 0.1: pack it again with this version \
         of glovebox",
        text::escape(.0)
    )]
    Contract(String),
    /// Broken metadata.
    #[error(
        "its section `glovebox:model` is not what the packer writes: {}",
        text::escape(&.0.to_string())
    )]
    Metadata(serde_json::Error),
}

impl Package {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, is too large or is no component.
    pub fn open(path: &Path) -> Result<Self, PackageError> {
        Self::of_file(&Self::file(path)?, path)
    }

    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be opened, or is no file.
    pub fn file(path: &Path) -> Result<File, PackageError> {
        regular::open(path).map_err(|source| unreadable(path, source))
    }

    /// Reads an open file, whose path is for messages. Of a packed model behind the HTTP front of
    /// Glovebox, the model is read.
    ///
    /// # Errors
    /// As [`Package::open`].
    pub fn of_file(file: &File, path: &Path) -> Result<Self, PackageError> {
        let inside = |source| PackageError::In {
            path: path.display().to_string(),
            source: Box::new(source),
        };
        let unreadable = |source| unreadable(path, source);
        let size = size(file, path)?;
        if let Some(layout) = Layout::of(file, &(0..size)).map_err(unreadable)?
            && let Some(package) = Self::of_layout(file, &layout).map_err(inside)?
        {
            return Ok(package);
        }
        if let Some(layout) = Layout::behind_front(file, &(0..size)).map_err(unreadable)?
            && let Some(package) = Self::of_layout(file, &layout).map_err(inside)?
        {
            let about = About::of(&read(file, path, size)?).map_err(inside)?;
            return Ok(about.in_front_of(package));
        }
        Self::parse(read(file, path, size)?).map_err(inside)
    }

    /// Reads a component that is in memory, and looks through the HTTP front of Glovebox.
    ///
    /// # Errors
    /// As [`Package::parse`].
    pub fn look_through(bytes: Vec<u8>) -> Result<Self, PackageError> {
        let layout = Layout::behind_front(bytes.as_slice(), &(0..bytes.len() as u64))?;
        let Some(layout) = layout else {
            return Self::parse(bytes);
        };
        let model = layout::read(bytes.as_slice(), &(layout.start..layout.tail.end))?;
        match Self::parse(model)? {
            model if matches!(model.code, Code::Shared(_)) => {
                Ok(About::of(&bytes)?.in_front_of(model))
            }
            _ => Self::parse(bytes),
        }
    }

    /// A packed model in a file, without reading its code into memory.
    fn of_layout(file: &File, layout: &Layout) -> Result<Option<Self>, PackageError> {
        let front = layout::read(file, &(layout.start..layout.image.end))?;
        let placed = layout.clone().moved_to_start();
        let image = front.get(sharing::range(&placed.image));
        if !image.is_some_and(sharing::is_image)
            || !sharing::is_code(&layout::read(file, &layout.code_head())?)
        {
            return Ok(None);
        }
        let tail = layout::read(file, &layout.tail)?;
        let runtime = Runtime::in_file(&Arc::new(file.try_clone()?), layout)?;
        Self::packed(front, &placed, &tail, runtime).map(Some)
    }

    /// The bytes of a file that could be a component.
    ///
    /// # Errors
    /// The file cannot be read or is too large.
    pub fn read(path: &Path) -> Result<Vec<u8>, PackageError> {
        let file = Self::file(path)?;
        read(&file, path, size(&file, path)?)
    }

    /// Reads the sections of a component, as it is: also of a packed model behind a front of whoever.
    ///
    /// # Errors
    /// The bytes are no component.
    pub fn parse(mut bytes: Vec<u8>) -> Result<Self, PackageError> {
        check_kind(&bytes)?;
        if let Some(layout) = sharing::packed(&bytes) {
            let runtime = Runtime::in_memory(&bytes, &layout)?;
            let tail = layout::read(bytes.as_slice(), &layout.tail)?;
            bytes.truncate(sharing::range(&layout.image).end);
            return Self::packed(bytes, &layout, &tail, runtime);
        }
        let about = About::of(&bytes)?;
        if about.is_cut_off {
            return Err(PackageError::CutOff);
        }
        Ok(match sharing::composed(&bytes)? {
            Some(shared) => {
                let runtime = Runtime::in_memory(&bytes, &shared.runtime)?;
                about.package(shared.component, Code::SharedAndOwn(runtime))
            }
            None => about.package(bytes, Code::Own),
        })
    }

    /// A packed model, of which `front` is all before the code.
    fn packed(
        front: Vec<u8>,
        layout: &Layout,
        tail: &[u8],
        runtime: Runtime,
    ) -> Result<Self, PackageError> {
        let mut about = About::default();
        about.read(&front)?;
        about
            .modules
            .push(Bytes(layout.code.end - layout.code.start));
        about.read(&[&Component::HEADER, tail].concat())?;
        Ok(Self {
            compiled: sharing::range(&layout.image),
            ..about.package(front, Code::Shared(runtime))
        })
    }

    /// What is compiled: the image, a core module, of what runs a runtime and no other code; the
    /// component, with the runtime's code replaced by an import where it has one, of all else.
    pub fn wasm(&self) -> &[u8] {
        self.bytes.get(self.compiled.clone()).unwrap_or_default()
    }

    /// Reads the beginning of a packed model in a file. Nothing if the file is something else, wants
    /// something of its host, or is broken.
    ///
    /// # Errors
    /// The file cannot be read or is too large.
    pub fn glance(file: &File, path: &Path) -> Result<Option<Glance>, PackageError> {
        let unreadable = |source| unreadable(path, source);
        let size = size(file, path)?;
        let plain = Layout::of(file, &(0..size)).map_err(unreadable)?;
        let is_behind_front = plain.is_none();
        let layout = match plain {
            Some(layout) => Some(layout),
            None => Layout::behind_front(file, &(0..size)).map_err(unreadable)?,
        };
        let Some(layout) = layout.filter(|layout| !layout.has_imports) else {
            return Ok(None);
        };
        let end = layout.image.end.min(layout.start + limits::GLANCE_BYTES);
        let beginning = layout::read(file, &(layout.start..end)).map_err(unreadable)?;
        let about = About::of(&beginning);
        let about = about.map(|about| about.package(Vec::new(), Code::Own));
        Ok(match about {
            Ok(Package {
                metadata: Some(metadata),
                image,
                ..
            }) => Some(Glance {
                metadata,
                image,
                is_behind_front,
            }),
            _ => None,
        })
    }

    /// What it is called by.
    ///
    /// # Errors
    /// It exports neither an HTTP handler of WASI 0.2 nor a model.
    pub fn world(&self) -> Result<World, PackageError> {
        let export = |prefix: &str| self.exports.iter().find(|name| name.starts_with(prefix));
        if export("wasi:http/incoming-handler@0.2.").is_some() {
            return Ok(World::Http);
        }
        match export("glovebox:inference/model@") {
            Some(model) if model.starts_with(MODEL_CONTRACT) => Ok(World::ModelFunction),
            Some(other) => Err(PackageError::Contract(other.clone())),
            None => Err(PackageError::World(self.exports.clone())),
        }
    }
}

fn unreadable(path: &Path, source: io::Error) -> PackageError {
    PackageError::Read {
        path: path.display().to_string(),
        source,
    }
}

fn size(file: &File, path: &Path) -> Result<u64, PackageError> {
    let about = file.metadata();
    let size = about.map_err(|source| unreadable(path, source))?.len();
    match size > limits::ARTIFACT_BYTES {
        true => Err(PackageError::TooLarge {
            path: path.display().to_string(),
            size: Bytes(size),
        }),
        false => Ok(size),
    }
}

/// The first bytes of a file.
fn read(file: &File, path: &Path, length: u64) -> Result<Vec<u8>, PackageError> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(bytes),
        Err(source) => Err(unreadable(path, source)),
    }
}

/// The text of the metadata's section, if there is one.
pub(super) fn description(bytes: &[u8]) -> Option<&[u8]> {
    let mut sections = Sections::new(bytes).map_while(Result::ok);
    sections.find_map(|(payload, _)| match payload {
        Payload::CustomSection(section) if section.name() == metadata::SECTION => {
            Some(section.data())
        }
        _ => None,
    })
}

fn names(names: &[String]) -> String {
    match names.is_empty() {
        true => "nothing".into(),
        false => text::escape(&names.join(", ")),
    }
}

/// Whether bytes begin a component.
///
/// # Errors
/// What they are instead.
pub(crate) fn check_kind(bytes: &[u8]) -> Result<(), PackageError> {
    match Parser::is_component(bytes) {
        true => Ok(()),
        false => Err(PackageError::NotAComponent(kind::not_component(bytes))),
    }
}

impl From<wasmparser::Error> for PackageError {
    fn from(error: wasmparser::Error) -> Self {
        match error.message().starts_with("unexpected end") {
            true => Self::CutOff,
            false => Self::Invalid(error),
        }
    }
}

/// What one pass over a component's sections gathers.
#[derive(Default)]
struct About {
    metadata: Option<Metadata>,
    imports: Vec<String>,
    exports: Vec<String>,
    modules: Vec<Bytes>,
    memory_pages: u64,
    /// Whether a part says that it is longer than what there is.
    is_cut_off: bool,
}

impl About {
    fn of(bytes: &[u8]) -> Result<Self, PackageError> {
        let mut about = Self::default();
        about.read(bytes)?;
        Ok(about)
    }

    /// What a composition is to other hosts, of which this host serves the model inside.
    fn in_front_of(self, model: Package) -> Package {
        Package {
            front: Some(Front {
                imports: self.imports,
                exports: self.exports,
            }),
            ..model
        }
    }

    /// A package of which all bytes are compiled.
    fn package(self, bytes: Vec<u8>, code: Code) -> Package {
        Package {
            compiled: 0..bytes.len(),
            bytes,
            code,
            front: None,
            metadata: self.metadata,
            imports: self.imports,
            exports: self.exports,
            modules: self.modules,
            image: Bytes(self.memory_pages.saturating_mul(WASM_PAGE_BYTES)),
        }
    }

    /// Names are those of the top level; modules and memories count wherever they are.
    fn read(&mut self, bytes: &[u8]) -> Result<(), PackageError> {
        for section in Sections::new(bytes) {
            match section?.0 {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } => break,
                Payload::CustomSection(section) if section.name() == metadata::SECTION => {
                    let metadata =
                        serde_json::from_slice(section.data()).map_err(PackageError::Metadata)?;
                    self.metadata = Some(metadata);
                }
                Payload::ComponentImportSection(imports) => {
                    for import in imports {
                        self.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) => {
                    for export in exports {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
                payload => self.read_code(&payload, bytes, 0)?,
            }
        }
        Ok(())
    }

    fn read_code(
        &mut self,
        payload: &Payload<'_>,
        bytes: &[u8],
        depth: usize,
    ) -> Result<(), PackageError> {
        match payload {
            Payload::ModuleSection {
                unchecked_range, ..
            } => {
                // All of it, or the beginning that there is.
                self.is_cut_off |= unchecked_range.end > bytes.len();
                let end = unchecked_range.end.min(bytes.len());
                let module = bytes.get(unchecked_range.start..end).unwrap_or_default();
                self.modules.push(Bytes(unchecked_range.len() as u64));
                self.memory_pages = self.memory_pages.saturating_add(memory_pages(module)?);
            }
            Payload::ComponentSection {
                unchecked_range, ..
            } if depth < limits::COMPONENT_DEPTH => {
                self.is_cut_off |= unchecked_range.end > bytes.len();
                let inner = bytes.get(unchecked_range.clone()).unwrap_or_default();
                for section in Sections::new(inner) {
                    self.read_code(&section?.0, inner, depth + 1)?;
                }
            }
            Payload::ComponentSection { .. } => return Err(PackageError::TooDeep),
            _ => {}
        }
        Ok(())
    }
}

/// The memory that a module defines, in pages.
fn memory_pages(module: &[u8]) -> Result<u64, PackageError> {
    let (mut pages, mut memories) = (0u64, 0);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    memories += usize::from(matches!(import?.ty, TypeRef::Memory(_)));
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    pages = pages.saturating_add(memory?.initial);
                    memories += 1;
                }
            }
            // All that follows is code and data.
            Payload::GlobalSection(_)
            | Payload::ExportSection(_)
            | Payload::CodeSectionStart { .. } => break,
            _ => {}
        }
    }
    match memories {
        0 | 1 => Ok(pages),
        _ => Err(PackageError::Memories),
    }
}
