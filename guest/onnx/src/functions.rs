//! Functions that a model defines itself: their nodes take the place of the nodes that call them.

use std::collections::{BTreeMap, HashMap};

use prost::Message;
use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};

use crate::error::LoadError;

/// Functions call functions, so a small file can stand for very many nodes.
const MOST_NODES: usize = 200_000;
/// How deep functions may call each other; recursion would never end.
const MOST_DEPTH: usize = 64;

/// The part of a model that tract's description of the format lacks: defaults of attributes.
#[derive(Clone, PartialEq, Message)]
struct Defaults {
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionDefaults>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionDefaults {
    #[prost(message, repeated, tag = "11")]
    attributes: Vec<AttributeProto>,
}

type Functions = HashMap<(String, String), (FunctionProto, Vec<AttributeProto>)>;

/// Replaces all calls of the model's own functions. `file` is what `model` was decoded from.
///
/// # Errors
/// Functions call each other without end, or for too many nodes.
pub(crate) fn inline(model: &mut ModelProto, file: &[u8]) -> Result<(), LoadError> {
    if model.functions.is_empty() {
        return Ok(());
    }
    let defaults = Defaults::decode(file).map_err(|error| LoadError::NotOnnx(error.to_string()))?;
    let defaults = defaults
        .functions
        .into_iter()
        .map(|function| function.attributes);
    let named = |(function, defaults): (FunctionProto, _)| {
        let name = (function.domain().to_owned(), function.name().to_owned());
        (name, (function, defaults))
    };
    let functions = std::mem::take(&mut model.functions);
    let imports: Vec<_> = functions
        .iter()
        .flat_map(|f| f.opset_import.clone())
        .collect();
    for import in imports {
        if !model
            .opset_import
            .iter()
            .any(|known| known.domain == import.domain)
        {
            model.opset_import.push(import);
        }
    }
    let functions: Functions = functions.into_iter().zip(defaults).map(named).collect();
    let mut inlining = Inlining {
        functions,
        nodes: 0,
        calls: 0,
    };
    match &mut model.graph {
        Some(graph) => inlining.graph(graph, 0),
        None => Ok(()),
    }
}

struct Inlining {
    functions: Functions,
    /// How many there are so far.
    nodes: usize,
    calls: usize,
}

impl Inlining {
    fn graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), LoadError> {
        let nodes = std::mem::take(&mut graph.node);
        graph.node = self.nodes(nodes, depth)?;
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<NodeProto>, depth: usize) -> Result<Vec<NodeProto>, LoadError> {
        if depth > MOST_DEPTH {
            let reason = format!("functions call each other more than {MOST_DEPTH} deep");
            return Err(LoadError::Model(reason));
        }
        let mut inlined = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for graph in inner_graphs(&mut node) {
                self.graph(graph, depth + 1)?;
            }
            match self.body(&node) {
                Some(body) => inlined.extend(self.nodes(body, depth + 1)?),
                None => {
                    self.nodes += 1;
                    inlined.push(node);
                }
            }
            if self.nodes > MOST_NODES {
                let reason = format!("functions stand for more than {MOST_NODES} nodes");
                return Err(LoadError::Model(reason));
            }
        }
        Ok(inlined)
    }

    /// The nodes of the function that a node calls, with the node's tensors and attributes.
    fn body(&mut self, call: &NodeProto) -> Option<Vec<NodeProto>> {
        let name = (call.domain.clone(), call.op_type.clone());
        let (function, defaults) = self.functions.get(&name)?;
        self.calls += 1;
        // Also calls cost time, even of functions without nodes.
        self.nodes += 1;
        let inputs = function
            .input
            .iter()
            .zip(call.input.iter().map(String::as_str));
        let inputs = inputs.chain(
            function
                .input
                .iter()
                .skip(call.input.len())
                .map(|i| (i, "")),
        );
        let outputs = function
            .output
            .iter()
            .zip(call.output.iter().map(String::as_str));
        let outputs = outputs.filter(|(_, name)| !name.is_empty());
        let scope = Scope {
            prefix: format!("{}.{}", call.op_type, self.calls),
            tensors: inputs.chain(outputs).collect(),
            attributes: defaults
                .iter()
                .chain(&call.attribute)
                .map(|a| (&*a.name, a))
                .collect(),
        };
        let mut body = function.node.clone();
        body.iter_mut().for_each(|node| scope.enter(node));
        Some(body)
    }
}

fn inner_graphs(node: &mut NodeProto) -> impl Iterator<Item = &mut GraphProto> {
    let attributes = node.attribute.iter_mut();
    attributes.flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs))
}

/// What names mean inside of a called function.
struct Scope<'a> {
    prefix: String,
    tensors: BTreeMap<&'a String, &'a str>,
    attributes: HashMap<&'a str, &'a AttributeProto>,
}

impl Scope<'_> {
    fn enter(&self, node: &mut NodeProto) {
        let tensors = node.input.iter_mut().chain(&mut node.output);
        tensors.for_each(|name| self.rename(name));
        self.rename(&mut node.name);
        node.attribute
            .retain_mut(|attribute| self.attribute(attribute));
        inner_graphs(node).for_each(|graph| self.enter_graph(graph));
    }

    fn enter_graph(&self, graph: &mut GraphProto) {
        let values = graph
            .input
            .iter_mut()
            .chain(&mut graph.output)
            .chain(&mut graph.value_info);
        values.for_each(|value| self.rename(&mut value.name));
        graph
            .initializer
            .iter_mut()
            .for_each(|weights| self.rename(&mut weights.name));
        graph.node.iter_mut().for_each(|node| self.enter(node));
    }

    fn rename(&self, name: &mut String) {
        if let Some(outer) = self.tensors.get(name) {
            (*outer).clone_into(name);
        } else if !name.is_empty() {
            *name = format!("{}.{name}", self.prefix);
        }
    }

    /// Resolves a reference to an attribute of the call. False if the call has no such attribute.
    fn attribute(&self, attribute: &mut AttributeProto) -> bool {
        if attribute.ref_attr_name.is_empty() {
            return true;
        }
        let Some(given) = self.attributes.get(attribute.ref_attr_name.as_str()) else {
            return false;
        };
        let name = std::mem::take(&mut attribute.name);
        *attribute = AttributeProto {
            name,
            ..(*given).clone()
        };
        true
    }
}
