//! From the bytes of an ONNX file to a graph that tract runs, or a reason why not that names the node.
//!
//! tract reads ONNX; this crate adds the operators that it lacks or computes otherwise, inlines
//! functions, and refuses by name what would be misread. Neither wasm nor our kernels are known here:
//! those are what [`Adopt`] is for.
#![forbid(unsafe_code)]

mod correct;
mod error;
mod functions;
mod graph;
mod lower;
mod misread;
mod ml;
mod ops;
mod parsed;
mod refused;
mod shapes;
mod tensor;
mod weights;

pub use correct::facts;
pub use error::LoadError;
pub use graph::{Adopt, Graph};
pub use ml::ClassNames;
pub use parsed::Parsed;
pub use shapes::Shapes;
pub use tensor::{from_tract, to_tract};
pub use weights::Weights;
