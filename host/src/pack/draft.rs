//! A `model.toml` that explains itself: all keys with what they mean, and what was guessed of them.

use glovebox_protocol::{Signature, TensorSpec};
use serde_json::{Map, Value};

use super::assume::{Assumption, Table};
use super::schema::{Key, Schema};
use crate::{limits, text};

/// Writes the `model.toml` of a model of this name, which says of itself what the signature says.
///
/// # Errors
/// The schema that this program holds is broken: our bug.
pub fn model_toml(
    name: &str,
    signature: &Signature,
    guess: &[Assumption],
) -> serde_json::Result<String> {
    let draft = Draft {
        schema: Schema::read()?,
        guess,
    };
    let mut parts = vec![heading(signature)];
    for (key, about) in draft.schema.top() {
        parts.push(match key.as_str() {
            "name" => comment(&about.description) + &line(key, &Value::from(name)),
            "input" => draft.table(Table::Input, about),
            "output" => draft.table(Table::Output, about),
            "example" => draft.example(about),
            _ => sample(key, about),
        });
    }
    Ok(parts.join("\n"))
}

/// What the file is, and what the model says of itself.
fn heading(signature: &Signature) -> String {
    let mut heading = comment(
        "What `glovebox pack` knows of the model beside its ONNX file, drafted by `glovebox init`. \
         docs/model-toml.md of Glovebox explains it; docs/model.schema.json is for editors. The model \
         says of itself:",
    );
    heading += &tensors("input", &signature.inputs);
    heading += &tensors("output", &signature.outputs);
    heading
}

fn tensors(what: &str, specs: &[TensorSpec]) -> String {
    let shown = specs.iter().take(limits::DRAFTED_TENSORS);
    let line = |spec| format!("#   {what} {}\n", named(spec));
    let mut lines: String = shown.map(line).collect();
    let more = specs.len().saturating_sub(limits::DRAFTED_TENSORS);
    if more > 0 {
        lines += &format!("#   and {more} more\n");
    }
    lines
}

fn named(spec: &TensorSpec) -> String {
    format!("{} {}", text::quoted(&spec.name), text::tensor(spec))
}

struct Draft<'a> {
    schema: Schema,
    guess: &'a [Assumption],
}

impl Draft<'_> {
    /// `[input]` or `[output]`: what was guessed, the other keys of its kind, and the other kinds.
    fn table(&self, table: Table, about: &Key) -> String {
        let name = table.name();
        let of_table = |assumption: &&Assumption| assumption.table == table;
        let guess: Vec<_> = self.guess.iter().filter(of_table).collect();
        let kind = guess.iter().find(|assumption| assumption.key == "kind");
        let kind = kind.and_then(|assumption| assumption.value.as_str());
        let mut draft = comment(&about.description) + &self.kinds(name, kind);
        let Some(kind) = kind else {
            return draft + &commented(&format!("[{name}]\nkind = \"...\"\n"));
        };
        draft += &format!("[{name}]\n");
        for (key, about) in self.schema.table(&format!("{name}_{kind}")) {
            draft.push('\n');
            draft += &match guess.iter().find(|assumption| assumption.key == key) {
                Some(assumption) => guessed(about, assumption),
                None => sample(key, about),
            };
        }
        draft
    }

    /// The kinds of a table but the one that is written.
    fn kinds(&self, table: &str, written: Option<&str>) -> String {
        let others = self.schema.kinds(table);
        let others = others.filter(|(kind, _)| Some(*kind) != written);
        let line = |(kind, about)| comment(&format!("- kind = {}: {about}", string(kind)));
        let heading = match written {
            Some(_) => "Its other kinds, each with keys of its own:\n",
            None => "It can be of these kinds, each with keys of its own:\n",
        };
        commented(heading) + &others.map(line).collect::<String>()
    }

    /// An example, to be filled in.
    fn example(&self, about: &Key) -> String {
        let keys = self.schema.table("example");
        let keys: Vec<_> = keys.iter().map(|(key, about)| sample(key, about)).collect();
        comment(&about.description) + &commented("[[example]]\n") + &keys.concat()
    }
}

/// A key with what was guessed for it, and how sure that is.
fn guessed(about: &Key, assumption: &Assumption) -> String {
    let since = &assumption.since;
    let reason = match assumption.certain {
        true => format!("So it is, since {since}."),
        false => format!("A GUESS, CHANGE IT where it is wrong: {since}."),
    };
    let (key, value) = (assumption.key, &assumption.value);
    comment(&about.description) + &comment(&reason) + &line(key, value)
}

fn line(key: &str, value: &Value) -> String {
    format!("{key} = {}\n", toml(value))
}

/// A key that need not be there, with a value that it could have.
fn sample(key: &str, about: &Key) -> String {
    let value = about.sample().map_or_else(|| "...".into(), toml);
    comment(&about.description) + &commented(&format!("{key} = {value}\n"))
}

/// A text in lines of a comment. Nothing in it ends the comment: what is no letter is escaped.
fn comment(about: &str) -> String {
    let mut lines = String::from("#");
    let mut columns = lines.len();
    for word in about.split_whitespace() {
        let word = text::escape(word);
        let length = word.chars().count();
        if columns + 1 + length > limits::DRAFT_COLUMNS && columns > 1 {
            lines.push_str("\n#");
            columns = 1;
        }
        lines.push(' ');
        lines.push_str(&word);
        columns += 1 + length;
    }
    lines.push('\n');
    lines
}

/// Lines as a comment.
fn commented(lines: &str) -> String {
    lines.lines().map(|line| format!("# {line}\n")).collect()
}

/// A value as TOML writes it. The lists of a schema and of a guess hold numbers and texts.
fn toml(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        Value::Array(values) => list(values),
        Value::Object(values) => table(values),
        value => value.to_string(),
    }
}

fn list(values: &[Value]) -> String {
    let values: Vec<_> = values.iter().map(toml).collect();
    let line = format!("[{}]", values.join(", "));
    match line.len() > limits::DRAFT_COLUMNS {
        true => format!("[\n    {},\n]", values.join(",\n    ")),
        false => line,
    }
}

/// The keys of a schema's examples need no quotes.
fn table(values: &Map<String, Value>) -> String {
    let pairs = values.iter();
    let pairs: Vec<_> = pairs
        .map(|(key, value)| format!("{key} = {}", toml(value)))
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}

/// A string of TOML. All that could be taken for something else, or that nobody sees, is escaped.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if is_shown(letter) => quoted.push(letter),
            letter => quoted += &format!("\\U{:08X}", u32::from(letter)),
        }
    }
    quoted.push('"');
    quoted
}

fn is_shown(letter: char) -> bool {
    let mut bytes = [0; 4];
    let letter = letter.encode_utf8(&mut bytes);
    text::escape(letter) == *letter
}
