//! Open Inference Protocol v2: its JSON types, its tensors and the codec between them, and the rules
//! of its REST form ([`rest`]).
//!
//! The host and the guests share this crate, so it does no I/O, knows no async runtime and builds
//! for `wasm32-unknown-unknown`. Whatever comes from outside is answered with an [`Error`] whose
//! text may be sent to the client as it stands; nothing here panics on bad input, and no claim in a
//! body (a shape, a length) makes it allocate more than a small multiple of the bytes that really
//! came.
//!
//! ```
//! use glovebox_protocol::{InferRequest, InferResponse};
//!
//! # fn main() -> Result<(), glovebox_protocol::Error> {
//! let body = br#"{
//!     "id": "42",
//!     "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4.5]]}]
//! }"#;
//! let request = InferRequest::from_json(body)?;
//! let mut tensor = request.inputs.into_iter().next().unwrap();
//! assert_eq!(tensor.shape, [2, 2]);
//! assert_eq!(tensor.data.len(), 16);
//!
//! tensor.name = "y".into();
//! let response = InferResponse {
//!     model_name: "identity".into(),
//!     model_version: None,
//!     id: request.id,
//!     outputs: vec![tensor],
//! };
//! assert_eq!(
//!     String::from_utf8(response.to_json()?).unwrap(),
//!     r#"{"model_name":"identity","id":"42","outputs":[{"name":"y","datatype":"FP32","shape":[2,2],"data":[1.0,2.0,3.0,4.5]}]}"#
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # Rules of the JSON form
//!
//! | what | rule |
//! |---|---|
//! | `data` | flat or nested, row-major; arrays at one depth have one length; the number of elements must be the shape's |
//! | BOOL | `true`, `false`, and on input also `1`, `0` |
//! | integers | whole numbers in the datatype's range; `1.0` is refused |
//! | FP32, FP64 | rounded to the nearest; a number too large for the datatype is refused |
//! | NaN, infinities | written as `null`; `null` is refused on input |
//! | BYTES | one UTF-8 string for each element |
//! | FP16, BF16 | no JSON form: binary data only |
//! | binary data | behind the JSON, see [`rest::read_request`]: little-endian, row-major; BYTES elements behind their length |
//! | tensors in one body | at most 1024 |
//! | parameters of a tensor | `binary_data_size`, `binary_data`, `classification`; `shared_memory_region` is refused; all others are dropped |
//! | unknown keys | ignored; known keys must not appear twice |
#![forbid(unsafe_code)]

mod bytes;
mod call;
mod classification;
mod config;
mod data;
mod datatype;
mod decoder;
mod element;
mod encoder;
mod error;
mod metadata;
mod parameter;
mod quote;
mod request;
mod response;
pub mod rest;
mod signature;
mod statistics;
mod tail;
mod tensor;
mod tokens;
mod wit;

pub use bytes::BytesElements;
pub use bytes::push_element;
pub use call::CallError;
pub use classification::classify;
pub use config::ConfigTensor;
pub use config::ModelConfig;
pub use datatype::Datatype;
pub use error::Error;
pub use error::Role;
pub use metadata::FIRST_VERSION;
pub use metadata::ModelList;
pub use metadata::ModelMetadata;
pub use metadata::ModelReady;
pub use metadata::PLATFORM;
pub use metadata::ServerLive;
pub use metadata::ServerMetadata;
pub use metadata::ServerReady;
pub use parameter::Parameter;
pub use parameter::Parameters;
pub use quote::escape;
pub use quote::name_list;
pub use quote::quoted;
pub use request::InferRequest;
pub use response::InferResponse;
pub use signature::Signature;
pub use signature::TensorSpec;
pub use statistics::BatchStatistics;
pub use statistics::DurationStatistics;
pub use statistics::InferenceStatistics;
pub use statistics::ModelStatistics;
pub use statistics::StatisticsReport;
pub use tensor::MAX_RANK;
pub use tensor::Tensor;
pub use tensor::element_count;
