//! Packing what cannot be packed: exit code 1, one line that says why, nothing written.

use std::fs;

use crate::harness::command::Glovebox;
use crate::harness::files::{model_dir, names_in, temporary};
use crate::harness::onnx::{self, Graph, Node};

/// Packs bytes with more arguments; the one line of error.
#[track_caller]
fn refused(onnx: &[u8], options: &[(&str, &str)]) -> String {
    let dir = temporary();
    let file = dir.path().join("model.onnx");
    fs::write(&file, onnx).unwrap();
    let mut pack = Glovebox::new("pack").arg(&file);
    for (name, value) in options {
        pack = pack.option(name, value);
    }
    let line = pack.run().refusal();
    println!("{line}");
    assert_eq!(names_in(dir.path()), ["model.onnx"]);
    line
}

fn one_node(node: Node) -> Graph {
    Graph::new()
        .input("x", &[1, 4])
        .output("y", &[1, 4])
        .node(node)
}

#[test]
fn a_file_that_does_not_exist_is_named() {
    let dir = temporary();
    let file = dir.path().join("nowhere.onnx");
    let line = Glovebox::new("pack").arg(file).run().refusal();
    assert!(line.contains("nowhere.onnx"), "{line}");
    assert_eq!(names_in(dir.path()), Vec::<String>::new());
}

#[test]
fn a_text_file_is_no_model() {
    let line = refused(b"Dear model,\nplease run.\n", &[]);
    assert!(line.contains("not an ONNX model"), "{line}");
}

#[test]
fn an_empty_file_is_no_model() {
    let line = refused(b"", &[]);
    assert!(line.contains("not an ONNX model"), "{line}");
}

#[test]
fn random_bytes_are_no_model() {
    for seed in [1, 20, 300] {
        let noise = onnx::noise(1000, seed);
        let bytes: Vec<u8> = noise
            .iter()
            .flat_map(|n| n.to_bits().to_be_bytes())
            .collect();
        let line = refused(&bytes, &[]);
        assert!(line.contains("not an ONNX model"), "{line}");
    }
}

#[test]
fn half_a_model_is_no_model() {
    let whole = fs::read(model_dir("digits").join("digits.onnx")).unwrap();
    for kept in [whole.len() / 2, whole.len() - 1] {
        let line = refused(&whole[..kept], &[]);
        assert!(line.contains("not an ONNX model"), "{line}");
    }
}

#[test]
fn an_unknown_operator_is_named_with_its_node() {
    let node = Node::new("Teleport", "beam", &["x"], &["y"]);
    let line = refused(&one_node(node).model(), &[]);
    assert!(line.contains("unsupported operator Teleport"), "{line}");
    assert!(line.contains("\"beam\""), "{line}");
}

#[test]
fn an_unknown_operator_without_a_name_is_named_by_its_output() {
    let node = Node::new("Teleport", "", &["x"], &["y"]);
    let line = refused(&one_node(node).model(), &[]);
    assert!(line.contains("the node that makes \"y\""), "{line}");
}

#[test]
fn an_operator_of_a_custom_domain_is_named_with_it() {
    let node = Node::new("Teleport", "beam", &["x"], &["y"]).domain("com.example");
    let line = refused(&one_node(node).model(), &[]);
    assert!(line.contains("com.example.Teleport"), "{line}");
    assert!(line.contains("\"beam\""), "{line}");
}

#[test]
fn a_custom_operator_that_borrows_a_standard_name_is_not_taken_for_it() {
    let node = Node::new("Relu", "mine", &["x"], &["y"]).domain("com.example");
    let line = refused(&one_node(node).model(), &[]);
    assert!(line.contains("com.example.Relu"), "{line}");
    // ONNX Runtime's operators have their own domain, and some of them the names of others.
    let node = Node::new("Attention", "theirs", &["x", "x", "x"], &["y"]).domain("com.microsoft");
    let line = refused(&one_node(node).model(), &[]);
    assert!(line.contains("com.microsoft.Attention"), "{line}");
}

#[test]
fn weights_in_another_file_are_named() {
    let graph = one_node(Node::new("MatMul", "product", &["x", "w"], &["y"]));
    let graph = graph.external_weights("w", &[4, 4], "weights.bin");
    let line = refused(&graph.model(), &[]);
    assert!(line.contains("\"w\""), "{line}");
    assert!(line.contains("weights.bin"), "{line}");
}

#[test]
fn weights_that_are_not_there_are_named() {
    let graph = one_node(Node::new("MatMul", "product", &["x", "w"], &["y"]));
    let line = refused(&graph.model(), &[]);
    assert!(line.contains("\"w\""), "{line}");
}

#[test]
fn weights_that_claim_more_than_they_hold_are_refused() {
    for dims in [[3, 4], [1 << 31, 1 << 31], [1 << 40, 1 << 40]] {
        let graph = one_node(Node::new("MatMul", "product", &["x", "w"], &["y"]));
        refused(&graph.weights("w", &dims, &[1.0; 4]).model(), &[]);
    }
}

#[test]
fn layers_that_do_not_fit_each_other_are_named() {
    let graph = one_node(Node::new("MatMul", "product", &["x", "w"], &["y"]));
    let graph = graph.weights("w", &[5, 4], &onnx::noise(20, 1));
    let line = refused(&graph.model(), &[]);
    assert!(line.contains("product"), "{line}");
}

