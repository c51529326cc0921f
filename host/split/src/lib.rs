//! Takes a guest apart into the parts of a packed model.
//!
//! A packed model is `COMPONENT_HEADER, metadata, image module, code module, tail`. Only the metadata
//! and the image differ between two models with the same guest. [`Parts`] has the rest: of the
//! standard runtime when the host is built, of others' guests when they are packed.
//!
//! A guest is read here, and nothing of it is run or compiled.
#![forbid(unsafe_code)]

mod core;
mod error;
mod shrink;
mod tail;
mod types;

use wasm_encoder::{
    ComponentImportSection, ComponentSection, ComponentTypeRef, CoreTypeSection, ModuleType,
};
use wasmparser::{Parser, Payload};

pub use error::SplitError;

/// The parts of a packed model that its guest decides.
pub struct Parts {
    /// The guest's code, made smaller (`shrink.rs`): a core module that imports its memory as
    /// `env.memory` and holds no data.
    pub code: Vec<u8>,
    /// The guest's memory before any of its code runs: a core module that exports `memory`.
    pub image: Vec<u8>,
    /// What stands behind image and code in a packed model: instances, types, lifted functions,
    /// exports.
    pub tail: Vec<u8>,
}

impl Parts {
    /// Takes a guest apart: a component, or a core module that says of which world it is, as a
    /// compiler leaves it. `imports` are the packages whose functions it may import.
    ///
    /// # Errors
    /// The guest is broken, has other imports, or is more than one module and what connects that with
    /// its imports.
    pub fn split(guest: &[u8], imports: &[&str]) -> Result<Self, SplitError> {
        let component = match Parser::is_component(guest) {
            true => guest.to_vec(),
            false if Parser::is_core_wasm(guest) => {
                core::check_imports(guest, imports)?;
                component(guest)?
            }
            false => return Err(SplitError::NotWasm),
        };
        wasmparser::validate(&component)?;
        let core = core_module(&component, imports)?;
        core::check_imports(core, imports)?;
        let memory = core::memory(core)?;
        Ok(Self {
            code: shrink::shrink(&core::code(core, memory)?)?,
            image: core::image(core, memory)?,
            tail: tail::tail(&component)?,
        })
    }
}

/// The sections that import the code module of a packed model, as `runtime`, where it stood before.
///
/// # Errors
/// The code is broken, or does not import exactly one memory.
pub fn import(code: &[u8]) -> Result<Vec<u8>, SplitError> {
    let mut sections = Vec::new();
    append_imports(&mut sections, &[("runtime", &types::Types::of(code)?.code)]);
    Ok(sections)
}

/// A packed model without its modules: a component that imports them as `image` and `runtime`. It is
/// the same for all models with this code and tail.
///
/// # Errors
/// The code is broken, or does not import exactly one memory.
pub fn shell(code: &[u8], tail: &[u8]) -> Result<Vec<u8>, SplitError> {
    let types = types::Types::of(code)?;
    let mut component = wasm_encoder::Component::HEADER.to_vec();
    let modules = [("image", &types.image), ("runtime", &types.code)];
    append_imports(&mut component, &modules);
    component.extend_from_slice(tail);
    Ok(component)
}

/// The component of a core module that says of which world it is.
///
/// # Errors
/// It does not say it, or does not do what its world wants.
pub fn component(module: &[u8]) -> Result<Vec<u8>, SplitError> {
    wit_component::ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| SplitError::World(format!("{error:#}")))
}

fn append_imports(component: &mut Vec<u8>, modules: &[(&str, &ModuleType)]) {
    let (mut types, mut imports) = (CoreTypeSection::new(), ComponentImportSection::new());
    for (index, (name, ty)) in (0..).zip(modules) {
        types.ty().module(ty);
        imports.import(*name, ComponentTypeRef::Module(index));
    }
    types.append_to_component(component);
    imports.append_to_component(component);
}

/// The module of a component; if it has imports, there are others behind it that connect both.
fn core_module<'a>(component: &'a [u8], imports: &[&str]) -> Result<&'a [u8], SplitError> {
    let mut modules = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::ModuleSection {
            unchecked_range, ..
        } = payload?
        {
            modules.extend(component.get(unchecked_range));
        }
    }
    match modules.as_slice() {
        [module] => Ok(module),
        [module, ..] if !imports.is_empty() => Ok(module),
        modules => Err(SplitError::Modules(modules.len())),
    }
}
