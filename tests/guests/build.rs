//! Builds the guests for wasm. What rustc writes for this target is a component already.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a build script fails by panicking and talks to cargo by printing"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-wasip2";

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/guests is in the workspace");
    for watched in [
        "Cargo.lock",
        "Cargo.toml",
        "tests/guests/classify",
        "tests/guests/greedy",
        "tests/guests/probe",
        "wit/deps/nn",
    ] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(watched).display()
        );
    }
    let guests = build(workspace, &out);
    for guest in ["classify", "greedy", "probe"] {
        let built = guests.join(format!("glovebox_test_{guest}.wasm"));
        fs::copy(built, out.join(format!("{guest}.wasm"))).expect("cargo built the guest");
    }
}

/// Builds the guests and returns the folder of their files. The target directory is shared by all
/// profiles.
fn build(workspace: &Path, out: &Path) -> PathBuf {
    check_target();
    let target_dir = out
        .ancestors()
        .nth(4)
        .expect("OUT_DIR is <target>/<profile>/build/<package>/out")
        .join("test-guests");
    let status = Command::new(env::var("CARGO").expect("cargo sets CARGO"))
        .current_dir(workspace)
        .args([
            "build",
            "--locked",
            "--package=glovebox-test-classify",
            "--package=glovebox-test-greedy",
            "--package=glovebox-test-probe",
            "--profile=guest",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(&target_dir)
        // Flags for the host are not for wasm.
        .env("CARGO_ENCODED_RUSTFLAGS", "")
        .env_remove("RUSTFLAGS")
        // The macros of the SDK run once; to optimise them takes minutes.
        .env("CARGO_PROFILE_GUEST_BUILD_OVERRIDE_OPT_LEVEL", "0")
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
        "the tests serve a component for WASI: run `rustup target add {TARGET}` first"
    );
}
