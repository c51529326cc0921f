//! `glovebox-reference <folder>`: writes manual pages and shell completions there.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stderr,
    reason = "a command talks to its user by printing"
)]

use std::env;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1) else {
        eprintln!("error: say where to write: glovebox-reference <folder>");
        return ExitCode::from(2);
    };
    match glovebox_reference::write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write into {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
