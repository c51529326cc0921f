//! Why a guest cannot be taken apart.

use wasm_encoder::reencode;
use wasmparser::BinaryReaderError;

/// Why a guest cannot be taken apart. Texts of the guest are as it has them: hostile.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Neither a core module nor a component.
    #[error("it is no WebAssembly")]
    NotWasm,
    /// It wants something of a host.
    #[error(
        "it imports {0}, and a guest imports nothing: no files, no clock, no randomness; build it for \
         wasm32-unknown-unknown, without crates that call JavaScript or WASI"
    )]
    Imports(String),
    /// It says of no world that it is one of it, or is not.
    #[error("it is no guest of the world model-function: {0}")]
    World(String),
    /// Its modules cannot be told apart into image and code.
    #[error("it has {0} core modules, and a guest has one")]
    Modules(usize),
    /// Code would run before the memory is taken.
    #[error("it runs code when it is instantiated (a start section)")]
    Start,
    /// It has no memory that could be an image.
    #[error("it defines no memory, or several")]
    Memory,
    /// Its instructions need its data segments, which a packed model does not have.
    #[error("its code refers to data segments; build it without shared memory")]
    Data,
    /// Not valid.
    #[error("it is broken: {0}")]
    Broken(String),
}

impl From<BinaryReaderError> for SplitError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<reencode::Error> for SplitError {
    fn from(error: reencode::Error) -> Self {
        Self::Broken(error.to_string())
    }
}
