//! Graphs on tract, native: one plan for all requests, one state for each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use glovebox_onnx::{
    Adopt, Graph as Loaded, LoadError, Parsed, Shapes, Weights, from_tract, to_tract,
};
use glovebox_protocol::{Signature, Tensor};
use tract_onnx::prelude::*;

use super::caught::caught;
use super::plan::{Plan, Step, bytes, tensor_bytes};
use super::{Graph, Run, RunError};
use crate::limits;

/// Reads an ONNX file.
///
/// # Errors
/// What in the file is not ONNX, not supported or not consistent.
pub(super) fn load(file: &[u8]) -> Result<Arc<dyn Graph>, LoadError> {
    // tract's own operators are those for this machine.
    let plans = match Loaded::load(file, &Shapes::new(), Adopt::NOTHING) {
        Ok(graph) => Plans::One(Arc::new(Plan::new(graph)?)),
        // Some graphs make sense only to an engine that knows the sizes of their inputs.
        Err(error) => Plans::by_shapes(file).ok_or(error)?,
    };
    Ok(Arc::new(TractGraph {
        signature: plans.signature()?,
        plans,
    }))
}

struct TractGraph {
    signature: Signature,
    plans: Plans,
}

/// How a graph is prepared.
enum Plans {
    /// For inputs of all shapes that it takes.
    One(Arc<Plan>),
    /// For some shapes, those that were asked for last.
    ByShapes(Box<ByShapes>),
}

struct ByShapes {
    parsed: Parsed,
    plans: Mutex<VecDeque<Prepared>>,
}

/// A plan, and the shapes of its inputs.
struct Prepared {
    shapes: Vec<Vec<usize>>,
    plan: Arc<Plan>,
}

impl Plans {
    /// None if the file says that there is only one shape, or is broken.
    fn by_shapes(file: &[u8]) -> Option<Self> {
        let parsed = Parsed::of_sized(file, Adopt::NOTHING).ok()?;
        let inputs = parsed.inputs().ok()?;
        let is_open = inputs.iter().any(|input| input.shape.contains(&-1));
        is_open.then(|| {
            Self::ByShapes(Box::new(ByShapes {
                parsed,
                plans: Mutex::default(),
            }))
        })
    }

    fn signature(&self) -> Result<Signature, LoadError> {
        let (inputs, outputs) = match self {
            Self::One(plan) => (plan.graph.inputs.clone(), plan.graph.outputs.clone()),
            Self::ByShapes(plans) => (plans.parsed.inputs()?, Vec::new()),
        };
        Ok(Signature {
            inputs,
            outputs,
            media: Vec::new(),
        })
    }

    fn plan(&self, inputs: &[&Tensor]) -> Result<Arc<Plan>, RunError> {
        match self {
            Self::One(plan) => Ok(Arc::clone(plan)),
            Self::ByShapes(plans) => plans.plan(inputs),
        }
    }
}

impl ByShapes {
    /// The plan for inputs of these shapes. Two requests may prepare the same at once; none waits for
    /// another.
    fn plan(&self, inputs: &[&Tensor]) -> Result<Arc<Plan>, RunError> {
        let shape = |input: &&Tensor| input.shape.iter().map(|size| *size as usize).collect();
        let shapes: Vec<Vec<usize>> = inputs.iter().map(shape).collect();
        if let Some(plan) = self.find(&shapes) {
            return Ok(plan);
        }
        check_sizes(inputs)?;
        let plan = self.prepare(&shapes);
        let plan = Arc::new(plan.map_err(|error| RunError::Invalid(error.to_string()))?);
        self.keep(Prepared {
            shapes,
            plan: Arc::clone(&plan),
        });
        Ok(plan)
    }

    /// A plan that has its weights in common with those that are kept.
    fn prepare(&self, shapes: &[Vec<usize>]) -> Result<Plan, LoadError> {
        let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let mut model = self.parsed.of_shapes(&shapes)?;
        let mut weights = Weights::default();
        for kept in self.lock().iter() {
            weights.learn(kept.plan.graph.plan.model());
        }
        weights.share(&mut model)?;
        Plan::new(self.parsed.graph(model)?)
    }

    /// What is found goes to the end: the first is the one that was not asked for the longest.
    fn find(&self, shapes: &[Vec<usize>]) -> Option<Arc<Plan>> {
        let mut plans = self.lock();
        let index = plans.iter().position(|plan| plan.shapes == shapes)?;
        let found = plans.remove(index)?;
        let plan = Arc::clone(&found.plan);
        plans.push_back(found);
        Some(plan)
    }

