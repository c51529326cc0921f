//! Guests of one's own: projects as `glovebox new` makes them, built by cargo.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

use super::command::Glovebox;
use super::files::{temporary, workspace};

/// A project in a temporary folder.
pub(crate) struct Project {
    pub(crate) dir: PathBuf,
    name: String,
    _temporary: TempDir,
}

impl Project {
    /// What `glovebox new` makes.
    pub(crate) fn new(name: &str) -> Self {
        let temporary = temporary();
        let dir = temporary.path().join(name);
        Glovebox::new("new").arg(&dir).run().success();
        Self {
            dir,
            name: name.to_owned(),
            _temporary: temporary,
        }
    }

    /// The same with another guest (a file below `tests/guests`).
    pub(crate) fn with_source(name: &str, source: &str) -> Self {
        let project = Self::new(name);
        let source = workspace().join("tests/guests").join(source);
        fs::copy(source, project.dir.join("src/lib.rs")).expect("a source");
        project
    }

    /// Builds it and returns the guest, a file that outlives the project.
    ///
    /// What both have in common was compiled when the host was built, if cargo takes it for the same:
    /// in the same folder, by the same profile, under the same flags.
    pub(crate) fn build(&self) -> PathBuf {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests");
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(&self.dir)
            .args(["build", "--offline", "--profile=guest", "--target-dir"])
            .arg(&target)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags())
            .env_remove("RUSTFLAGS")
            .env_remove("RUSTC_WORKSPACE_WRAPPER");
        for same in [
            "profile.guest.inherits='release'",
            "profile.guest.build-override.opt-level=3",
            "profile.guest.build-override.codegen-units=16",
            "profile.guest.package.\"*\".debug=false",
        ] {
            cargo.args(["--config", same]);
        }
        let output = cargo.output().expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let file = format!("{}.wasm", self.name.replace('-', "_"));
        target.join("wasm32-unknown-unknown/guest").join(file)
    }

    /// The flags of the project, and those that only change the names of files.
    fn flags(&self) -> String {
        let config = fs::read_to_string(self.dir.join(".cargo/config.toml")).expect("a file");
        let config: toml::Table = config.parse().expect("TOML");
        let flags = config["target"]["wasm32-unknown-unknown"]["rustflags"].as_array();
        let flags = flags.expect("a list").iter();
        let flags = flags.map(|flag| flag.as_str().expect("a flag").to_owned());
        let home = env::home_dir().unwrap_or_default().join(".cargo");
        let home = env::var_os("CARGO_HOME").map_or(home, PathBuf::from);
        let remaps = [(home.as_path(), "cargo"), (workspace(), "glovebox")];
        let remaps =
            remaps.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        flags.chain(remaps).collect::<Vec<_>>().join("\u{1f}")
    }
}
