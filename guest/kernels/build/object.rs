//! Functions as a relocatable object in an archive, which is what `rustc` takes.
//!
//! <https://github.com/WebAssembly/tool-conventions/blob/main/Linking.md>

use wasm_encoder::{
    CodeSection, EntityType, Function, FunctionSection, ImportSection, LinkingSection, MemoryType,
    Module, SymbolTable, TypeSection, ValType,
};

/// A function of the C ABI: `parameters` 32-bit integers and no result.
pub struct Exported {
    pub name: String,
    pub parameters: usize,
    pub body: Function,
}

/// An object that defines `functions`. They call nothing and name no address, so nothing in it has
/// to be relocated.
pub fn object(functions: &[Exported]) -> Vec<u8> {
    let mut types = TypeSection::new();
    let mut declared = FunctionSection::new();
    let mut code = CodeSection::new();
    let mut symbols = SymbolTable::new();
    for (index, function) in (0..).zip(functions) {
        types
            .ty()
            .function(vec![ValType::I32; function.parameters], []);
        declared.function(index);
        code.function(&function.body);
        symbols.function(0, index, Some(&function.name));
    }
    let mut imports = ImportSection::new();
    imports.import(
        "env",
        "__linear_memory",
        EntityType::Memory(MemoryType {
            minimum: 0,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        }),
    );
    let mut linking = LinkingSection::new();
    linking.symbol_table(&symbols);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&declared)
        .section(&code)
        .section(&linking);
    module.finish()
}

/// A System V archive of one file.
pub fn archive(name: &str, file: &[u8]) -> Vec<u8> {
    let name = format!("{name}/");
    let length = file.len();
    let mut archive = b"!<arch>\n".to_vec();
    let header = format!(
        "{name:<16}{:<12}{:<6}{:<6}{:<8}{length:<10}`\n",
        0, 0, 0, 644
    );
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(file);
    if length % 2 == 1 {
        archive.push(b'\n');
    }
    archive
}
