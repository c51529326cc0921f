//! A wasm file, read without running it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use wasmparser::{Encoding, Parser, Payload, TypeRef};

use super::metadata::{self, Metadata};
use super::runtime;
use super::sharing::{self, Sections};
use crate::limits::{self, Bytes};
use crate::text;

const WASM_PAGE_BYTES: u64 = 65536;

/// A component as it came from a file, and what its sections say. Nothing in it is trusted.
pub struct Package {
    bytes: Vec<u8>,
    /// The part of them that is compiled.
    compiled: Range<usize>,
    /// Whose code it runs.
    pub code: Code,
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

/// Whose code a component runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The runtime of this host and no other: this is what the packer writes, and nothing in the
    /// rest can cost a compiler more than its length.
    Runtime,
    /// That, and code of its own.
    RuntimeAndOwn,
    /// Its own.
    Own,
}

/// What the beginning of a packed model's file says. The rest may be anything.
pub struct Glance {
    /// What the packer wrote about the model.
    pub metadata: Metadata,
    /// What an instance's memory has at least; the loaded image is no larger, however few bytes the
    /// file has for it.
    pub image: Bytes,
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
    #[error("cannot read {path}: {source}")]
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
    #[error(
        "not a wasm component but {0}; make one with `glovebox pack`, or build for wasm32-wasip2"
    )]
    NotAComponent(&'static str),
    /// Broken.
    #[error("not a valid wasm component: {}", text::escape(&.0.to_string()))]
    Invalid(#[from] wasmparser::Error),
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
    /// It cannot be opened.
    pub fn file(path: &Path) -> Result<File, PackageError> {
        File::open(path).map_err(|source| unreadable(path, source))
    }

    /// Reads an open file, whose path is for messages.
    ///
    /// # Errors
    /// As [`Package::open`].
    pub fn of_file(file: &File, path: &Path) -> Result<Self, PackageError> {
        let inside = |source| PackageError::In {
            path: path.display().to_string(),
            source: Box::new(source),
        };
        let size = size(file, path)?;
        let front = sharing::length_before_ending(file, size);
        if let Some(front) = front.map_err(|source| unreadable(path, source))? {
            let front = read(file, path, front)?;
            if let Some(image) = image_of_packed(&front).map_err(inside)? {
                return Self::packed(front, image).map_err(inside);
            }
        }
        Self::parse(read(file, path, size)?).map_err(inside)
    }

    /// The bytes of a file that could be a component.
    ///
    /// # Errors
    /// The file cannot be read or is too large.
    pub fn read(path: &Path) -> Result<Vec<u8>, PackageError> {
        let file = Self::file(path)?;
        read(&file, path, size(&file, path)?)
    }

    /// Reads the sections of a component.
    ///
    /// # Errors
    /// The bytes are no component.
    pub fn parse(mut bytes: Vec<u8>) -> Result<Self, PackageError> {
        check_kind(&bytes)?;
        if let Some(front) = sharing::before_ending(&bytes)
            && let Some(image) = image_of_packed(front)?
        {
            let length = front.len();
            bytes.truncate(length);
            return Self::packed(bytes, image);
        }
        let mut about = About::default();
        about.read(&bytes)?;
        Ok(match sharing::composed(&bytes)? {
            Some(component) => about.package(component, Code::RuntimeAndOwn),
            None => about.package(bytes, Code::Own),
        })
    }

    /// A packed model without its ending.
    fn packed(front: Vec<u8>, image: Range<usize>) -> Result<Self, PackageError> {
        let mut about = About::default();
        about.read(&front)?;
        about.read(runtime::SHELL)?;
        // The shell imports the modules of which the file has one, and the ending the other.
        about.imports.clear();
        about.modules.push(Bytes(runtime::CODE.len() as u64));
        Ok(Self {
            compiled: image,
            ..about.package(front, Code::Runtime)
        })
    }

    /// What is compiled: the image, a core module, of what runs the runtime of this host and no
    /// other code; the component, with the runtime's code replaced by an import where it has it, of
    /// all else.
    pub fn wasm(&self) -> &[u8] {
        self.bytes.get(self.compiled.clone()).unwrap_or_default()
    }

    /// Reads the beginning of a file that says of itself that it is a packed model with the runtime
    /// of this host. Nothing if it says otherwise, or is broken.
    ///
    /// # Errors
    /// The file cannot be read or is too large.
    pub fn glance(file: &File, path: &Path) -> Result<Option<Glance>, PackageError> {
        let size = size(file, path)?;
        let beginning = read(file, path, size.min(limits::GLANCE_BYTES))?;
        let mut about = About::default();
        let is_read = check_kind(&beginning).and_then(|()| about.read(&beginning));
        let about = about.package(Vec::new(), Code::Runtime);
        let ours = about
            .metadata
            .filter(|metadata| metadata.runtime_sha256 == *runtime::CODE_SHA256);
        Ok(match (is_read, ours, about.modules.as_slice()) {
            (Ok(()), Some(metadata), [_image]) => Some(Glance {
                metadata,
                image: about.image,
            }),
            _ => None,
        })
    }

    /// What it is called by.
    ///
    /// # Errors
    /// It exports neither an HTTP handler of WASI 0.2 nor a model.
    pub fn world(&self) -> Result<World, PackageError> {
        let exports = |prefix: &str| self.exports.iter().any(|name| name.starts_with(prefix));
        if exports("wasi:http/incoming-handler@0.2.") {
            Ok(World::Http)
        } else if exports("glovebox:inference/model@") {
            Ok(World::ModelFunction)
        } else {
            Err(PackageError::World(self.exports.clone()))
        }
    }
}

/// Where the image is in what stands before the ending of a packed model.
fn image_of_packed(front: &[u8]) -> Result<Option<Range<usize>>, PackageError> {
    check_kind(front)?;
    Ok(sharing::image_of_packed(front)?)
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

fn check_kind(bytes: &[u8]) -> Result<(), PackageError> {
    if Parser::is_component(bytes) {
        return Ok(());
    }
    Err(PackageError::NotAComponent(match bytes {
        _ if Parser::is_core_wasm(bytes) => "a core module",
        [0x7f, b'E', b'L', b'F', ..] => "machine code, which is never accepted",
        [] => "an empty file",
        _ => "something else",
    }))
}

/// What one pass over a component's sections gathers.
#[derive(Default)]
struct About {
    metadata: Option<Metadata>,
    imports: Vec<String>,
    exports: Vec<String>,
    modules: Vec<Bytes>,
    memory_pages: u64,
}

impl About {
    /// A package of which all bytes are compiled.
    fn package(self, bytes: Vec<u8>, code: Code) -> Package {
        Package {
            compiled: 0..bytes.len(),
            bytes,
            code,
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
                let end = unchecked_range.end.min(bytes.len());
                let module = bytes.get(unchecked_range.start..end).unwrap_or_default();
                self.modules.push(Bytes(unchecked_range.len() as u64));
                self.memory_pages = self.memory_pages.saturating_add(memory_pages(module)?);
            }
            Payload::ComponentSection {
                unchecked_range, ..
            } if depth < limits::COMPONENT_DEPTH => {
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
