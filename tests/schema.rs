//! `docs/model.schema.json` is true: it has the keys that `model.toml` has, with their values, and
//! `docs/model-toml.md` says the same. Its defaults are in `defaults.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use crate::harness::command::Glovebox;
use crate::harness::files::{model_dir, names_in, pages, temporary, workspace};
use crate::harness::onnx;
use crate::harness::python;

fn schema_file() -> PathBuf {
    workspace().join("docs/model.schema.json")
}

pub(crate) fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(schema_file()).unwrap()).unwrap()
}

/// The tables that have a kind: `input` or `output`, the kind, and the keys.
pub(crate) fn tables(schema: &Value) -> Vec<(&str, &str, &Map<String, Value>)> {
    let tables = schema["$defs"].as_object().unwrap().iter();
    let tables = tables.filter_map(|(name, table)| {
        let (table_name, kind) = name.split_once('_')?;
        let keys = table["properties"].as_object()?;
        assert_eq!(keys["kind"]["const"], kind);
        Some((table_name, kind, keys))
    });
    let tables: Vec<_> = tables.collect();
    assert!(tables.len() >= 9, "the schema is written otherwise");
    tables
}

/// The one line with which packing a small model is refused, `written` being its `model.toml`.
#[track_caller]
fn refused(written: &str) -> String {
    let dir = temporary();
    fs::write(dir.path().join("model.onnx"), onnx::identity().model()).unwrap();
    fs::write(dir.path().join("model.toml"), written).unwrap();
    let pack = Glovebox::new("pack").arg(dir.path().join("model.onnx"));
    let line = pack.run().refusal();
    assert!(line.contains("zzz"), "{written}: {line}");
    line
}

/// What the line of an unknown word names instead.
fn expected(line: &str) -> BTreeSet<&str> {
    let known = line.split_once("expected ").map_or("", |(_, known)| known);
    known.split('`').skip(1).step_by(2).collect()
}

fn names(keys: &Map<String, Value>) -> BTreeSet<&str> {
    let keys = keys.keys().map(String::as_str);
    keys.filter(|key| *key != "kind").collect()
}

#[test]
fn the_schema_has_the_keys_that_pack_knows_and_no_others() {
    let schema = schema();
    for (table, kind, keys) in tables(&schema) {
        let line = refused(&format!("[{table}]\nkind = \"{kind}\"\nzzz = 1\n"));
        assert_eq!(expected(&line), names(keys), "{line}");
    }
    let line = refused("zzz = 1\n");
    assert_eq!(
        expected(&line),
        names(schema["properties"].as_object().unwrap()),
        "{line}"
    );
    let line = refused("[[example]]\nzzz = 1\n");
    let example = schema["$defs"]["example"]["properties"]
        .as_object()
        .unwrap();
    assert_eq!(expected(&line), names(example), "{line}");
}

#[test]
fn the_schema_has_the_kinds_that_pack_knows_and_no_others() {
    let schema = schema();
    for table in ["input", "output"] {
        let line = refused(&format!("[{table}]\nkind = \"zzz\"\n"));
        let kinds = tables(&schema);
        let kinds = kinds.iter().filter(|(other, ..)| *other == table);
        assert_eq!(
            expected(&line),
            kinds.map(|(_, kind, _)| *kind).collect(),
            "{line}"
        );
        // And the schema leads to each.
        let links = schema["properties"][table]["oneOf"].as_array().unwrap();
        let links: BTreeSet<_> = links
            .iter()
            .map(|link| link["$ref"].as_str().unwrap())
            .collect();
        for kind in expected(&line) {
            assert!(
                links.contains(&*format!("#/$defs/{table}_{kind}")),
                "{kind}"
            );
        }
    }
}

#[test]
fn words_of_the_schema_are_those_that_pack_knows_and_no_others() {
    let schema = schema();
    let mut count = 0;
    for (table, kind, keys) in tables(&schema) {
        for (key, about) in keys {
            let Some(words) = about.get("enum") else {
                continue;
            };
            let line = refused(&format!("[{table}]\nkind = \"{kind}\"\n{key} = \"zzz\"\n"));
            let words = words.as_array().unwrap().iter();
            let words: BTreeSet<_> = words.map(|word| word.as_str().unwrap()).collect();
            assert_eq!(expected(&line), words, "{kind}, {key}: {line}");
            count += 1;
        }
    }
    assert!(count >= 10, "the schema is written otherwise");
}

/// What a key may be set to, as the page writes it.
fn values(about: &Value) -> String {
    let list = |key: &str| about.get(key).and_then(Value::as_array);
    if let Some(words) = list("enum") {
        let words = words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap()));
        return words.collect::<Vec<_>>().join(", ");
    }
    if let Some(either) = list("anyOf") {
        return either.iter().map(values).collect::<Vec<_>>().join(" or ");
    }
    let bounds = match (&about["minimum"], &about["maximum"]) {
        (Value::Null, _) => String::new(),
        (least, Value::Null) => format!(" from {least}"),
        (least, most) => format!(", {least} to {most}"),
    };
    let values = match about["type"].as_str() {
        Some("string") => "text",
        Some("number") => "number",
        Some("boolean") => "`true`, `false`",
        Some("integer") => return format!("whole number{bounds}"),
        Some("array") => {
            let items = values(&about["items"]).replace(" or ", "s or ");
            return format!("list of {items}s");
        }
        Some("object") if about.get("additionalProperties").is_some() => {
            let items = format!("{}s", values(&about["additionalProperties"]));
            let items = match items.strip_prefix("list") {
                Some(of) => format!("lists{}", of.trim_end_matches('s').to_owned() + "s"),
                None => items,
            };
            return format!("table of {items}");
        }
        _ => "table",
    };
    values.to_owned()
}

