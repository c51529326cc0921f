//! Compiles the descriptions in `proto/` to Rust, and to what reflection tells of them. `protox` does
//! it, so no compiler of the system is needed.
#![allow(
    clippy::print_stdout,
    reason = "a build script talks to cargo by printing"
)]

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use protox::prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let described = protox::compile(["inference.proto", "health.proto"], ["proto"])?;
    fs::write(out.join("descriptors.bin"), described.encode_to_vec())?;
    prost_build::Config::new()
        // What tensors hold is not copied again.
        .bytes([".inference"])
        // Lists in a fixed order, so that the same message always has the same bytes.
        .btree_map(["."])
        .compile_fds(described)?;
    Ok(())
}
