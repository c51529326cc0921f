//! A guest: what stands around the model in `model.onnx`. It takes a line of numbers, `text/csv`, and
//! answers with the best of the model's scores as JSON.
//!
//! `load` runs once, while packing; `predict` runs in a fresh instance for each request.

use glovebox_guest::{Answer, CallError, Config, Datatype, Function, Model, Tensor};
use serde::{Deserialize, Serialize};

/// The table `[output]` of `model.toml`; its keys are this guest's own.
#[derive(Deserialize)]
struct Settings {
    /// What the scores are called, in their order.
    #[serde(default)]
    labels: Vec<String>,
    /// Below this score, the answer is that the model is not sure.
    #[serde(default)]
    sure_from: f32,
}

/// What the packed model holds beside the model.
struct Guest {
    settings: Settings,
    /// The input's name, and how many numbers it takes.
    input: String,
    columns: usize,
}

/// An answer, as the client reads it.
#[derive(Serialize)]
struct Best {
    label: String,
    score: f32,
}

impl Function for Guest {
    fn load(model: &Model, config: &Config) -> Result<Self, String> {
        let [input] = model.signature().inputs.as_slice() else {
            return Err("it has more than one input; src/lib.rs says what is done".into());
        };
        match (input.datatype, input.shape.as_slice()) {
            (Datatype::Fp32, [1 | -1, columns]) if *columns > 0 => Ok(Self {
                settings: config.output()?,
                input: input.name.clone(),
                columns: *columns as usize,
            }),
            (datatype, shape) => Err(format!(
                "its input {:?} is {datatype} {shape:?}, not rows of FP32; src/lib.rs says what is done",
                input.name
            )),
        }
    }

    fn media(&self) -> Vec<String> {
        vec!["text/csv".into()]
    }

    fn predict(&self, model: &Model, _: &str, body: &[u8]) -> Result<Answer, CallError> {
        // Before the model: bytes to a tensor.
        let numbers = self.numbers(body)?;
        let row = Tensor::fp32(&self.input, [1, self.columns as u64], &numbers)?;
        // The model.
        let outputs = model.run(vec![row])?;
        // Behind the model: the first tensor of FP32 to an answer.
        let scores = outputs.iter().find_map(Tensor::to_fp32).unwrap_or_default();
        let best = self
            .best(&scores)
            .ok_or_else(|| CallError::Failed("no scores".into()))?;
        Ok(Answer {
            content_type: "application/json",
            body: serde_json::to_vec(&best)
                .map_err(|error| CallError::Failed(error.to_string()))?,
        })
    }
}

impl Guest {
    fn numbers(&self, body: &[u8]) -> Result<Vec<f32>, CallError> {
        let invalid = |why: String| CallError::InvalidInput(why);
        let text = str::from_utf8(body).map_err(|_| invalid("the body is not UTF-8".into()))?;
        let number = |word: &str| {
            let number = word.trim().parse();
            number.map_err(|_| invalid(format!("{word:?} is not a number")))
        };
        let numbers = text
            .trim()
            .split(',')
            .map(number)
            .collect::<Result<Vec<_>, _>>()?;
        match numbers.len() == self.columns {
            true => Ok(numbers),
            false => Err(invalid(format!(
                "the line has {} numbers, not {}",
                numbers.len(),
                self.columns
            ))),
        }
    }

    /// The largest score, and what it is called.
    fn best(&self, scores: &[f32]) -> Option<Best> {
        let (index, score) = scores
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))?;
        let label = match self.settings.labels.get(index) {
            _ if *score < self.settings.sure_from => "not sure".into(),
            Some(label) => label.clone(),
            None => index.to_string(),
        };
        Some(Best {
            label,
            score: *score,
        })
    }
}

glovebox_guest::export!(Guest);

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> Guest {
        let labels = vec!["no".into(), "yes".into()];
        Guest {
            settings: Settings {
                labels,
                sure_from: 0.6,
            },
            input: "features".into(),
            columns: 2,
        }
    }

    #[test]
    fn a_line_has_as_many_numbers_as_the_model_takes() {
        assert_eq!(guest().numbers(b"1.5, -2\n").ok(), Some(vec![1.5, -2.0]));
        assert!(guest().numbers(b"1.5").is_err());
        assert!(guest().numbers(b"1.5, x").is_err());
    }

    #[test]
    fn the_best_score_has_its_label_if_the_model_is_sure() {
        let label = |scores: &[f32]| guest().best(scores).map(|best| best.label);
        assert_eq!(label(&[0.2, 0.8]).as_deref(), Some("yes"));
        assert_eq!(label(&[0.5, 0.5]).as_deref(), Some("not sure"));
        assert_eq!(label(&[]), None);
    }
}
