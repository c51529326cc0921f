//! Applications of Spin as Spin serves them: routes, headers, variables, files.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::harness::client::Client;
use crate::harness::command::Glovebox;
use crate::harness::files::Manifest;
use crate::harness::host::Host;
use crate::harness::probe::{self, HEAD, component, heard, manifest, route, serve, text, value};
use crate::harness::process::wait_for;

/// A host with the probe behind each of these routes.
fn routed(routes: &[&str]) -> Host {
    let routes = routes.iter().map(|text| route(text, "probe"));
    let written = [HEAD, &routes.collect::<String>(), &component("probe", "")];
    Manifest::new(&written.concat()).up().serve()
}

/// A GET with these lines in its head, and what the probe saw of it.
#[track_caller]
fn seen(client: &Client, path: &str, lines: &str) -> Value {
    client
        .raw(&format!("GET {path} HTTP/1.1\r\n{lines}\r\n"))
        .ok()
}

fn spin_headers(shape: &Value) -> Vec<&str> {
    let pairs = shape["headers"].as_array().unwrap().iter();
    let names = pairs.map(|pair| pair[0].as_str().unwrap());
    names.filter(|name| name.starts_with("spin")).collect()
}

// Requests and routes.

#[test]
fn a_request_has_the_shape_that_the_conformance_tests_of_spin_expect() {
    let host = routed(&["/base/:path_segment/:path_end/..."]);
    let path = "/base/path/end/rest?key=value";
    let shape = seen(&host.client(), path, "host: example.com\r\n");
    assert_eq!(shape["method"], "GET");
    assert_eq!(shape["scheme"], "Scheme::Http");
    assert_eq!(shape["authority"], "example.com");
    assert_eq!(shape["path_with_query"], path);
    let expected = [
        (
            "spin-raw-component-route",
            "/base/:path_segment/:path_end/...",
        ),
        (
            "spin-full-url",
            "http://example.com/base/path/end/rest?key=value",
        ),
        ("spin-path-info", "/rest"),
        ("spin-base-path", "/"),
        ("spin-component-route", "/base/:path_segment/:path_end"),
        ("spin-path-match-path-segment", "path"),
        ("spin-path-match-path-end", "end"),
        ("spin-matched-route", "/base/:path_segment/:path_end/..."),
    ];
    for (name, expected) in expected {
        assert_eq!(value(&shape, name), expected, "{name}");
    }
    let client: SocketAddr = value(&shape, "spin-client-addr").parse().unwrap();
    assert!(client.ip().is_loopback());
    assert_eq!(spin_headers(&shape).len(), expected.len() + 1, "{shape}");
}

#[test]
fn a_client_cannot_pretend_the_headers_of_spin() {
    let host = routed(&["/..."]);
    let lines = "host: x\r\nspin-path-info: /forged\r\nSpin-Client-Addr: 1.2.3.4:5\r\n\
                 spin_full_url: forged\r\nspin-unknown: forged\r\nx-spin: mine\r\n";
    let shape = seen(&host.client(), "/path", lines);
    assert!(!shape.to_string().contains("forged"), "{shape}");
    assert_eq!(value(&shape, "spin-path-info"), "/path");
    assert!(value(&shape, "spin-client-addr").starts_with("127.0.0.1:"));
    assert_eq!(value(&shape, "x-spin"), "mine");
}

#[test]
fn headers_of_a_client_arrive_with_all_their_values() {
    let host = routed(&["/..."]);
    let lines = "Host: x\r\nX-Twice: one\r\nx-twice: two\r\naccept: a, b\r\n";
    let shape = seen(&host.client(), "/", lines);
    assert_eq!(probe::values(&shape, "x-twice"), ["one", "two"]);
    assert_eq!(value(&shape, "accept"), "a, b");
}

#[test]
fn every_method_reaches_a_component_with_its_body() {
    let host = routed(&["/..."]);
    let client = host.client();
    for method in [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE",
    ] {
        let request = format!("{method} /a%20b/?c=%2F HTTP/1.1\r\nhost: x\r\n\r\n");
        let shape = client.raw(&request).ok();
        assert_eq!(shape["method"], method);
        assert_eq!(shape["path_with_query"], "/a%20b/?c=%2F");
    }
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let answer = client.post("/echo", "application/x-bytes", &bytes);
    assert_eq!((answer.status, &answer.body), (200, &bytes));
    assert_eq!(answer.header("content-type"), "application/x-bytes");
}

