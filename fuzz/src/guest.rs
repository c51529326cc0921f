//! Components around random core modules.

use std::sync::LazyLock;

use arbitrary::Unstructured;
use wasm_smith::{Config, Module};

/// How many bytes of a guest's memory the fuzzer chooses.
pub const CHOSEN_BYTES: usize = 1024;

/// Where the template's middle module finds the mask for addresses.
const MASK: usize = 1020;
/// Where it finds whether the guest's own `cabi_realloc` is used.
const OWN_REALLOC: usize = 1016;

/// What marks them in the template.
const PLACE: [u8; CHOSEN_BYTES] = [0xaa; CHOSEN_BYTES];
/// The section that the guest's module takes the place of.
const EMPTY_MODULE: &[u8] = b"\x01\x08\0asm\x01\0\0\0";

/// The exports that the template expects of a guest's module.
const EXPORTS: &str = r#"(module
  (memory (export "memory") 4)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "signature") (result i32) unreachable)
  (func (export "infer") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "predict") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "post-infer") (param i32)))"#;

/// The template, cut where modules go and chosen bytes.
struct Template {
    head: Vec<u8>,
    middle: Vec<u8>,
    tail: Vec<u8>,
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let bytes = wat::parse_str(include_str!("component.wat")).expect("the template is right");
    let (head, rest) = cut(&bytes, EMPTY_MODULE);
    let (middle, tail) = cut(rest, &PLACE);
    Template {
        head: head.to_vec(),
        middle: middle.to_vec(),
        tail: tail.to_vec(),
    }
});

fn cut<'a>(bytes: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    let mut windows = bytes.windows(mark.len());
    let at = windows
        .position(|part| part == mark)
        .expect("the mark is there");
    (&bytes[..at], &bytes[at + mark.len()..])
}

/// What modules are made of: mostly what the engine takes.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    Config {
        exports: Some(wat::parse_str(EXPORTS).expect("the exports are right")),
        max_imports: 0,
        // Calls are of interest, and compiling takes most of the time.
        max_funcs: 6,
        max_types: 20,
        max_instructions: 60,
        max_tables: 1,
        max_table_elements: 60_000,
        table_max_size_required: false,
        // Beside the one that is exported.
        max_memories: 0,
        memory64_enabled: false,
        // Among them are references to objects, which take a collector of garbage.
        reference_types_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    }
});

/// A module as bytes make it up.
///
/// # Errors
/// There are too few bytes.
pub fn module(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Module> {
    let mut config = CONFIG.clone();
    if bytes.ratio(1, 8)? {
        config.reference_types_enabled = true;
        // The engine has four for each instance.
        config.max_tables = 5;
    }
    Module::new(config, bytes)
}

/// Makes results lie among the chosen bytes, and arguments where there is room.
pub fn point_to_chosen(chosen: &mut [u8; CHOSEN_BYTES]) {
    let mask = CHOSEN_BYTES as u32 - 8;
    chosen[MASK..].copy_from_slice(&mask.to_le_bytes());
    chosen[OWN_REALLOC] = 0;
}

/// A component around a module.
pub fn component(module: &Module, chosen: &[u8; CHOSEN_BYTES]) -> Vec<u8> {
    let module = module.to_bytes();
    let Template { head, middle, tail } = &*TEMPLATE;
    let mut bytes = head.clone();
    bytes.push(1);
    leb128(module.len(), &mut bytes);
    bytes.extend_from_slice(&module);
    bytes.extend_from_slice(middle);
    bytes.extend_from_slice(chosen);
    bytes.extend_from_slice(tail);
    bytes
}

/// Appends a number as wasm writes sizes.
pub fn leb128(mut number: usize, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
