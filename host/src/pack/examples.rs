//! A model that does not know its own examples is not shipped.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::config::Example;
use super::{PackError, Packed, Packer};
use crate::limits::Bytes;
use crate::media;
use crate::model::metadata::Example as PackedExample;
use crate::model::package::Package;
use crate::sandbox::bindings::Media;
use crate::sandbox::call::{Answer, Call};
use crate::sandbox::compute::Tenant;
use crate::sandbox::engine::Metering;
use crate::sandbox::function::Function;
use crate::sandbox::invoke::Finished;
use crate::text;

/// What examples show of a model beside that it is right.
#[derive(Default)]
pub(super) struct Rehearsed {
    /// The most memory that one of them took.
    pub(super) memory: Option<Bytes>,
    /// The first, if it is small.
    pub(super) example: Option<PackedExample>,
}

/// Asks the packed model for every example.
pub(super) async fn check(
    packer: &Packer,
    packed: &Packed,
    examples: &[Example],
) -> Result<Rehearsed, PackError> {
    let mut rehearsed = Rehearsed::default();
    if examples.is_empty() {
        return Ok(rehearsed);
    }
    let function = deploy(packer, packed)?;
    for example in examples {
        check_one(&function, example, &mut rehearsed).await?;
    }
    Ok(rehearsed)
}

fn deploy(packer: &Packer, packed: &Packed) -> Result<Function, PackError> {
    let package = Package::parse(packed.bytes.clone())?;
    let code = packer.compiler.component(&package, Metering::Epochs)?;
    let tenant = Tenant {
        name: "pack".into(),
        weight: 1,
    };
    let sandbox = Arc::clone(&packer.sandbox);
    let limits = packer.limits.clone();
    Function::new(sandbox, &code, Arc::default(), tenant, limits)
        .map_err(|error| PackError::Guest(format!("{error:#}")))
}

async fn check_one(
    function: &Function,
    example: &Example,
    rehearsed: &mut Rehearsed,
) -> Result<(), PackError> {
    let body = ask(function, example, rehearsed).await?;
    let json = serde_json::from_slice(&body).unwrap_or_default();
    if !is_right(example, &json) {
        return Err(wrong(example, text::escape(&json.to_string())));
    }
    let Some(answer) = &example.answer else {
        return Ok(());
    };
    match answer.difference(&body, example.tolerance)? {
        None => Ok(()),
        Some(difference) => Err(difference.into_error(example.input.clone())),
    }
}

/// What the model answers.
async fn ask(
    function: &Function,
    example: &Example,
    rehearsed: &mut Rehearsed,
) -> Result<Vec<u8>, PackError> {
    let file = |source| PackError::ExampleFile {
        path: example.input.clone(),
        source,
    };
    let body = fs::read(&example.input).map_err(file)?;
    let content_type = media::content_type(&example.input).to_owned();
    if rehearsed.memory.is_none() {
        rehearsed.example = PackedExample::new(&content_type, &body);
    }
    let call = Call::Predict(Media { content_type, body });
    let deadline = Instant::now() + function.limits().timeout;
    let Finished { outcome, usage } = function.invoke(call, deadline, ()).await;
    rehearsed.memory = rehearsed.memory.max(Some(usage.memory));
    match outcome {
        Ok(Answer::Media(media)) => Ok(media.body),
        Ok(_) => Ok(Vec::new()),
        Err(fault) => Err(wrong(example, text::escape(&fault.to_string()))),
    }
}

/// Whether label and score are those of the example.
fn is_right(example: &Example, answer: &Value) -> bool {
    // Of several detections, the first is the best.
    let answer = answer.pointer("/detections/0").unwrap_or(answer);
    let label_fits = example
        .label
        .as_ref()
        .is_none_or(|label| answer.get("label").and_then(Value::as_str) == Some(label));
    let score = answer.get("score").and_then(Value::as_f64);
    let score_fits = example.score.is_none_or(|expected| {
        score.is_some_and(|score| (score - expected).abs() <= example.tolerance)
    });
    label_fits && score_fits
}

fn wrong(example: &Example, got: String) -> PackError {
    let label = example
        .label
        .as_ref()
        .map(|label| format!("label {label:?}"));
    let score = example
        .score
        .map(|score| format!("score {score} ± {}", example.tolerance));
    let expected: Vec<_> = [label, score].into_iter().flatten().collect();
    PackError::Example {
        path: example.input.clone(),
        expected: match expected.as_slice() {
            [] => "an answer".into(),
            expected => expected.join(" and "),
        },
        got,
    }
}
