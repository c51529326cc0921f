//! The types of a packed model's two modules, read from the code alone.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{EntityType, ModuleType};
use wasmparser::{CompositeInnerType, ExternalKind, FuncType, Parser, Payload, TypeRef};

use crate::SplitError;

/// The types of image and code, by which a component imports them.
pub(crate) struct Types {
    /// Exports a memory that is at least as large as the code wants it.
    pub(crate) image: ModuleType,
    /// Imports that memory, and exports it beside its functions.
    pub(crate) code: ModuleType,
}

/// The contents of the sections in front of the functions' bodies.
#[derive(Default)]
struct Head {
    types: Vec<FuncType>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    imports: Vec<(String, String, TypeRef)>,
    exports: Vec<(String, u32)>,
}

impl Types {
    /// Reads a code module. Bodies of functions are not looked at: who compiles the code validates it.
    pub(crate) fn of(code: &[u8]) -> Result<Self, SplitError> {
        let head = Head::read(code)?;
        let memories = head.imports.iter().filter_map(|(_, _, ty)| match ty {
            TypeRef::Memory(memory) => Some(*memory),
            _ => None,
        });
        let memories: Vec<_> = memories.collect();
        let [memory] = memories.as_slice() else {
            return Err(SplitError::Memory);
        };
        let memory = EntityType::Memory(RoundtripReencoder.memory_type(*memory)?);
        let mut image = ModuleType::new();
        image.export("memory", memory);
        Ok(Self {
            image,
            code: head.module_type(memory)?,
        })
    }
}

impl Head {
    fn read(code: &[u8]) -> Result<Self, SplitError> {
        let mut head = Self::default();
        for payload in Parser::new(0).parse_all(code) {
            match payload? {
                Payload::TypeSection(groups) => {
                    for group in groups {
                        head.types.extend(group?.into_types().filter_map(|ty| {
                            match ty.composite_type.inner {
                                CompositeInnerType::Func(function) => Some(function),
                                _ => None,
                            }
                        }));
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        if let TypeRef::Func(ty) = import.ty {
                            head.functions.push(ty);
                        }
                        let (module, name) = (import.module.to_owned(), import.name.to_owned());
                        head.imports.push((module, name, import.ty));
                    }
                }
                Payload::FunctionSection(functions) => {
                    for ty in functions {
                        head.functions.push(ty?);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if export.kind == ExternalKind::Func {
                            head.exports.push((export.name.to_owned(), export.index));
                        }
                    }
                }
                Payload::CodeSectionStart { .. } => break,
                _ => {}
            }
        }
        Ok(head)
    }

    fn module_type(&self, memory: EntityType) -> Result<ModuleType, SplitError> {
        let mut module = ModuleType::new();
        for (from, name, ty) in &self.imports {
            let entity = match ty {
                TypeRef::Memory(_) => memory,
                TypeRef::Func(ty) => self.declare(&mut module, *ty)?,
                other => RoundtripReencoder.entity_type(*other)?,
            };
            module.import(from, name, entity);
        }
        for (name, function) in &self.exports {
            let ty = self.functions.get(*function as usize);
            let ty = ty.ok_or_else(|| SplitError::Broken("a function has no type".into()))?;
            let entity = self.declare(&mut module, *ty)?;
            module.export(name, entity);
        }
        module.export("memory", memory);
        Ok(module)
    }

    fn declare(&self, module: &mut ModuleType, ty: u32) -> Result<EntityType, SplitError> {
        let function = self.types.get(ty as usize);
        let function = function.ok_or_else(|| SplitError::Broken("a type is missing".into()))?;
        let values = |values: &[wasmparser::ValType]| {
            let value = |ty: &wasmparser::ValType| RoundtripReencoder.val_type(*ty);
            values.iter().map(value).collect::<Result<Vec<_>, _>>()
        };
        let (parameters, results) = (values(function.params())?, values(function.results())?);
        let index = module.type_count();
        module.ty().function(parameters, results);
        Ok(EntityType::Function(index))
    }
}
