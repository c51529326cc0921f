//! Compilers and loaders of hostile bytes: children with limits, whose end harms nobody.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, model_dir, names_in, temporary, wine};
use crate::harness::{bodies, guest, process};

/// As the kernel numbers it.
const SCHED_IDLE: &str = "5";

const COMPILED: &str = "compiled a component";

/// A component of many functions, each long: seconds of work for a compiler.
fn many_functions(count: usize) -> Vec<u8> {
    // No locals; (local.set 0 (i64.xor (i64.mul (local.get 0) (local.get 1)) (i64.const 7)))
    let round = [0x20, 0, 0x20, 1, 0x7e, 0x42, 7, 0x85, 0x21, 0];
    let body = [&[0], round.repeat(200).as_slice(), &[0x20, 0, 0x0b]].concat();
    let body = [leb(body.len()), body].concat();
    let list = |item: &[u8]| [leb(count), item.repeat(count)].concat();
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // (type (func (param i64 i64) (result i64)))
    section(&mut module, 1, &[1, 0x60, 2, 0x7e, 0x7e, 1, 0x7e]);
    section(&mut module, 3, &list(&[0]));
    section(&mut module, 10, &list(&body));
    let mut component = COMPONENT.to_vec();
    section(&mut component, 1, &module);
    component.extend(called_a_model());
    component
}

/// Sections that export an instance without functions by the name of a model: what goes on to the
/// compiler.
fn called_a_model() -> Vec<u8> {
    let name = b"glovebox:inference/model@0.1.0";
    let mut sections = Vec::new();
    // (instance (export)) and (export name (instance 0))
    section(&mut sections, 5, &[1, 1, 0]);
    let export = [&[1, 0, name.len() as u8], name.as_slice(), &[5, 0, 0]].concat();
    section(&mut sections, 11, &export);
    sections
}

