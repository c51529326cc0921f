//! A deployed component, ready to be instantiated.

use std::sync::Arc;
use std::time::Instant;

use glovebox_protocol as protocol;
use wasmtime::component::{Component, Linker};
use wasmtime::{Module, Result};

use super::bindings::ModelFunctionPre;
use super::compute::Tenant;
use super::invoke::{Answer, Call, Fault, Finished, Invocation, State};
use super::{Live, Sandbox};
use crate::limits::Limits;

/// The name under which a component without code of its own imports the runtime.
pub const RUNTIME_IMPORT: &str = "runtime";

/// A component with its limits. Cheap to clone; calls share nothing but the code and the image.
#[derive(Clone)]
pub struct Function {
    sandbox: Arc<Sandbox>,
    pre: ModelFunctionPre<State>,
    tenant: Tenant,
    limits: Limits,
}

impl Function {
    /// Links a component, which may import the runtime's code module and nothing else.
    ///
    /// # Errors
    /// The component imports something, or does not export the interface `model`.
    pub fn new(
        sandbox: Arc<Sandbox>,
        component: &Component,
        runtime: Option<&Module>,
        tenant: Tenant,
        limits: Limits,
    ) -> Result<Self> {
        let mut linker = Linker::new(sandbox.engine());
        if let Some(module) = runtime {
            linker.root().module(RUNTIME_IMPORT, module)?;
        }
        let pre = ModelFunctionPre::new(linker.instantiate_pre(component)?)?;
        Ok(Self {
            sandbox,
            pre,
            tenant,
            limits,
        })
    }

    /// What each request may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What all functions of this sandbox hold now.
    pub fn live(&self) -> Live {
        self.sandbox.live()
    }

    /// What the model is called with, as the component itself says.
    pub async fn signature(&self) -> Finished<protocol::Signature> {
        let deadline = Instant::now() + self.limits.timeout;
        let finished = self.invoke(Call::Signature, deadline, ()).await;
        finished.map(|answer| match answer {
            Answer::Signature(signature) => Ok(signature),
            _ => Err(Fault::Host("the answer is of another call".into())),
        })
    }

    /// Calls the component in a fresh instance, which is gone when the permit is dropped.
    /// Dropping the future ends the instance within two ticks.
    pub async fn invoke(
        &self,
        call: Call,
        deadline: Instant,
        permit: impl Send + 'static,
    ) -> Finished<Answer> {
        let invocation = Invocation::new(self.pre.clone(), self.limits.clone(), call, deadline);
        invocation
            .run(&self.sandbox, self.tenant.clone(), permit)
            .await
    }
}
