//! Whom a component may call: the hosts that its manifest names, over HTTP, and nobody else.

use serde_json::{Value, json};

use crate::harness::command::Glovebox;
use crate::harness::hostile::{check, settles};
use crate::harness::origin::{GREETING, Origin};
use crate::harness::probe::{idle, limited, manifest, text};

/// What becomes of a call when these hosts are allowed.
#[track_caller]
fn called(allowed: &[&str], url: &str) -> Value {
    let served = manifest(&format!("allowed_outbound_hosts = {allowed:?}"));
    call(served.up(), url)
}

#[track_caller]
fn call(up: Glovebox, url: &str) -> Value {
    let host = up.serve();
    let told = text(&host.client().get(&format!("/probe/call?url={url}")));
    serde_json::from_str(&told).unwrap()
}

#[track_caller]
fn assert_denied(told: &Value, why: &str) {
    let error = told["error"].as_str();
    assert!(
        error.is_some_and(|error| error.contains(why)),
        "not denied: {told}"
    );
}

#[test]
fn a_component_calls_nobody_unless_the_manifest_says_so() {
    let origin = Origin::start();
    let url = origin.url("127.0.0.1", "/");
    assert_denied(&called(&[], &url), "HttpRequestDenied");
    assert_denied(&call(manifest("").up(), &url), "HttpRequestDenied");
    assert_eq!(origin.requests(), Vec::<String>::new());
}

#[test]
fn a_component_calls_the_host_that_is_named() {
    let origin = Origin::start();
    let greeted = json!({ "status": 200, "body": GREETING });
    for name in ["127.0.0.1", "localhost"] {
        let allowed = origin.url(name, "");
        let told = called(&[&allowed], &origin.url(name, "/path?a=b%20c"));
        assert_eq!(told, greeted, "{name}");
        let request = origin.requests().pop().unwrap();
        assert!(
            request.starts_with("GET /path?a=b%20c HTTP/1.1\r\n"),
            "{request}"
        );
        let host = format!("host: {name}:{}\r\n", origin.port);
        assert!(request.to_lowercase().contains(&host), "{request}");
    }
    let told = called(&["http://127.0.0.0/8:*"], &origin.url("127.0.0.1", "/"));
    assert_eq!(told, greeted);
    let template = manifest(
        "allowed_outbound_hosts = [\"{{ origin }}\"]\n[variables]\norigin = { required = true }",
    );
    let value = format!("origin={}", origin.url("127.0.0.1", ""));
    let up = template.up().option("--variable", value);
    assert_eq!(call(up, &origin.url("127.0.0.1", "/")), greeted);
}

#[test]
fn a_component_calls_no_other_host_port_or_scheme() {
    let (origin, other) = (Origin::start(), Origin::start());
    let url = origin.url("127.0.0.1", "/");
    for allowed in [
        other.url("127.0.0.1", ""),
        origin.url("localhost", ""),
        origin.url("127.0.0.2", ""),
        origin.url("example.com", ""),
        format!("https://127.0.0.1:{}", origin.port),
    ] {
        assert_denied(&called(&[&allowed], &url), "HttpRequestDenied");
    }
    assert_eq!(origin.requests(), Vec::<String>::new());
}

#[test]
fn a_wildcard_opens_no_way_into_this_machine() {
    let origin = Origin::start();
    for allowed in ["*://*:*", "http://*:*"] {
        for name in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST.",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::7f00:1]",
        ] {
            let told = called(&[allowed], &origin.url(name, "/"));
            assert_denied(&told, "DestinationIpProhibited");
        }
        // Other ways to write the address, which are names here that nobody has.
        for name in ["2130706433", "127.1", "0x7f000001", "0177.0.0.1"] {
            assert_denied(&called(&[allowed], &origin.url(name, "/")), "");
        }
    }
    assert_eq!(origin.requests(), Vec::<String>::new());
}

#[test]
fn a_host_that_does_not_listen_is_told_apart_from_one_that_is_denied() {
    let port = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let allowed = format!("http://127.0.0.1:{port}");
    assert_denied(&called(&[&allowed], &allowed), "ConnectionRefused");
}

#[test]
fn a_component_has_no_sockets_also_to_a_host_that_it_may_call() {
    let origin = Origin::start();
    let address = format!("127.0.0.1:{}", origin.port);
    for allowed in [format!("http://{address}"), "*://*:*".to_owned()] {
        let served = manifest(&format!("allowed_outbound_hosts = [{allowed:?}]"));
        let host = served.up().serve();
        let path = format!("/probe/sockets?address={address}");
        let tried = text(&host.client().get(&path));
        // The library has no kind of its own for names that are not looked up.
        let expected = "connect: PermissionDenied\nlisten: PermissionDenied\n\
                        send: PermissionDenied\nlook up: Uncategorized\n";
        assert_eq!(tried, expected);
    }
    assert_eq!(origin.requests(), Vec::<String>::new());
}

#[test]
fn what_a_called_host_sends_is_bounded_by_the_memory_of_the_guest() {
    let origin = Origin::endless();
    let url = origin.url("127.0.0.1", "/");
    let served = limited("");
    let text = std::fs::read_to_string(&served.path).unwrap();
    let allowed = format!("[component.probe]\nallowed_outbound_hosts = [{url:?}]");
    std::fs::write(&served.path, text.replace("[component.probe]", &allowed)).unwrap();
    let host = served.up().serve();
    let client = host.client();
    let answer = client.get(&format!("/probe/call?url={url}"));
    check(&answer, 502, "memory_limit");
    idle(&client);
}

#[test]
fn calls_of_one_guest_at_once_are_bounded() {
    let origin = Origin::silent();
    let url = origin.url("127.0.0.1", "/");
    let host = manifest(&format!("allowed_outbound_hosts = [{url:?}]"))
        .up()
        .serve();
    let client = host.client();
    let told = text(&client.get(&format!("/probe/calls?url={url}&count=20&wanted=4")));
    for line in told.lines() {
        assert!(line.contains("ConnectionLimitReached"), "{told}");
    }
    assert_eq!(told.lines().count(), 4);
    settles("16 calls", || {
        let calls = origin.requests().len();
        (calls > 16).then(|| format!("{calls}"))
    });
    idle(&client);
}

#[test]
fn a_call_that_is_never_answered_ends_with_its_request() {
    let origin = Origin::silent();
    let url = origin.url("127.0.0.1", "/");
    let lines =
        format!("allowed_outbound_hosts = [{url:?}]\ntool.glovebox = {{ timeout = \"500ms\" }}");
    let host = manifest(&lines).up().serve();
    let client = host.client();
    let files = host.open_files();
    check(
        &client.get(&format!("/probe/call?url={url}")),
        504,
        "timeout",
    );
    idle(&client);
    settles("open files", || {
        let now = host.open_files();
        (now > files + 1).then(|| format!("{now}, before {files}"))
    });
}
