//! ai.onnx.ml, as scikit-learn, LightGBM and XGBoost write it: answers are those of ONNX Runtime.
//! `trees/make.py` made the models and what to expect. And ensembles that no library writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::client::{Answer, Client};
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, manifest, temporary, workspace};
use crate::harness::host::Host;
use crate::harness::onnx::{Graph, Node, OPEN};

/// Of a number, and beside it where that is near zero.
const TOLERANCE: f64 = 1e-5;
const NEAR_ZERO: f64 = 1e-6;

fn material(model: &str) -> PathBuf {
    workspace().join(format!("tests/trees/{model}.onnx"))
}

fn expected() -> &'static Value {
    static EXPECTED: OnceLock<Value> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let file = workspace().join("tests/trees/expected.json");
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    })
}

/// The file packed; where it is is in the folder.
fn packed(file: &Path, dir: &TempDir) -> PathBuf {
    let name = file.file_name().unwrap();
    let output = dir.path().join(name).with_extension("wasm");
    let pack = Glovebox::new("pack").arg(file).option("--output", &output);
    pack.run().success();
    output
}

fn serve(model: &Path) -> Host {
    Glovebox::new("up").option("--from", model).serve()
}

/// Asks with numbers as bytes, for JSON has no NaN, and with texts as JSON.
fn ask(client: &Client, model: &str, inputs: &Value) -> Answer {
    let (mut tensors, mut tail) = (Vec::new(), Vec::new());
    for input in inputs.as_array().unwrap() {
        let mut tensor = input.clone();
        let start = tail.len();
        for number in input["data"].as_array().unwrap() {
            let float = number.as_f64().unwrap_or(f64::NAN);
            match input["datatype"].as_str().unwrap() {
                "FP32" => tail.extend((float as f32).to_le_bytes()),
                "FP64" => tail.extend(float.to_le_bytes()),
                _ => {}
            }
        }
        if tail.len() > start {
            tensor.as_object_mut().unwrap().remove("data");
            tensor["parameters"] = json!({ "binary_data_size": tail.len() - start });
        }
        tensors.push(tensor);
    }
    let json = json!({ "inputs": tensors }).to_string();
    let headers = [
        ("content-type", "application/octet-stream"),
        ("inference-header-content-length", &*json.len().to_string()),
    ];
    let body = [json.as_bytes(), &tail].concat();
    client.send(&format!("/v2/models/{model}/infer"), &headers, &body)
}

#[track_caller]
fn assert_same(got: &Value, expected: &Value, about: &str) {
    for key in ["name", "datatype", "shape"] {
        assert_eq!(got[key], expected[key], "{about}: {key}");
    }
    let pairs = got["data"].as_array().unwrap().iter();
    let expected = expected["data"].as_array().unwrap();
    assert!(
        !expected.is_empty() && pairs.len() == expected.len(),
        "{about}"
    );
    for (place, (got, expected)) in pairs.zip(expected).enumerate() {
        let is_same = match (got.as_f64(), expected.as_f64()) {
            (Some(got), Some(expected)) => {
                (got - expected).abs() <= NEAR_ZERO + TOLERANCE * expected.abs()
            }
            _ => got == expected,
        };
        assert!(is_same, "{about}, element {place}: {got} ≠ {expected}");
    }
}

/// All of these answer what ONNX Runtime answers.
#[track_caller]
fn answer_as_expected(models: &[&str]) {
    let dir = temporary();
    let files: Vec<_> = models
        .iter()
        .map(|model| packed(&material(model), &dir))
        .collect();
    let components = models.iter().zip(&files);
    let components: Vec<_> = components
        .map(|(model, file)| (*model, file.as_path(), ""))
        .collect();
    let host = Manifest::new(&manifest(&components)).up().serve();
    for model in models {
        let case = &expected()[*model];
        let answer = ask(&host.client(), model, &case["inputs"]).ok();
        let (got, expected) = (answer["outputs"].as_array(), case["outputs"].as_array());
        let (got, expected) = (got.unwrap(), expected.unwrap());
        assert_eq!(got.len(), expected.len(), "{model}");
        for (got, expected) in got.iter().zip(expected) {
            assert_same(got, expected, model);
        }
    }
}

