//! Writes the innermost loops as WebAssembly instructions and hands them to the linker.
//!
//! Cranelift keeps memory accesses in order and computes everything else as late as it can, so the
//! order in which a compiler leaves the instructions of a loop decides whether its values fit into
//! 16 registers. Rust has no say in that order; here each instruction is written down.
#![allow(
    clippy::expect_used,
    unreachable_pub,
    clippy::print_stdout,
    reason = "a build script fails by panicking and talks to cargo by printing"
)]

#[path = "build/dot.rs"]
mod dot;
#[path = "build/gemm.rs"]
mod gemm;
#[path = "build/gemv.rs"]
mod gemv;
#[path = "build/object.rs"]
mod object;
#[path = "build/sweep.rs"]
mod sweep;

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let target = env::var("CARGO_CFG_TARGET_FAMILY").expect("cargo sets it");
    if target != "wasm" {
        return;
    }
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut functions: Vec<_> = gemm::ROWS_OF_PANELS.into_iter().map(gemm::tile).collect();
    functions.extend([gemv::column(), dot::tile()]);
    functions.extend(sweep::functions());
    let archive = object::archive("kernels.o", &object::object(&functions));
    fs::write(out.join("libglovebox_kernels_wasm.a"), archive).expect("OUT_DIR is writable");
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static=glovebox_kernels_wasm");
}
