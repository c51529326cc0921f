//! Manifests of Spin: what is refused at the start, with one line that says where, what and what to
//! do. No file of a component is opened for that.

use std::fs;

use crate::harness::command::Outcome;
use crate::harness::files::Manifest;

const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"test\"\n";
const TRIGGER: &str = "[[trigger.http]]\nroute = \"/own/...\"\ncomponent = \"own\"\n";
const COMPONENT: &str = "[component.own]\nsource = \"own.wasm\"\n";
const SECRET: &str = "hunter2";

/// A manifest whose component has these lines too.
fn with(lines: &str) -> String {
    format!("{HEAD}{TRIGGER}{COMPONENT}{lines}\n")
}

/// A manifest whose one trigger has these lines.
fn triggered(lines: &str) -> String {
    format!("{HEAD}[[trigger.http]]\n{lines}\n{COMPONENT}")
}

/// A manifest with variables: `key`, whose value is a secret, and what these lines say.
fn variable(declared: &str, component: &str) -> String {
    let declared =
        format!("[variables]\nkey = {{ default = \"{SECRET}\", secret = true }}\n{declared}\n");
    format!("{HEAD}{declared}{TRIGGER}{COMPONENT}{component}\n")
}

/// The line with which `up` refuses a manifest, which names the manifest and all of `named`.
#[track_caller]
fn refused(text: &str, named: &[&str]) -> String {
    let line = Manifest::new(text).up().run().refusal();
    println!("{line}");
    for named in named.iter().chain(&["spin.toml"]) {
        assert!(line.contains(named), "{named:?} is not in {line}\n{text}");
    }
    assert!(!line.contains(SECRET), "{line}");
    line
}

#[track_caller]
fn all_refused(cases: &[(String, &[&str])]) {
    for (text, named) in cases {
        refused(text, named);
    }
}

/// What `up` says of a manifest that it takes, but whose components have no files.
#[track_caller]
fn taken(outcome: Outcome) -> String {
    let Outcome { code, stderr, .. } = outcome;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(".wasm"), "{stderr}");
    assert!(!stderr.contains("spin.toml"), "{stderr}");
    stderr
}

#[test]
fn a_manifest_of_version_one_is_refused_with_the_way_to_version_two() {
    for version in [
        "spin_version = \"1\"",
        "spin_manifest_version = \"1\"",
        "spin_manifest_version = 1",
    ] {
        let text = format!("{version}\nname = \"test\"\ntrigger = {{ type = \"http\" }}\n");
        refused(&text, &["only 2 is supported", "spin doctor"]);
    }
}

#[test]
fn a_version_that_is_not_two_is_refused() {
    all_refused(&[
        ("".into(), &["missing field"]),
        (HEAD.replace("2", "3"), &["spin_manifest_version is 3"]),
        (HEAD.replace("2", "\"2\""), &["without quotes"]),
        (
            HEAD.replace("spin_manifest_version", "spin_version"),
            &["write spin_manifest_version = 2"],
        ),
    ]);
}

#[test]
fn an_unknown_key_is_named_with_its_line_wherever_it_stands() {
    let application = HEAD.to_owned() + "unknown = 1\n" + TRIGGER + COMPONENT;
    let shared = format!("{HEAD}[application.trigger.http]\nunknown = 1\n{TRIGGER}{COMPONENT}");
    let variable = format!("{HEAD}[variables.a]\nunknown = 1\n{TRIGGER}{COMPONENT}");
    for (text, line) in [
        (format!("unknown = 1\n{}", with("")), 1),
        (application, 4),
        (shared, 5),
        (variable, 5),
        (
            triggered("route = \"/\"\ncomponent = \"own\"\nunknown = 1"),
            7,
        ),
        (
            triggered("route = \"/\"\ncomponent = { source = \"a\",\nunknown = 1 }"),
            7,
        ),
        (
            triggered("route = \"/\"\nstatic_response = { unknown = 1 }"),
            6,
        ),
        (
            triggered("route = { private = true, unknown = 1 }\ncomponent = \"own\""),
            5,
        ),
        (
            triggered(
                "route = \"/\"\ncomponent = \"own\"\nexecutor = { type = \"http\", unknown = 1 }",
            ),
            7,
        ),
        (with("unknown = 1"), 9),
        (with("build = { command = \"true\", unknown = 1 }"), 9),
        (with("tool.glovebox = { unknown = 1 }"), 9),
        (
            with("files = [{ source = \"a\", destination = \"/a\", unknown = 1 }]"),
            9,
        ),
        (with("dependencies.a = { path = \"a\", unknown = 1 }"), 9),
        (with("profile.debug = { unknown = 1 }"), 9),
        (
            with("profile.debug.build = { command = \"true\", unknown = 1 }"),
            9,
        ),
        (with("").replace("\"own.wasm\"", "{ unknown = 1 }"), 8),
    ] {
        refused(
            &text,
            &[&format!("spin.toml:{line}: "), "unknown field `unknown`"],
        );
    }
}