    fn keep(&self, prepared: Prepared) {
        let mut plans = self.lock();
        plans.push_back(prepared);
        while plans.len() > limits::GRAPH_PLANS {
            plans.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Prepared>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a graph makes of the sizes of its inputs while it is prepared, nobody counts. It may be the
/// square of one, as a mask of tokens for tokens is.
fn check_sizes(inputs: &[&Tensor]) -> Result<(), RunError> {
    let is_large = |size: &&u64| **size > limits::GRAPH_SIZE;
    for input in inputs {
        if let Some(size) = input.shape.iter().find(is_large) {
            return Err(RunError::Invalid(format!(
                "input {:?} has a size of {size}; a graph that is prepared for each shape takes at most {}",
                input.name,
                limits::GRAPH_SIZE
            )));
        }
    }
    Ok(())
}

impl Graph for TractGraph {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn begin(&self, inputs: &[Tensor]) -> Result<Box<dyn Run>, RunError> {
        let begin = || {
            let find = |name: &str| inputs.iter().find(|tensor| tensor.name == name);
            let specs = self.signature.inputs.iter();
            let ordered: Vec<&Tensor> = specs.filter_map(|spec| find(&spec.name)).collect();
            let run = TractRun::new(self.plans.plan(&ordered)?, &ordered)?;
            Ok(Box::new(run) as Box<dyn Run>)
        };
        caught(begin, RunError::Panicked)
    }
}

/// A state of a plan.
struct TractRun {
    plan: Arc<Plan>,
    state: TypedSimpleState,
    /// How many steps are done.
    done: usize,
    /// What the tensors of each node take.
    sizes: Vec<u64>,
    /// What all of them take.
    held: u64,
}

impl TractRun {
    fn new(plan: Arc<Plan>, inputs: &[&Tensor]) -> Result<Self, RunError> {
        let invalid = |error: TractError| RunError::Invalid(format!("{error:#}"));
        let values = inputs.iter().map(|input| to_tract(input));
        let values: TVec<TValue> = values
            .collect::<Result<_, _>>()
            .map_err(|error| RunError::Invalid(error.to_string()))?;
        let held = values.iter().map(|value| tensor_bytes(value)).sum();
        let mut sizes = vec![0; plan.graph.plan.model().nodes().len()];
        let outlets = plan.graph.plan.model().input_outlets().map_err(invalid)?;
        for (outlet, value) in outlets.iter().zip(&values) {
            if let Some(size) = sizes.get_mut(outlet.node) {
                *size = tensor_bytes(value);
            }
        }
        let state = TypedSimpleState::new_from_inputs(&plan.graph.plan, values).map_err(invalid)?;
        Ok(Self {
            plan,
            state,
            done: 0,
            sizes,
            held,
        })
    }

    /// What an operator gives, as far as that is known before it runs.
    fn known_bytes(&self, node: usize) -> u64 {
        let node = self.plan.graph.plan.model().node(node);
        bytes(node, &self.state.turn_state.resolved_symbols).unwrap_or(0)
    }

    /// Runs a node. Tensors that it is the last to need are its own: it may write to them.
    fn compute(&mut self, node: usize, last_of: &[usize]) -> TractResult<()> {
        let inputs = self.state.prepare_inputs(node)?;
        for last in last_of {
            self.forget(*last);
        }
        self.state.compute_one_with_inputs(node, inputs)
    }

    fn forget(&mut self, node: usize) {
        if let Some(values) = self.state.turn_state.values.get_mut(node) {
            *values = None;
        }
    }

    /// Sizes that are open until an operator has found them out.
    fn learn_sizes(&mut self, node: usize) {
        let turn = &mut self.state.turn_state;
        let Some(Some(values)) = turn.values.get(node) else {
            return;
        };
        let outputs = &self.plan.graph.plan.model().node(node).outputs;
        for (output, value) in outputs.iter().zip(values) {
            for (size, found) in output.fact.shape.iter().zip(value.shape()) {
                if let TDim::Sym(symbol) = size
                    && turn.resolved_symbols.get(symbol).is_none()
                {
                    turn.resolved_symbols.set(symbol, *found as i64);
                }
            }
        }
    }

    /// What a node has given, in bytes.
    fn given_bytes(&self, node: usize) -> u64 {
        let values = self.state.turn_state.values.get(node);
        let values = values.and_then(Option::as_ref);
        values.map_or(0, |values| {
            values.iter().map(|value| tensor_bytes(value)).sum()
        })
    }

    /// Counts what a step has given and what is gone.
    fn count(&mut self, step: &Step) {
        let given = step.bytes.unwrap_or_else(|| {
            self.learn_sizes(step.node);
            self.given_bytes(step.node)
        });
        if let Some(size) = self.sizes.get_mut(step.node) {
            *size = given;
        }
        self.held = self.held.saturating_add(given);
        for last in &step.last_of {
            if let Some(size) = self.sizes.get_mut(*last) {
                self.held = self.held.saturating_sub(std::mem::take(size));
            }
        }
    }
}

impl Run for TractRun {
    fn is_done(&self) -> bool {
        self.done >= self.plan.steps.len()
    }

    fn next_bytes(&self) -> u64 {
        let next = match self.plan.steps.get(self.done) {
            Some(step) => step.bytes.unwrap_or_else(|| self.known_bytes(step.node)),
            None => self.output_bytes(),
        };
        self.held.saturating_add(next)
    }

    fn step(&mut self, _: Instant) -> Result<(), RunError> {
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.steps.get(self.done) else {
            return Ok(());
        };
        let compute = || {
            let computed = self.compute(step.node, &step.last_of);
            computed.map_err(|error| RunError::Failed(format!("{error:#}")))
        };
        caught(compute, RunError::Panicked)?;
        self.count(step);
        self.done += 1;
        Ok(())
    }

    fn held_bytes(&self) -> u64 {
        self.held
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>, RunError> {
        let outputs = || {
            let failed = |error: String| RunError::Failed(error);
            let values = self.state.outputs();
            let values = values.map_err(|error| failed(format!("{error:#}")))?;
            let named = self.plan.graph.outputs.iter().zip(values);
            named
                .map(|(spec, value)| {
                    from_tract(&spec.name, value).map_err(|error| failed(error.to_string()))
                })
                .collect()
        };
        caught(outputs, RunError::Panicked)
    }
}

impl TractRun {
    fn output_bytes(&self) -> u64 {
        let outlets = self.plan.graph.plan.model().output_outlets();
        let size = |outlet: &OutletId| self.sizes.get(outlet.node).copied().unwrap_or(0);
        outlets.map_or(0, |outlets| outlets.iter().map(size).sum())
    }
}
