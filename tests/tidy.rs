//! The rules of `ARCHITECTURE.md` that a look at the source can check.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::files::{names_in, workspace};

const MOST_LINES: usize = 700;
const CRATES: [&str; 11] = [
    "host",
    "host/split",
    "guest/image",
    "guest/kernels",
    "guest/nn",
    "guest/onnx",
    "guest/pipeline",
    "guest/sdk",
    "guest/spin",
    "protocol",
    "release/reference",
];

/// A source file: its path in its folder, and its text without comments.
struct Source {
    path: String,
    code: Vec<String>,
    lines: usize,
}

/// All sources of a crate, in all folders.
fn sources(krate: &str) -> Vec<Source> {
    let sources = sources_in(&workspace().join(krate).join("src"));
    assert!(sources.len() > 1, "{krate} is somewhere else");
    sources
}

fn sources_in(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    collect(root, &mut files);
    files.iter().map(|file| read(root, file)).collect()
}

/// The folders that hold the code of crates, and those of all tests.
fn folders() -> Vec<PathBuf> {
    let crates = CRATES.iter().map(|krate| workspace().join(krate));
    let of_crates = crates.flat_map(|krate| ["src", "tests"].map(|name| krate.join(name)));
    let mut folders: Vec<_> = of_crates.filter(|folder| folder.exists()).collect();
    folders.push(workspace().join("tests"));
    folders
}

