//! From the bytes of an ONNX file to an optimised graph.

use std::collections::BTreeSet;

use glovebox_protocol::{Datatype, TensorSpec};
use prost::Message;
use tract_onnx::Onnx;
use tract_onnx::pb::{self, tensor_proto::DataLocation};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::prelude::tract_itertools::Itertools;

use crate::error::LoadError;
use crate::functions;
use crate::graph;
use crate::lower::lower;
use crate::misread::{Surroundings, is_supported, name, opset};
use crate::ops;
use crate::tensor::to_tract;

/// Whose operators tract knows, by name alone: another domain's operator of the same name is
/// another operator.
const STANDARD_DOMAINS: [&str; 3] = ["", "ai.onnx", "ai.onnx.ml"];

/// The domain of ONNX Runtime's own operators. Of those that have the name of one of ONNX, only these
/// mean the same.
const CONTRIBUTED_DOMAIN: &str = "com.microsoft";
const CONTRIBUTED: [&str; 15] = [
    "BiasGelu",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "FastGelu",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuantizeLinear",
    "QuickGelu",
    "RotaryEmbedding",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// An optimised graph and what it is called with.
pub(crate) struct Graph {
    pub(crate) plan: Arc<TypedRunnableModel>,
    pub(crate) inputs: Vec<TensorSpec>,
    pub(crate) outputs: Vec<TensorSpec>,
}

impl Graph {
    /// Runs the graph once, open dimensions being 1. Zeros may make no sense to a model, so a
    /// failure says nothing.
    pub(crate) fn run_on_zeros(&self) {
        let zeros = |spec: &TensorSpec| {
            let shape: Vec<u64> = spec
                .shape
                .iter()
                .map(|size| u64::try_from(*size).unwrap_or(1))
                .collect();
            let elements = glovebox_protocol::element_count(&shape)? as usize;
            // An empty string is a length of four zero bytes.
            let data = vec![0; elements.checked_mul(spec.datatype.element_bytes().unwrap_or(4))?];
            let tensor =
                glovebox_protocol::Tensor::new(spec.name.clone(), spec.datatype, shape, data)
                    .ok()?;
            to_tract(&tensor).ok()
        };
        if let Some(inputs) = self
            .inputs
            .iter()
            .map(zeros)
            .collect::<Option<TVec<TValue>>>()
        {
            let _ = self.plan.run(inputs);
        }
    }
}

/// A model that is read, and not yet prepared for inputs of any size.
pub(crate) struct Parsed {
    model: InferenceModel,
    pub(crate) input_names: Vec<String>,
    output_names: Vec<String>,
}

/// Parses and optimises the model in `file`.
///
/// # Errors
/// What in the file is not ONNX, not supported or not consistent, with the node's name.
pub(crate) fn load(file: &[u8]) -> Result<Graph, LoadError> {
    let Parsed {
        mut model,
        input_names,
        output_names,
    } = Parsed::of(decode(file)?, file)?;
    name_open_dimensions(&mut model)?;
    finish(optimised(model)?, input_names, output_names)
}

fn optimised(model: InferenceModel) -> Result<TypedModel, LoadError> {
    let mut model = model.into_typed()?;
    graph::adopt(&mut model)?;
    let model = model.into_optimized()?;
    check_training(&model)?;
    Ok(model)
}

/// Makes ready to run what was optimised.
fn finish(
    model: TypedModel,
    input_names: Vec<String>,
    output_names: Vec<String>,
) -> Result<Graph, LoadError> {
    Ok(Graph {
        inputs: specs(&model, input_names, model.input_outlets()?)?,
        outputs: specs(&model, output_names, model.output_outlets()?)?,
        plan: model.into_runnable()?,
    })
}

impl Parsed {
    fn of(mut proto: pb::ModelProto, file: &[u8]) -> Result<Self, LoadError> {
        functions::inline(&mut proto, file)?;
        let opset = opset(&proto);
        proto.graph.iter_mut().for_each(|graph| lower(graph, opset));
        let mut onnx = tract_onnx::onnx();
        ops::register(&mut onnx);
        check_operators(&onnx, &proto)?;
        check_datatypes(&proto)?;
        check_data(&proto)?;
        let parsed = onnx.parse(&proto, None)?;
        check_inputs(&proto, &parsed.unresolved_inputs)?;
        let model = parsed.model;
        Ok(Self {
            input_names: name_inputs(&model)?,
            output_names: name_outputs(&model)?,
            model,
        })
    }

    /// A model of rows of tokens, to be prepared for rows of one length after the other. Only what it
    /// says of its inputs counts then: the sizes that it names elsewhere are those of rows.
    ///
    /// # Errors
    /// As [`load`].
    pub(crate) fn of_rows(file: &[u8]) -> Result<Self, LoadError> {
        let mut proto = decode(file)?;
        if let Some(graph) = &mut proto.graph {
            graph.value_info.clear();
            graph.output.iter_mut().for_each(forget_shape);
            narrow_sums(graph);
        }
        Self::of(proto, file)
    }

    /// What each input declares of its two dimensions: a size, or that it is open.
    ///
    /// # Errors
    /// An input has another number of dimensions.
    pub(crate) fn declared(&self) -> Result<Vec<[Option<usize>; 2]>, LoadError> {
        let inputs = self.input_names.iter().enumerate();
        let sizes = inputs.map(|(index, name)| {
            let shape = &self.model.input_fact(index)?.shape;
            if shape.rank().concretize() != Some(2) {
                return Err(LoadError::Model(format!(
                    "input {name:?} is not of shape [texts, tokens]"
                )));
            }
            let size = |axis| {
                let size = shape.dim(axis)?.concretize()?.to_i64().ok()?;
                usize::try_from(size).ok()
            };
            Ok([size(0), size(1)])
        });
        sizes.collect()
    }

    /// The graph for one row of so many tokens.
    ///
    /// # Errors
    /// As [`load`].
    pub(crate) fn of_length(&self, length: usize) -> Result<TypedModel, LoadError> {
        let mut model = self.model.clone();
        for input in 0..self.input_names.len() {
            let fact = model.input_fact(input)?;
            let datum_type = fact.datum_type.concretize().unwrap_or(DatumType::I64);
            model.set_input_fact(input, InferenceFact::dt_shape(datum_type, [1, length]))?;
        }
        optimised(model)
    }

    /// Makes ready to run what was optimised.
    ///
    /// # Errors
    /// As [`load`].
    pub(crate) fn graph(&self, model: TypedModel) -> Result<Graph, LoadError> {
        finish(model, self.input_names.clone(), self.output_names.clone())
    }
}

fn forget_shape(value: &mut pb::ValueInfoProto) {
    let declared = value
        .r#type
        .as_mut()
        .and_then(|declared| declared.value.as_mut());
    if let Some(pb::type_proto::Value::TensorType(tensor)) = declared {
        tensor.shape = None;
    }
}

/// Sums up as INT32 what is cast to INT64 to be summed up: tract takes the latter for sizes, and has
/// no sums of those. Positions of tokens are made so, and are small.
fn narrow_sums(graph: &mut pb::GraphProto) {
    let cast = |from: &str, to: &str, datatype: pb::tensor_proto::DataType| pb::NodeProto {
        op_type: "Cast".into(),
        name: format!("{to} as {datatype:?}"),
        input: vec![from.into()],
        output: vec![to.into()],
        attribute: vec![pb::AttributeProto {
            name: "to".into(),
            r#type: pb::attribute_proto::AttributeType::Int as i32,
            i: datatype as i64,
            ..Default::default()
        }],
        ..Default::default()
    };
    let is_long = |node: &pb::NodeProto| {
        let to = node
            .attribute
            .iter()
            .find(|attribute| attribute.name == "to");
        node.op_type == "Cast"
            && to.is_some_and(|to| to.i == pb::tensor_proto::DataType::Int64 as i64)
    };
    let casts = graph.node.iter().filter(|node| is_long(node));
    let longs: BTreeSet<String> = casts.flat_map(|node| node.output.clone()).collect();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        match (node.input.first_mut(), node.output.first_mut()) {
            (Some(input), Some(output)) if node.op_type == "CumSum" && longs.contains(input) => {
                let (long, sums) = (input.clone(), output.clone());
                *input = format!("{sums}/narrow");
                *output = format!("{sums}/sums");
                let before = cast(&long, input, pb::tensor_proto::DataType::Int32);
                let after = cast(output, &sums, pb::tensor_proto::DataType::Int64);
                nodes.extend([before, node, after]);
            }
            _ => nodes.push(node),
        }
    }
    graph.node = nodes;
}

