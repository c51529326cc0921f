//! A wasm file, read without running it.

use std::ops::Range;
use std::path::Path;
use std::{fs, io};

use wasmparser::{Chunk, Encoding, Parser, Payload};

use super::metadata::{self, Metadata};
use super::runtime;
use crate::limits::{self, Bytes};
use crate::text;

const WASM_PAGE_BYTES: u64 = 65536;

/// A component as it came from a file, and what its sections say. Nothing in it is trusted.
pub struct Package {
    /// Its sections, with the runtime's code replaced by an import of it if `shares_runtime`.
    pub component: Vec<u8>,
    /// Whether this is what the packer writes, and the code is the runtime of this host: nothing
    /// in the rest can cost a compiler more than its length.
    pub shares_runtime: bool,
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
    #[error("not a wasm component but {0}; make one with `glovebox pack`")]
    NotAComponent(&'static str),
    /// Broken.
    #[error("not a valid wasm component: {}", text::escape(&.0.to_string()))]
    Invalid(#[from] wasmparser::Error),
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
        let name = || path.display().to_string();
        let read = |source| PackageError::Read {
            path: name(),
            source,
        };
        let size = fs::metadata(path).map_err(read)?.len();
        if size > limits::ARTIFACT_BYTES {
            return Err(PackageError::TooLarge {
                path: name(),
                size: Bytes(size),
            });
        }
        let parsed = Self::parse(fs::read(path).map_err(read)?);
        parsed.map_err(|source| PackageError::In {
            path: name(),
            source: Box::new(source),
        })
    }

    /// Reads the sections of a component.
    ///
    /// # Errors
    /// The bytes are no component.
    pub fn parse(mut bytes: Vec<u8>) -> Result<Self, PackageError> {
        check_kind(&bytes)?;
        let mut sections = Sections::default();
        sections.read(&bytes)?;
        let Sections {
            metadata,
            imports,
            exports,
            modules,
            memory_pages,
            code,
            ..
        } = sections;
        let code = code.filter(|code| bytes.get(code.end..) == Some(runtime::TAIL));
        let shares_runtime = code.is_some();
        if let Some(code) = code {
            bytes.splice(code, runtime::IMPORT.iter().copied());
        }
        let image = Bytes(memory_pages.saturating_mul(WASM_PAGE_BYTES));
        Ok(Self {
            component: bytes,
            shares_runtime,
            metadata,
            imports,
            exports,
            modules,
            image,
        })
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
struct Sections {
    metadata: Option<Metadata>,
    imports: Vec<String>,
    exports: Vec<String>,
    modules: Vec<Bytes>,
    memory_pages: u64,
    /// Where the runtime's code is, if before it there is nothing but metadata and one image.
    code: Option<Range<usize>>,
    /// How many images there are.
    images: usize,
    /// Whether there is something that the packer does not write before the code.
    has_others: bool,
}

impl Sections {
    /// Walks over the top level only; modules and inner components are skipped.
    fn read(&mut self, bytes: &[u8]) -> Result<(), PackageError> {
        let mut parser = Parser::new(0);
        loop {
            let at = parser.offset() as usize;
            let rest = bytes.get(at..).unwrap_or_default();
            let Chunk::Parsed { payload, .. } = parser.parse(rest, true)? else {
                break;
            };
            match payload {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } => break,
                Payload::ModuleSection {
                    unchecked_range, ..
                } => {
                    let module = bytes.get(unchecked_range.clone()).unwrap_or_default();
                    self.modules.push(Bytes(module.len() as u64));
                    if module == runtime::CODE {
                        let is_packed = self.images == 1 && !self.has_others;
                        self.code = is_packed.then_some(at..unchecked_range.end);
                        continue;
                    }
                    self.memory_pages = self.memory_pages.saturating_add(memory_pages(module)?);
                    match is_image(module) {
                        true => self.images += 1,
                        false => self.has_others = true,
                    }
                }
                Payload::CustomSection(section) if section.name() == metadata::SECTION => {
                    let metadata =
                        serde_json::from_slice(section.data()).map_err(PackageError::Metadata)?;
                    self.metadata = Some(metadata);
                }
                Payload::ComponentImportSection(imports) => {
                    self.has_others = true;
                    for import in imports {
                        self.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) => {
                    self.has_others = true;
                    for export in exports {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
                Payload::End(_) => break,
                Payload::Version { .. } | Payload::CustomSection(_) => {}
                _ => self.has_others = true,
            }
        }
        Ok(())
    }
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

/// The memories that a module defines, in pages.
fn memory_pages(module: &[u8]) -> Result<u64, PackageError> {
    let mut pages = 0u64;
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::MemorySection(memories) => {
                for memory in memories {
                    pages = pages.saturating_add(memory?.initial);
                }
            }
            // All that follows is code and data.
            Payload::GlobalSection(_)
            | Payload::ExportSection(_)
            | Payload::CodeSectionStart { .. } => break,
            _ => {}
        }
    }
    Ok(pages)
}
