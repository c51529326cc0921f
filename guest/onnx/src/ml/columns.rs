//! `FeatureVectorizer` and `ArrayFeatureExtractor`: columns put together, and picked out.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::rows::{Rows, is_number, sizes};
use crate::ops::elements::{numbers, resized, take};
use crate::ops::operator::{Built, Operator, build};

/// More columns than this no file could describe.
const MOST_COLUMNS: usize = 1 << 24;

/// Rows side by side: of each input so many columns, zeros where it has fewer.
#[derive(Debug)]
struct FeatureVectorizer(Vec<usize>);

pub(super) fn feature_vectorizer(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let columns: Vec<usize> = node
        .get_attr_opt_vec("inputdimensions")?
        .unwrap_or_default();
    ensure!(
        columns.len() == node.input.len(),
        "inputdimensions has {} elements for {} inputs",
        columns.len(),
        node.input.len()
    );
    let sum = columns
        .iter()
        .try_fold(0, |sum: usize, size| sum.checked_add(*size));
    let is_fit = sum.is_some_and(|sum| sum <= MOST_COLUMNS);
    ensure!(
        is_fit,
        "inputdimensions asks for more than {MOST_COLUMNS} columns"
    );
    build(FeatureVectorizer(columns))
}

impl Operator for FeatureVectorizer {
    fn name(&self) -> &'static str {
        "FeatureVectorizer"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let are_numbers = inputs.iter().all(|input| is_number(input.datum_type));
        ensure!(are_numbers, "an input that has no numbers");
        let Some(first) = inputs.first() else {
            bail!("no input");
        };
        let (rows, _) = sizes(&first.shape, 1.to_dim())?;
        let columns: usize = self.0.iter().sum();
        Ok(tvec!(DatumType::F32.fact([rows, columns.to_dim()])))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let parts = inputs.iter().map(|input| Rows::<f32>::of(input));
        let parts = parts.collect::<TractResult<Vec<_>>>()?;
        let count = parts.first().map_or(0, |part| part.count);
        let is_same = parts.iter().all(|part| part.count == count);
        ensure!(is_same, "inputs with different numbers of rows");
        let mut all = Vec::new();
        for row in 0..count {
            for (part, columns) in parts.iter().zip(&self.0) {
                let features = part.row(row).iter().copied();
                let padded = features.chain(std::iter::repeat(0.0));
                all.extend(padded.take(*columns));
            }
        }
        let columns = self.0.iter().sum();
        Ok(tvec!(Tensor::from_shape(&[count, columns], &all)?))
    }
}

/// Elements of each row, by their indices.
#[derive(Debug)]
struct ArrayFeatureExtractor;

pub(super) fn array_feature_extractor(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    build(ArrayFeatureExtractor)
}

impl ArrayFeatureExtractor {
    /// The shape of the answer; of a list, it is one row.
    fn shape<S: Clone>(rows: &[S], columns: S, one: S) -> TractResult<TVec<S>> {
        match rows {
            [] => bail!("a number instead of rows"),
            [_] => Ok(tvec!(one, columns)),
            rows => Ok(resized(rows, rows.len() - 1, columns)),
        }
    }
}

impl Operator for ArrayFeatureExtractor {
    fn name(&self) -> &'static str {
        "ArrayFeatureExtractor"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [rows, indices] = inputs else {
            bail!("rows and indices, not {}", inputs.len());
        };
        let columns = indices.shape.volume();
        let shape = Self::shape(&rows.shape.to_tvec(), columns, 1.to_dim())?;
        Ok(tvec!(rows.datum_type.fact(shape)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [rows, indices] = inputs else {
            bail!("rows and indices, not {}", inputs.len());
        };
        let width = rows.shape().last().copied().unwrap_or(0);
        let indices = numbers::<i64>(indices)?;
        let inside = |index: &i64| {
            let inside = usize::try_from(*index).ok().filter(|index| *index < width);
            inside.with_context(|| format!("column {index} of {width}"))
        };
        let columns = indices
            .iter()
            .map(inside)
            .collect::<TractResult<Vec<_>>>()?;
        let shape = Self::shape(rows.shape(), columns.len(), 1)?;
        let picked = take(rows, &shape, |at| {
            let column = columns.get(at % columns.len())?;
            Some(at / columns.len() * width + column)
        })?;
        Ok(tvec!(picked))
    }
}
