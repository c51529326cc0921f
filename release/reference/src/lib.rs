//! Manual pages and shell completions, made from the command line itself. A crate of its own, so that the
//! program does not carry what makes them.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap::builder::Resettable;
use clap_complete::Shell;

/// Shells that have completions.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

/// Writes `man/` and `completions/` into a folder.
pub fn write(folder: &Path) -> io::Result<()> {
    let mut command = glovebox::cli::command();
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut command, "glovebox", &completions)?;
    }
    // Otherwise `help` would have a page for each command as well.
    let mut command = glovebox::cli::command().disable_help_subcommand(true);
    command.build();
    page(&command, "glovebox", &man)?;
    for inner in command.get_subcommands() {
        if !inner.is_hide_set() {
            page(inner, &format!("glovebox-{}", inner.get_name()), &man)?;
        }
    }
    Ok(())
}

fn page(command: &Command, name: &str, folder: &Path) -> io::Result<()> {
    // Of the version, a page wants the number and not what else `--version` says.
    let command = command.clone().long_version(Resettable::Reset);
    let page = clap_mangen::Man::new(command).title(name.to_uppercase());
    let mut text = Vec::new();
    page.render(&mut text)?;
    fs::write(folder.join(format!("{name}.1")), text)
}