#[test]
fn a_limit_that_is_none_is_refused_with_its_line_its_key_and_what_it_may_be() {
    let size = "such as \"64MiB\"";
    let time = "a time such as \"100ms\" or \"2s\"";
    for (line, key, allowed) in [
        ("memory = \"64XB\"", "memory", size),
        ("memory = \"-1MiB\"", "memory", size),
        ("memory = 64", "memory", size),
        ("body = \"\"", "body", size),
        ("cpu = \"5 parsecs\"", "cpu", time),
        ("cpu = 5", "cpu", time),
        ("timeout = \"5\"", "timeout", time),
        ("batch = { max = 4, delay = 5 }", "delay", time),
        ("batch = { max = \"4\" }", "max", "a whole number"),
        ("batch = {}", "batch", "missing field `max`; write max = 8"),
        ("concurrency = \"8\"", "concurrency", "a whole number"),
        ("concurrency = -1", "concurrency", "a whole number"),
        ("execution = \"gpu\"", "execution", "`sandbox`, `native`"),
    ] {
        let text = with(&format!("[component.own.tool.glovebox]\n{line}"));
        refused(&text, &[&format!("spin.toml:10: {key}: "), allowed]);
    }
}

#[test]
fn a_key_that_is_missing_is_shown_with_the_table_that_it_belongs_to() {
    let without = |key: &str| {
        let text = with("");
        let lines = text.lines().filter(|line| !line.starts_with(key));
        lines.collect::<Vec<_>>().join("\n")
    };
    let missing = |key: &str, sample: &str| format!("missing field `{key}`; write {sample}");
    for (text, place, key, sample) in [
        (
            without("source"),
            "7: [component.own]: ",
            "source",
            "source = \"<file>.wasm\"",
        ),
        (
            without("route"),
            "4: [[trigger.http]]: ",
            "route",
            "route = \"/",
        ),
        (
            without("name"),
            "2: [application]: ",
            "name",
            "name = \"<name>\"",
        ),
        (
            without("spin_manifest"),
            "1: ",
            "spin_manifest_version",
            "spin_manifest_version = 2",
        ),
        (
            with("[component.own.build]"),
            "9: [component.own.build]: ",
            "command",
            "command = ",
        ),
        (
            with("files = [{ source = \"a\" }]"),
            "9: ",
            "destination",
            "destination = \"/",
        ),
    ] {
        refused(
            &text,
            &[&format!("spin.toml:{place}"), &missing(key, sample)],
        );
    }
}

#[test]
fn a_name_that_spin_does_not_take_is_refused_with_a_better_one() {
    let id = |id: &str| with("").replace("[component.own]", &format!("[component.{id}]"));
    all_refused(&[
        (
            id("own_model"),
            &["[component.own_model]", "write \"own-model\""],
        ),
        (id("Own"), &["\"Own\"", "kebab-case"]),
        (id("own-1"), &["\"own-1\"", "kebab-case"]),
        (id("\"\""), &["kebab-case"]),
        (id("\"\\u001b[2J\""), &["u{1b}[2J", "kebab-case"]),
        (
            variable("a-b = { default = \"\" }", ""),
            &["[variables]", "write \"a_b\""],
        ),
        (
            variable("Ab = { default = \"\" }", ""),
            &["snake_case", "write \"ab\""],
        ),
        (
            variable("", "variables = { Key = \"a\" }"),
            &["[component.own]", "write \"key\""],
        ),
    ]);
}

#[test]
fn triggers_that_are_not_http_are_refused_by_name() {
    let redis = "[[trigger.redis]]\nchannel = \"a\"\ncomponent = \"own\"\n";
    let shared = "[application.trigger.redis]\naddress = \"a\"\n";
    all_refused(&[
        (
            format!("{HEAD}{redis}{COMPONENT}"),
            &["trigger.redis", "HTTP"],
        ),
        (
            format!("{HEAD}{TRIGGER}{redis}{COMPONENT}"),
            &["trigger.redis", "HTTP"],
        ),
        (format!("{HEAD}{shared}{TRIGGER}{COMPONENT}"), &["`redis`"]),
        (format!("{HEAD}{COMPONENT}"), &["[[trigger.http]]"]),
    ]);
}