/// The folders of tests among them.
fn folders_of_tests() -> Vec<PathBuf> {
    let mut folders = folders();
    folders.retain(|folder| folder.ends_with("tests"));
    assert!(folders.len() > 3, "tests are somewhere else");
    folders
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for name in names_in(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            collect(&path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

fn read(root: &Path, file: &Path) -> Source {
    let text = fs::read_to_string(file).unwrap();
    let code = text
        .lines()
        .map(|line| match line.trim_start().starts_with("//") {
            true => String::new(),
            false => line.to_owned(),
        });
    Source {
        path: file
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned(),
        code: code.collect(),
        lines: text.lines().count(),
    }
}

impl Source {
    /// Lines in which `word` stands by itself.
    fn lines_with<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        let lines = self.code.iter().enumerate();
        lines.filter_map(move |(index, line)| {
            has_word(line, word).then_some((index + 1, line.as_str()))
        })
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

/// In no file but those allowed (a folder ends with `/`) does any of the words stand.
#[track_caller]
fn only_in(words: &[&str], allowed: &[&str]) {
    let mut wrong = Vec::new();
    for source in sources("host") {
        let path = &source.path;
        if allowed
            .iter()
            .any(|place| path == place || place.ends_with('/') && path.starts_with(place))
        {
            continue;
        }
        for word in words {
            let lines = source.lines_with(word);
            wrong.extend(lines.map(|(number, line)| format!("{path}:{number}: {}", line.trim())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_sandbox_compile_and_pack_know_wasmtime() {
    only_in(&["wasmtime"], &["sandbox/", "compile/", "pack/"]);
}

#[test]
fn only_the_server_knows_http() {
    only_in(
        &["axum", "hyper", "hyper_util", "tower", "http_body_util"],
        &["server/", "sandbox/wasi/", "error.rs", "bench/client.rs"],
    );
}

#[test]
fn only_the_grpc_server_and_the_load_generator_know_its_messages() {
    only_in(
        &["tonic", "tonic_reflection", "prost", "glovebox_grpc"],
        &["server/grpc/", "bench/client.rs"],
    );
}

#[test]
fn only_what_runs_trusted_graphs_reads_onnx() {
    only_in(&["tract_onnx", "tract_core", "glovebox_onnx"], &["native/"]);
}

#[test]
fn only_what_is_about_files_reads_files() {
    only_in(
        &["fs"],
        &[
            "model/",
            "compile/",
            "pack/",
            "cli/",
            "config/",
            // Which addresses are mapped.
            "allocator.rs",
            // Files in memory, and a try whether files can be opened.
            "worker/",
            "harden/mod.rs",
            "memory.rs",
        ],
    );
}

#[test]
fn only_the_command_line_reads_the_environment() {
    // `env!` is read by the compiler.
    only_in(&["env::", "std::env"], &["cli/"]);
}

#[test]
fn only_the_command_line_prints() {
    only_in(&["println!", "eprintln!", "print!", "eprint!"], &["cli/"]);
}

#[test]
fn the_host_is_unsafe_in_two_files() {
    only_in(
        &["unsafe", "unsafe_code"],
        &["compile/load.rs", "allocator.rs"],
    );
}

#[test]
fn guests_are_unsafe_in_five_files() {
    let allowed: [(&str, &[&str]); 5] = [
        ("guest/image", &["heap.rs", "lib.rs", "pack.rs", "seeds.rs"]),
        ("guest/nn", &[]),
        ("guest/onnx", &[]),
        ("guest/pipeline", &[]),
        ("guest/sdk", &["graph/spec.rs"]),
    ];
    for (krate, files) in allowed {
        for Source { path, code, .. } in sources(krate) {
            let is_unsafe = code.iter().any(|line| has_word(line, "unsafe"));
            let allowed = files.contains(&path.as_str());
            assert!(allowed || !is_unsafe, "{krate}/src/{path}");
        }
    }
}

#[test]
fn the_front_is_unsafe_where_its_bindings_are_generated() {
    for source in sources("guest/spin") {
        assert!(
            source.path == "lib.rs" || source.lines_with("unsafe").next().is_none(),
            "{}",
            source.path
        );
    }
}

#[test]
fn the_sandbox_knows_neither_http_nor_files_nor_models() {
    let unknown = [
        "server",
        "cli",
        "model",
        "pack",
        "compile",
        "admission",
        "config",
    ];
    no_use_in("sandbox/", &unknown);
}

#[test]
fn models_know_no_http_and_no_commands() {
    no_use_in("model/", &["server", "cli", "pack", "config"]);
    no_use_in(
        "compile/",
        &["server", "cli", "pack", "config", "admission"],
    );
    no_use_in("pack/", &["server", "cli", "config", "admission"]);
    no_use_in("config/", &["server", "cli", "sandbox", "pack", "compile"]);
    no_use_in(
        "native/",
        &[
            "server",
            "cli",
            "model",
            "sandbox",
            "pack",
            "compile",
            "config",
            "admission",
        ],
    );
    for place in ["worker/", "harden/"] {
        no_use_in(
            place,
            &[
                "server",
                "cli",
                "model",
                "sandbox",
                "pack",
                "compile",
                "config",
                "admission",
            ],
        );
    }
    no_use_in(
        "admission.rs",
        &["server", "cli", "model", "sandbox", "pack"],
    );
    no_use_in(
        "limits.rs",
        &["server", "cli", "model", "sandbox", "pack", "compile"],
    );
}

#[track_caller]
fn no_use_in(place: &str, modules: &[&str]) {
    let inside = sources("host");
    let inside: Vec<_> = inside
        .iter()
        .filter(|source| source.path.starts_with(place))
        .collect();
    assert!(!inside.is_empty(), "{place} is somewhere else");
    for source in inside {
        for module in modules {
            let path = format!("crate::{module}");
            let line = source.lines_with(&path).next();
            assert!(line.is_none(), "{}: {line:?}", source.path);
        }
    }
}

#[test]
fn numbers_that_limit_something_are_in_limits_only() {
    // Sizes of formats are no limits.
    let formats = [
        "KEY_BYTES",
        "WASM_PAGE_BYTES",
        "WASM_PAGE",
        "PAGE_BYTES",
        "ELEMENT_BYTES",
        "BLOCK",
        "CORE_MODULE",
        "LENGTH_BYTES",
        "HEAD_BYTES",
    ];
    let numbers = [": usize =", ": u64 =", ": u32 =", ": Duration ="];
    let mut wrong = Vec::new();
    for source in sources("host")
        .iter()
        .filter(|source| source.path != "limits.rs")
    {
        let constants = source
            .code
            .iter()
            .filter(|line| line.trim_start().contains("const "));
        wrong.extend(
            constants
                .filter(|line| numbers.iter().any(|number| line.contains(number)))
                .filter(|line| !formats.iter().any(|format| has_word(line, format)))
                .map(|line| format!("{}: {line}", source.path)),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    for folder in folders() {
        for Source { path, lines, .. } in sources_in(&folder) {
            assert!(
                lines <= MOST_LINES,
                "{}/{path} has {lines} lines",
                folder.display()
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for folder in folders() {
        for Source { path, .. } in sources_in(&folder) {
            let text = fs::read_to_string(folder.join(&path)).unwrap();
            assert!(text.starts_with("//! "), "{}/{path}", folder.display());
        }
    }
}

#[test]
fn the_architecture_names_files_that_exist() {
    let text = fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap();
    let named = text.split('`').skip(1).step_by(2).filter(|name| {
        name.ends_with(".rs") && name.contains('/') && !name.contains('<') || name.ends_with(".wit")
    });
    let mut count = 0;
    for name in named {
        let places = ["", "host/src"].map(|place| workspace().join(place).join(name));
        assert!(places.iter().any(|path| path.exists()), "{name}");
        count += 1;
    }
    assert!(count > 5, "the map is written otherwise");
}

#[test]
fn tests_use_no_fixed_port_and_do_not_sleep() {
    let folders = folders_of_tests();
    for source in folders.iter().flat_map(|folder| sources_in(folder)) {
        for word in [
            concat!("thread::", "sleep"),
            concat!("#[", "ignore"),
            concat!("should", "_panic"),
        ] {
            // The list above is a string, not a call.
            let line = source
                .code
                .iter()
                .find(|line| line.contains(word) && !line.contains("[\""));
            assert!(line.is_none(), "{}: {line:?}", source.path);
        }
    }
}

#[test]
fn every_test_that_the_table_of_hostile_cases_names_exists() {
    let root = workspace().join("tests");
    let text = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, table) = text.split_once("## Hostile cases").unwrap();
    let named: Vec<_> = table
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|name| name.split_once("::"))
        .filter(|(file, _)| file.starts_with(char::is_lowercase))
        .collect();
    assert!(named.len() > 30, "the table is written otherwise");
    for (file, test) in named {
        let source = fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
        let function = format!("#[test]\nfn {test}() {{");
        assert!(source.contains(&function), "{file}::{test}");
    }
}

/// Packages of Cargo.lock: name, version, and where it comes from if it is not ours.
fn locked() -> Vec<(String, String, Option<String>)> {
    let text = fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    let lock: toml::Table = text.parse().unwrap();
    let field = |package: &toml::Value, key| Some(package.get(key)?.as_str()?.to_owned());
    let packages = lock["package"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let (name, version) = (field(package, "name"), field(package, "version"));
            (name.unwrap(), version.unwrap(), field(package, "source"))
        })
        .collect()
}

#[test]
fn no_dependency_is_there_twice_without_a_reason() {
    let text = fs::read_to_string(workspace().join("deny.toml")).unwrap();
    let deny: toml::Table = text.parse().unwrap();
    let skipped = deny["bans"]["skip"].as_array().unwrap().iter();
    let mut excused: Vec<_> = skipped
        .map(|skip| {
            assert!(skip.get("reason").is_some(), "{skip:?}");
            skip["crate"].as_str().unwrap()
        })
        .collect();
    // Of other systems, which nothing is built for.
    let elsewhere = ["windows", "wasi", "r-efi"];
    let mut names = Vec::new();
    for (name, version, source) in locked() {
        if let Some(source) = source {
            assert_eq!(
                source, "registry+https://github.com/rust-lang/crates.io-index",
                "{name}"
            );
        }
        let number = excused.len();
        excused.retain(|excuse| *excuse != format!("{name}@{version}"));
        if excused.len() == number && !elsewhere.iter().any(|other| name.starts_with(other)) {
            names.push(name);
        }
    }
    assert!(excused.is_empty(), "excused, and not there: {excused:?}");
    names.sort();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert!(twice.is_none(), "{twice:?} is there twice");
}

#[test]
fn nothing_is_published_by_a_name_that_is_not_ours() {
    for (name, _, source) in locked() {
        assert_eq!(name.starts_with("glovebox"), source.is_none(), "{name}");
    }
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let workspace_of_crates = &manifest["workspace"];
    assert_eq!(
        workspace_of_crates["package"]["publish"],
        toml::Value::Boolean(false)
    );
    for member in workspace_of_crates["members"].as_array().unwrap() {
        let file = workspace()
            .join(member.as_str().unwrap())
            .join("Cargo.toml");
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains("publish.workspace = true"), "{member:?}");
    }
}
