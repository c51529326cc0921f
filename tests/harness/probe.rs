//! Hosts that serve the probe, an HTTP component made with the SDK of Spin; what it does is in
//! `guests/probe`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;

use glovebox_test_guests::PROBE;
use serde_json::Value;

use super::client::{Answer, Client};
use super::files::Manifest;
use super::host::Host;
use super::hostile::settles;

/// What every manifest begins with.
pub(crate) const HEAD: &str =
    "spin_manifest_version = 2\n[application]\nname = \"test\"\nversion = \"1.2.3\"\n";
/// Limits of which one request takes 42 MiB: 16 + 5 x 1 + 7 x 1 + 14.
pub(crate) const SMALL: &str = "memory = \"16MiB\"\nbody = \"1MiB\"\noutput = \"1MiB\"\n";

/// The probe's file.
pub(crate) fn file() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (new, file) = (
            dir.join(format!("probe.{}", process::id())),
            dir.join("probe.wasm"),
        );
        fs::write(&new, PROBE).expect("a file");
        fs::rename(&new, &file).expect("a file");
        file
    })
}

/// A trigger that leads to a component.
pub(crate) fn route(route: &str, component: &str) -> String {
    format!("[[trigger.http]]\nroute = {route:?}\ncomponent = {component:?}\n")
}

/// A component that is the probe, with these lines in its table, and what comes behind it.
pub(crate) fn component(id: &str, lines: &str) -> String {
    format!("[component.{id}]\nsource = {:?}\n{lines}\n", file())
}

/// A manifest with the probe at `/probe/...`, with these lines in its component, which may begin
/// other tables.
pub(crate) fn manifest(lines: &str) -> Manifest {
    let probe = [
        HEAD,
        &route("/probe/...", "probe"),
        &component("probe", lines),
    ];
    Manifest::new(&probe.concat())
}

/// The same, served.
pub(crate) fn serve(lines: &str) -> Host {
    manifest(lines).up().serve()
}

/// The probe under small limits, of which these take the place of others.
pub(crate) fn limited(limits: &str) -> Manifest {
    let is_free = |line: &&str| {
        !line
            .split('"')
            .next()
            .is_some_and(|key| limits.contains(key))
    };
    let defaults: Vec<_> = SMALL.lines().filter(is_free).collect();
    let defaults = defaults.join("\n");
    manifest(&format!(
        "[component.probe.tool.glovebox]\n{defaults}\n{limits}"
    ))
}

/// Sends a GET and does not wait for its answer.
pub(crate) fn send(client: &Client, path: &str) -> TcpStream {
    let mut stream = client.connect();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    stream
}

/// Sends a GET; all that is said until the connection is closed.
pub(crate) fn heard(client: &Client, path: &str) -> String {
    rest(send(client, path))
}

/// What is still said, until the connection is closed.
pub(crate) fn rest(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // A connection that is reset has said what it had to say.
    let _ = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

/// The values of a header of the request that the probe has seen.
pub(crate) fn values<'a>(shape: &'a Value, name: &str) -> Vec<&'a str> {
    let pairs = shape["headers"].as_array().expect("a list").iter();
    pairs
        .filter(|pair| pair[0] == name)
        .map(|pair| pair[1].as_str().expect("a text"))
        .collect()
}

/// Its one value.
#[track_caller]
pub(crate) fn value<'a>(shape: &'a Value, name: &str) -> &'a str {
    match values(shape, name).as_slice() {
        [value] => value,
        values => panic!("{name} has the values {values:?} in {shape}"),
    }
}

/// The text of a 200.
#[track_caller]
pub(crate) fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// Waits until so many requests of a component have ended so.
#[track_caller]
pub(crate) fn ended(client: &Client, component: &str, outcome: &str, requests: u32) {
    settles(&format!("{requests} {outcome}"), || {
        let count = client.requests(component, outcome);
        (count != f64::from(requests)).then(|| client.get("/metrics").text())
    });
}

/// Waits until so many requests of a component hold a permit.
#[track_caller]
pub(crate) fn running(client: &Client, component: &str, requests: u32) {
    let series = format!("glovebox_running_requests{{model=\"{component}\"}}");
    settles(&format!("{requests} running"), || {
        let count = client.metric(&series);
        (count != f64::from(requests)).then(|| format!("{count}"))
    });
}

/// Waits until no request holds anything any more.
#[track_caller]
pub(crate) fn idle(client: &Client) {
    const HELD: [&str; 4] = ["live_", "running_", "waiting_", "memory_reserved"];
    settles("what guests hold", || {
        let text = client.get("/metrics").text();
        let is_held = |line: &&str| {
            let line = line.strip_prefix("glovebox_").unwrap_or_default();
            HELD.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0")
        };
        text.lines().find(is_held).map(str::to_owned)
    });
}
