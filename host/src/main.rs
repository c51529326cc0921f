//! The `glovebox` command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: glovebox::allocator::Allocator = glovebox::allocator::Allocator;

fn main() -> ExitCode {
    glovebox::cli::run()
}