#[test]
fn forests_and_boosted_trees_answer_as_onnx_runtime_does() {
    answer_as_expected(&[
        "forest",
        "forest-of-two",
        "boosted",
        "missing",
        "many-outputs",
    ]);
}

#[test]
fn trees_of_lightgbm_and_xgboost_answer_as_onnx_runtime_does() {
    answer_as_expected(&["light", "extreme", "extreme-regression"]);
}

#[test]
fn trees_of_all_modes_and_transforms_answer_as_onnx_runtime_does() {
    answer_as_expected(&[
        "sums",
        "averages",
        "least",
        "most",
        "classes",
        "classes-of-two",
    ]);
}

#[test]
fn trees_of_doubles_and_of_sets_answer_as_onnx_runtime_does() {
    answer_as_expected(&["doubles", "sets"]);
}

#[test]
fn linear_models_answer_as_onnx_runtime_does() {
    answer_as_expected(&["logistic", "logistic-of-two", "linear"]);
}

#[test]
fn support_vector_machines_answer_as_onnx_runtime_does() {
    answer_as_expected(&["svc", "svc-of-two", "svr"]);
}

#[test]
fn columns_of_texts_and_of_numbers_answer_as_onnx_runtime_does() {
    answer_as_expected(&["columns"]);
}

#[test]
fn labels_are_encoded_as_onnx_runtime_does_it() {
    answer_as_expected(&[
        "labels-to-numbers",
        "floats-to-labels",
        "first-labels-to-numbers",
        "numbers-to-first-labels",
        "categories-to-numbers",
        "numbers-to-categories",
    ]);
}

#[test]
fn features_are_put_together_as_onnx_runtime_does_it() {
    answer_as_expected(&["feature-vectors"]);
}

/// Flowers with what they are like and, if there are any, these labels.
fn forest(dir: &TempDir, labels: &str) -> PathBuf {
    let file = dir.path().join("forest.onnx");
    fs::copy(material("forest"), &file).unwrap();
    let config = format!(
        "[input]\nkind = \"record\"\nfields = [\"a\", \"b\", \"c\", \"d\"]\n\
         [output]\nkind = \"classification\"\ntensor = \"output_probability\"\n{labels}"
    );
    fs::write(dir.path().join("model.toml"), config).unwrap();
    file
}

/// What `POST /predict` says of the first flower.
fn predicted(labels: &str) -> Value {
    let dir = temporary();
    let host = serve(&forest(&dir, labels));
    let row = expected()["forest"]["inputs"][0]["data"]
        .as_array()
        .unwrap();
    let record = json!({ "a": row[0], "b": row[1], "c": row[2], "d": row[3] }).to_string();
    let client = host.client();
    client
        .predict("forest", "application/json", record.as_bytes())
        .ok()
}

#[test]
fn a_map_at_the_end_is_a_tensor_and_its_names_are_the_labels() {
    let outputs = &expected()["forest"]["outputs"];
    let answer = predicted("");
    assert_eq!(answer["label"], outputs[0]["data"][0]);
    let classes = outputs[1]["classes"].as_array().unwrap();
    for scored in answer["top"].as_array().unwrap() {
        let place = classes.iter().position(|class| *class == scored["label"]);
        let expected = outputs[1]["data"][place.unwrap()].as_f64().unwrap();
        assert!((scored["score"].as_f64().unwrap() - expected).abs() < TOLERANCE);
    }
    assert_eq!(answer["top"].as_array().unwrap().len(), classes.len());
}