#[test]
fn the_most_specific_route_answers() {
    let host = routed(&[
        "/...",
        "/below/...",
        "/exact/fixed/...",
        "/exact/:id/deep",
        "/exact/:id",
        "/exact/...",
        "/exact",
        "/",
    ]);
    for (path, route, rest) in [
        ("/", "/", ""),
        ("/?query", "/", ""),
        ("/exact", "/exact", ""),
        ("/exact/", "/exact", ""),
        ("/exact/7", "/exact/:id", ""),
        ("/exact/7/", "/exact/:id", ""),
        ("/exact/7/deep", "/exact/:id/deep", ""),
        ("/exact/7/other", "/exact/...", "/7/other"),
        ("/exact/fixed", "/exact/fixed/...", ""),
        ("/exact/fixed/", "/exact/fixed/...", "/"),
        ("/exact/fixed/a/b", "/exact/fixed/...", "/a/b"),
        ("/below", "/below/...", ""),
        ("/below/a/", "/below/...", "/a/"),
        ("/belows", "/...", "/belows"),
        ("/EXACT", "/...", "/EXACT"),
    ] {
        let shape = seen(&host.client(), path, "host: x\r\n");
        assert_eq!(value(&shape, "spin-raw-component-route"), route, "{path}");
        assert_eq!(value(&shape, "spin-path-info"), rest, "{path}");
    }
}

#[test]
fn a_path_without_a_route_is_unknown() {
    let host = routed(&["/only"]);
    let client = host.client();
    assert_eq!(client.get("/only").status, 200);
    for path in ["/only/this", "/other", "/v2/models/only"] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
}

#[test]
fn a_component_alone_answers_at_every_path_that_is_not_the_host_s() {
    let host = Glovebox::new("up").option("--from", probe::file()).serve();
    let client = host.client();
    for path in ["/", "/v2", "/v2/models", "/v2/health/live", "/any/path"] {
        assert_eq!(client.get(path).ok()["path_with_query"], path);
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client.get(path).ok()["live"], true, "{path}");
    }
    // A request is recorded when its guest has ended, which may be after its answer.
    wait_for(|| (client.requests("probe", "ok") == 5.0).then_some(()));
}

#[test]
fn a_route_where_the_host_answers_itself_is_refused() {
    for path in ["/healthz", "/metrics", "/.well-known/spin/health"] {
        let written = [HEAD, &route(path, "probe"), &component("probe", "")];
        let line = Manifest::new(&written.concat()).up().run().refusal();
        assert!(line.contains(path), "{line}");
    }
}

#[test]
fn a_request_that_names_no_host_or_an_impossible_one_is_refused() {
    let host = routed(&["/..."]);
    for request in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: \r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x/path\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: user@x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x:99999\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
    ] {
        println!("{request:?}");
        let answer = host.client().raw(request);
        answer.error(400, "invalid_request");
    }
}

#[test]
fn what_a_client_says_of_its_body_is_the_component_s_affair() {
    let host = routed(&["/..."]);
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n";
    for line in ["content-encoding: gzip", "content-type: \"odd\"; a=b"] {
        let answer = host.client().raw(&format!("{head}{line}\r\n\r\n\x1f\x0b"));
        assert_eq!((answer.status, answer.body), (200, vec![0x1f, 0x0b]));
    }
}

#[test]
fn each_component_is_at_its_own_routes() {
    let written = [
        HEAD,
        &route("/one/...", "one"),
        &route("/two/...", "two"),
        &route("/also/one/...", "one"),
        &component("one", "environment = { WHO = \"one\" }"),
        &component("two", "environment = { WHO = \"two\" }"),
    ];
    let host = Manifest::new(&written.concat()).up().serve();
    let client = host.client();
    for (path, who) in [("/one", "one"), ("/two", "two"), ("/also/one", "one")] {
        let answer = client.get(&format!("{path}/environment/WHO"));
        assert_eq!(text(&answer), format!("WHO={who}\n"));
    }
    // A request is recorded when its guest has ended, which may be after its answer.
    let counted = || [client.requests("one", "ok"), client.requests("two", "ok")];
    wait_for(|| (counted() == [2.0, 1.0]).then_some(()));
}

