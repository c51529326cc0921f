//! Graphs that the host runs, at their limits: whatever a component of `wasi:nn` asks for and whatever
//! a graph does, it stays within what its request may use, and the neighbour is served.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::client::{Answer, Client};
use crate::harness::files::{Manifest, digits, manifest, model_dir, temporary, wine};
use crate::harness::host::Host;
use crate::harness::hostile::check;
use crate::harness::onnx::{FIXED_ONLY, Graph, Node, OPEN, fixed_only, noise};
use crate::harness::probe::{HEAD, ended, idle, route, running, text};

/// The columns of every tensor `x`.
const COLUMNS: u64 = 1024;
/// The columns of a matrix of weights that is a mapping of its own: freed, it is gone.
const WIDTH: u64 = 9000;
/// Whole numbers and fractions as ONNX numbers them.
const INT32: i64 = 6;
const FLOAT: i64 = 1;

fn graph(nodes: Vec<Node>, columns: i64) -> Graph {
    let graph = Graph::new().input("x", &[OPEN, COLUMNS as i64]);
    let graph = nodes.into_iter().fold(graph, Graph::node);
    graph.output("y", &[OPEN, columns])
}

/// Adds a tensor to itself, 40 times: almost nothing, for a few rows.
fn sums() -> Vec<u8> {
    let name = |index: usize| match index {
        0 => "x".to_owned(),
        40 => "y".to_owned(),
        _ => format!("sum{index}"),
    };
    let node = |index: usize| {
        let (from, to) = (name(index), name(index + 1));
        Node::new("Add", &format!("add{index}"), &[&from, &from], &[&to])
    };
    graph((0..40).map(node).collect(), COLUMNS as i64).model()
}

/// Rows times rows, so often that 1024 rows take seconds, each product some tens of milliseconds.
fn products() -> Vec<u8> {
    let mut nodes = vec![Node::new("Transpose", "t", &["x"], &["t"]).ints("perm", &[1, 0])];
    let mut last = "x".to_owned();
    for index in 0..100 {
        let (square, next) = (format!("square{index}"), format!("next{index}"));
        nodes.push(Node::new("MatMul", &square, &[&last, "t"], &[&square]));
        nodes.push(Node::new("MatMul", &next, &[&square, "x"], &[&next]));
        last = next;
    }
    nodes.push(Node::new("Tanh", "last", &[&last], &["y"]));
    graph(nodes, COLUMNS as i64).model()
}

/// One product of rows times rows, which nobody can interrupt, and the mean of each of its rows.
fn block() -> Vec<u8> {
    let nodes = vec![
        Node::new("Transpose", "t", &["x"], &["t"]).ints("perm", &[1, 0]),
        Node::new("MatMul", "product", &["x", "t"], &["square"]),
        Node::new("ReduceMean", "mean", &["square"], &["y"]).ints("axes", &[1]),
    ];
    graph(nodes, 1).model()
}

/// Doubles a tensor eight times.
fn growth() -> Vec<u8> {
    let mut nodes = Vec::new();
    let mut last = "x".to_owned();
    for index in 0..8 {
        let next = format!("wide{index}");
        nodes.push(Node::new("Concat", &next, &[&last, &last], &[&next]).int("axis", 1));
        last = next;
    }
    nodes.push(Node::new("ReduceMean", "mean", &[&last], &["y"]).ints("axes", &[1]));
    graph(nodes, 1).model()
}

/// Divides whole numbers by zero, over which the engine panics.
fn zero() -> Vec<u8> {
    let nodes = vec![
        Node::new("Cast", "whole", &["x"], &["whole"]).int("to", INT32),
        Node::new("Div", "divide", &["whole", "whole"], &["none"]),
        Node::new("Cast", "fraction", &["none"], &["y"]).int("to", FLOAT),
    ];
    graph(nodes, COLUMNS as i64).model()
}

