//! Files that are files: to open a named pipe or a device could wait for ever.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file to read it, without waiting for anybody.
///
/// # Errors
/// It cannot be opened, or is something else than a file.
pub fn open(path: &Path) -> Result<File> {
    // Where nobody writes into a pipe, opening it would wait. For a file it changes nothing.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Whether it is a file.
///
/// # Errors
/// It is something else, which the error names.
pub fn check(about: &Metadata) -> Result<()> {
    match about.is_file() {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("it is {}, not a file", kind(about.file_type())),
        )),
    }
}

fn kind(kind: FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something else",
    }
}