#[test]
fn a_static_response_is_sent_as_it_is_written() {
    let fixed = |route: &str, response: &str| {
        format!("[[trigger.http]]\nroute = {route:?}\nstatic_response = {{ {response} }}\n")
    };
    let written = [
        HEAD,
        &fixed(
            "/moved",
            "status_code = 302, headers = { location = \"/probe\" }, body = \"moved\"",
        ),
        &fixed("/hello/...", "body = \"hello ✓\""),
        &fixed("/empty", "status_code = 204"),
        &route("/probe/...", "probe"),
        &component("probe", ""),
    ];
    let host = Manifest::new(&written.concat()).up().serve();
    let moved = heard(&host.client(), "/moved");
    assert!(moved.starts_with("HTTP/1.1 302 "), "{moved}");
    assert!(moved.contains("location: /probe\r\n"), "{moved}");
    assert!(moved.ends_with("\r\n\r\nmoved"), "{moved}");
    let hello = host.client().get("/hello/anybody");
    assert_eq!(text(&hello), "hello ✓");
    let empty = host.client().get("/empty");
    assert_eq!((empty.status, empty.body.len()), (204, 0));
}

#[test]
fn a_private_component_cannot_be_reached() {
    let private = "[[trigger.http]]\nroute = { private = true }\ncomponent = \"hidden\"\n";
    let written = [
        HEAD,
        private,
        &route("/probe/...", "probe"),
        &component("probe", ""),
        &component("hidden", ""),
    ];
    let host = Manifest::new(&written.concat()).up().serve();
    for path in ["/hidden", "/hidden/count"] {
        assert_eq!(host.client().get(path).status, 404, "{path}");
    }
    assert_eq!(host.client().requests("hidden", "ok"), 0.0);
    assert!(
        host.announcement.contains("private"),
        "{}",
        host.announcement
    );
}

#[test]
fn an_application_tells_about_itself_where_spin_does() {
    let host = routed(&["/..."]);
    let client = host.client();
    let health = client.get("/.well-known/spin/health");
    assert_eq!(text(&health), "OK");
    let info = client.get("/.well-known/spin/info").ok();
    assert_eq!(info["name"], "test");
    assert_eq!(info["version"], "1.2.3");
    for path in ["/.well-known/spin/", "/.well-known/spin/other"] {
        client.get(path).error(404, "unknown_path");
    }
    // What is not Spin's is the application's.
    let shape = client.get("/.well-known/other").ok();
    assert_eq!(shape["path_with_query"], "/.well-known/other");
}

// What a component is given.

#[test]
fn a_component_sees_its_own_environment_and_no_other() {
    let host = serve("environment = { PLAIN = \"a b\", LETTERS = \"ü=✓\", EMPTY = \"\" }");
    let client = host.client();
    let all = text(&client.get("/probe/environment"));
    assert_eq!(all, "EMPTY=\nLETTERS=ü=✓\nPLAIN=a b\n");
    let bare = serve("");
    assert_eq!(text(&bare.client().get("/probe/environment")), "");
}

const VARIABLES: &str = "[component.probe.variables]\nplain = \"{{ given }}\"\nfixed = \"7\"\n\
    mixed = \"<{{ given }}-{{other}}>\"\n[variables]\ngiven = { default = \"from the default\" }\n\
    other = { default = \"other\", secret = true }\nunused = { default = \"unused\" }\n";

/// What the probe gets for a variable.
#[track_caller]
fn variable(up: Glovebox, name: &str) -> String {
    let host = up.serve();
    text(&host.client().get(&format!("/probe/variable/{name}")))
}

#[test]
fn variables_have_their_defaults_and_fill_templates() {
    let served = manifest(VARIABLES);
    assert_eq!(variable(served.up(), "plain"), "from the default");
    assert_eq!(variable(served.up(), "fixed"), "7");
    assert_eq!(variable(served.up(), "mixed"), "<from the default-other>");
    // Variables of the application are not the component's.
    for name in ["given", "unused", "no_such"] {
        let refused = variable(served.up(), name);
        assert!(refused.contains("Undefined"), "{refused}");
    }
}

#[test]
fn the_command_line_goes_before_the_environment_and_that_before_the_file() {
    let served = manifest(VARIABLES);
    let key = "SPIN_VARIABLE_GIVEN";
    fs::write(
        served.dir.path().join(".env"),
        format!("{key}='from the file'\n"),
    )
    .unwrap();
    assert_eq!(variable(served.up(), "plain"), "from the file");
    let up = || served.up().environment(key, "from the environment");
    assert_eq!(variable(up(), "plain"), "from the environment");
    let up = up()
        .option("--variable", "given=ignored")
        .option("--variable", "given=from = the command line");
    assert_eq!(variable(up, "plain"), "from = the command line");
}

