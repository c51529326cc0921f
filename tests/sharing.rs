//! Machine code is shared by all models, compiled once and loaded only unchanged; state is shared
//! by nobody.

use std::fs;
use std::path::{Path, PathBuf};

use glovebox::limits;
use glovebox::model::runtime::{self, BARE_FRONT};
use serde_json::Value;

use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, model_dir, temporary, wine};
use crate::harness::{bodies, guest};

/// More than any image of the bundled models, less than the runtime's code.
const CODE_BYTES: u64 = 10 << 20;

const COMPILES: &str = "compiling the model runtime";
const BROKEN: &str = "does not fit its MAC";

/// The entries of a cache with their sizes.
fn entries(cache: &Path) -> Vec<(PathBuf, u64)> {
    let files = fs::read_dir(cache)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let code = files.filter(|path| path.extension().is_some_and(|e| e == "cwasm"));
    code.map(|path| (path.clone(), path.metadata().unwrap().len()))
        .collect()
}

/// Serves models from a cache until they have answered; the log.
#[track_caller]
fn serve(cache: &Path, models: &[&str]) -> String {
    let of = |model: &str| if model == "wine" { wine() } else { digits() };
    let models: Vec<_> = models.iter().map(|model| (*model, of(model), "")).collect();
    let host = Manifest::new(&manifest(&models))
        .up()
        .cache_dir(cache)
        .log("info")
        .serve();
    for (model, ..) in &models {
        let (content_type, example, label) = match *model {
            "wine" => ("application/json", "cultivar-1.json", "cultivar 1"),
            _ => ("image/png", "4.png", "4"),
        };
        let body = fs::read(model_dir(model).join("examples").join(example)).unwrap();
        let answer = host.client().predict(model, content_type, &body);
        assert_eq!(answer.ok()["label"], label);
    }
    let (status, log) = host.terminate();
    assert_eq!(status.code(), Some(0));
    log
}

/// One test for all that needs a fresh cache: filling it takes many seconds.
#[test]
fn models_share_one_copy_of_code_which_is_compiled_once() {
    let cache = temporary();
    let count = || {
        let entries = entries(cache.path());
        let large = entries.iter().filter(|(_, size)| *size > CODE_BYTES);
        (large.clone().count(), entries.len() - large.count())
    };
    let log = serve(cache.path(), &["digits"]);
    assert!(log.contains(COMPILES), "{log}");
    assert_eq!(count(), (1, 2), "code, and the shell and images");
    let log = serve(cache.path(), &["digits", "wine"]);
    assert!(!log.contains(COMPILES), "{log}");
    assert_eq!(count(), (1, 3), "code, and the shell and images");
    let before = entries(cache.path());
    let log = serve(cache.path(), &["wine", "digits"]);
    assert!(!log.contains(COMPILES), "{log}");
    assert_eq!(entries(cache.path()), before);
}

/// A guest with a cache of its own, which holds that one entry.
struct Own {
    dir: tempfile::TempDir,
}

impl Own {
    fn new() -> Self {
        let dir = temporary();
        fs::write(
            dir.path().join("own.wasm"),
            guest::component(bodies::ANSWER),
        )
        .unwrap();
        Self { dir }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    #[track_caller]
    fn serve(&self) -> String {
        let host = Glovebox::new("up")
            .option("--from", self.dir.path().join("own.wasm"))
            .cache_dir(&self.cache())
            .log("info")
            .serve();
        host.client().call("own").ok();
        host.terminate().1
    }

    fn entry(&self) -> PathBuf {
        let mut entries = entries(&self.cache());
        assert_eq!(entries.len(), 1);
        entries.remove(0).0
    }
}

#[test]
fn a_component_with_code_of_its_own_is_compiled_whole_and_kept() {
    let own = Own::new();
    let log = own.serve();
    assert!(!log.contains(COMPILES), "{log}");
    assert!(log.contains("compiled a component"), "{log}");
    own.entry();
    let log = own.serve();
    assert!(!log.contains("compiled a component"), "{log}");
    assert!(!log.contains(BROKEN), "{log}");
}

#[test]
fn machine_code_that_was_changed_is_never_loaded() {
    let own = Own::new();
    own.serve();
    let entry = own.entry();
    let good = fs::read(&entry).unwrap();
    for at in [0, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&entry, &bad).unwrap();
        let log = own.serve();
        assert!(log.contains(BROKEN), "{log}");
        assert!(fs::read(&entry).unwrap() == good, "it was compiled again");
        assert!(!own.serve().contains(BROKEN));
    }
}