/// A graph that is prepared for each shape, with 36 MiB of weights.
fn heavy() -> Vec<u8> {
    let weights = noise((COLUMNS * WIDTH) as usize, 1);
    let nodes = [
        Node::new("MatMul", "product", &["x", "weights"], &["product"]),
        Node::new("ReduceMean", "mean", &["product"], &["mean"]).ints("axes", &[1]),
        Node::new("Add", "sum", &["x", "mean"], &["sum"]),
    ];
    let nodes = nodes.into_iter().chain(fixed_only("sum")).collect();
    graph(nodes, COLUMNS as i64)
        .weights("weights", &[COLUMNS, WIDTH], &weights)
        .model()
}

/// Such a graph for rows of any length.
fn long() -> Vec<u8> {
    let graph = Graph::new().input("x", &[1, OPEN]);
    let graph = fixed_only("x").into_iter().fold(graph, Graph::node);
    graph.output(FIXED_ONLY, &[1, OPEN]).model()
}

/// The greedy component with these lines in its table and all the graphs above, at `/greedy/...`; and
/// the wines.
fn served(limits: &str) -> Host {
    served_by("native", limits)
}

/// The same by another engine.
fn served_by(engine: &str, limits: &str) -> Host {
    let graphs = [
        ("sums", sums()),
        ("products", products()),
        ("block", block()),
        ("growth", growth()),
        ("zero", zero()),
    ];
    served_with(&graphs, engine, limits)
}

/// The same with other graphs.
fn served_with(files: &[(&str, Vec<u8>)], engine: &str, limits: &str) -> Host {
    let dir = temporary();
    let mut graphs = String::new();
    for (name, bytes) in files {
        let file = dir.path().join(format!("{name}.onnx"));
        fs::write(&file, bytes).unwrap();
        graphs += &format!("{name} = {file:?}, ");
    }
    let graphs = graphs.trim_end_matches(", ");
    let lines = format!("execution = {engine:?}\ngraphs = {{ {graphs} }}\n{limits}");
    with_wine(&lines).up().serve()
}

/// The greedy component with these lines in its table, and the wines.
fn with_wine(lines: &str) -> Manifest {
    let manifest = Manifest::new("");
    let component = manifest.dir.path().join("greedy.wasm");
    fs::write(&component, glovebox_test_guests::GREEDY).unwrap();
    let (greedy, neighbour) = (
        route("/greedy/...", "greedy"),
        route("/v2/models/wine/...", "wine"),
    );
    let text = format!(
        "{HEAD}{greedy}{neighbour}[component.wine]\nsource = {:?}\n\
         [component.greedy]\nsource = {component:?}\n[component.greedy.tool.glovebox]\n{lines}\n",
        wine()
    );
    fs::write(&manifest.path, text).unwrap();
    manifest
}

/// The line with which `up` refuses the greedy component.
#[track_caller]
fn refusal(lines: &str) -> String {
    refused(&with_wine(lines))
}

#[track_caller]
fn refused(manifest: &Manifest) -> String {
    // A taken port ends `up` also if nothing is refused.
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    manifest.up().option("--listen", address).run().refusal()
}

/// Two requests: each ends so, is counted so, and leaves nothing.
#[track_caller]
fn fails(host: &Host, path: &str, status: u16, code: &str) {
    let client = host.client();
    for count in 1..=2 {
        check(&client.get(path), status, code);
        ended(&client, "greedy", code, count);
    }
    assert_serves(&client);
}

/// The component answers as before, and nothing is held by anybody.
#[track_caller]
fn assert_serves(client: &Client) {
    assert_eq!(text(&client.get("/greedy/compute/sums/2")), "done");
    idle(client);
}

/// CPU time billed to the component, in seconds.
fn billed(client: &Client) -> f64 {
    client.metric("glovebox_guest_cpu_seconds_total{model=\"greedy\"}")
}

fn ask_wine(client: &Client) -> Answer {
    let record = fs::read(model_dir("wine").join("examples/cultivar-1.json")).unwrap();
    client.predict("wine", "application/json", &record)
}

