//! What a package brings beside the program: does a service manager hear when `up` serves, and do manual
//! pages and completions name every command?

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::command::Glovebox;
use crate::harness::files::{digits, names_in, temporary, workspace};
use crate::harness::host::Host;

/// Longer than it takes to load a model.
const TIME: Duration = Duration::from_secs(60);

fn heard(manager: &UnixDatagram) -> String {
    let mut datagram = [0; 64];
    let length = manager.recv(&mut datagram).unwrap();
    String::from_utf8(datagram[..length].to_vec()).unwrap()
}

fn serve_under(manager: &str) -> Host {
    Glovebox::new("up")
        .option("--from", digits())
        .environment("NOTIFY_SOCKET", manager)
        .serve()
}

/// From behind the wall as well.
#[test]
fn a_service_manager_hears_of_the_start_and_of_the_end() {
    let dir = temporary();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TIME)).unwrap();
    let host = serve_under(path.to_str().unwrap());
    assert_eq!(heard(&manager), "READY=1");
    assert_eq!(host.client().get("/v2/models/digits/ready").status, 200);
    host.signal_terminate();
    assert_eq!(heard(&manager), "STOPPING=1");
    assert_eq!(host.wait().0.code(), Some(0));
}

#[test]
fn a_service_manager_may_listen_at_an_abstract_socket() {
    let name = format!("glovebox-notify-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.set_read_timeout(Some(TIME)).unwrap();
    let host = serve_under(&format!("@{name}"));
    assert_eq!(heard(&manager), "READY=1");
    host.signal_terminate();
    assert_eq!(heard(&manager), "STOPPING=1");
}

#[test]
fn a_service_manager_that_is_not_there_is_named() {
    let line = Glovebox::new("up")
        .option("--from", digits())
        .environment("NOTIFY_SOCKET", "/nowhere/notify")
        .run()
        .refusal();
    assert!(line.contains("/nowhere/notify"), "{line}");
}

#[test]
fn a_service_manager_that_reads_nothing_holds_up_nobody() {
    let dir = temporary();
    let path = dir.path().join("notify");
    let _manager = UnixDatagram::bind(&path).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.connect(&path).unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send(b"STATUS=full").is_ok() {}
    let host = serve_under(path.to_str().unwrap());
    assert_eq!(host.client().get("/v2/models/digits/ready").status, 200);
    assert_eq!(host.terminate().0.code(), Some(0));
}

#[test]
fn manual_pages_and_completions_name_every_command_and_no_hidden_one() {
    let dir = temporary();
    glovebox_reference::write(dir.path()).unwrap();
    let pages = names_in(&dir.path().join("man"));
    assert!(pages.contains(&"glovebox.1".to_owned()), "{pages:?}");
    assert!(!pages.iter().any(|page| page.contains("help")), "{pages:?}");
    assert_eq!(
        names_in(&dir.path().join("completions")),
        ["_glovebox", "glovebox.bash", "glovebox.fish"]
    );
    let completions = fs::read_to_string(dir.path().join("completions/glovebox.bash")).unwrap();
    for command in [
        "init", "new", "pack", "compose", "up", "run", "inspect", "bench",
    ] {
        assert!(
            pages.contains(&format!("glovebox-{command}.1")),
            "{pages:?}"
        );
        assert!(completions.contains(command), "{command}");
    }
    assert!(
        !pages.iter().any(|page| page.contains("worker")),
        "{pages:?}"
    );
    let page = fs::read_to_string(dir.path().join("man/glovebox-up.1")).unwrap();
    assert!(page.contains("memory\\-budget"), "{page}");
}

#[test]
fn the_version_names_the_runtime_and_its_compiler() {
    let said = Glovebox::new("--version").run().success();
    let lines: Vec<_> = said.lines().collect();
    let [version, runtime, compiler] = lines[..] else {
        panic!("{said}")
    };
    assert_eq!(version, concat!("glovebox ", env!("CARGO_PKG_VERSION")));
    assert!(compiler.starts_with("built by rustc 1."), "{compiler}");
    let digest = runtime.strip_prefix("runtime sha256:").unwrap();
    let packed = fs::read(digits()).unwrap();
    let is_in_metadata = packed
        .windows(digest.len())
        .any(|part| part == digest.as_bytes());
    assert!(is_in_metadata, "{digest}");
}

/// A program that does not lie in the checkout that it was built from: one that came in a package.
#[test]
fn a_project_made_elsewhere_brings_the_sources_of_its_sdk() {
    let dir = temporary();
    let program = dir.path().join("glovebox");
    fs::copy(env!("CARGO_BIN_EXE_glovebox"), &program).unwrap();
    let project = dir.path().join("lines");
    let made = Command::new(&program).arg("new").arg(&project).output();
    assert!(made.unwrap().status.success());
    let lock = fs::read_to_string(project.join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .current_dir(&project)
        .args(["metadata", "--offline", "--format-version=1"])
        .args(["--filter-platform", "wasm32-unknown-unknown"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut ours = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let version = package["version"].as_str().unwrap();
        let manifest = package["manifest_path"].as_str().unwrap();
        if name.starts_with("glovebox") {
            assert!(package["source"].is_null(), "{name} is not ours");
            assert!(
                manifest.starts_with(project.to_str().unwrap()),
                "{manifest}"
            );
            ours.push(name);
        } else if name != "lines" {
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"");
            assert!(lock.contains(&entry), "{name} {version} is another version");
        }
    }
    ours.sort_unstable();
    let crates = ["guest", "image", "kernels", "onnx", "pipeline", "protocol"];
    assert_eq!(ours, crates.map(|name| format!("glovebox-{name}")));
    for name in crates.iter().filter(|name| **name != "protocol") {
        let folder = name.replace("guest", "sdk");
        let copy = project
            .join("glovebox-sdk/guest")
            .join(&folder)
            .join("src/lib.rs");
        let source = workspace().join("guest").join(&folder).join("src/lib.rs");
        assert_eq!(fs::read(copy).unwrap(), fs::read(source).unwrap());
    }
}