#[test]
fn machine_code_is_not_loaded_under_another_name_or_key() {
    let own = Own::new();
    own.serve();
    let (entry, other) = (own.entry(), Own::new());
    // Another cache has another key.
    other.serve();
    fs::copy(&entry, other.entry()).unwrap();
    fs::copy(
        entry.with_extension("mac"),
        other.entry().with_extension("mac"),
    )
    .unwrap();
    assert!(other.serve().contains(BROKEN));
    // The same key, but the entry of another component.
    fs::write(
        own.dir.path().join("own.wasm"),
        guest::component(bodies::UNDECLARED),
    )
    .unwrap();
    let host = Glovebox::new("up")
        .option("--from", own.dir.path().join("own.wasm"))
        .cache_dir(&own.cache())
        .serve();
    host.client().call("own").error(502, "bad_output");
    host.terminate();
    let second = entries(&own.cache()).into_iter().map(|(path, _)| path);
    let second = second.into_iter().find(|path| *path != entry).unwrap();
    for extension in ["cwasm", "mac"] {
        let (from, to) = (
            entry.with_extension(extension),
            second.with_extension(extension),
        );
        fs::copy(from, to).unwrap();
    }
    let host = Glovebox::new("up")
        .option("--from", own.dir.path().join("own.wasm"))
        .cache_dir(&own.cache())
        .log("info")
        .serve();
    host.client().call("own").error(502, "bad_output");
    assert!(host.terminate().1.contains(BROKEN));
}

#[test]
fn machine_code_that_has_another_name_too_is_not_loaded() {
    let own = Own::new();
    own.serve();
    // Who holds the other name could change it after the check.
    fs::hard_link(own.entry(), own.dir.path().join("other")).unwrap();
    assert!(own.serve().contains(BROKEN));
    assert!(!own.serve().contains(BROKEN));
}

#[test]
fn half_an_entry_is_as_good_as_none() {
    let own = Own::new();
    own.serve();
    let entry = own.entry();
    let good = fs::read(&entry).unwrap();
    fs::write(&entry, &good[..good.len() / 2]).unwrap();
    own.serve();
    assert!(fs::read(&entry).unwrap() == good);
    fs::remove_file(entry.with_extension("mac")).unwrap();
    own.serve();
    assert!(entry.with_extension("mac").exists());
}

#[test]
fn the_key_of_a_cache_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let own = Own::new();
    own.serve();
    let key = own.cache().join("key").metadata().unwrap();
    assert_eq!(key.len(), 32);
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_cache_that_cannot_be_used_is_named_with_the_way_out() {
    let own = Own::new();
    let file = own.dir.path().join("own.wasm");
    let line = Glovebox::new("up")
        .option("--from", &file)
        .cache_dir(&file)
        .run()
        .refusal();
    assert!(
        line.contains("own.wasm") && line.contains("--cache-dir"),
        "{line}"
    );
}

#[test]
fn no_request_finds_the_state_of_another() {
    let own = Own::new();
    let host = Glovebox::new("up")
        .option("--from", own.dir.path().join("own.wasm"))
        .serve();
    // The guest answers how often it was called in this memory.
    for _ in 0..10 {
        let answer = host.client().predict("own", "text/plain", b"count");
        assert_eq!((answer.status, answer.text().as_str()), (200, "1"));
    }
}