#[test]
fn the_cpu_limit_stops_a_run_between_two_operators() {
    let host = served("cpu = \"200ms\"\nmemory = \"256MiB\"");
    fails(&host, "/greedy/compute/products/1024", 504, "cpu_limit");
    // A few operators beyond the limit at most, of the two hundred.
    let client = host.client();
    let billed = billed(&client);
    assert!((0.4..2.0).contains(&billed), "{billed} s for two requests");
    let native = client.metric("glovebox_native_cpu_seconds_total{model=\"greedy\"}");
    assert!((0.3..=billed).contains(&native), "{native} of {billed} s");
}

#[test]
fn many_short_runs_are_stopped_like_a_long_one() {
    let host = served("cpu = \"200ms\"\nmemory = \"256MiB\"");
    fails(&host, "/greedy/again/sums/1", 504, "cpu_limit");
}

#[test]
fn a_run_ends_with_its_request_at_the_timeout() {
    let host = served("cpu = \"1h\"\ntimeout = \"300ms\"\nmemory = \"256MiB\"");
    fails(&host, "/greedy/compute/products/1024", 504, "timeout");
    let client = host.client();
    let before = billed(&client);
    assert_serves(&client);
    assert!(billed(&client) - before < 0.3, "it went on");
}

#[test]
fn a_run_ends_when_its_client_leaves() {
    let host = served("cpu = \"1h\"\ntimeout = \"1h\"\nmemory = \"256MiB\"");
    let client = host.client();
    let stream = crate::harness::probe::send(&client, "/greedy/again/products/1024");
    running(&client, "greedy", 1);
    drop(stream);
    ended(&client, "greedy", "cancelled", 1);
    assert_serves(&client);
}

#[test]
fn tensors_between_operators_count_before_they_are_made() {
    let host = served("memory = \"64MiB\"");
    let client = host.client();
    let before = host.resident_bytes();
    // 64 rows are 256 KiB, doubled eight times 64 MiB.
    fails(&host, "/greedy/compute/growth/64", 502, "memory_limit");
    let most = client.metric("glovebox_guest_memory_high_water_bytes{model=\"greedy\"}");
    assert!(most <= f64::from(64 << 20), "{most}");
    // Of three gigabytes, none are taken first.
    fails_at_once(&host);
    let grown = host.resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown}");
}

#[track_caller]
fn fails_at_once(host: &Host) {
    let client = host.client();
    let start = billed(&client);
    check(
        &client.get("/greedy/compute/growth/3000"),
        502,
        "memory_limit",
    );
    ended(&client, "greedy", "memory_limit", 3);
    assert!(billed(&client) - start < 1.0);
}

#[test]
fn as_many_tensors_as_fit_are_computed() {
    let host = served("memory = \"64MiB\"");
    let client = host.client();
    assert_eq!(text(&client.get("/greedy/compute/growth/8")), "done");
    let most = client.metric("glovebox_guest_memory_high_water_bytes{model=\"greedy\"}");
    // The last two of the doubled tensors, 8 MiB and 4 MiB, beside the component itself.
    assert!(most >= f64::from(12 << 20), "{most}");
    idle(&client);
}

#[test]
fn tensors_of_the_component_count() {
    let host = served("memory = \"64MiB\"");
    fails(&host, "/greedy/tensors/none/256", 502, "memory_limit");
}

#[test]
fn a_tensor_that_does_not_cross_the_boundary_is_not_taken() {
    let host = served("memory = \"256MiB\"\noutput = \"1MiB\"");
    fails(&host, "/greedy/tensors/none/257", 502, "output_too_large");
}

#[test]
fn handles_of_all_kinds_have_an_end() {
    let host = served("memory = \"64MiB\"");
    let client = host.client();
    for (count, verb) in (1..).zip(["handles", "graphs", "contexts", "errors"]) {
        check(
            &client.get(&format!("/greedy/{verb}/sums")),
            502,
            "bad_output",
        );
        ended(&client, "greedy", "bad_output", count);
    }
    assert_serves(&client);
}

#[test]
fn copies_of_a_tensor_are_the_component_s_own_memory() {
    let host = served("memory = \"64MiB\"");
    let answer = host.client().get("/greedy/copies/none/256");
    check(&answer, 502, "memory_limit");
    assert_serves(&host.client());
}

