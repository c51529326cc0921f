//! The boxes of a model's outputs that have a score.

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde::Deserialize;

use super::bounds::{Bounds, Coordinates, Format};
use crate::CallError;
use crate::input::Size;
use crate::output::activation::Activation;
use crate::output::numbers;

/// Where boxes, scores and classes are.
pub(super) enum Source {
    /// In the rows of one tensor.
    Rows {
        tensor: String,
        row: Row,
        /// Whether a box is a column: `[1, numbers, boxes]`.
        transposed: bool,
    },
    /// In tensors of their own: `[boxes, 4]`, and either a score for each class, or one score and one
    /// class for each box.
    Tensors {
        boxes: String,
        scores: String,
        classes: Option<String>,
    },
}

/// What stands in a row, from the left.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
pub(super) enum Row {
    /// A score for each class behind the box.
    #[default]
    #[serde(rename = "box scores")]
    Scores,
    /// Before them, the score for that there is anything, by which they are multiplied.
    #[serde(rename = "box objectness scores")]
    Objectness,
    /// The score of the best class, and its number.
    #[serde(rename = "box score class")]
    ScoreClass,
}

/// How what is there is read.
pub(super) struct Reading {
    pub(super) format: Format,
    pub(super) coordinates: Coordinates,
    pub(super) activation: Activation,
    /// The class that means that there is nothing.
    pub(super) background: Option<usize>,
    /// A candidate's score is above this.
    pub(super) threshold: f32,
}

/// A box with the best of its classes.
pub(super) struct Candidate {
    pub(super) class: usize,
    pub(super) score: f32,
    pub(super) bounds: Bounds,
}

/// A tensor of two axes, whatever their order.
struct Matrix {
    numbers: Vec<f32>,
    columns: usize,
    transposed: bool,
}

const BOX: usize = 4;

impl Row {
    /// How many numbers stand before those of the classes.
    fn start(self) -> usize {
        match self {
            Self::Scores => BOX,
            Self::Objectness | Self::ScoreClass => BOX + 1,
        }
    }

    /// How many numbers a row has for so many classes.
    fn length(self, classes: usize) -> usize {
        match self {
            Self::ScoreClass => BOX + 2,
            _ => self.start() + classes,
        }
    }
}

impl Source {
    /// The outputs that it reads.
    pub(super) fn tensors(&self) -> Vec<&str> {
        match self {
            Self::Rows { tensor, .. } => vec![tensor],
            Self::Tensors {
                boxes,
                scores,
                classes,
            } => [Some(boxes), Some(scores), classes.as_ref()]
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect(),
        }
    }

    /// Whether the model's outputs have the shapes that this reads, with so many labels (0 if they are
    /// not named).
    pub(super) fn check(&self, outputs: &[TensorSpec], labels: usize) -> Result<(), String> {
        match self {
            Self::Rows {
                tensor,
                row,
                transposed,
            } => {
                let spec = numbers::spec(outputs, tensor)?;
                check_type(spec)?;
                check_rows(spec, *row, *transposed, labels)
            }
            Self::Tensors {
                boxes,
                scores,
                classes,
            } => {
                let (boxes, scores) = (
                    numbers::spec(outputs, boxes)?,
                    numbers::spec(outputs, scores)?,
                );
                check_type(boxes)?;
                check_type(scores)?;
                check_last(boxes, BOX)?;
                match classes {
                    Some(classes) => check_type(numbers::spec(outputs, classes)?),
                    None if labels > 0 => check_last(scores, labels),
                    None => Ok(()),
                }
            }
        }
    }

    /// The candidates, in the order of the tensors. What is no number is none.
    pub(super) fn read(
        &self,
        reading: &Reading,
        outputs: &[Tensor],
        input: Size,
    ) -> Result<Vec<Candidate>, CallError> {
        match self {
            Self::Rows {
                tensor,
                row,
                transposed,
            } => {
                let rows = Matrix::read(numbers::tensor(outputs, tensor)?, *transposed)?;
                let scored = |index| match row {
                    Row::ScoreClass => {
                        class(rows.get(index, BOX + 1)).zip(Some(rows.get(index, BOX)))
                    }
                    Row::Scores => reading.best(rows.row_from(index, BOX), 1.0),
                    Row::Objectness => {
                        let mut objectness = [rows.get(index, BOX)];
                        if reading.activation == Activation::Sigmoid {
                            reading.activation.apply(&mut objectness);
                        }
                        reading.best(rows.row_from(index, BOX + 1), objectness[0])
                    }
                };
                let indices = 0..rows.rows();
                Ok(indices
                    .filter_map(|index| {
                        let (class, score) = scored(index)?;
                        reading.candidate(rows.corners(index), class, score, input)
                    })
                    .collect())
            }
            Self::Tensors {
                boxes,
                scores,
                classes,
            } => {
                let boxes = Matrix::read(numbers::tensor(outputs, boxes)?, false)?;
                let scores = numbers::tensor(outputs, scores)?;
                let best: Vec<_> = match classes {
                    Some(classes) => {
                        let classes = numbers::floats(numbers::tensor(outputs, classes)?)?;
                        let scores = numbers::floats(scores)?;
                        let classes = classes.into_iter().map(class);
                        classes
                            .zip(scores)
                            .map(|(class, score)| class.zip(Some(score)))
                            .collect()
                    }
                    None => {
                        let scores = Matrix::read(scores, false)?;
                        let best = |index| reading.best(scores.row_from(index, 0), 1.0);
                        (0..scores.rows()).map(best).collect()
                    }
                };
                let candidate = |(index, best): (usize, Option<(usize, f32)>)| {
                    let (class, score) = best?;
                    reading.candidate(boxes.corners(index), class, score, input)
                };
                let rows = best.into_iter().take(boxes.rows()).enumerate();
                Ok(rows.filter_map(candidate).collect())
            }
        }
    }
}

