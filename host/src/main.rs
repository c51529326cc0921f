//! The `glovebox` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    glovebox::cli::run()
}