#[test]
fn what_does_not_fit_the_graph_is_the_component_s_fault() {
    let host = served("memory = \"256MiB\"");
    let client = host.client();
    for verb in [
        "half", "whole", "square", "unnamed", "twice", "nothing", "enormous",
    ] {
        let answer = client.get(&format!("/greedy/{verb}/sums/2"));
        assert_eq!(text(&answer), "ErrorCode::InvalidArgument", "{verb}");
    }
    assert_serves(&client);
}

/// A graph is prepared for each shape, but its weights are there once.
#[test]
fn shapes_without_end_take_the_weights_of_one_graph() {
    let host = served_with(&[("heavy", heavy())], "native", "memory = \"256MiB\"");
    let client = host.client();
    let before = host.resident_bytes();
    // For products of this many rows there is one way to lay out weights.
    for rows in 100..140 {
        let answer = client.get(&format!("/greedy/compute/heavy/{rows}"));
        assert_eq!(text(&answer), "done");
    }
    let grown = host.resident_bytes().saturating_sub(before);
    assert!(grown < 192 << 20, "{grown}");
}

#[test]
fn a_shape_that_would_be_too_large_to_prepare_is_refused() {
    let host = served_with(
        &[("sums", sums()), ("long", long())],
        "native",
        "memory = \"256MiB\"",
    );
    let client = host.client();
    let answer = |columns| client.get(&format!("/greedy/row/long/{columns}"));
    assert_eq!(text(&answer(4096)), "done");
    assert_eq!(text(&answer(4097)), "ErrorCode::InvalidArgument");
    assert_serves(&client);
}

#[test]
fn graphs_come_by_name_and_from_nowhere_else() {
    let host = served("memory = \"256MiB\"");
    let client = host.client();
    for (path, error) in [
        ("bytes", "Security"),
        ("gpu", "UnsupportedOperation"),
        ("openvino", "InvalidEncoding"),
        ("compute/none", "NotFound"),
        ("compute/sums.onnx", "NotFound"),
    ] {
        let answer = client.get(&format!("/greedy/{path}"));
        assert_eq!(text(&answer), format!("ErrorCode::{error}"), "{path}");
    }
    assert_serves(&client);
}

#[test]
fn a_panic_of_the_engine_ends_one_request() {
    let host = served("memory = \"256MiB\"");
    fails(&host, "/greedy/compute/zero/1", 502, "trap");
    let answer = ask_wine(&host.client());
    assert_eq!(answer.ok()["label"], "cultivar 1");
    let (status, log) = host.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("panicked at"), "{log}");
}

/// An operator of about a second in each of many requests at once: the neighbour's requests do not wait
/// for any of them to end.
#[test]
fn a_neighbour_is_served_while_operators_run_that_nobody_can_interrupt() {
    let host = served(
        "cpu = \"1h\"\ntimeout = \"1h\"\nmemory = \"512MiB\"\noutput = \"32MiB\"\nconcurrency = 4",
    );
    let client = host.client();
    ask_wine(&client).ok();
    let (done, end) = mpsc::channel();
    for _ in 0..4 {
        let (client, done) = (host.client(), done.clone());
        thread::spawn(move || {
            let start = Instant::now();
            let answer = client.get("/greedy/compute/block/4000");
            done.send((text(&answer), start.elapsed())).unwrap();
        });
    }
    running(&client, "greedy", 4);
    let mut answers = 0;
    let (said, took): (String, Duration) = loop {
        ask_wine(&client).ok();
        answers += 1;
        if let Ok(ended) = end.try_recv() {
            break ended;
        }
    };
    assert_eq!(said, "done");
    assert!(answers >= 10, "{answers} answers in {took:?}");
    for _ in 0..3 {
        assert_eq!(end.recv().unwrap().0, "done");
    }
    assert_serves(&client);
}