/// The first bytes of a component.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    bytes.extend(leb(content.len()));
    bytes.extend(content);
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// One function that may branch from everywhere to everywhere.
fn giant_function() -> Vec<u8> {
    const BLOCKS: usize = 2000;
    let targets: String = (1..=BLOCKS).map(|label| format!("{label} ")).collect();
    let branch = format!("(if (local.get 0) (then (br_table {targets} (local.get 0))))");
    let text = format!(
        "(component (core module (func (param i32) {} {} {}))
           (instance $model) (export \"glovebox:inference/model@0.1.0\" (instance $model)))",
        "block ".repeat(BLOCKS),
        branch.repeat(1000),
        "end ".repeat(BLOCKS)
    );
    wat::parse_str(text).unwrap()
}

struct Bomb {
    dir: TempDir,
}

impl Bomb {
    fn new(bytes: &[u8]) -> Self {
        let dir = temporary();
        fs::write(dir.path().join("bomb.wasm"), bytes).unwrap();
        Self { dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("bomb.wasm")
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn up(&self) -> Glovebox {
        Glovebox::new("up")
            .option("--from", self.file())
            .cache_dir(&self.cache())
    }

    /// What is in the cache beside its key and locks.
    fn entries(&self) -> Vec<String> {
        let mut names = names_in(&self.cache());
        names.retain(|name| name != "key" && !name.ends_with(".lock"));
        names
    }
}

#[test]
fn a_component_that_takes_too_long_to_compile_is_refused() {
    for bytes in [many_functions(5000), giant_function()] {
        let bomb = Bomb::new(&bytes);
        let line = bomb.up().option("--compile-cpu", "1s").run().refusal();
        assert!(line.contains("more than the 1s of CPU time"), "{line}");
        assert_eq!(bomb.entries(), Vec::<String>::new());
    }
}

#[test]
fn a_component_that_takes_too_much_memory_to_compile_is_refused() {
    let bomb = Bomb::new(&many_functions(5000));
    let line = bomb
        .up()
        .option("--compile-memory", "32MiB")
        .run()
        .refusal();
    assert!(line.contains("more than the 70.3 MiB of memory"), "{line}");
    assert_eq!(bomb.entries(), Vec::<String>::new());
}

#[test]
fn a_component_within_the_limits_of_compiling_is_served() {
    let own = Bomb::new(&guest::component(bodies::ANSWER));
    let host = own
        .up()
        .option("--compile-cpu", "60s")
        .option("--compile-memory", "1GiB")
        .serve();
    host.client().call("bomb").ok();
}

#[test]
fn components_in_components_without_end_are_refused() {
    for depth in [200, 5_000] {
        let mut bytes = COMPONENT.to_vec();
        for _ in 0..depth {
            let inner = std::mem::replace(&mut bytes, COMPONENT.to_vec());
            section(&mut bytes, 4, &inner);
        }
        Bomb::new(&bytes).up().run().refusal();
    }
}

#[test]
fn a_worker_is_confined_and_goes_last() {
    let bomb = Bomb::new(&many_functions(20_000));
    let call = bomb.up().start();
    let worker = process::confined_child(call.id());
    let id = worker.to_string();
    assert_eq!(process::status(&id, "NoNewPrivs:").as_deref(), Some("1"));
    assert_eq!(process::limit(worker, "Max core file size"), "0");
    assert_eq!(process::limit(worker, "Max cpu time"), "180");
    let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
    // After the name in brackets: the 41st field of `man 5 proc_pid_stat` is the policy.
    let policy = stat.rsplit(") ").next().unwrap().split(' ').nth(41 - 3);
    assert_eq!(policy, Some(SCHED_IDLE));
    process::kill(worker);
    call.wait().refusal();
}

#[test]
fn a_worker_that_is_killed_leaves_nothing_and_the_next_one_succeeds() {
    let bomb = Bomb::new(&many_functions(20_000));
    let call = bomb.up().start();
    process::kill(process::confined_child(call.id()));
    let line = call.wait().refusal();
    assert!(line.contains("died") && line.contains("SIGKILL"), "{line}");
    assert_eq!(bomb.entries(), Vec::<String>::new());
    fs::write(bomb.file(), guest::component(bodies::ANSWER)).unwrap();
    bomb.up().serve().client().call("bomb").ok();
}

#[test]
fn a_worker_ends_with_who_started_it() {
    let bomb = Bomb::new(&many_functions(20_000));
    let call = bomb.up().start();
    let worker = process::confined_child(call.id());
    process::kill(call.id());
    call.wait();
    process::wait_until_gone(worker);
}

#[test]
fn of_many_that_want_the_same_machine_code_one_compiles() {
    let own = Bomb::new(&guest::component(bodies::ANSWER));
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let request = own.dir.path().join("request.json");
            fs::write(&request, r#"{"inputs":[]}"#).unwrap();
            Glovebox::new("run")
                .arg(own.file())
                .option("--tensors", request)
                .cache_dir(&own.cache())
                .log("info")
                .start()
        })
        .collect();
    let logs: Vec<_> = calls.into_iter().map(|call| call.wait().stderr).collect();
    let compiled = logs.iter().filter(|log| log.contains(COMPILED)).count();
    assert_eq!(compiled, 1, "{logs:?}");
}

#[test]
fn a_neighbour_hardly_notices_that_a_bomb_is_compiled() {
    let host = Manifest::new(&manifest(&[("wine", wine(), "")]))
        .up()
        .serve();
    let record = fs::read(model_dir("wine").join("examples/cultivar-1.json")).unwrap();
    let client = host.client();
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        (times[times.len() / 2], times[times.len() * 99 / 100])
    };
    let ask = || {
        let start = Instant::now();
        client.predict("wine", "application/json", &record).ok();
        start.elapsed()
    };
    let mut alone: Vec<_> = (0..300).map(|_| ask()).collect();
    let bomb = Bomb::new(&many_functions(50_000));
    let call = bomb.up().start();
    let worker = process::confined_child(call.id());
    let mut beside: Vec<_> = (0..300).map(|_| ask()).collect();
    assert!(
        Path::new(&format!("/proc/{worker}")).exists(),
        "it was no bomb"
    );
    process::kill(worker);
    call.wait().refusal();
    let (alone, beside) = (median(&mut alone), median(&mut beside));
    println!("p50, p99: alone {alone:?}, beside a bomb {beside:?}");
    // The tests themselves make noise; `benches/neighbour.rs` measures.
    assert!(beside.0 < alone.0 * 10, "{alone:?} {beside:?}");
}

#[test]
fn a_disk_that_takes_no_entry_costs_nothing_but_the_next_compilation() {
    let own = Bomb::new(&guest::component(bodies::ANSWER));
    own.up().serve().client().call("bomb").ok();
    // Now the entry's name is taken by what a file cannot replace.
    let entry = own
        .entries()
        .into_iter()
        .find(|name| name.ends_with(".cwasm"));
    let entry = own.cache().join(entry.unwrap());
    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    for _ in 0..2 {
        let host = own.up().log("info").serve();
        host.client().call("bomb").ok();
        let (_, log) = host.terminate();
        assert!(log.contains("cannot keep machine code"), "{log}");
        assert!(log.contains(COMPILED), "{log}");
    }
}

#[test]
fn the_cache_keeps_to_its_size_and_drops_what_was_used_longest_ago() {
    let (first, second) = (
        Bomb::new(&guest::component(bodies::ANSWER)),
        guest::component(bodies::TRAP),
    );
    let one_entry = || {
        let names = first.entries();
        names
            .into_iter()
            .filter(|name| name.ends_with(".cwasm"))
            .collect::<Vec<_>>()
    };
    let small = || first.up().option("--cache-size", "1KiB");
    small().serve();
    let before = one_entry();
    assert_eq!(
        before.len(),
        1,
        "the entry in use is kept even if it is too large"
    );
    small().serve();
    assert_eq!(one_entry(), before);
    fs::write(first.file(), second).unwrap();
    small().serve();
    let after = one_entry();
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
}

#[test]
fn a_file_that_only_contains_the_runtime_is_no_packed_model() {
    // The packer's parts with a foreign section at the end: compiled whole, by a worker.
    let mut bytes = fs::read(digits()).unwrap();
    bytes.extend(b"\0\x06\x05extra");
    let own = Bomb::new(&bytes);
    let line = own.up().option("--compile-cpu", "1s").run().refusal();
    assert!(line.contains("more than the 1s of CPU time"), "{line}");
}