#[test]
fn a_trigger_that_cannot_be_served_is_refused_with_its_route() {
    let at = |lines: &str| triggered(&format!("route = \"/a\"\n{lines}"));
    let own = |line: &str| at(&format!("component = \"own\"\n{line}"));
    let place = "[[trigger.http]] with route \"/a\": ";
    all_refused(&[
        (triggered("component = \"own\""), &["missing field `route`"]),
        (at(""), &[place, "either component or static_response"]),
        (
            own("static_response = {}"),
            &[place, "either component or static_response"],
        ),
        (
            at("component = \"other\""),
            &[place, "\"other\"", "[component.other]"],
        ),
        (
            own("executor = { type = \"wagi\" }"),
            &[place, "wagi", "wasi:http"],
        ),
        (
            own("executor = { type = \"other\" }"),
            &[place, "\"other\"", "type = \"http\""],
        ),
        (
            own("executor = { type = \"http\", argv = \"a\" }"),
            &[place, "argv"],
        ),
        (own("components = { a = \"own\" }"), &[place, "components"]),
        (
            own("dependencies = { middleware = [\"own\"] }"),
            &[place, "middleware"],
        ),
        (
            triggered("route = { private = false }\ncomponent = \"own\""),
            &["private = false", "as a string"],
        ),
        (
            triggered("route = { private = true }\nstatic_response = {}"),
            &["static_response", "give it a route"],
        ),
        (
            format!("{HEAD}[application.trigger.http]\nbase = \"/a\"\n{TRIGGER}{COMPONENT}"),
            &["[application.trigger.http]", "\"/a\"", "each route"],
        ),
    ]);
}

#[test]
fn a_route_that_could_not_be_matched_is_refused() {
    for (route, named) in [
        ("/.../a", "end the route with /..."),
        ("/*/a", "end the route with /..."),
        ("/a*", "end the route with /..."),
        ("/:", "no parameter"),
        ("/:a.b", "no parameter"),
        ("/:a/:a", "two parameters"),
        ("/:a_b/:a-b", "two parameters"),
        ("/a//b", "between two of its slashes"),
        ("/a?b", "'?'"),
        ("/a#b", "'#'"),
        ("/a b", "' '"),
        ("/a\\u001b", "u{1b}"),
    ] {
        let text = triggered(&format!("route = \"{route}\"\ncomponent = \"own\""));
        refused(&text, &["[[trigger.http]]", named]);
    }
}

#[test]
fn routes_that_take_the_same_requests_are_refused() {
    let other = "[[trigger.http]]\nroute = \"/:b/a/\"\ncomponent = \"own\"\n";
    let text = triggered("route = \"/:a/a\"\ncomponent = \"own\"") + other;
    refused(&text, &["\"/:a/a\"", "\"/:b/a/\"", "remove one"]);
}

#[test]
fn of_two_triggers_with_one_route_the_last_one_is_used() {
    let other = "[[trigger.http]]\nroute = \"/own/...\"\ncomponent = \"other\"\n\
                 [component.other]\nsource = \"other.wasm\"\n";
    let said = taken(Manifest::new(&(with("") + other)).up().run());
    assert!(
        said.contains("other.wasm") && !said.contains("own.wasm"),
        "{said}"
    );
}

#[test]
fn a_static_response_that_is_no_answer_is_refused() {
    for (response, named) in [
        ("{ status_code = 100 }", "100"),
        ("{ status_code = 600 }", "600"),
        ("{ status_code = 65536 }", "65536"),
        ("{ status_code = 204, body = \"a\" }", "no body"),
        ("{ headers = { \"a b\" = \"c\" } }", "\"a b\""),
        ("{ headers = { a = \"b\\r\\nc: d\" } }", "\"a\""),
        (
            "{ headers = { Content-Length = \"1\" } }",
            "\"Content-Length\"",
        ),
        (
            "{ headers = { transfer-encoding = \"chunked\" } }",
            "\"transfer-encoding\"",
        ),
    ] {
        let text = triggered(&format!("route = \"/a\"\nstatic_response = {response}"));
        refused(&text, &[named]);
    }
}

#[test]
fn what_a_host_would_have_to_fetch_or_keep_is_refused_by_name() {
    let source = |source: &str| with("").replace("\"own.wasm\"", source);
    let place = "[component.own]: ";
    all_refused(&[
        (
            source("{ url = \"https://a\", digest = \"sha256:a\" }"),
            &[place, "source.url", "download"],
        ),
        (
            source("{ registry = \"a\", package = \"a:b\", version = \"1.0.0\" }"),
            &[place, "registry", "wkg get"],
        ),
        (source("\"\""), &[place, "source"]),
        (
            with("key_value_stores = [\"default\"]"),
            &[place, "key_value_stores"],
        ),
        (
            with("sqlite_databases = [\"default\"]"),
            &[place, "sqlite_databases"],
        ),
        (
            with("ai_models = [\"llama2-chat\"]"),
            &[place, "ai_models", "pack"],
        ),
        (
            with("allowed_http_hosts = []"),
            &[place, "allowed_outbound_hosts"],
        ),
    ]);
}