#[test]
fn what_a_model_calls_its_classes_is_known_outside_of_it_too() {
    let dir = temporary();
    let packed = packed(&forest(&dir, ""), &dir);
    let inspect = Glovebox::new("inspect").arg(&packed).arg("--json");
    let classes = &expected()["forest"]["outputs"][1]["classes"];
    assert_eq!(inspect.run().json()["model"]["labels"], *classes);
    let host = serve(&packed);
    let scores = json!({ "name": "output_probability", "parameters": { "classification": 1 } });
    let request = json!({ "inputs": expected()["forest"]["inputs"], "outputs": [scores] });
    let answer = host.client().infer("forest", &request).ok();
    let best = answer["outputs"][0]["data"][0].as_str().unwrap();
    let label = &expected()["forest"]["outputs"][0]["data"][0];
    assert!(best.ends_with(label.as_str().unwrap()), "{best}");
}

#[test]
fn labels_of_the_configuration_come_before_those_of_the_model() {
    let answer = predicted("labels = [\"one\", \"two\", \"three\"]\n");
    let label = answer["label"].as_str().unwrap();
    assert!(["one", "two", "three"].contains(&label), "{answer}");
}

/// The labels of a model that gives nothing else, asked for as records, and what to expect.
fn labels(model: &str, output: &str) -> (Vec<Value>, Vec<Value>) {
    let case = &expected()[model];
    let input = &case["inputs"][0];
    let width = input["shape"][1].as_u64().unwrap() as usize;
    let fields: Vec<_> = (0..width).map(|field| format!("f{field}")).collect();
    let header = fields.join(",");
    let rows = input["data"].as_array().unwrap().chunks(width);
    let rows = rows.map(|row| {
        row.iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join(",")
    });
    let table = format!("{header}\n{}\n", rows.collect::<Vec<_>>().join("\n"));

    let dir = temporary();
    let file = dir.path().join(format!("{model}.onnx"));
    fs::copy(material(model), &file).unwrap();
    let config = format!("[input]\nkind = \"record\"\nfields = {fields:?}\n{output}");
    fs::write(dir.path().join("model.toml"), config).unwrap();
    let host = serve(&packed(&file, &dir));
    let answer = host.client().predict(model, "text/csv", table.as_bytes());
    let answers = answer.ok().as_array().unwrap().clone();
    (
        answers,
        case["outputs"][0]["data"].as_array().unwrap().clone(),
    )
}

#[test]
fn a_classifier_that_gives_only_a_label_answers_with_it_and_without_a_score() {
    let (answers, expected) = labels("species", "");
    let expected: Vec<_> = expected
        .iter()
        .map(|label| json!({ "label": label }))
        .collect();
    assert_eq!(answers, expected);

    let (answers, expected) = labels("tumours", "");
    let text = |number: &Value| json!({ "label": number.to_string() });
    assert_eq!(answers, expected.iter().map(text).collect::<Vec<_>>());

    let named = "[output]\nkind = \"classification\"\nlabels = [\"malignant\", \"benign\"]\n";
    let (answers, expected) = labels("tumours", named);
    let name = |number: &Value| match number.as_u64().unwrap() {
        0 => json!({ "label": "malignant" }),
        _ => json!({ "label": "benign" }),
    };
    assert_eq!(answers, expected.iter().map(name).collect::<Vec<_>>());
}

#[test]
fn init_finds_a_label_without_scores() {
    for (model, datatype) in [("species", "BYTES"), ("tumours", "INT64")] {
        let dir = temporary();
        let draft = dir.path().join("model.toml");
        let init = Glovebox::new("init").arg(material(model));
        let said = init.option("--output", &draft).run().success();
        let since = format!("since output \"label\" is {datatype} [any]");
        let kind = format!("[output] kind = \"classification\", {since}");
        assert!(said.contains(&kind), "{said}");
        let tensor = format!("[output] tensor = \"label\", {since}");
        assert!(said.contains(&tensor), "{said}");
        assert!(!said.contains("does not pack"), "{said}");
    }
}

/// Lists that describe the nodes of one tree.
struct Tree<'a> {
    modes: &'a [&'a str],
    features: &'a [i64],
    yes: &'a [i64],
    no: &'a [i64],
    /// The nodes that add 1 to the score.
    leaves: &'a [i64],
    /// Which score that is, of one.
    target: i64,
}