#[test]
fn an_image_has_its_large_pages_where_its_file_has_them() {
    const HUGE_PAGE: u64 = 2 << 20;
    let host = Manifest::new(&manifest(&[("wine", wine(), "")]))
        .up()
        .serve();
    let body = fs::read(model_dir("wine").join("examples/cultivar-1.json")).unwrap();
    host.client()
        .predict("wine", "application/json", &body)
        .ok();
    // A line is `start-end rw-p offset device inode path`. Machine code is not written to, memory is.
    let mappings = host.mappings();
    let lines: Vec<Vec<&str>> = mappings
        .lines()
        .map(|line| line.split([' ', '-']).collect())
        .collect();
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let mut images = 0;
    for (stack, image) in lines.iter().zip(lines.iter().skip(1)) {
        let is_image = image[2] == "rw" && image.last().unwrap().ends_with(".cwasm");
        if is_image {
            assert_eq!(stack[1], image[0], "the stack lies in front");
            let place = number(image[0]) - number(stack[0]);
            assert_eq!(place % HUGE_PAGE, number(image[4]) % HUGE_PAGE, "{image:?}");
            images += 1;
        }
    }
    assert!(images > 0, "{mappings}");
}

#[test]
fn one_model_under_two_names_is_compiled_once() {
    let own = Own::new();
    let file = own.dir.path().join("own.wasm");
    let models = [
        ("first", file.as_path(), ""),
        ("second", file.as_path(), ""),
    ];
    let host = Manifest::new(&manifest(&models))
        .up()
        .cache_dir(&own.cache())
        .serve();
    for (model, ..) in models {
        assert_eq!(host.client().call(model).ok()["model_name"], model);
    }
    own.entry();
}

/// Whether a host takes a component apart to share its code.
fn is_shared(component: &[u8]) -> bool {
    about(component)["shares_runtime"] == true
}

fn about(component: &[u8]) -> Value {
    let dir = temporary();
    let file = dir.path().join("component.wasm");
    fs::write(&file, component).unwrap();
    let about = Glovebox::new("inspect").arg(&file).arg("--json");
    about.run().json()
}

#[test]
fn a_file_with_more_sections_than_a_packed_model_has_is_not_taken_apart() {
    let packed = fs::read(digits()).unwrap();
    let (header, rest) = packed.split_at(8);
    // Custom sections, each with a name of one letter and nothing else.
    let with = |sections: usize| [header, &b"\0\x02\x01x".repeat(sections), rest].concat();
    assert!(is_shared(&with(10)));
    assert!(!is_shared(&with(limits::LAYOUT_SECTIONS)));
}

#[test]
fn code_with_more_types_than_any_runtime_has_is_not_taken_apart() {
    let component = |types: usize| {
        let types = "(type (func))".repeat(types);
        let text = format!(
            "(component (core module (memory (export \"memory\") 1))
               (core module {types} (import \"env\" \"memory\" (memory 1)) (global i32 (i32.const 0))))"
        );
        wat::parse_str(text).unwrap()
    };
    assert!(is_shared(&component(1000)));
    // A type of a function is three bytes.
    assert!(!is_shared(&component(limits::CODE_HEAD_BYTES as usize / 3)));
}

#[test]
fn a_front_that_is_larger_than_any_of_ours_is_not_looked_through() {
    let dir = temporary();
    let (file, output) = (
        dir.path().join("front.wasm"),
        dir.path().join("composed.wasm"),
    );
    let is_behind_front = |padding: usize| {
        let padding = section("padding", &vec![0; padding]);
        let padded = [BARE_FRONT, &padding].concat();
        let digest = runtime::sha256(&padded);
        let digest: Vec<u8> = (0..digest.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digest[at..at + 2], 16).unwrap())
            .collect();
        fs::write(&file, [padded, section("glovebox:front", &digest)].concat()).unwrap();
        let compose = Glovebox::new("compose").arg(&file).arg(digits());
        compose.option("--output", &output).run().success();
        about(&fs::read(&output).unwrap())["behind_front"].clone()
    };
    assert_eq!(is_behind_front(1000), true);
    assert_eq!(is_behind_front(limits::FRONT_BYTES as usize), false);
}

/// A custom section.
fn section(name: &str, data: &[u8]) -> Vec<u8> {
    let content = [&[name.len() as u8], name.as_bytes(), data].concat();
    let mut length = content.len();
    let mut section = vec![0];
    loop {
        let (low, rest) = ((length & 0x7f) as u8, length >> 7);
        section.push(if rest > 0 { low | 0x80 } else { low });
        length = rest;
        if length == 0 {
            break;
        }
    }
    [section, content].concat()
}
