//! What stands behind the modules of a component, made for an image and code instead of one module.

use std::borrow::Cow;

use wasm_encoder::reencode::{self, Reencode, ReencodeComponent};
use wasm_encoder::{InstanceSection, ModuleArg};
use wasmparser::Parser;

use crate::SplitError;

/// All of the component after its modules, made to use an image and code instead of one module.
pub(crate) fn tail(component: &[u8]) -> Result<Vec<u8>, SplitError> {
    let mut tail = wasm_encoder::Component::new();
    Tail.parse_component(&mut tail, Parser::new(0), component)?;
    let mut bytes = tail.finish();
    bytes.drain(..wasm_encoder::Component::HEADER.len());
    Ok(bytes)
}

/// Module 0 becomes the image (instance 0), module 1 the code (instance 1, given instance 0).
struct Tail;

impl Reencode for Tail {
    type Error = std::convert::Infallible;
}

impl ReencodeComponent for Tail {
    fn instance_index(&mut self, index: u32) -> u32 {
        index + 1
    }

    fn parse_component_submodule(
        &mut self,
        _: &mut wasm_encoder::Component,
        _: Parser,
        _: &[u8],
    ) -> Result<(), reencode::Error> {
        Ok(())
    }

    fn parse_component_custom_section(
        &mut self,
        _: &mut wasm_encoder::Component,
        _: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        Ok(())
    }

    fn parse_instance(
        &mut self,
        instances: &mut InstanceSection,
        instance: wasmparser::Instance<'_>,
    ) -> Result<(), reencode::Error> {
        // The module has no imports, so there are no arguments.
        let wasmparser::Instance::Instantiate {
            module_index: 0, ..
        } = instance
        else {
            return reencode::component_utils::parse_instance(self, instances, instance);
        };
        let no_arguments: [(Cow<'_, str>, ModuleArg); 0] = [];
        instances.instantiate(0, no_arguments);
        instances.instantiate(1, [("env", ModuleArg::Instance(0))]);
        Ok(())
    }
}
