//! What can be wrong with a body, a tensor or a request.

use std::fmt;

use crate::quote::{quoted, shape};
use crate::{Datatype, TensorSpec};

/// Something is wrong with what came from outside. The text is one line, says where and what to do,
/// and shows foreign text only escaped and capped, so a server may answer 400 with it as it stands.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The body is not JSON, or not of the form that the call has.
    #[error("the body is not a valid {what}: {problem}")]
    Json {
        /// What the body should have been.
        what: &'static str,
        /// What the parser found and where, already escaped and capped.
        problem: String,
    },

    /// No datatype of the protocol has that name.
    #[error(
        "unknown datatype {}: expected one of {}",
        quoted(found),
        datatype_names()
    )]
    UnknownDatatype {
        /// The name that came.
        found: String,
    },

    /// A shape that no tensor can have: a negative dimension, too many dimensions, or too many
    /// elements to count.
    #[error("tensor {}: {problem}", quoted(tensor))]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// Which rule the shape broke.
        problem: String,
    },

    /// The data as a whole does not fit the tensor: its length, its nesting, or there is none.
    #[error("tensor {}: {problem}", quoted(tensor))]
    Data {
        /// The tensor's name.
        tensor: String,
        /// What was expected and what came.
        problem: String,
    },

    /// One element is not of the tensor's datatype.
    #[error("tensor {}, element {index}: {problem}", quoted(tensor))]
    Element {
        /// The tensor's name.
        tensor: String,
        /// Which element, counted from 0 in row-major order.
        index: u64,
        /// What was expected and what came.
        problem: String,
    },

    /// An FP16 or BF16 tensor where JSON is spoken.
    #[error(
        "tensor {}: {datatype} has no JSON form; send and ask for it as binary data, over REST or gRPC",
        quoted(tensor)
    )]
    NoJsonForm {
        /// The tensor's name.
        tensor: String,
        /// FP16 or BF16.
        datatype: Datatype,
    },

    /// A tensor announces binary data behind the JSON, and nothing says where that ends.
    #[error(
        "tensor {}: binary_data_size is set, but nothing says where the JSON ends; send its length \
         in bytes as the header Inference-Header-Content-Length",
        quoted(tensor)
    )]
    BinaryData {
        /// The tensor's name.
        tensor: String,
    },

    /// The lengths in a body with binary tensors do not add up, or the model cannot take it so.
    #[error("binary tensor data: {0}")]
    Binary(String),

    /// A tensor is in memory that the server is asked to share.
    #[error(
        "tensor {}: shared memory is not supported; send the data with the request",
        quoted(tensor)
    )]
    SharedMemory {
        /// The tensor's name.
        tensor: String,
    },

    /// Bytes that are no text where JSON is wanted.
    #[error(
        "tensor {}, element {index}: these bytes are not UTF-8, so they have no JSON form; ask for \
         them as binary data",
        quoted(tensor)
    )]
    NotText {
        /// The tensor's name.
        tensor: String,
        /// Which element, counted from 0 in row-major order.
        index: u64,
    },

    /// An output cannot be answered as classes.
    #[error("output {}: {problem}", quoted(tensor))]
    Classification {
        /// The output's name.
        tensor: String,
        /// Why.
        problem: String,
    },

    /// The request names an input or output that the model does not have.
    #[error("the model has no {role} {}; its {role}s are: {known}", quoted(tensor))]
    UnknownTensor {
        /// Input or output.
        role: Role,
        /// The name that came.
        tensor: String,
        /// The model's own names, already escaped and capped.
        known: String,
    },

    /// The request lacks one of the model's inputs.
    #[error(
        "input {} is missing: the model expects it as {} with shape {}",
        quoted(&expected.name), expected.datatype, shape(&expected.shape)
    )]
    MissingInput {
        /// The input as the model describes it.
        expected: TensorSpec,
    },

    /// The request names an input or output twice.
    #[error("{role} {} is named more than once; name it once", quoted(tensor))]
    DuplicateTensor {
        /// Input or output.
        role: Role,
        /// The name that came twice.
        tensor: String,
    },

    /// An input has another datatype than the model's.
    #[error(
        "input {}: expected datatype {expected}, found {found}",
        quoted(tensor)
    )]
    DatatypeMismatch {
        /// The input's name.
        tensor: String,
        /// The model's datatype.
        expected: Datatype,
        /// The datatype that came.
        found: Datatype,
    },

    /// An input has another shape than the model's.
    #[error("input {}: {}", quoted(tensor), shape_mismatch(expected, found))]
    ShapeMismatch {
        /// The input's name.
        tensor: String,
        /// The model's shape; -1 is the caller's choice.
        expected: Vec<i64>,
        /// The shape that came.
        found: Vec<u64>,
    },
}

/// On which side of the model a tensor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The caller sends it.
    Input,
    /// The model answers with it.
    Output,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Input => "input",
            Role::Output => "output",
        })
    }
}

fn datatype_names() -> String {
    Datatype::ALL.map(Datatype::name).join(", ")
}

fn shape_mismatch(expected: &[i64], found: &[u64]) -> impl fmt::Display {
    let problem = match expected.len() == found.len() {
        true => "",
        false => " (another number of dimensions)",
    };
    let choice = match expected.iter().any(|dimension| *dimension < 0) {
        true => " (-1 is the caller's choice)",
        false => "",
    };
    let (expected, found) = (shape(expected), shape(found));
    format!("expected shape {expected}{choice}, found {found}{problem}")
}
