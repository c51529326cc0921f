//! Makes a core module smaller, and no slower.
//!
//! Rust makes one copy of a generic function for each type and for each crate that uses it, and the
//! linker for wasm does not look for copies that came out alike: more than a quarter of the runtime's
//! functions are such. It also pads the numbers it fills in to five bytes.

use std::collections::HashMap;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{
    CodeSectionReader, FunctionBody, FunctionSectionReader, Operator, Parser, Payload, TypeRef,
};

use crate::SplitError;

/// How often classes are divided: the runtime takes some twenty rounds. A guest that takes more was
/// made to take time, and stays as large as it is.
const ROUNDS: usize = 1000;

/// The module with one function for all that do the same, and without padding.
///
/// The function table keeps an entry for each of them: pointers that differed still do.
///
/// # Errors
/// The module is not valid.
pub(crate) fn shrink(core: &[u8]) -> Result<Vec<u8>, SplitError> {
    let (imported, functions) = functions(core)?;
    let mut numbers: Vec<u32> = (0..imported).collect();
    let mut firsts = HashMap::new();
    let mut kept = Vec::with_capacity(functions.len());
    for class in classes(&functions, imported) {
        let next = imported + firsts.len() as u32;
        kept.push(!firsts.contains_key(&class));
        numbers.push(*firsts.entry(class).or_insert(next));
    }
    let mut small = Module::new();
    Shrink { numbers, kept }.parse_core_module(&mut small, Parser::new(0), core)?;
    let small = small.finish();
    wasmparser::validate(&small)?;
    Ok(small)
}

/// A defined function, apart from which functions it refers to; and those.
struct Function {
    kind: usize,
    refers_to: Vec<u32>,
}

/// How many functions the module imports, and those it defines.
fn functions(core: &[u8]) -> Result<(u32, Vec<Function>), SplitError> {
    let mut imported = 0;
    let mut types: Vec<u32> = Vec::new();
    let mut kinds = HashMap::new();
    let mut functions = Vec::new();
    for payload in Parser::new(0).parse_all(core) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::FunctionSection(section) => {
                types = section.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::CodeSectionEntry(body) => {
                let (code, refers_to) = skeleton(&body)?;
                let (ty, next) = (types.get(functions.len()).copied(), kinds.len());
                let kind = *kinds.entry((ty, code)).or_insert(next);
                functions.push(Function { kind, refers_to });
            }
            _ => {}
        }
    }
    Ok((imported, functions))
}

/// The bytes of a function without the numbers of functions in it; and these numbers, in order.
fn skeleton(body: &FunctionBody<'_>) -> wasmparser::Result<(Vec<u8>, Vec<u32>)> {
    let (bytes, start) = (body.as_bytes(), body.range().start);
    let (mut code, mut refers_to) = (Vec::new(), Vec::new());
    let mut operators = body.get_operators_reader()?;
    let mut copied = 0;
    while !operators.eof() {
        let opcode = operators.original_position() - start;
        let (Operator::Call { function_index }
        | Operator::ReturnCall { function_index }
        | Operator::RefFunc { function_index }) = operators.read()?
        else {
            continue;
        };
        refers_to.push(function_index);
        code.extend_from_slice(bytes.get(copied..=opcode).unwrap_or_default());
        copied = operators.original_position() - start;
    }
    code.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    Ok((code, refers_to))
}

/// The class of each function. Those of one kind begin in one class; classes are divided until all
/// functions of a class refer to functions of the same classes. Then no call can tell them apart.
fn classes(functions: &[Function], imported: u32) -> Vec<usize> {
    let mut classes: Vec<usize> = functions.iter().map(|function| function.kind).collect();
    let mut count = 0;
    for _ in 0..ROUNDS {
        let class = |index: &u32| {
            let defined = index.checked_sub(imported);
            let class = defined.and_then(|defined| classes.get(defined as usize));
            class.copied().ok_or(*index)
        };
        let mut known = HashMap::new();
        let mut divided = Vec::with_capacity(functions.len());
        for (function, own) in functions.iter().zip(&classes) {
            let refers_to: Vec<_> = function.refers_to.iter().map(class).collect();
            let next = known.len();
            divided.push(*known.entry((*own, refers_to)).or_insert(next));
        }
        if known.len() == count {
            return classes;
        }
        count = known.len();
        classes = divided;
    }
    (0..functions.len()).collect()
}

struct Shrink {
    /// The new number of each function.
    numbers: Vec<u32>,
    /// For each defined function, whether it stands for its class.
    kept: Vec<bool>,
}

impl Reencode for Shrink {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error> {
        let number = self.numbers.get(index as usize).copied();
        number.ok_or(reencode::Error::InvalidCodeSectionSize)
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        for (ty, kept) in section.into_iter().zip(&self.kept) {
            let ty = ty?;
            if *kept {
                functions.function(ty);
            }
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        let kept = std::mem::take(&mut self.kept);
        for (body, kept) in section.into_iter().zip(kept) {
            let body = body?;
            if kept {
                self.parse_function_body(code, body)?;
            }
        }
        Ok(())
    }
}
