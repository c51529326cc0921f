//! A guest's core module: its code without its memory, its memory without its code.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    EntityType, ExportKind, ExportSection, ImportSection, MemorySection, MemoryType, Module,
    RawSection, SectionId,
};
use wasmparser::{Import, Parser, Payload, TypeRef};

use crate::SplitError;

/// Refuses a module that imports anything but functions of these packages, the first such import named.
pub(crate) fn check_imports(core: &[u8], packages: &[&str]) -> Result<(), SplitError> {
    let may = |import: &Import<'_>| {
        let is_of = |package: &&str| import.module.starts_with(*package);
        matches!(import.ty, TypeRef::Func(_)) && packages.iter().any(is_of)
    };
    match imports(core)?.iter().find(|import| !may(import)) {
        None => Ok(()),
        Some(Import { module, name, .. }) => Err(SplitError::Imports(format!("{module}.{name}"))),
    }
}

fn imports(core: &[u8]) -> Result<Vec<Import<'_>>, SplitError> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(core) {
        if let Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                found.push(import?);
            }
        }
    }
    Ok(found)
}

/// The module's one memory.
pub(crate) fn memory(core: &[u8]) -> Result<MemoryType, SplitError> {
    let mut memories = Vec::new();
    for payload in Parser::new(0).parse_all(core) {
        if let Payload::MemorySection(section) = payload? {
            memories = section.into_iter().collect::<Result<_, _>>()?;
        }
    }
    match memories.as_slice() {
        [memory] => Ok(RoundtripReencoder.memory_type(*memory)?),
        _ => Err(SplitError::Memory),
    }
}

/// The module with its memory imported as `env.memory` and without data.
pub(crate) fn code(core: &[u8], memory: MemoryType) -> Result<Vec<u8>, SplitError> {
    let mut all_imports = ImportSection::new();
    all_imports.import("env", "memory", EntityType::Memory(memory));
    for Import { module, name, ty } in imports(core)? {
        all_imports.import(module, name, RoundtripReencoder.entity_type(ty)?);
    }
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(core) {
        let payload = payload?;
        if matches!(payload, Payload::StartSection { .. }) {
            return Err(SplitError::Start);
        }
        let Some((id, range)) = payload.as_section() else {
            continue;
        };
        let keep = ![
            SectionId::Custom,
            SectionId::Import,
            SectionId::Memory,
            SectionId::Data,
            SectionId::DataCount,
        ]
        .map(|id| id as u8)
        .contains(&id);
        if keep {
            let data = core.get(range).unwrap_or_default();
            module.section(&RawSection { id, data });
        }
        if id == SectionId::Type as u8 {
            module.section(&all_imports);
        }
    }
    let code = module.finish();
    // It was valid with its data: now only an instruction can miss them.
    match wasmparser::validate(&code) {
        Ok(_) => Ok(code),
        Err(_) => Err(SplitError::Data),
    }
}

/// The memory of the module as it is before any code runs.
pub(crate) fn image(core: &[u8], memory: MemoryType) -> Result<Vec<u8>, SplitError> {
    let mut module = Module::new();
    let mut memories = MemorySection::new();
    memories.memory(memory);
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    module.section(&memories).section(&exports);
    for payload in Parser::new(0).parse_all(core) {
        if let Payload::DataSection(data) = payload? {
            module.section(&RawSection {
                id: SectionId::Data as u8,
                data: core.get(data.range()).unwrap_or_default(),
            });
        }
    }
    Ok(module.finish())
}
