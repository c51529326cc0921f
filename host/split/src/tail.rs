//! What stands behind the main module of a component, made for an image and code in its place.

use wasm_encoder::reencode::{self, Reencode, ReencodeComponent, component_utils};
use wasm_encoder::{InstanceSection, ModuleArg};
use wasmparser::{Instance, Parser};

use crate::SplitError;

/// The index of the main module, which compilers put first.
const MAIN: u32 = 0;
/// The indices of what stands in its place, and of the image's instance.
const IMAGE: u32 = 0;
const CODE: u32 = 1;
const MEMORY: (&str, ModuleArg) = ("env", ModuleArg::Instance(0));

/// All of the component but its main module, made to use an image and code instead.
pub(crate) fn tail(component: &[u8]) -> Result<Vec<u8>, SplitError> {
    let mut tail = wasm_encoder::Component::new();
    Tail::default().parse_component(&mut tail, Parser::new(0), component)?;
    let mut bytes = tail.finish();
    bytes.drain(..wasm_encoder::Component::HEADER.len());
    Ok(bytes)
}

/// The image is instantiated before all others; the code in the main module's place, with the image's
/// memory. Other modules, which connect a guest with its imports, stay as they are.
#[derive(Default)]
struct Tail {
    is_behind_main: bool,
    has_image: bool,
}

impl Reencode for Tail {
    type Error = std::convert::Infallible;
}

impl ReencodeComponent for Tail {
    fn module_index(&mut self, index: u32) -> u32 {
        index + 1
    }

    fn instance_index(&mut self, index: u32) -> u32 {
        index + 1
    }

    fn parse_component_submodule(
        &mut self,
        component: &mut wasm_encoder::Component,
        parser: Parser,
        module: &[u8],
    ) -> Result<(), reencode::Error> {
        if std::mem::replace(&mut self.is_behind_main, true) {
            component_utils::parse_component_submodule(self, component, parser, module)?;
        }
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
        instance: Instance<'_>,
    ) -> Result<(), reencode::Error> {
        if !std::mem::replace(&mut self.has_image, true) {
            let no_arguments: [(&str, ModuleArg); 0] = [];
            instances.instantiate(IMAGE, no_arguments);
        }
        let Instance::Instantiate {
            module_index: MAIN,
            args,
        } = instance
        else {
            return component_utils::parse_instance(self, instances, instance);
        };
        let given = args.iter().map(|arg| {
            (
                arg.name,
                ModuleArg::Instance(self.instance_index(arg.index)),
            )
        });
        let given: Vec<_> = given.chain([MEMORY]).collect();
        instances.instantiate(CODE, given);
        Ok(())
    }
}