/// A root and two leaves.
const SOUND: Tree<'_> = Tree {
    modes: &["BRANCH_LEQ", "LEAF", "LEAF"],
    features: &[2, 0, 0],
    yes: &[1, 0, 0],
    no: &[2, 0, 0],
    leaves: &[1, 2],
    target: 0,
};

impl Tree<'_> {
    fn node(&self) -> Node {
        let ids: Vec<i64> = (0..self.modes.len() as i64).collect();
        let leaves = self.leaves.len();
        Node::new("TreeEnsembleRegressor", "trees", &["x"], &["y"])
            .domain("ai.onnx.ml")
            .int("n_targets", 1)
            .ints("nodes_treeids", &vec![0; ids.len()])
            .ints("nodes_nodeids", &ids)
            .ints("nodes_featureids", self.features)
            .texts("nodes_modes", self.modes)
            .floats("nodes_values", &vec![0.5; ids.len()])
            .ints("nodes_truenodeids", self.yes)
            .ints("nodes_falsenodeids", self.no)
            .ints("target_treeids", &vec![0; leaves])
            .ints("target_nodeids", self.leaves)
            .ints("target_ids", &vec![self.target; leaves])
            .floats("target_weights", &vec![1.0; leaves])
    }

    fn file(&self, width: i64) -> Vec<u8> {
        model(self.node(), width)
    }
}

fn model(node: Node, width: i64) -> Vec<u8> {
    let graph = Graph::new().input("x", &[OPEN, width]);
    graph.output("y", &[OPEN, 1]).node(node).model()
}

/// The one line of error of packing these bytes.
#[track_caller]
fn refused(onnx: &[u8]) -> String {
    let dir = temporary();
    let file = dir.path().join("model.onnx");
    fs::write(&file, onnx).unwrap();
    let line = Glovebox::new("pack").arg(&file).run().refusal();
    println!("{line}");
    line
}

