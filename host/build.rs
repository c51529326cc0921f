//! Builds the guests for wasm: the HTTP front, the runtime, which it splits into the parts of a
//! packed model, and the same for models whose graph the host runs.
//!
//! Of the runtime (`Parts` in `split/`):
//!
//! - `code.wasm`: its code; it imports its memory and holds no data.
//! - `image.wasm`: its memory without a model; packing starts from it.
//! - `tail.bin`: instances, types, lifted functions and exports.
//!
//! `native-code.wasm`, `native-image.wasm` and `native-tail.bin` are the same of the guest in
//! `guest/nn`; `front.wasm` is the front as a component.
//!
//! `sdk.rs` is a table of the sources of `glovebox-guest`, which `glovebox new` writes into projects.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a build script fails by panicking and talks to cargo by printing"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use glovebox_split::{Parts, component};
use sha2::{Digest, Sha256};

const TARGET: &str = "wasm32-unknown-unknown";
/// The fast instructions of every engine that a packed model is made for.
const RUSTFLAGS: [&str; 4] = [
    "-C",
    "target-feature=+simd128,+relaxed-simd",
    "--cfg",
    "getrandom_backend=\"custom\"",
];

/// What `glovebox-guest` is built from, beside the crates of others.
const SDK: [&str; 7] = [
    "guest/image",
    "guest/kernels",
    "guest/onnx",
    "guest/pipeline",
    "guest/sdk",
    "protocol",
    "wit",
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
        "guest/image",
        "guest/kernels",
        "guest/nn",
        "guest/onnx",
        "guest/pipeline",
        "guest/runtime",
        "guest/sdk",
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
    let runtime = read(&guests.join("glovebox_runtime.wasm"));
    let parts = Parts::split(&runtime, &[]).expect("the runtime is a guest");
    let native = read(&guests.join("glovebox_nn.wasm"));
    let native = Parts::split(&native, &["wasi:nn/"]).expect("it is a guest as well");
    let front = component(&read(&guests.join("glovebox_spin.wasm")));
    let write =
        |name: &str, bytes: &[u8]| fs::write(out.join(name), bytes).expect("OUT_DIR is writable");
    write("code.wasm", &parts.code);
    write("image.wasm", &parts.image);
    write("tail.bin", &parts.tail);
    write("native-code.wasm", &native.code);
    write("native-image.wasm", &native.image);
    write("native-tail.bin", &native.tail);
    write("front.wasm", &front.expect("the front exports its world"));
    write("sdk.rs", sdk(workspace).as_bytes());
    let digest = Sha256::digest(&parts.code);
    let digest = digest.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    println!("cargo::rustc-env=GLOVEBOX_RUNTIME_SHA256={digest}");
    println!("cargo::rustc-env=GLOVEBOX_RUSTC={}", rustc_version());
}

fn read(module: &Path) -> Vec<u8> {
    fs::read(module).expect("cargo built the guest")
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
            "--package=glovebox-nn",
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

/// The table of the SDK's files: where each lies, and its bytes. The first is the manifest of the workspace
/// that they are in without everything else.
fn sdk(workspace: &Path) -> String {
    let manifest = fs::read_to_string(workspace.join("Cargo.toml")).expect("it is there");
    let crates: Vec<_> = SDK.iter().filter(|folder| **folder != "wit").collect();
    let (_, rest) = manifest
        .split_once("[workspace.package]")
        .expect("the workspace says what its crates have in common");
    // A comment stands before the first profile.
    let (common, _) = rest.split_once("[profile.").expect("profiles come last");
    let (common, _) = common.rsplit_once("\n\n").expect("what comes before them");
    let manifest = format!(
        "# The crate glovebox-guest and what it is built from, as they belong to the glovebox that wrote them.\n\
         [workspace]\nresolver = \"3\"\nmembers = {crates:?}\n\n[workspace.package]{common}"
    );
    let mut files = Vec::new();
    for folder in SDK {
        collect(&workspace.join(folder), &mut files);
    }
    files.sort();
    let mut table = format!("&[(\"Cargo.toml\", {manifest:?}.as_bytes()),\n");
    for file in files {
        let name = file.strip_prefix(workspace).expect("it lies in there");
        let _ = writeln!(table, "({name:?}, include_bytes!({file:?})),");
    }
    table + "]"
}

/// All files below a folder but tests.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be read").path();
        match path.is_dir() {
            true if path.ends_with("tests") => {}
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

/// The compiler that builds the guests, as it calls itself.
fn rustc_version() -> String {
    let rustc = env::var("RUSTC").expect("cargo sets RUSTC");
    let version = Command::new(rustc).arg("--version").output();
    let version = version.expect("rustc runs").stdout;
    String::from_utf8_lossy(&version).trim().to_owned()
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