#[test]
fn a_variable_that_has_no_value_is_refused() {
    let required = "needed = { required = true }";
    let uses = |template: &str| format!("variables = {{ a = \"{template}\" }}");
    all_refused(&[
        (
            variable("a = {}", ""),
            &["[variables.a]", "required = true"],
        ),
        (
            variable("a = { required = true, default = \"\" }", ""),
            &["[variables.a]", "either"],
        ),
        (
            variable("", &uses("{{ other }}")),
            &["variables.a", "[variables.other]"],
        ),
        (
            variable("", &uses("{{ key }} {{ key")),
            &["variables.a", "}}"],
        ),
        (
            variable(required, &uses("{{ key }} {{ needed }}")),
            &["--variable needed=", "SPIN_VARIABLE_NEEDED"],
        ),
        (
            variable(
                required,
                "allowed_outbound_hosts = [\"https://{{ needed }}\"]",
            ),
            &["allowed_outbound_hosts", "SPIN_VARIABLE_NEEDED"],
        ),
    ]);
}

#[test]
fn a_secret_in_a_host_that_cannot_be_allowed_is_not_shown() {
    for host in [
        "https://a:{{ key }}",
        "{{ key }}://a",
        "https://{{ key }}/{{key}}",
    ] {
        let line = format!("allowed_outbound_hosts = [\"{host}\"]");
        refused(&variable("", &line), &[host]);
    }
}

#[test]
fn a_host_that_cannot_be_allowed_is_refused_with_the_reason() {
    for (host, named) in [
        ("example.com", "scheme://host:port"),
        ("*", "scheme://host:port"),
        ("redis://a:1", "only the schemes http, https and *"),
        ("postgres://a", "only the schemes http, https and *"),
        ("http://self", "within the application"),
        ("https://other.spin.internal", "within the application"),
        ("http://other.spin.internal:80", "within the application"),
        ("http://a.b.spin.internal", "within the application"),
        ("http://.spin.internal", "within the application"),
        ("https://a/b", "a path"),
        ("https://user@a", "a user"),
        ("https://a?b", "a query"),
        ("https://a*", "its host"),
        ("https://a.*", "its host"),
        ("https://127.1", "its host"),
        ("https://::1", "brackets"),
        ("https://a:0", "its port"),
        ("https://a:65536", "its port"),
        ("https://a:9..9", "its port"),
        ("*://a", "no port of its own"),
    ] {
        let text = with(&format!("allowed_outbound_hosts = [\"{host}\"]"));
        let quoted = format!("allowed_outbound_hosts {host:?}: ");
        refused(&text, &["[component.own]: ", &quoted, named]);
    }
}

#[test]
fn files_outside_the_folder_of_the_manifest_are_refused() {
    for (files, named) in [
        ("\"../a\"", "in the folder of the manifest"),
        ("\"a/../../b\"", "in the folder of the manifest"),
        ("\"/etc/passwd\"", "in the folder of the manifest"),
        (
            "{ source = \"../a\", destination = \"/a\" }",
            "in the folder of the manifest",
        ),
        (
            "{ source = \"a\", destination = \"a\" }",
            "must start with /",
        ),
        (
            "{ source = \"a\", destination = \"/../a\" }",
            "without . and ..",
        ),
        ("\".\"", "cannot end with ."),
        ("\"[\"", "range"),
    ] {
        refused(
            &with(&format!("files = [{files}]")),
            &["[component.own]: files", named],
        );
    }
    refused(
        &with("exclude_files = [\"[\"]"),
        &["[component.own]: exclude_files"],
    );
}

#[test]
fn an_environment_that_no_process_could_have_is_refused() {
    for line in ["\"A=B\" = \"c\"", "\"\" = \"c\"", "A = \"\\u0000\""] {
        refused(
            &with(&format!("environment = {{ {line} }}")),
            &["[component.own]: environment"],
        );
    }
}