/// Each of these trees is refused for its reason.
#[track_caller]
fn each_refused(cases: &[(&str, Tree<'_>)]) {
    for (reason, tree) in cases {
        let line = refused(&tree.file(3));
        assert!(
            line.contains(reason) && line.contains("trees"),
            "{reason}: {line}"
        );
    }
}

#[test]
fn trees_that_lead_nowhere_or_in_circles_are_refused() {
    let cases = [
        (
            "leads to 7, which does not exist",
            Tree {
                no: &[7, 0, 0],
                ..SOUND
            },
        ),
        (
            "leads to -1, which does not exist",
            Tree {
                no: &[-1, 0, 0],
                ..SOUND
            },
        ),
        (
            "tree 0 has no root",
            Tree {
                modes: &["BRANCH_LEQ"; 2],
                features: &[0, 0],
                yes: &[1, 0],
                no: &[1, 0],
                leaves: &[],
                target: 0,
            },
        ),
        (
            "a tree has a cycle",
            Tree {
                modes: &["BRANCH_LEQ", "BRANCH_LT", "BRANCH_EQ", "LEAF"],
                features: &[0; 4],
                yes: &[3, 3, 3, 0],
                no: &[1, 2, 1, 0],
                leaves: &[3],
                target: 0,
            },
        ),
        (
            "a tree has a cycle",
            Tree {
                modes: &["BRANCH_LEQ", "BRANCH_GTE", "LEAF"],
                features: &[0; 3],
                yes: &[2, 2, 0],
                no: &[1, 1, 0],
                leaves: &[2],
                target: 0,
            },
        ),
        (
            "tree 0 has two roots",
            Tree {
                no: &[1, 0, 0],
                ..SOUND
            },
        ),
    ];
    each_refused(&cases);
}

#[test]
fn trees_whose_lists_do_not_fit_each_other_are_refused() {
    let cases = [
        (
            "nodes_nodeids is empty",
            Tree {
                modes: &[],
                features: &[],
                yes: &[],
                no: &[],
                leaves: &[],
                target: 0,
            },
        ),
        (
            "nodes_featureids has 2 elements for 3 nodes",
            Tree {
                features: &[0, 0],
                ..SOUND
            },
        ),
        (
            "nodes_truenodeids has 4 elements for 3 nodes",
            Tree {
                yes: &[1, 0, 0, 0],
                ..SOUND
            },
        ),
        (
            "leaf 2 has no weight",
            Tree {
                leaves: &[1],
                ..SOUND
            },
        ),
        (
            "tree 0 has no node 9",
            Tree {
                leaves: &[1, 2, 9],
                ..SOUND
            },
        ),
        (
            "mode \"BRANCH\", which does not exist",
            Tree {
                modes: &["BRANCH", "LEAF", "LEAF"],
                ..SOUND
            },
        ),
        (
            "target_ids has one that is not below 1",
            Tree { target: 1, ..SOUND },
        ),
        (
            "asks for feature -1",
            Tree {
                features: &[-1, 0, 0],
                ..SOUND
            },
        ),
    ];
    each_refused(&cases);
}

#[test]
fn trees_that_ask_for_more_features_than_rows_have_are_refused_or_fit_no_request() {
    let line = refused(&SOUND.file(2));
    assert!(
        line.contains("the trees ask for 3 features, and a row has 2"),
        "{line}"
    );
    let dir = temporary();
    let file = dir.path().join("wide.onnx");
    fs::write(&file, SOUND.file(OPEN)).unwrap();
    let host = serve(&packed(&file, &dir));
    // Both sizes are open by the same name.
    let asked = |size: usize| {
        let data = vec![1.0; size * size];
        json!([{ "name": "x", "datatype": "FP32", "shape": [size, size], "data": data }])
    };
    let client = host.client();
    ask(&client, "wide", &asked(2)).error(502, "model_failed");
    assert_eq!(
        ask(&client, "wide", &asked(3)).ok()["outputs"][0]["data"],
        json!([1.0, 1.0, 1.0])
    );
}

/// A tree of one path, each step of which could be the last one.
#[test]
fn a_tree_may_be_deeper_than_any_stack() {
    let depth: i64 = 100_000;
    let nodes = 2 * depth + 1;
    let is_leaf = |node: &i64| *node >= depth;
    let modes: Vec<&str> = (0..nodes)
        .map(|node| if is_leaf(&node) { "LEAF" } else { "BRANCH_LEQ" })
        .collect();
    let children = |offset: i64| -> Vec<i64> {
        let child = |node| if is_leaf(&node) { 0 } else { node + offset };
        (0..nodes).map(child).collect()
    };
    let tree = Tree {
        modes: &modes,
        features: &vec![0; nodes as usize],
        yes: &children(depth + 1),
        no: &children(1),
        leaves: &(depth..nodes).collect::<Vec<_>>(),
        target: 0,
    };
    let dir = temporary();
    let file = dir.path().join("deep.onnx");
    fs::write(&file, tree.file(1)).unwrap();
    let host = serve(&packed(&file, &dir));
    let inputs = json!([{ "name": "x", "datatype": "FP32", "shape": [2, 1], "data": [0.0, 1.0] }]);
    let answer = ask(&host.client(), "deep", &inputs).ok();
    assert_eq!(answer["outputs"][0]["data"], json!([1.0, 1.0]));
}

#[test]
fn maps_elsewhere_are_refused_by_name() {
    let map = Node::new("ZipMap", "names", &["x"], &["map"]).domain("ai.onnx.ml");
    let map = map.ints("classlabels_int64s", &[0, 1, 2]);
    let vectors = Node::new("DictVectorizer", "vectors", &["map"], &["y"]).domain("ai.onnx.ml");
    let graph = Graph::new().input("x", &[OPEN, 3]).output("y", &[OPEN, 3]);
    let line = refused(&graph.node(map).node(vectors).model());
    for operator in ["ai.onnx.ml.ZipMap", "ai.onnx.ml.DictVectorizer"] {
        assert!(line.contains(operator), "{line}");
    }
}