fn decode(file: &[u8]) -> Result<pb::ModelProto, LoadError> {
    let not_onnx = |why: String| LoadError::NotOnnx(format!("not an ONNX model: {why}"));
    let proto = pb::ModelProto::decode(file).map_err(|error| not_onnx(error.to_string()))?;
    match &proto.graph {
        Some(graph) if !graph.node.is_empty() || !graph.output.is_empty() => Ok(proto),
        _ => Err(not_onnx("the file has no graph".into())),
    }
}

/// Refuses operators that tract does not know or would misread, all at once.
fn check_operators(onnx: &Onnx, proto: &pb::ModelProto) -> Result<(), LoadError> {
    let surroundings = Surroundings::of(proto);
    let mut unknown = BTreeSet::new();
    if let Some(graph) = &proto.graph {
        visit_nodes(graph, &mut |node| {
            if !is_known(onnx, node) {
                unknown.insert(describe(node, ""));
            } else if let Some(what) = surroundings.misread(node) {
                unknown.insert(describe(node, &format!(" with {what}")));
            }
        });
    }
    if unknown.is_empty() {
        return Ok(());
    }
    Err(LoadError::UnsupportedOperator(format!(
        "unsupported operator {}",
        unknown.iter().join(", ")
    )))
}

fn is_known(onnx: &Onnx, node: &pb::NodeProto) -> bool {
    let is_standard = STANDARD_DOMAINS.contains(&node.domain.as_str());
    let is_contributed = node.domain == CONTRIBUTED_DOMAIN;
    let is_ours = is_standard || is_contributed && CONTRIBUTED.contains(&&*node.op_type);
    is_ours && onnx.op_register.0.contains_key(&node.op_type)
}

