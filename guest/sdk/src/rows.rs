//! A model of texts: rows of tokens, of which the model runs one at a time.
//!
//! tract computes shapes when it loads a graph, and what models of texts do to make masks and positions
//! of the sizes of their input is too much for it while those sizes are unknown. So there is a graph
//! for each of some lengths, which share the weights that [`Weights`] finds equal. A row is padded to
//! the next length, and the padding is masked, as it is in a list of texts of different lengths.

use glovebox_onnx::{Graph, LoadError, Parsed, Weights};
use glovebox_pipeline::{Lengths, TokenRows};
use glovebox_protocol::{CallError, Tensor, TensorSpec};

use crate::graph::ADOPT;

/// Longer rows are not tried while packing: they take much time and memory.
const WARM_TOKENS: usize = 512;
const OPEN: i64 = -1;

/// The graphs of one model.
pub(crate) struct Rows {
    rows: TokenRows,
    /// One for each length.
    graphs: Vec<Graph>,
    pub(crate) inputs: Vec<TensorSpec>,
    pub(crate) outputs: Vec<TensorSpec>,
}

impl Rows {
    /// The model in `file`; none if it is told of no mask, and could not tell padding from tokens.
    ///
    /// # Errors
    /// What in the file is not ONNX, not supported or not consistent, with the node's name.
    pub(crate) fn load(file: &[u8], wanted: &Lengths) -> Result<Option<Self>, LoadError> {
        let parsed = Parsed::of_sized(file, ADOPT)?;
        let declared = parsed.inputs()?;
        let Some(rows) = TokenRows::of(&declared, wanted) else {
            return Ok(None);
        };
        if let Some(input) = declared.iter().find(|input| input.shape.len() != 2) {
            let name = &input.name;
            return Err(LoadError::Model(format!(
                "input {name:?} is not of shape [texts, tokens]"
            )));
        }
        let fixed = |axis: usize| {
            let mut sizes = declared.iter().filter_map(|input| input.shape.get(axis));
            sizes.find(|size| **size != OPEN).copied().unwrap_or(OPEN)
        };
        let (texts, tokens) = (fixed(0), fixed(1));
        if texts > 1 {
            return Ok(None);
        }
        let mut weights = Weights::default();
        let mut graphs = Vec::with_capacity(rows.lengths().len());
        for length in rows.lengths() {
            let made = parsed.of_length(*length);
            let mut model = made.map_err(|error| too_long(error, *length, graphs.is_empty()))?;
            weights.share(&mut model)?;
            graphs.push(parsed.graph(model)?);
        }
        let (Some(shortest), Some(longest)) = (graphs.first(), graphs.last()) else {
            return Ok(None);
        };
        let mut inputs = longest.inputs.clone();
        inputs
            .iter_mut()
            .for_each(|spec| spec.shape = vec![texts, tokens]);
        let pairs = shortest.outputs.iter().zip(&longest.outputs);
        let outputs = pairs.map(|(short, long)| output(short, long, texts));
        let outputs = outputs.collect::<Result<_, _>>()?;
        Ok(Some(Self {
            rows,
            graphs,
            inputs,
            outputs,
        }))
    }

    /// Runs the graphs once, but not those of very long rows.
    pub(crate) fn run_on_zeros(&self) {
        let graphs = self.rows.lengths().iter().zip(&self.graphs);
        let short = graphs.filter(|(length, _)| **length <= WARM_TOKENS);
        short.for_each(|(_, graph)| graph.run_on_zeros());
    }

    /// The answers to all rows.
    ///
    /// # Errors
    /// The inputs differ in their shape, have no row or too many tokens, or the model fails.
    pub(crate) fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, CallError> {
        let outputs: Vec<_> = self.outputs.iter().collect();
        let compute = |row: &[Tensor]| self.graph(row)?.run(row);
        self.rows.run(inputs, &outputs, compute)
    }

    /// That for rows as long as this one.
    fn graph(&self, row: &[Tensor]) -> Result<&Graph, CallError> {
        let length = row.first().and_then(|tensor| tensor.shape.get(1));
        let mut graphs = self.rows.lengths().iter().zip(&self.graphs);
        let graph = graphs.find(|(other, _)| length == Some(&(**other as u64)));
        let missing = || CallError::Failed("there is no graph for rows of that length".into());
        graph.map(|(_, graph)| graph).ok_or_else(missing)
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
