//! A model of texts: rows of tokens, of which the model runs one at a time.
//!
//! tract computes shapes when it loads a graph, and what models of texts do to make masks and positions
//! of the sizes of their input is too much for it while those sizes are unknown. So there is a graph
//! for each of some lengths, which share the weights that `weights.rs` finds equal. A row is padded to the next length, and the
//! padding is masked, as it is in a list of texts of different lengths.

use glovebox_onnx::{Graph, LoadError, Parsed, failed, from_tract, to_tract};
use glovebox_pipeline::Lengths;
use glovebox_protocol::{CallError, Tensor, TensorSpec};
use tract_onnx::prelude::{TValue, TVec};

use crate::graph::adopt;
use crate::weights::Weights;

/// Longer rows are not tried while packing: they take much time and memory.
const WARM_TOKENS: usize = 512;
const OPEN: i64 = -1;

/// The graphs of one model, by the length of their rows.
pub(crate) struct Rows {
    graphs: Vec<(usize, Graph)>,
    pub(crate) inputs: Vec<TensorSpec>,
    pub(crate) outputs: Vec<TensorSpec>,
}

impl Rows {
    /// The model in `file`; none if it is told of no mask, and could not tell padding from tokens.
    ///
    /// # Errors
    /// What in the file is not ONNX, not supported or not consistent, with the node's name.
    pub(crate) fn load(file: &[u8], wanted: &Lengths) -> Result<Option<Self>, LoadError> {
        let parsed = Parsed::of_rows(file, adopt)?;
        if !parsed.input_names.contains(&wanted.mask) {
            return Ok(None);
        }
        let declared = parsed.declared()?;
        let fixed = |axis: usize| declared.iter().find_map(|sizes| *sizes.get(axis)?);
        let (rows, length) = (fixed(0), fixed(1));
        if rows.is_some_and(|rows| rows != 1) {
            return Ok(None);
        }
        let lengths = length.map_or_else(|| wanted.lengths.clone(), |length| vec![length]);
        let mut weights = Weights::default();
        let mut graphs = Vec::with_capacity(lengths.len());
        for length in lengths {
            let made = parsed.of_length(length);
            let mut model = made.map_err(|error| too_long(error, length, graphs.is_empty()))?;
            weights.share(&mut model)?;
            graphs.push((length, parsed.graph(model)?));
        }
        let sizes = [rows, length].map(|size| size.map_or(OPEN, |size| size as i64));
        let (Some((_, shortest)), Some((_, longest))) = (graphs.first(), graphs.last()) else {
            return Ok(None);
        };
        let mut inputs = longest.inputs.clone();
        inputs
            .iter_mut()
            .for_each(|spec| spec.shape = sizes.to_vec());
        let pairs = shortest.outputs.iter().zip(&longest.outputs);
        let outputs = pairs.map(|(short, long)| output(short, long, sizes[0]));
        let outputs = outputs.collect::<Result<_, _>>()?;
        Ok(Some(Self {
            graphs,
            inputs,
            outputs,
        }))
    }

    /// Runs the graphs once, but not those of very long rows.
    pub(crate) fn run_on_zeros(&self) {
        let graphs = self
            .graphs
            .iter()
            .filter(|(length, _)| *length <= WARM_TOKENS);
        graphs.for_each(|(_, graph)| graph.run_on_zeros());
    }

    /// The answers to all rows.
    ///
    /// # Errors
    /// The inputs differ in their shape, have no row or too many tokens, or the model fails.
    pub(crate) fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, CallError> {
        let (rows, tokens) = shape(inputs)?;
        let (length, graph) = self.graph(tokens)?;
        let mut answers = Vec::new();
        for row in 0..rows {
            let find = |name: &str| inputs.iter().find(|tensor| tensor.name == name);
            let ordered = graph.inputs.iter().filter_map(|spec| find(&spec.name));
            let values = ordered.map(|tensor| padded(tensor, row, tokens, length));
            let values = values.collect::<Result<TVec<_>, _>>()?;
            let outputs = graph.plan.run(values).map_err(|error| failed(&error))?;
            let outputs = self.outputs.iter().zip(outputs);
            let without_padding = outputs.map(|(spec, value)| cut(spec, value, tokens));
            append(&mut answers, without_padding.collect::<Result<_, _>>()?);
        }
        Ok(answers)
    }

