//! `wasi:nn` as components of others know it: the version that wasmtime has.
#![allow(missing_docs, reason = "generated from the WIT of its owners")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "wasi:nn/ml",
    imports: {
        "wasi:nn/inference.[method]graph-execution-context.compute": async | trappable,
        default: trappable,
    },
    with: {
        "wasi:nn/tensor.tensor": super::session::Tensor,
        "wasi:nn/graph.graph": super::session::Loaded,
        "wasi:nn/inference.graph-execution-context": super::session::Context,
        "wasi:nn/errors.error": super::session::Refusal,
    },
});