impl Reading {
    /// The best of a row of classes with its score, times `factor`. The first of equals.
    fn best(&self, mut scores: Vec<f32>, factor: f32) -> Option<(usize, f32)> {
        self.activation.apply(&mut scores);
        let mut best = None;
        for (class, score) in scores.into_iter().enumerate() {
            let is_better = best.is_none_or(|(_, most)| score > most);
            if is_better && !score.is_nan() && Some(class) != self.background {
                best = Some((class, score));
            }
        }
        best.map(|(class, score)| (class, score * factor))
    }

    fn candidate(
        &self,
        corners: [f32; 4],
        class: usize,
        score: f32,
        input: Size,
    ) -> Option<Candidate> {
        let is_seen = score > self.threshold && score.is_finite();
        if !is_seen || Some(class) == self.background {
            return None;
        }
        let bounds = Bounds::read(corners, self.format, self.coordinates, input)?;
        Some(Candidate {
            class,
            score,
            bounds,
        })
    }
}

impl Matrix {
    fn read(tensor: &Tensor, transposed: bool) -> Result<Self, CallError> {
        let columns = match *tensor.shape.as_slice() {
            [1, _, columns] | [_, columns] => columns,
            _ => {
                return Err(CallError::Failed(format!(
                    "output {:?} has shape {:?}, not [1, boxes, numbers]",
                    tensor.name, tensor.shape
                )));
            }
        };
        Ok(Self {
            numbers: numbers::floats(tensor)?,
            columns: columns as usize,
            transposed,
        })
    }

    fn rows(&self) -> usize {
        match self.transposed {
            true => self.columns,
            false => self.numbers.len().checked_div(self.columns).unwrap_or(0),
        }
    }

    /// An element; NaN where there is none.
    fn get(&self, row: usize, column: usize) -> f32 {
        let at = match self.transposed {
            true => column * self.columns + row,
            false => row * self.columns + column,
        };
        self.numbers.get(at).copied().unwrap_or(f32::NAN)
    }

    fn corners(&self, row: usize) -> [f32; BOX] {
        std::array::from_fn(|column| self.get(row, column))
    }

    /// A row from this column on.
    fn row_from(&self, row: usize, column: usize) -> Vec<f32> {
        let length = match self.transposed {
            true => self.numbers.len().checked_div(self.columns).unwrap_or(0),
            false => self.columns,
        };
        (column..length)
            .map(|column| self.get(row, column))
            .collect()
    }
}

/// A class by its number, which some models write as a float.
fn class(number: f32) -> Option<usize> {
    (number >= 0.0 && number.is_finite()).then_some(number as usize)
}

fn check_type(spec: &TensorSpec) -> Result<(), String> {
    match spec.datatype {
        datatype if numbers::is_read(datatype) => Ok(()),
        datatype => Err(format!(
            "[output] tensor {:?} is {datatype}, not {}",
            spec.name,
            Datatype::Fp32
        )),
    }
}

fn check_last(spec: &TensorSpec, length: usize) -> Result<(), String> {
    match spec.shape.last() {
        Some(last) if *last == -1 || *last == length as i64 => Ok(()),
        _ => Err(format!(
            "[output] tensor {:?} has shape {:?}; its last dimension should be {length}",
            spec.name, spec.shape
        )),
    }
}

fn check_rows(spec: &TensorSpec, row: Row, transposed: bool, labels: usize) -> Result<(), String> {
    let shape = spec.shape.as_slice();
    let ([_, first, second] | [first, second]) = shape else {
        return Err(format!(
            "[output] tensor {:?} has shape {shape:?}, not [1, boxes, numbers]",
            spec.name
        ));
    };
    let length = if transposed { *first } else { *second };
    let least = row.length(labels.max(1)) as i64;
    let is_exact = labels > 0 || row == Row::ScoreClass;
    if length == -1 || length == least || length > least && !is_exact {
        return Ok(());
    }
    let other = if transposed { *second } else { *first };
    let hint = match other == least {
        true => format!("; set transposed = {}", !transposed),
        false => String::new(),
    };
    Err(format!(
        "[output] tensor {:?} has {length} numbers a box, expected {least}{hint}",
        spec.name
    ))
}
