//! `Unique`: the different elements of a tensor, or slices along an axis.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use tract_onnx::model::{ParsingContext, optional_outputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::elements::{Axis, axis, numbers, resized, take};
use super::operator::{Built, Operator, build};

/// How many outputs there are: elements, where they first stood, what each became, how often.
const OUTPUTS: usize = 4;

#[derive(Debug)]
struct Unique {
    axis: Option<i64>,
    sorted: bool,
    /// Which outputs are wanted.
    wanted: Vec<bool>,
    /// How many different ones there are.
    count: Symbol,
}

pub(super) fn unique(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let outputs = optional_outputs(node).take(OUTPUTS);
    build(Unique {
        axis: node.get_attr_opt("axis")?,
        sorted: node.get_attr_opt::<i64>("sorted")?.unwrap_or(1) != 0,
        wanted: outputs.map(|output| output.is_some()).collect(),
        count: context.template.symbols.new_with_prefix("unique"),
    })
}

/// An element, to be put in order.
#[derive(PartialEq)]
enum Key {
    Whole(i128),
    Real(f64),
    Text(String),
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.cmp(other),
            (Self::Real(one), Self::Real(other)) => {
                // 0 and -0 are the same number.
                one.partial_cmp(other)
                    .unwrap_or_else(|| one.total_cmp(other))
            }
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            _ => Ordering::Equal,
        }
    }
}

fn keys(tensor: &Tensor) -> TractResult<Vec<Key>> {
    let datum_type = tensor.datum_type();
    if datum_type == DatumType::String {
        let texts = numbers::<String>(tensor)?;
        return Ok(texts.into_iter().map(Key::Text).collect());
    }
    if datum_type.is_float() {
        let reals = numbers::<f64>(tensor)?;
        return Ok(reals.into_iter().map(Key::Real).collect());
    }
    if datum_type == DatumType::U64 {
        let whole = numbers::<u64>(tensor)?;
        return Ok(whole
            .into_iter()
            .map(|one| Key::Whole(one.into()))
            .collect());
    }
    let whole = numbers::<i64>(tensor)?;
    Ok(whole
        .into_iter()
        .map(|one| Key::Whole(one.into()))
        .collect())
}

impl Operator for Unique {
    fn name(&self) -> &'static str {
        "Unique"
    }

    fn count(&self) -> usize {
        self.wanted.iter().filter(|wanted| **wanted).count()
    }

    fn mints(&self) -> bool {
        true
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else {
            bail!("one tensor, not {}", inputs.len());
        };
        let count = self.count.to_dim();
        let (shape, length) = match self.axis {
            None => (tvec!(count.clone()), input.shape.volume()),
            Some(along) => {
                let along = axis(along, input.rank())?;
                let length = input.shape.get(along).cloned().unwrap_or_default();
                (resized(&input.shape, along, count.clone()), length)
            }
        };
        let facts = [
            input.datum_type.fact(shape),
            i64::fact([count.clone()]),
            i64::fact([length]),
            i64::fact([count]),
        ];
        Ok(self.pick(facts))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [input] = inputs else {
            bail!("one tensor");
        };
        // Without an axis, the tensor is a list of elements.
        let shape: TVec<usize> = match self.axis {
            None => tvec!(input.len()),
            Some(_) => input.shape().into(),
        };
        let along = Axis::new(self.axis.unwrap_or(0), &shape)?;
        let mut slices: Vec<Vec<Key>> = (0..along.size).map(|_| Vec::new()).collect();
        for (at, key) in keys(input)?.into_iter().enumerate() {
            if let Some(slice) = slices.get_mut(along.index(at)) {
                slice.push(key);
            }
        }
        let mut found = BTreeMap::<Vec<Key>, Vec<usize>>::new();
        for (at, slice) in slices.into_iter().enumerate() {
            found.entry(slice).or_default().push(at);
        }
        let mut found: Vec<Vec<usize>> = found.into_values().collect();
        if !self.sorted {
            found.sort_by_key(|places| places.first().copied());
        }
        let first: Vec<usize> = found.iter().filter_map(|p| p.first().copied()).collect();
        let numbered = found.iter().enumerate();
        let mut inverse: Vec<(usize, i64)> = numbered
            .flat_map(|(number, places)| places.iter().map(move |at| (*at, number as i64)))
            .collect();
        inverse.sort_unstable();
        let inverse: Vec<i64> = inverse.into_iter().map(|(_, number)| number).collect();
        let made = resized(&shape, along.number, first.len());
        let new = Axis::new(along.number as i64, &made)?;
        let elements = take(input, &made, |at| {
            let from = first.get(new.index(at))?;
            Some(new.moved(at, *from, along.size))
        })?;
        let first: Vec<i64> = first.iter().map(|at| *at as i64).collect();
        let counts: Vec<i64> = found.iter().map(|places| places.len() as i64).collect();
        Ok(self.pick([
            elements,
            tensor1(&first),
            tensor1(&inverse),
            tensor1(&counts),
        ]))
    }
}

impl Unique {
    fn pick<T>(&self, all: [T; OUTPUTS]) -> TVec<T> {
        let wanted = self.wanted.iter().zip(all);
        wanted
            .filter_map(|(wanted, one)| wanted.then_some(one))
            .collect()
    }
}
