//! Python with the packages that a test needs, in an environment of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::workspace;

/// The interpreter of an environment that has these requirements (a file below `tests`). It is made
/// once and kept until the requirements change; tests of one run wait for each other.
pub(crate) fn with(name: &str, requirements: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
    let wanted = fs::read_to_string(workspace().join("tests").join(requirements)).expect("a list");
    fs::create_dir_all(&dir).expect("a folder");
    let lock = File::create(dir.join("lock")).expect("a lock");
    lock.lock().expect("a lock");
    let (done, python) = (dir.join("installed.txt"), dir.join("venv/bin/python"));
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return python;
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(dir.join("venv")));
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    run(pip.arg(workspace().join("tests").join(requirements)));
    fs::write(done, wanted).expect("a note");
    python
}

fn run(command: &mut Command) {
    let output = command.output().expect("python is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
