//! Builds the guests for wasm: the HTTP front, and the runtime, which it splits into the parts of a
//! packed model.
//!
//! A packed model is `COMPONENT_HEADER, metadata, image module, code module, TAIL`. Only the
//! metadata and the image differ from model to model. This script makes the rest:
//!
//! - `code.wasm`: the runtime's code, made smaller (`shrink.rs`); it imports its memory and holds no
//!   data.
//! - `image.wasm`: the memory of a runtime without a model; packing starts from it.
//! - `import.bin`: what stands for the code module where the host provides it: its type and its
//!   import.
//! - `tail.bin`: instances, types, lifted functions and exports.
//! - `shell.wasm`: a packed model without its modules, a component that imports both.
//!
//! `front.wasm` is the front as a component.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a build script fails by panicking and talks to cargo by printing"
)]

mod shrink;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use wasm_encoder::reencode::{self, Reencode, ReencodeComponent, RoundtripReencoder};
use wasm_encoder::{
    ComponentImportSection, ComponentSection, ComponentTypeRef, CoreTypeSection, EntityType,
    ExportKind, ExportSection, ImportSection, InstanceSection, MemorySection, MemoryType, Module,
    ModuleArg, ModuleType, RawSection, SectionId,
};
use wasmparser::{ExternalKind, Parser, Payload};

const TARGET: &str = "wasm32-unknown-unknown";
/// The fast instructions of every engine that a packed model is made for.
const RUSTFLAGS: [&str; 4] = [
    "-C",
    "target-feature=+simd128,+relaxed-simd",
    "--cfg",
    "getrandom_backend=\"custom\"",
];

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let host = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let workspace = host
        .parent()
        .expect("the host is a member of the workspace");
    for watched in [
        "Cargo.lock",
        "Cargo.toml",
        "guest/kernels",
        "guest/pipeline",
        "guest/runtime",
        "guest/spin",
        "protocol/src",
        "protocol/Cargo.toml",
        "wit",
    ] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(watched).display()
        );
    }
    let guests = build_guests(workspace, &out);
    let runtime = component(&guests.join("glovebox_runtime.wasm"));
    let front = component(&guests.join("glovebox_spin.wasm"));
    let core = core_module(&runtime);
    let write =
        |name: &str, bytes: &[u8]| fs::write(out.join(name), bytes).expect("OUT_DIR is writable");
    write("code.wasm", &shrink::shrink(&code(core)));
    write("image.wasm", &image(core));
    write("import.bin", &import(core));
    let tail = tail(&runtime);
    write("tail.bin", &tail);
    write("shell.wasm", &shell(core, &tail));
    write("front.wasm", &front);
}

/// The component of a guest's module.
fn component(module: &Path) -> Vec<u8> {
    let module = fs::read(module).expect("cargo built the guest");
    wit_component::ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.validate(true).encode())
        .expect("the guest exports its world")
}