/// Refuses datatypes that tensors cannot have.
fn check_datatypes(proto: &pb::ModelProto) -> Result<(), LoadError> {
    let Some(graph) = &proto.graph else {
        return Ok(());
    };
    let values = graph.input.iter().chain(&graph.output);
    let values = values.filter_map(|value| {
        let pb::type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
        Some((&value.name, tensor.elem_type))
    });
    let weights = graph.initializer.iter();
    let weights = weights.map(|tensor| (&tensor.name, tensor.data_type));
    match values
        .chain(weights)
        .find(|(_, datatype)| !is_supported(*datatype))
    {
        None => Ok(()),
        Some((tensor, datatype)) => Err(LoadError::Model(format!(
            "tensor {tensor:?} has datatype {}, which is not supported",
            name(datatype)
        ))),
    }
}

/// A node's operator, and where it is.
fn describe(node: &pb::NodeProto, what: &str) -> String {
    let domain = if node.domain.is_empty() {
        String::new()
    } else {
        format!("{}.", node.domain)
    };
    let name = match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => format!("the node that makes {output:?}"),
        (name, _) => format!("node {name:?}"),
    };
    format!("{domain}{}{what} ({name})", node.op_type)
}

/// Calls `visit` for the nodes of a graph and of the graphs inside its nodes.
fn visit_nodes(graph: &pb::GraphProto, visit: &mut impl FnMut(&pb::NodeProto)) {
    for node in &graph.node {
        visit(node);
        for inner in node
            .attribute
            .iter()
            .flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
        {
            visit_nodes(inner, visit);
        }
    }
}

/// Refuses what only training does: where it is certain that nothing is dropped, nothing is left of
/// the node.
fn check_training(model: &TypedModel) -> Result<(), LoadError> {
    let dropout = model
        .nodes()
        .iter()
        .find(|node| node.op.name() == "Dropout");
    match dropout {
        None => Ok(()),
        Some(node) => Err(LoadError::UnsupportedOperator(format!(
            "unsupported operator Dropout in training mode (node {:?})",
            node.name
        ))),
    }
}

/// Refuses weights that are kept in other files: a packed model holds all it needs.
fn check_data(proto: &pb::ModelProto) -> Result<(), LoadError> {
    let external =
        |tensor: &&pb::TensorProto| tensor.data_location == Some(DataLocation::External as i32);
    let initializers = proto.graph.iter().flat_map(|graph| &graph.initializer);
    let Some(tensor) = initializers.into_iter().find(external) else {
        return Ok(());
    };
    let location = tensor
        .external_data
        .iter()
        .find(|entry| entry.key == "location");
    Err(LoadError::ExternalData(format!(
        "missing external data: the weights {:?} are in another file ({:?}); save the model as one file, \
         in Python: onnx.save(onnx.load(\"model.onnx\"), \"single.onnx\")",
        tensor.name,
        location.map_or("", |entry| &entry.value),
    )))
}

