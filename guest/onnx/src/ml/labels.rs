//! The names of classes: texts or whole numbers.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

/// One label a class.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    Texts(Vec<String>),
    Numbers(Vec<i64>),
}

impl Labels {
    /// The labels of a node, which has them as texts or, under the name of `numbers`, as numbers.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn of(node: &NodeProto, numbers: &str) -> TractResult<Self> {
        let texts: Vec<String> = node
            .get_attr_opt_vec("classlabels_strings")?
            .unwrap_or_default();
        if !texts.is_empty() {
            return Ok(Self::Texts(texts));
        }
        let labels: &[i64] = node.get_attr_opt_slice(numbers)?.unwrap_or_default();
        ensure!(
            !labels.is_empty(),
            "neither classlabels_strings nor {numbers} has a label"
        );
        Ok(Self::Numbers(labels.to_vec()))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Texts(labels) => labels.len(),
            Self::Numbers(labels) => labels.len(),
        }
    }

    /// What a tensor of labels is made of.
    pub(super) fn datum_type(&self) -> DatumType {
        match self {
            Self::Texts(_) => DatumType::String,
            Self::Numbers(_) => DatumType::I64,
        }
    }

    /// The labels of two classes: no and yes. Where there are not two, they are 0 and 1.
    pub(super) fn of_two(self) -> Self {
        match self {
            Self::Texts(labels) if labels.len() != 2 => Self::Texts(vec!["0".into(), "1".into()]),
            Self::Numbers(labels) if labels.len() != 2 => Self::Numbers(vec![0, 1]),
            labels => labels,
        }
    }

    /// The labels of the classes that these rows belong to, as a tensor.
    ///
    /// # Errors
    /// There is no such class.
    pub(super) fn tensor(&self, classes: &[usize]) -> TractResult<Tensor> {
        match self {
            Self::Texts(labels) => Ok(tensor1(&pick(labels, classes)?)),
            Self::Numbers(labels) => Ok(tensor1(&pick(labels, classes)?)),
        }
    }

    /// The labels as texts.
    pub(super) fn names(self) -> Vec<String> {
        match self {
            Self::Texts(labels) => labels,
            Self::Numbers(labels) => labels.iter().map(i64::to_string).collect(),
        }
    }
}

fn pick<L: Clone>(labels: &[L], classes: &[usize]) -> TractResult<Vec<L>> {
    let label = |class: &usize| {
        let label = labels.get(*class).cloned();
        label.with_context(|| format!("class {class} of {}", labels.len()))
    };
    classes.iter().map(label).collect()
}
