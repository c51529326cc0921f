//! Where the runtime's memory begins.
//!
//! A packed model is mapped from the host's file of machine code, where its memory stands 12 KiB behind
//! the beginning. If both have their pages of 2 MiB at the same places, Linux maps such a page at once and
//! not 64 KiB, which is what reading all weights of a large model waits for.

/// The stack is all that lies in front of the data.
const STACK_BYTES: u32 = 0x20_0000 + 0x3000;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK_BYTES}");
}
