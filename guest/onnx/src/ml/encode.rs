//! `LabelEncoder`, `CategoryMapper` and `OneHotEncoder`: categories to other categories, or to columns.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_core::internal::*;

use super::categories::Categories;
use super::rows::only;
use crate::ops::elements::take;
use crate::ops::operator::{Built, Operator, build};

/// Categories, and what each one becomes.
#[derive(Debug)]
struct Mapping {
    keys: Categories,
    /// One for each key, and one for what is no key.
    values: Tensor,
}

impl Mapping {
    /// # Errors
    /// There is not one value for each key, or the default has another datatype.
    fn new(keys: &Tensor, values: &Tensor, default: &Tensor) -> TractResult<Self> {
        ensure!(
            keys.len() == values.len(),
            "{} keys and {} values",
            keys.len(),
            values.len()
        );
        ensure!(default.len() == 1, "{} defaults, not one", default.len());
        let values = values.clone().into_shape(&[values.len()])?;
        let default = default.cast_to_dt(values.datum_type())?.into_owned();
        let default = default.into_shape(&[1])?;
        Ok(Self {
            keys: Categories::of(keys)?,
            values: Tensor::stack_tensors(0, &[values, default])?,
        })
    }

    fn fact(&self, input: &TypedFact) -> TractResult<TypedFact> {
        self.keys.check(input.datum_type)?;
        Ok(self.values.datum_type().fact(input.shape.to_tvec()))
    }

    fn map(&self, input: &Tensor) -> TractResult<Tensor> {
        let found = self.keys.find(input)?;
        let default = self.values.len() - 1;
        take(&self.values, input.shape(), |at| {
            Some(found.get(at).copied().flatten().unwrap_or(default))
        })
    }
}

/// One mapping for texts, one for numbers; or only one.
#[derive(Debug)]
struct Encoder {
    name: &'static str,
    mappings: Vec<Mapping>,
}

impl Operator for Encoder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = only(inputs)?;
        Ok(tvec!(self.mapping(input.datum_type)?.fact(input)?))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        Ok(tvec!(self.mapping(input.datum_type())?.map(input)?))
    }
}

impl Encoder {
    /// The mapping for inputs of this datatype.
    fn mapping(&self, datum_type: DatumType) -> TractResult<&Mapping> {
        let fit = |mapping: &&Mapping| mapping.keys.check(datum_type).is_ok();
        let mapping = self.mappings.iter().find(fit);
        mapping.with_context(|| format!("{datum_type:?}, and keys of another datatype"))
    }
}

pub(super) fn label_encoder(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    if texts(node, "classes_strings")?.is_some() {
        return both_ways("LabelEncoder", node, "classes_strings", None);
    }
    let keys = list(context, node, "keys")?.context("no keys")?;
    let values = list(context, node, "values")?.context("no values")?;
    let default = default(context, node, values.datum_type())?;
    build(Encoder {
        name: "LabelEncoder",
        mappings: vec![Mapping::new(&keys, &values, &default)?],
    })
}

pub(super) fn category_mapper(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let numbers: &[i64] = node.get_attr_opt_slice("cats_int64s")?.unwrap_or_default();
    both_ways("CategoryMapper", node, "cats_strings", Some(numbers))
}

/// Texts to numbers and numbers to texts; without `numbers`, these count the texts.
fn both_ways(
    name: &'static str,
    node: &NodeProto,
    attribute: &str,
    numbers: Option<&[i64]>,
) -> Built {
    let texts = tensor1(&texts(node, attribute)?.unwrap_or_default());
    let numbers = match numbers {
        Some(numbers) => tensor1(numbers),
        None => tensor1(&(0..texts.len() as i64).collect::<Vec<_>>()),
    };
    let text: Option<String> = node.get_attr_opt("default_string")?;
    let text = tensor0(text.unwrap_or_else(|| NO_TEXT.into()));
    let number = tensor0(node.get_attr_opt("default_int64")?.unwrap_or(NO_NUMBER));
    build(Encoder {
        name,
        mappings: vec![
            Mapping::new(&texts, &numbers, &number)?,
            Mapping::new(&numbers, &texts, &text)?,
        ],
    })
}