    fn graph(&self, tokens: usize) -> Result<(usize, &Graph), CallError> {
        let fits = self.graphs.iter().find(|(length, _)| *length >= tokens);
        let (length, graph) = fits.ok_or_else(|| {
            let longest = self.graphs.last().map_or(0, |(length, _)| *length);
            CallError::InvalidInput(format!(
                "rows of {tokens} tokens; this model takes up to {longest}"
            ))
        })?;
        Ok((*length, graph))
    }
}

/// Longer rows than a model was made for are its author's to know of.
fn too_long(error: LoadError, length: usize, is_shortest: bool) -> LoadError {
    if is_shortest {
        return error;
    }
    LoadError::Config(format!(
        "the model fails on a row of {length} tokens, but not on shorter ones; set max_tokens to what \
         it was made for: {error}"
    ))
}

/// How an output is declared, from what it is for the shortest rows and for the longest.
fn output(short: &TensorSpec, long: &TensorSpec, rows: i64) -> Result<TensorSpec, LoadError> {
    if long.shape.first() != Some(&1) {
        return Err(LoadError::Model(format!(
            "output {:?} has shape {:?} for one text: its first dimension is not that of the texts",
            long.name, long.shape
        )));
    }
    let sizes = short.shape.iter().zip(&long.shape).enumerate();
    let size = |(axis, (short, long)): (usize, (&i64, &i64))| match axis {
        0 => rows,
        _ if short == long => *long,
        _ => OPEN,
    };
    Ok(TensorSpec {
        shape: sizes.map(size).collect(),
        ..long.clone()
    })
}

/// How many rows there are, and of how many tokens.
fn shape(inputs: &[Tensor]) -> Result<(usize, usize), CallError> {
    let mut shapes = inputs.iter().map(|tensor| tensor.shape.as_slice());
    match shapes.next() {
        Some(shape @ [rows, tokens])
            if *rows > 0 && *tokens > 0 && shapes.all(|other| other == shape) =>
        {
            Ok((*rows as usize, *tokens as usize))
        }
        _ => Err(CallError::InvalidInput(
            "the inputs of a model of texts must have the same shape, of a row and a token or more"
                .into(),
        )),
    }
}

/// One row of an input, with zeros up to a length.
fn padded(tensor: &Tensor, row: usize, tokens: usize, length: usize) -> Result<TValue, CallError> {
    let bytes = tensor.datatype.element_bytes().unwrap_or(1);
    let start = row * tokens * bytes;
    let row = tensor.data.get(start..start + tokens * bytes);
    let mut data = row.unwrap_or_default().to_vec();
    data.resize(length * bytes, 0);
    let shape = vec![1, length as u64];
    let row = Tensor::new(tensor.name.clone(), tensor.datatype, shape, data)?;
    to_tract(&row)
}

/// An output without what belongs to padding.
fn cut(spec: &TensorSpec, value: TValue, tokens: usize) -> Result<Tensor, CallError> {
    let mut open = spec
        .shape
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, size)| **size == OPEN);
    let cut = open.try_fold(value, |value, (axis, _)| {
        let cut = value.slice(axis, 0, tokens);
        cut.map(TValue::from).map_err(|error| failed(&error))
    })?;
    from_tract(&spec.name, cut)
}

/// Puts the answers to one row behind those to others.
fn append(answers: &mut Vec<Tensor>, row: Vec<Tensor>) {
    if answers.is_empty() {
        *answers = row;
        return;
    }
    for (answer, row) in answers.iter_mut().zip(row) {
        answer.data.extend_from_slice(&row.data);
        if let Some(rows) = answer.shape.first_mut() {
            *rows += 1;
        }
    }
}
