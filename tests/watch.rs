//! `watch`: what is changed is built and served, and nobody who asks meanwhile is turned away.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use crate::harness::client::Client;
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, manifest};
use crate::harness::guest::Guest;
use crate::harness::process::wait_for;

/// A guest that answers with this digit.
fn guest(digit: u8) -> Vec<u8> {
    let predict = format!(
        "(i32.store8 (i32.const 5001) (i32.const {}))
        (i32.store (i32.const 3076) (i32.const 4096)) (i32.store (i32.const 3080) (i32.const 10))
        (i32.store (i32.const 3084) (i32.const 5001)) (i32.store (i32.const 3088) (i32.const 1))
        (i32.const 3072)",
        b'0' + digit
    );
    Guest::infer("(i32.const 2048)")
        .predict(&predict)
        .component()
}

/// A project whose build copies `src/own.wasm`, if that is a file.
fn project() -> Manifest {
    let text = manifest(&[("own", "own.wasm".as_ref(), "")])
        + "[component.own.build]\ncommand = \"cp src/own.wasm own.wasm\"\nwatch = [\"src/**/*.wasm\"]\n";
    let project = Manifest::new(&text);
    fs::create_dir(project.dir.path().join("src")).unwrap();
    write(project.dir.path(), &guest(1));
    project
}

/// Replaces the source in one step, as editors do.
fn write(dir: &Path, source: &[u8]) {
    fs::write(dir.join("src/new"), source).unwrap();
    fs::rename(dir.join("src/new"), dir.join("src/own.wasm")).unwrap();
}

fn asked(client: &Client) -> String {
    let answer = client.predict("own", "text/plain", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[test]
fn a_change_is_built_and_served_and_no_request_fails_meanwhile() {
    let project = project();
    let host = Glovebox::new("watch").arg(project.dir.path()).serve();
    let client = host.client();
    assert_eq!(asked(&client), "1");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Relaxed) {
                // A client of its own each time: it connects anew.
                asked(&Client::new(host.client().address));
                asked(&client);
                count += 2;
            }
            count
        });
        for digit in [2, 3] {
            write(project.dir.path(), &guest(digit));
            wait_for(|| {
                let now = asked(&Client::new(host.client().address));
                (now == digit.to_string()).then_some(())
            });
        }
        is_over.store(true, Relaxed);
        assert!(asking.join().unwrap() > 4);
    });
    let (status, log) = host.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("has changed, served anew"), "{log}");
}

#[test]
fn what_does_not_build_or_start_leaves_what_is_served() {
    let project = project();
    let host = Glovebox::new("watch").arg(project.dir.path()).serve();
    let client = host.client();
    write(project.dir.path(), b"no wasm");
    // The build copies it before the child refuses it.
    wait_for(|| {
        let copied = fs::read(project.dir.path().join("own.wasm")).ok()?;
        (copied == b"no wasm").then_some(())
    });
    assert_eq!(asked(&client), "1");
    write(project.dir.path(), &guest(4));
    wait_for(|| (asked(&Client::new(client.address)) == "4").then_some(()));
    let text = fs::read_to_string(&project.path).unwrap();
    fs::write(&project.path, text.replace("cp src", "false && cp src")).unwrap();
    write(project.dir.path(), &guest(5));
    fs::write(&project.path, format!("{text}\n")).unwrap();
    wait_for(|| (asked(&Client::new(client.address)) == "5").then_some(()));
    let (_, log) = host.terminate();
    assert!(log.contains("what was served before is served on"), "{log}");
}

#[test]
fn one_file_is_served_anew_when_it_changes() {
    let project = project();
    let file = project.dir.path().join("src/own.wasm");
    let host = Glovebox::new("watch").arg(&file).serve();
    assert_eq!(asked(&host.client()), "1");
    write(project.dir.path(), &guest(2));
    wait_for(|| (asked(&Client::new(host.client().address)) == "2").then_some(()));
}