/// What an unknown category becomes, where the file does not say.
const NO_TEXT: &str = "_Unused";
const NO_NUMBER: i64 = -1;
const NO_FLOAT: f32 = -0.0;

/// What becomes of what is no key.
fn default(
    context: &ParsingContext<'_>,
    node: &NodeProto,
    datum_type: DatumType,
) -> TractResult<Tensor> {
    let given: Option<&TensorProto> = node.get_attr_opt("default_tensor")?;
    if let Some(given) = given {
        return context.load_tensor(given);
    }
    if datum_type == DatumType::String {
        let text: Option<String> = node.get_attr_opt("default_string")?;
        return Ok(tensor0(text.unwrap_or_else(|| NO_TEXT.into())));
    }
    Ok(if datum_type.is_float() {
        tensor0(node.get_attr_opt("default_float")?.unwrap_or(NO_FLOAT))
    } else {
        tensor0(node.get_attr_opt("default_int64")?.unwrap_or(NO_NUMBER))
    })
}

/// Keys or values, which are an attribute of one of four types; nothing if there are none.
fn list(context: &ParsingContext<'_>, node: &NodeProto, what: &str) -> TractResult<Option<Tensor>> {
    if let Some(texts) = texts(node, &format!("{what}_strings"))? {
        return Ok(Some(tensor1(&texts)));
    }
    if let Some(numbers) = node.get_attr_opt_slice::<i64>(&format!("{what}_int64s"))? {
        return Ok(Some(tensor1(numbers)));
    }
    if let Some(floats) = node.get_attr_opt_slice::<f32>(&format!("{what}_floats"))? {
        return Ok(Some(tensor1(floats)));
    }
    let tensor: Option<&TensorProto> = node.get_attr_opt(&format!("{what}_tensor"))?;
    tensor.map(|tensor| context.load_tensor(tensor)).transpose()
}

fn texts(node: &NodeProto, name: &str) -> TractResult<Option<Vec<String>>> {
    let texts: Option<Vec<String>> = node.get_attr_opt_vec(name)?;
    Ok(texts.filter(|texts| !texts.is_empty()))
}

/// A new last axis along which the element of the category is 1, and all others are 0.
#[derive(Debug)]
struct OneHotEncoder {
    categories: Categories,
    count: usize,
    /// What is no category has zeros only, and is not refused.
    takes_others: bool,
}

pub(super) fn one_hot_encoder(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let numbers: &[i64] = node.get_attr_opt_slice("cats_int64s")?.unwrap_or_default();
    let categories = match (texts(node, "cats_strings")?, numbers) {
        (Some(texts), []) => tensor1(&texts),
        (None, numbers) if !numbers.is_empty() => tensor1(numbers),
        _ => bail!("either cats_strings or cats_int64s, not both and not neither"),
    };
    build(OneHotEncoder {
        count: categories.len(),
        categories: Categories::of(&categories)?,
        takes_others: node.get_attr_opt::<i64>("zeros")?.unwrap_or(1) != 0,
    })
}

impl Operator for OneHotEncoder {
    fn name(&self) -> &'static str {
        "OneHotEncoder"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = only(inputs)?;
        let is_text = input.datum_type == DatumType::String;
        ensure!(
            is_text == self.categories.are_texts(),
            "{:?}, and categories of another datatype",
            input.datum_type
        );
        let mut shape = input.shape.to_tvec();
        shape.push(self.count.to_dim());
        Ok(tvec!(DatumType::F32.fact(shape)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        // Floats lose their fraction.
        let found = match self.categories.are_texts() {
            true => self.categories.find(input)?,
            false => self.categories.find(&*input.cast_to::<i64>()?)?,
        };
        ensure!(
            self.takes_others || found.iter().all(Option::is_some),
            "a category that is not known"
        );
        let mut hot = vec![0.0_f32; found.len() * self.count];
        for (row, category) in hot.chunks_exact_mut(self.count).zip(found) {
            let element = category.and_then(|category| row.get_mut(category));
            element.into_iter().for_each(|element| *element = 1.0);
        }
        let mut shape: TVec<usize> = input.shape().into();
        shape.push(self.count);
        Ok(tvec!(Tensor::from_shape(&shape, &hot)?))
    }
}