#[test]
fn a_dependency_that_is_no_file_is_refused_with_the_way_to_make_it_one() {
    let path = "path = \"<file>.wasm\"";
    for (dependency, named) in [
        ("\"a:b/c@0.1.0\" = \">=0.1.0\"", "wkg get"),
        ("\"a:b\" = { version = \"0.1.0\" }", "wkg get"),
        (
            "\"a:b\" = { url = \"https://a\", digest = \"sha256:a\" }",
            "download",
        ),
        ("\"a:b\" = { component = \"other\" }", "component"),
        ("\"a:b\" = {}", "names no file"),
    ] {
        let text = with(&format!("dependencies = {{ {dependency} }}"));
        refused(&text, &["[component.own]: dependencies.\"a:b", named, path]);
    }
}

#[test]
fn a_dependency_whose_name_or_inheritance_is_wrong_is_refused() {
    let one = |name: &str, more: &str| {
        with(&format!(
            "dependencies = {{ {name} = {{ path = \"a.wasm\"{more} }} }}"
        ))
    };
    let twice = with(
        "dependencies_inherit_configuration = true\n\
         dependencies = { a = { path = \"a.wasm\", inherit_configuration = false } }",
    );
    all_refused(&[
        (one("a_b", ""), &["dependencies.\"a_b\"", "write \"a-b\""]),
        (one("\"a:b/c/d\"", ""), &["kebab-case"]),
        (one("\"a:b@0.1\"", ""), &["version"]),
        (
            one("a", ", inherit_configuration = [\"file\"]"),
            &["`file`", "`files`"],
        ),
        (
            one("a", ", inherit_configuration = 1"),
            &["true, false or a list"],
        ),
        (
            twice,
            &[
                "either inherit_configuration",
                "dependencies_inherit_configuration",
            ],
        ),
    ]);
}

#[test]
fn a_profile_that_no_component_has_is_refused() {
    let served = Manifest::new(&with("profile.debug.source = \"debug.wasm\""));
    let line = served.up().option("--profile", "other").run().refusal();
    assert!(line.contains("--profile \"other\""), "{line}");
    let said = taken(served.up().option("--profile", "debug").run());
    assert!(said.contains("debug.wasm"), "{said}");
}

#[test]
fn a_variable_that_is_not_declared_cannot_be_given() {
    let served = Manifest::new(&variable("", "variables = { a = \"{{ key }}\" }"));
    let given = format!("other={SECRET}");
    let line = served.up().option("--variable", given).run().refusal();
    assert!(line.contains("[variables.other]"), "{line}");
    assert!(!line.contains(SECRET), "{line}");
}

#[test]
fn a_required_variable_can_be_given_on_the_command_line_or_beside_the_manifest() {
    let text = variable(
        "needed = { required = true }",
        "variables = { a = \"{{ needed }}\" }",
    );
    let served = Manifest::new(&text);
    taken(served.up().option("--variable", "needed=a=b").run());
    let file = served.dir.path().join(".env");
    fs::write(file, "# for us\nSPIN_VARIABLE_NEEDED='a b'\n").unwrap();
    taken(served.up().run());
}

#[test]
fn a_whole_application_is_read() {
    let text = r#"
        spin_manifest_version = 2
        [application]
        name = "whole"
        version = "1.0.0"
        description = "All that can be said"
        authors = ["somebody"]
        targets = ["spin-up:3.3"]
        [application.trigger.http]
        base = "/"
        [application.tool.other]
        key = 1979-05-27
        [variables]
        host = { default = "example.com", description = "whom to call" }
        unused = { required = true }
        [[trigger.http]]
        id = "first"
        route = "/own/:id/..."
        component = "own"
        executor = { type = "spin" }
        [[trigger.http]]
        route = { private = true }
        component = { source = "inline.wasm" }
        [[trigger.http]]
        route = "/moved"
        static_response = { status_code = 301, headers = { location = "/own/1" } }
        [component.own]
        description = "The first one"
        source = "own.wasm"
        targets = ["spin-up:3.3"]
        variables = { url = "https://{{ host }}/" }
        environment = { HOME = "/" }
        files = ["assets", "*.txt", { source = "data", destination = "/data" }]
        exclude_files = ["**/*.md"]
        allowed_outbound_hosts = ["https://{{ host }}", "http://10.0.0.0/8:*", "http://[::1]:8000..9000"]
        key_value_stores = []
        dependencies_inherit_configuration = true
        dependencies = { "a:b/c@0.1.0" = { path = "dependency.wasm", export = "d" } }
        build = { command = ["true"], workdir = "own", watch = ["*"] }
        profile.debug = { source = "debug.wasm", environment = { A = "b" }, build.command = "true" }
        tool.glovebox = { memory = "64MiB" }
        tool.other = { key = 1 }
        [component.unused]
        source = { url = "https://a", digest = "sha256:a" }
        sqlite_databases = ["default"]
    "#;
    taken(Manifest::new(text).up().run());
}