#[test]
fn a_profile_takes_the_place_of_what_a_component_says() {
    let lines = "environment = { MODE = \"plain\", KEPT = \"yes\" }\n\
        profile.debug = { environment = { MODE = \"debug\", MORE = \"1\" } }";
    let served = manifest(lines);
    let environment = |up: Glovebox| {
        let host = up.serve();
        text(&host.client().get("/probe/environment"))
    };
    assert_eq!(environment(served.up()), "KEPT=yes\nMODE=plain\n");
    let debug = served.up().option("--profile", "debug");
    assert_eq!(environment(debug), "KEPT=yes\nMODE=debug\nMORE=1\n");
    let line = served.up().option("--profile", "none").run().refusal();
    assert!(line.contains("\"none\""), "{line}");
}

/// A manifest whose component may read some files of the folder, which has more.
fn with_files() -> Manifest {
    let served = manifest(
        "files = [\"a.txt\", \"deep/*.txt\", { source = \"data\", destination = \"/mounted/here\" }]\n\
         exclude_files = [\"data/*.key\", \"data/inner/secret.txt\"]",
    );
    let dir = served.dir.path();
    for (path, content) in [
        ("a.txt", "content of a"),
        ("b.txt", "nobody mounts this"),
        ("deep/c.txt", "content of c"),
        ("deep/c.bin", "nobody mounts this"),
        ("data/d.txt", "content of d"),
        ("data/private.key", "excluded"),
        ("data/inner/e.txt", "content of e"),
        ("data/inner/secret.txt", "excluded"),
    ] {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    served
}

#[test]
fn a_component_finds_its_files_where_the_manifest_puts_them() {
    let host = with_files().up().serve();
    let client = host.client();
    for (path, content) in [
        ("a.txt", "content of a"),
        ("deep/c.txt", "content of c"),
        ("mounted/here/d.txt", "content of d"),
        ("mounted/here/inner/e.txt", "content of e"),
    ] {
        assert_eq!(text(&client.get(&format!("/probe/file/{path}"))), content);
    }
    for (folder, names) in [
        ("", "a.txt deep mounted"),
        ("deep", "c.txt"),
        ("mounted/here", "d.txt inner"),
        ("mounted/here/inner", "e.txt"),
    ] {
        assert_eq!(text(&client.get(&format!("/probe/folder/{folder}"))), names);
    }
}

#[test]
fn a_component_reads_no_other_file() {
    let served = with_files();
    let host = served.up().serve();
    let client = host.client();
    let up = "../".repeat(12);
    let manifest = served.path.display().to_string();
    for path in [
        "b.txt",
        "deep/c.bin",
        "spin.toml",
        "mounted/here/private.key",
        "mounted/here/inner/secret.txt",
        "proc/self/environ",
        "etc/passwd",
        &format!("{up}etc/passwd"),
        &format!("mounted/{up}etc/passwd"),
        &format!("{up}{manifest}"),
        "..",
    ] {
        for verb in ["file", "folder"] {
            let said = heard(&client, &format!("/probe/{verb}/{path}"));
            assert!(said.contains("\r\n\r\nrefused: "), "{path}: {said}");
        }
    }
    let bare = serve("");
    for path in ["/probe/file/etc/passwd", "/probe/folder/"] {
        let said = text(&bare.client().get(path));
        assert!(said.starts_with("refused: "), "{path}: {said}");
    }
}

#[test]
fn a_component_cannot_change_its_files() {
    let served = with_files();
    let host = served.up().serve();
    let client = host.client();
    for path in ["a.txt", "deep/c.txt", "mounted/here/inner/e.txt", "new.txt"] {
        let tried = text(&client.get(&format!("/probe/write/{path}")));
        assert_eq!(tried.lines().count(), 8, "{path}: {tried}");
        assert!(!tried.contains(": ok"), "{path}: {tried}");
    }
    assert_eq!(text(&client.get("/probe/file/a.txt")), "content of a");
    let names = text(&client.get("/probe/folder/"));
    assert_eq!(names, "a.txt deep mounted");
    let own = fs::read_to_string(served.dir.path().join("a.txt")).unwrap();
    assert_eq!(own, "content of a");
}

#[test]
fn files_that_change_are_seen_after_the_next_start() {
    let served = with_files();
    let read = || {
        let host = served.up().serve();
        text(&host.client().get("/probe/file/a.txt"))
    };
    assert_eq!(read(), "content of a");
    fs::write(served.dir.path().join("a.txt"), "changed").unwrap();
    assert_eq!(read(), "changed");
}

#[test]
fn a_link_that_leads_out_of_the_folder_is_refused_at_the_start() {
    let served = manifest("files = [\"link.txt\"]");
    symlink("/etc/passwd", served.dir.path().join("link.txt")).unwrap();
    let line = served.up().run().refusal();
    assert!(line.contains("leads out of the folder"), "{line}");
}