/// Builds the guests and returns the folder of their modules. The target directory is shared by all
/// profiles and outlives changes to the host.
fn build_guests(workspace: &Path, out: &Path) -> PathBuf {
    check_target();
    let target_dir = out
        .ancestors()
        .nth(4)
        .expect("OUT_DIR is <target>/<profile>/build/<package>/out")
        .join("guests");
    let home = env::home_dir().unwrap_or_default().join(".cargo");
    let home = env::var_os("CARGO_HOME").map_or(home, PathBuf::from);
    // Panic messages name source files: the same ones whoever builds.
    let remaps = [(home.as_path(), "cargo"), (workspace, "glovebox")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let flags: Vec<String> = RUSTFLAGS
        .into_iter()
        .map(String::from)
        .chain(remaps)
        .collect();
    let status = Command::new(env::var("CARGO").expect("cargo sets CARGO"))
        .current_dir(workspace)
        .args([
            "build",
            "--locked",
            "--package=glovebox-runtime",
            "--package=glovebox-spin",
            "--profile=guest",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .expect("cargo runs");
    assert!(
        status.success(),
        "building the guests failed; the errors are above"
    );
    target_dir.join(TARGET).join("guest")
}

fn check_target() {
    let rustc = env::var("RUSTC").expect("cargo sets RUSTC");
    let libdir = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .expect("rustc runs");
    let libdir = String::from_utf8_lossy(&libdir.stdout);
    assert!(
        Path::new(libdir.trim()).exists(),
        "the guests are built for wasm: run `rustup target add {TARGET}` first"
    );
}

fn core_module(component: &[u8]) -> &[u8] {
    let modules: Vec<_> = Parser::new(0)
        .parse_all(component)
        .filter_map(
            |payload| match payload.expect("wit-component wrote valid wasm") {
                Payload::ModuleSection {
                    unchecked_range, ..
                } => component.get(unchecked_range),
                _ => None,
            },
        )
        .collect();
    match modules.as_slice() {
        [module] => module,
        modules => panic!(
            "a guest without imports is one module, not {}",
            modules.len()
        ),
    }
}

/// The module with its memory imported as `env.memory` and without data.
fn code(core: &[u8]) -> Vec<u8> {
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(core) {
        let payload = payload.expect("wit-component wrote valid wasm");
        if matches!(
            payload,
            Payload::ImportSection(_) | Payload::StartSection { .. }
        ) {
            panic!("the guest must not import anything, nor run anything at start");
        }
        let Some((id, range)) = payload.as_section() else {
            continue;
        };
        let keep = ![
            SectionId::Custom,
            SectionId::Memory,
            SectionId::Data,
            SectionId::DataCount,
        ]
        .map(|id| id as u8)
        .contains(&id);
        if keep {
            module.section(&RawSection {
                id,
                data: &core[range],
            });
        }
        if id == SectionId::Type as u8 {
            let mut imports = ImportSection::new();
            imports.import("env", "memory", EntityType::Memory(memory(core)));
            module.section(&imports);
        }
    }
    let code = module.finish();
    wasmparser::validate(&code).expect("no instruction refers to a data segment");
    code
}

/// The memory of the module as it is before any code runs.
fn image(core: &[u8]) -> Vec<u8> {
    let mut module = Module::new();
    let mut memories = MemorySection::new();
    memories.memory(memory(core));
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    module.section(&memories).section(&exports);
    for payload in Parser::new(0).parse_all(core) {
        if let Payload::DataSection(data) = payload.expect("wit-component wrote valid wasm") {
            module.section(&RawSection {
                id: SectionId::Data as u8,
                data: &core[data.range()],
            });
        }
    }
    module.finish()
}

fn memory(core: &[u8]) -> MemoryType {
    for payload in Parser::new(0).parse_all(core) {
        if let Payload::MemorySection(memories) = payload.expect("wit-component wrote valid wasm") {
            let memory = memories
                .into_iter()
                .next()
                .expect("the section is not empty")
                .expect("the type is valid");
            return RoundtripReencoder
                .memory_type(memory)
                .expect("memory types are the same in both crates");
        }
    }
    panic!("the guest has no memory")
}

/// The code module's type and an import named `runtime` of it.
fn import(core: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut types = CoreTypeSection::new();
    types.ty().module(&module_type(core));
    types.append_to_component(&mut bytes);
    let mut imports = ComponentImportSection::new();
    imports.import("runtime", ComponentTypeRef::Module(0));
    imports.append_to_component(&mut bytes);
    bytes
}

/// A packed model that imports its modules: module 0 as `image`, module 1 as `runtime`.
fn shell(core: &[u8], tail: &[u8]) -> Vec<u8> {
    let mut image = ModuleType::new();
    image.export("memory", EntityType::Memory(memory(core)));
    let (mut types, mut imports) = (CoreTypeSection::new(), ComponentImportSection::new());
    for (index, (name, ty)) in [("image", image), ("runtime", module_type(core))]
        .iter()
        .enumerate()
    {
        types.ty().module(ty);
        imports.import(*name, ComponentTypeRef::Module(index as u32));
    }
    let mut shell = wasm_encoder::Component::new();
    shell.section(&types).section(&imports);
    let mut bytes = shell.finish();
    bytes.extend_from_slice(tail);
    bytes
}

fn module_type(core: &[u8]) -> ModuleType {
    let mut validator = wasmparser::Validator::new();
    let types = validator
        .validate_all(core)
        .expect("wit-component wrote valid wasm");
    let types = types.as_ref();
    let mut module_type = ModuleType::new();
    module_type.import("env", "memory", EntityType::Memory(memory(core)));
    let mut count = 0;
    for payload in Parser::new(0).parse_all(core) {
        let Payload::ExportSection(exports) = payload.expect("wit-component wrote valid wasm")
        else {
            continue;
        };
        for export in exports {
            let export = export.expect("wit-component wrote valid wasm");
            if export.kind != ExternalKind::Func {
                continue;
            }
            let ty = types
                .get(types.core_function_at(export.index))
                .expect("the module is valid")
                .unwrap_func();
            let values = |values: &[wasmparser::ValType]| -> Vec<_> {
                values
                    .iter()
                    .map(|ty| RoundtripReencoder.val_type(*ty).expect("a core value type"))
                    .collect()
            };
            module_type
                .ty()
                .function(values(ty.params()), values(ty.results()));
            module_type.export(export.name, EntityType::Function(count));
            count += 1;
        }
    }
    module_type.export("memory", EntityType::Memory(memory(core)));
    module_type
}

/// All of the component after its modules, made to use an image and code instead of one module.
fn tail(component: &[u8]) -> Vec<u8> {
    let mut tail = wasm_encoder::Component::new();
    Tail.parse_component(&mut tail, Parser::new(0), component)
        .expect("the skeleton can be written again");
    let mut bytes = tail.finish();
    bytes.drain(..wasm_encoder::Component::HEADER.len());
    bytes
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
        let wasmparser::Instance::Instantiate {
            module_index: 0,
            args,
        } = instance
        else {
            return reencode::component_utils::parse_instance(self, instances, instance);
        };
        assert!(args.is_empty(), "the guest has no imports");
        let no_arguments: [(Cow<'_, str>, ModuleArg); 0] = [];
        instances.instantiate(0, no_arguments);
        instances.instantiate(1, [("env", ModuleArg::Instance(0))]);
        Ok(())
    }
}
