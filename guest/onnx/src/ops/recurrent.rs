//! `LSTM`, `GRU` and `RNN` with the activations that the node names: tract takes the default ones.

use tract_onnx::model::ParsingContext;
use tract_onnx::ops::rec::common::{CommonRec, WireBody};
use tract_onnx::ops::rec::gru::GRU;
use tract_onnx::ops::rec::lstm::LSTM;
use tract_onnx::ops::rec::rnn::RNN;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::{math, nn};
use tract_onnx::tract_hir::ops::expandable::expand;

use super::operator::Built;

type Activation = Box<dyn TypedOp>;

/// The inputs that all of them need: sequences, weights, weights of the state.
const NEEDED: usize = 3;

pub(super) fn lstm(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let [f, g, h] = activations(node, ["Sigmoid", "Tanh", "Tanh"])?;
    recurrent(node, LSTM { f, g, h })
}

pub(super) fn gru(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let [f, g] = activations(node, ["Sigmoid", "Tanh"])?;
    let linear_before_reset = node.get_attr_opt("linear_before_reset")?.unwrap_or(false);
    let body = GRU {
        f,
        g,
        linear_before_reset,
    };
    recurrent(node, body)
}

pub(super) fn rnn(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let [fore] = activations(node, ["Tanh"])?;
    let back = fore.clone();
    recurrent(node, RNN { fore, back })
}

fn recurrent(node: &NodeProto, body: impl WireBody + 'static) -> Built {
    let operator = CommonRec::from_node_and_options(node, NEEDED, 0, Box::new(body))?;
    Ok((expand(operator), Vec::new()))
}

/// The activations of one direction; both directions must have the same.
fn activations<const N: usize>(
    node: &NodeProto,
    default: [&str; N],
) -> TractResult<[Activation; N]> {
    for attribute in ["clip", "activation_alpha", "activation_beta"] {
        let is_there = node.attribute.iter().any(|there| there.name == attribute);
        ensure!(
            !is_there,
            "{}: attribute {attribute:?} is not supported",
            node.op_type
        );
    }
    let couples_gates = node.get_attr_opt::<i64>("input_forget")?.unwrap_or(0) != 0;
    ensure!(
        !couples_gates,
        "{}: attribute \"input_forget\" is not supported",
        node.op_type
    );
    let names: Option<Vec<String>> = node.get_attr_opt_vec("activations")?;
    let names = names.unwrap_or_else(|| default.map(str::to_owned).into());
    let (one, other) = names.split_at_checked(N).unwrap_or_default();
    ensure!(
        one.len() == N && (other.is_empty() || other == one),
        "{}: activations {names:?} are not supported, which differ by direction",
        node.op_type
    );
    let made: TractResult<Vec<Activation>> =
        one.iter().map(|name| activation(node, name)).collect();
    made?.try_into().map_err(|_| format_err!("{N} activations"))
}

fn activation(node: &NodeProto, name: &str) -> TractResult<Activation> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "relu" => Box::new(nn::leaky_relu(0.0)),
        "sigmoid" => Box::new(nn::sigmoid()),
        "tanh" => Box::new(math::tanh()),
        _ => bail!("{}: activation {name:?} is not supported", node.op_type),
    })
}
