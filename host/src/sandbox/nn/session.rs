//! What one instance has of `wasi:nn`: its graphs, its tensors, its errors.
#![allow(unreachable_pub, reason = "what is generated exports the resources")]

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Resource, ResourceTable};

use super::bindings::wasi::nn::errors::ErrorCode;
use super::bindings::wasi::nn::tensor::TensorType;
use crate::limits;
use crate::native::{Graph, Graphs};
use crate::sandbox::allowance::{Allowance, Stop};
use crate::sandbox::limiter::Charge;

/// What one instance has, within its allowance.
pub(in crate::sandbox) struct Session {
    pub(super) graphs: Arc<Graphs>,
    pub(super) allowance: Arc<Allowance>,
    pub(super) table: ResourceTable,
}

/// A graph that the component has found by its name.
pub struct Loaded(pub(super) Arc<dyn Graph>);

/// Where the component runs it.
pub struct Context(pub(super) Arc<dyn Graph>);

/// A tensor; the component may have called it anything, so its size need not fit its data.
pub struct Tensor {
    pub(super) dimensions: Vec<u32>,
    pub(super) ty: TensorType,
    pub(super) data: Vec<u8>,
    /// What its data takes.
    pub(super) charge: Charge,
}

/// What went wrong, for the component.
pub struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) text: String,
}

impl Session {
    /// With these graphs, and nothing yet.
    pub(in crate::sandbox) fn new(graphs: &Arc<Graphs>, allowance: &Arc<Allowance>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::RESOURCES);
        Self {
            graphs: Arc::clone(graphs),
            allowance: Arc::clone(allowance),
            table,
        }
    }

    /// Takes memory of the request.
    ///
    /// # Errors
    /// There is not as much left.
    pub(super) fn charge(&self, bytes: usize) -> Result<Charge, Stop> {
        let mut charge = Charge::new(&self.allowance.memory);
        match charge.resize(bytes as u64) {
            true => Ok(charge),
            false => Err(Stop::Memory),
        }
    }

    /// An error for the component.
    ///
    /// # Errors
    /// It has too many resources already.
    pub(super) fn refusal(
        &mut self,
        code: ErrorCode,
        text: impl Into<String>,
    ) -> Result<Resource<Refusal>> {
        let text = text.into();
        Ok(self.table.push(Refusal { code, text })?)
    }
}