/// Refuses tensors that come from nowhere.
fn check_inputs(proto: &pb::ModelProto, unresolved: &[String]) -> Result<(), LoadError> {
    let Some(missing) = unresolved.first() else {
        return Ok(());
    };
    let nodes = proto.graph.iter().flat_map(|graph| &graph.node);
    let user = nodes.into_iter().find(|node| node.input.contains(missing));
    let user = user.map(|node| describe(node, "")).unwrap_or_default();
    Err(LoadError::Model(format!(
        "{user} takes {missing:?}, which is no input, no weights and no node's output"
    )))
}

fn name_inputs(model: &InferenceModel) -> TractResult<Vec<String>> {
    Ok(model
        .input_outlets()?
        .iter()
        .map(|outlet| model.node(outlet.node).name.clone())
        .collect())
}

fn name_outputs(model: &InferenceModel) -> TractResult<Vec<String>> {
    let name = |outlet: &OutletId| match model.outlet_label(*outlet) {
        Some(label) => label.to_owned(),
        None => model.node(outlet.node).name.clone(),
    };
    Ok(model.output_outlets()?.iter().map(name).collect())
}

/// Gives each dimension without a name or size a symbol of its own, so that callers choose it.
fn name_open_dimensions(model: &mut InferenceModel) -> Result<(), LoadError> {
    let outlets = model.input_outlets()?.to_vec();
    for (input, outlet) in outlets.into_iter().enumerate() {
        let fact = model.input_fact(input)?.clone();
        let (Some(datum_type), Some(rank)) =
            (fact.datum_type.concretize(), fact.shape.rank().concretize())
        else {
            let name = &model.node(outlet.node).name;
            return Err(LoadError::Model(format!(
                "input {name:?} declares no datatype or no shape"
            )));
        };
        let dimension = |axis| match fact
            .shape
            .dim(axis)
            .and_then(|dimension| dimension.concretize())
        {
            Some(dimension) => dimension,
            None => model.symbols.new_with_prefix("open").into(),
        };
        let shape: TVec<TDim> = (0..rank as usize).map(dimension).collect();
        model.set_input_fact(input, InferenceFact::dt_shape(datum_type, shape))?;
    }
    Ok(())
}

fn specs(
    model: &TypedModel,
    names: Vec<String>,
    outlets: &[OutletId],
) -> Result<Vec<TensorSpec>, LoadError> {
    names
        .into_iter()
        .zip(outlets)
        .map(|(name, outlet)| spec(name, model.outlet_fact(*outlet)?))
        .collect()
}

fn spec(name: String, fact: &TypedFact) -> Result<TensorSpec, LoadError> {
    let datatype = datatype(fact.datum_type).ok_or_else(|| {
        LoadError::Model(format!(
            "tensor {name:?} has datatype {:?}, which the protocol lacks",
            fact.datum_type
        ))
    })?;
    let shape = fact
        .shape
        .iter()
        .map(|dimension| dimension.to_i64().unwrap_or(-1))
        .collect();
    Ok(TensorSpec {
        name,
        datatype,
        shape,
    })
}

/// The protocol's name for a tract type.
pub(crate) fn datatype(datum_type: DatumType) -> Option<Datatype> {
    Some(match datum_type.unquantized() {
        DatumType::Bool => Datatype::Bool,
        DatumType::U8 => Datatype::Uint8,
        DatumType::U16 => Datatype::Uint16,
        DatumType::U32 => Datatype::Uint32,
        DatumType::U64 => Datatype::Uint64,
        DatumType::I8 => Datatype::Int8,
        DatumType::I16 => Datatype::Int16,
        DatumType::I32 => Datatype::Int32,
        // Dimensions computed by the graph are 64-bit integers to ONNX.
        DatumType::I64 | DatumType::TDim => Datatype::Int64,
        DatumType::F16 => Datatype::Fp16,
        DatumType::F32 => Datatype::Fp32,
        DatumType::F64 => Datatype::Fp64,
        DatumType::String => Datatype::Bytes,
        _ => return None,
    })
}