/// The rows of the table that says the same as the schema.
fn rows(table: &Value) -> BTreeSet<String> {
    let is_needed = |key: &str| {
        let needed = table["required"].as_array();
        needed.is_some_and(|needed| needed.iter().any(|name| name == key))
    };
    let row = |(key, about): (&String, &Value)| {
        let default = match about.get("default") {
            Some(Value::String(word)) => format!(" `{word}`"),
            Some(value) => format!(" `{value}`"),
            None if is_needed(key) => " needed".into(),
            None => String::new(),
        };
        let (values, meaning) = (values(about), about["description"].as_str().unwrap());
        format!("| `{key}` | {values} |{default} | {meaning} |")
    };
    let keys = table["properties"].as_object().unwrap().iter();
    keys.filter(|(key, _)| *key != "kind").map(row).collect()
}

#[test]
fn the_reference_page_says_what_the_schema_says() {
    let schema = schema();
    let page = fs::read_to_string(workspace().join("docs/model-toml.md")).unwrap();
    let mut tables: Vec<_> = tables(&schema)
        .into_iter()
        .map(|(table, kind, _)| {
            let title = format!("`[{table}] kind = \"{kind}\"`");
            (title, &schema["$defs"][format!("{table}_{kind}")])
        })
        .collect();
    tables.push(("`model.toml`".into(), &schema));
    for (title, table) in [
        ("`[[input.fields]]`", "field"),
        ("`[[input.channels]]`", "channel"),
        ("`[[example]]`", "example"),
    ] {
        tables.push((title.into(), &schema["$defs"][table]));
    }
    let sections: Vec<_> = page.split("\n## ").skip(1).collect();
    assert_eq!(sections.len(), tables.len());
    for (title, table) in tables {
        let find = |section: &&&str| section.lines().next() == Some(&*title);
        let section = sections.iter().find(find);
        let section = section.unwrap_or_else(|| panic!("no section {title}"));
        let written = section.lines().filter(|line| line.starts_with("| `"));
        let written: BTreeSet<_> = written.map(str::to_owned).collect();
        assert_eq!(written, rows(table), "{title}");
        if let Some(about) = table["properties"]["kind"]["description"].as_str() {
            assert!(section.contains(about), "{title}: {about}");
        }
    }
}

/// The drafts of some models, in a folder.
fn drafts(dir: &Path) -> Vec<PathBuf> {
    let draft = |(name, model): (&str, PathBuf)| {
        let output = dir.join(format!("{name}.toml"));
        let init = Glovebox::new("init").arg(model).option("-o", &output);
        init.run().success();
        output
    };
    let root = workspace();
    let text = |model| root.join("tests/text").join(model);
    fs::copy(text("wordpiece.json"), dir.join("tokenizer.json")).unwrap();
    let models = [
        ("digits", model_dir("digits").join("digits.onnx")),
        ("wine", model_dir("wine").join("wine.onnx")),
        ("embed", text("embed.onnx")),
        ("tag", text("tag.onnx")),
        ("echo", text("echo.onnx")),
        ("iris", root.join("tests/tables/iris.onnx")),
        ("gesture", root.join("tests/tables/gesture.onnx")),
        ("types", root.join("tests/tables/types.onnx")),
    ];
    models.map(draft).into()
}

#[test]
fn files_and_pages_of_this_repository_and_drafts_are_valid() {
    let dir = temporary();
    let mut files = drafts(dir.path());
    let root = workspace();
    let of_models = names_in(&root.join("models"));
    files.extend(
        of_models
            .iter()
            .map(|model| model_dir(model).join("model.toml")),
    );
    let template = root.join("host/src/cli/new/template");
    files.extend(["model.toml", "wine.toml"].map(|file| template.join(file)));
    let tables = root.join("tests/tables");
    let of_tables = names_in(&tables);
    let of_tables = of_tables.iter().filter(|name| name.ends_with(".toml"));
    files.extend(of_tables.map(|name| tables.join(name)));
    files.extend(pages());
    let wrong = dir.path().join("wrong.toml");
    fs::write(&wrong, "[input]\nkind = \"image\"\nwidht = 8\n").unwrap();
    files.push(wrong);
    let python = python::with("schema", "schema/requirements.txt");
    let output = Command::new(python)
        .arg(root.join("tests/schema/validate.py"))
        .arg(schema_file())
        .args(&files)
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    println!("{said}{log}");
    let failed: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("FAIL"))
        .collect();
    assert!(
        matches!(failed.as_slice(), [line] if line.contains("wrong.toml")),
        "{said}{log}"
    );
    assert!(said.lines().count() > 15, "{said}{log}");
}