#[test]
fn a_model_too_large_for_its_memory_says_what_to_raise() {
    let model = onnx::dense_layers(0, 3, 1290);
    let line = refused(&model, &[("--memory", "24MiB")]);
    assert!(line.contains("too large"), "{line}");
    assert!(line.contains("24 MiB"), "{line}");
    assert!(line.contains("--memory"), "{line}");
}

#[test]
fn a_model_that_loads_too_long_says_what_to_raise() {
    let model = onnx::dense_layers(0, 3, 708);
    let line = refused(&model, &[("--cpu", "1ms")]);
    assert!(line.contains("1ms"), "{line}");
    assert!(line.contains("--cpu"), "{line}");
}

#[test]
fn an_attribute_that_would_be_overlooked_is_refused_by_name() {
    let node = Node::new("BatchNormalization", "norm", &["x"; 5], &["y"]).int("training_mode", 1);
    let line = refused(&one_node(node).model(), &[]);
    assert!(
        line.contains("BatchNormalization with training_mode (node \"norm\")"),
        "{line}"
    );
}

#[test]
fn functions_that_call_each_other_without_end_are_refused() {
    let call = |name: &str, from, to| Node::new(name, "call", &[from], &[to]).domain("com.example");
    let model = one_node(call("f0", "x", "y")).model();
    let forever = onnx::function("f0", vec![call("f0", "x", "y")]);
    let line = refused(&[model.clone(), forever].concat(), &[]);
    assert!(line.contains("deep"), "{line}");
    // Each calls the next one twice.
    let twice = |number: usize| {
        let next = format!("f{}", number + 1);
        let calls = vec![call(&next, "x", "between"), call(&next, "between", "y")];
        onnx::function(&format!("f{number}"), calls)
    };
    let doubled = (0..60).flat_map(twice).collect::<Vec<u8>>();
    let line = refused(&[model, doubled].concat(), &[]);
    assert!(line.contains("nodes"), "{line}");
}

#[test]
fn a_model_toml_that_is_wrong_is_refused_with_its_line_and_what_is_allowed() {
    for (written, named) in [
        (
            "[input]",
            &["[input]: missing field `kind`; it is one of image, record"][..],
        ),
        (
            "[input]\nkind = \"pic\"",
            &["[input]: unknown variant `pic`", "`image`, `record`"],
        ),
        ("[output]\nkind = 3", &["[output]: ", "model.toml:2"]),
        (
            "[output]\nkind = \"tensors\"\nlabels = []",
            &["[output]: unknown field `labels`"],
        ),
        (
            "version = 1",
            &["model.toml:2: version: invalid type: integer `1`, expected a string"],
        ),
        (
            "[[example]]\nlabel = \"3\"",
            &["[[example]]: missing field `input`; write input = \""],
        ),
        ("licens = \"MIT\"", &["unknown field `licens`", "`licence`"]),
        (
            "version = \"\"",
            &["version: ", "leave it out for version 1"],
        ),
    ] {
        let dir = temporary();
        let onnx = dir.path().join("digits.onnx");
        fs::copy(model_dir("digits").join("digits.onnx"), &onnx).unwrap();
        let file = dir.path().join("model.toml");
        fs::write(&file, format!("description = \"Digits\"\n{written}\n")).unwrap();
        let line = Glovebox::new("pack").arg(&onnx).run().refusal();
        println!("{line}");
        for named in named.iter().chain(&["model.toml:2"]) {
            assert!(line.contains(named), "{named:?} is not in {line}");
        }
    }
}

#[test]
fn models_that_cannot_be_are_refused() {
    // A node that uses its own result, and one that uses what is nowhere.
    let cycle = one_node(Node::new("Add", "loop", &["x", "y"], &["y"])).model();
    let missing = one_node(Node::new("Add", "gap", &["x", "nowhere"], &["y"])).model();
    for (what, bytes) in [
        ("cycle", cycle),
        ("missing", missing),
        ("nested", nested(10_000)),
        ("length", b"\x08\x08\x3a\xff\xff\xff\xff\x0f".to_vec()),
    ] {
        println!("{what}");
        refused(&bytes, &[]);
    }
}

#[test]
fn shapes_that_cannot_be_are_refused_or_fit_no_request() {
    for shape in [[1 << 62, 1 << 62], [-7, 1 << 40], [0, 1 << 62]] {
        let graph = Graph::new().input("x", &shape).output("y", &shape);
        let model = graph.node(Node::new("Relu", "", &["x"], &["y"])).model();
        let dir = temporary();
        let (onnx, wasm) = (dir.path().join("model.onnx"), dir.path().join("model.wasm"));
        fs::write(&onnx, model).unwrap();
        let packed = Glovebox::new("pack").arg(&onnx).run();
        if packed.code != Some(0) {
            packed.refusal();
            continue;
        }
        let request = dir.path().join("request.json");
        let tensor = r#"{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[1]}]}"#;
        fs::write(&request, tensor).unwrap();
        let run = Glovebox::new("run").arg(&wasm).option("--tensors", request);
        println!("{}", run.run().refusal());
    }
}

/// A graph in an attribute of a node of a graph, and so on.
fn nested(depth: usize) -> Vec<u8> {
    let field = |number: u8, content: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(content);
        bytes
    };
    // GraphProto.node, NodeProto.attribute, AttributeProto.g; at last ModelProto.graph.
    let graph = (0..depth / 3).fold(Vec::new(), |graph, _| {
        field(1, &field(5, &field(6, &graph)))
    });
    field(7, &graph)
}