#[test]
fn graphs_run_only_where_the_operator_says_so() {
    let line = refusal("");
    assert!(line.contains("component \"greedy\""), "{line}");
    assert!(
        line.contains("wasi:nn/") && line.contains("execution = \"native\""),
        "{line}"
    );
    let line = refusal("execution = \"sandbox\"");
    assert!(line.contains("wasi:nn/"), "{line}");
    let line = refusal("graphs = { sums = \"sums.onnx\" }");
    assert!(line.contains("execution = \"native\""), "{line}");
    let line = refusal("execution = \"native\"");
    assert!(line.contains("graphs = {"), "{line}");
    let line = refusal("execution = \"gpu\"");
    assert!(
        line.contains("sandbox") && line.contains("native"),
        "{line}"
    );
}

#[test]
fn files_that_are_no_graphs_are_refused_by_name() {
    let line = refusal("execution = \"native\"\ngraphs = { sums = \"sums.onnx\" }");
    assert!(
        line.contains("\"sums\"") && line.contains("sums.onnx"),
        "{line}"
    );
    let dir = temporary();
    let given = |bytes: &[u8]| {
        let file = dir.path().join("broken.onnx");
        fs::write(&file, bytes).unwrap();
        refusal(&format!(
            "execution = \"native\"\ngraphs = {{ broken = {file:?} }}"
        ))
    };
    let line = given(b"\x1b[2J no graph");
    assert!(
        line.contains("\"broken\"") && line.contains("ONNX"),
        "{line}"
    );
    let unknown = Node::new("Levitate", "strange", &["x"], &["y"]);
    let line = given(&graph(vec![unknown], 1).model());
    assert!(line.contains("Levitate"), "{line}");
}

#[test]
fn a_model_in_the_sandbox_has_no_use_for_graphs() {
    let lines = "execution = \"native\"\ngraphs = { digits = \"digits.onnx\" }";
    let manifest = Manifest::new(&manifest(&[("digits", digits(), lines)]));
    copy(
        &model_dir("digits").join("digits.onnx"),
        &manifest.dir.path().join("digits.onnx"),
    );
    let line = refused(&manifest);
    assert!(
        line.contains("remove execution") && line.contains("digits"),
        "{line}"
    );
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

#[test]
fn it_is_said_where_a_model_is_computed() {
    let host = served("memory = \"64MiB\"");
    let client = host.client();
    let info = |labels: &str| client.metric(&format!("glovebox_model_info{{{labels}}}"));
    assert_eq!(info("model=\"greedy\",execution=\"native\""), 1.0);
    assert_eq!(info("model=\"wine\",execution=\"sandbox\""), 1.0);
    assert!(
        host.announcement
            .contains("graphs block, growth, products, sums, zero"),
        "{}",
        host.announcement
    );
}

#[cfg(not(feature = "onnxruntime"))]
#[test]
fn an_engine_that_is_not_built_in_is_refused_with_how_to_get_it() {
    let dir = temporary();
    let file = dir.path().join("sums.onnx");
    fs::write(&file, sums()).unwrap();
    let line = refusal(&format!(
        "execution = \"onnxruntime\"\ngraphs = {{ sums = {file:?} }}"
    ));
    assert!(line.contains("--features onnxruntime"), "{line}");
}

#[cfg(feature = "onnxruntime")]
#[test]
fn onnx_runtime_runs_graphs_within_the_same_limits() {
    let host = served_by(
        "onnxruntime",
        "cpu = \"1h\"\ntimeout = \"500ms\"\nmemory = \"256MiB\"",
    );
    let client = host.client();
    let info = "glovebox_model_info{model=\"greedy\",execution=\"onnxruntime\"}";
    assert_eq!(client.metric(info), 1.0);
    fails(&host, "/greedy/compute/products/1024", 504, "timeout");
    let before = billed(&client);
    assert_serves(&client);
    assert!(billed(&client) - before < 0.3, "it went on");
    for verb in ["half", "whole", "unnamed", "nothing"] {
        let answer = client.get(&format!("/greedy/{verb}/sums/2"));
        assert_eq!(text(&answer), "ErrorCode::InvalidArgument", "{verb}");
    }
    check(&client.get("/greedy/tensors/none/256"), 502, "memory_limit");
    assert_serves(&client);
}
