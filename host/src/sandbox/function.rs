//! A deployed component, ready to be instantiated.

use std::sync::Arc;
use std::time::Instant;

use glovebox_protocol as protocol;
use wasmtime::component::{Component, Linker};
use wasmtime::{Module, Result};

use super::Sandbox;
use super::bindings::ModelFunctionPre;
use super::call::{Answer, Call, Guest, ModelCall};
use super::compute::Tenant;
use super::invoke::{Fault, Finished, Invocation};
use super::nn;
use crate::limits::Limits;
use crate::native::Graphs;

/// The name under which a component without code of its own imports the runtime.
pub const RUNTIME_IMPORT: &str = "runtime";
/// The name under which it imports its image.
pub const IMAGE_IMPORT: &str = "image";

/// A component, and the core modules that it imports by name.
#[derive(Clone)]
pub struct Code {
    /// The component.
    pub component: Component,
    /// What is shared with others, or compiled apart.
    pub modules: Vec<(&'static str, Module)>,
}

impl Code {
    /// Tells a linker of the modules.
    pub(super) fn define<T: 'static>(&self, linker: &mut Linker<T>) -> Result<()> {
        for (name, module) in &self.modules {
            linker.root().module(name, module)?;
        }
        Ok(())
    }
}

/// A component with its limits. Cheap to clone; calls share nothing but the code and the image.
#[derive(Clone)]
pub struct Function {
    sandbox: Arc<Sandbox>,
    pre: ModelFunctionPre<Guest>,
    graphs: Arc<Graphs>,
    tenant: Tenant,
    limits: Limits,
}

impl Function {
    /// Links a component, which may import the modules beside it, `wasi:nn` if there are graphs for
    /// it, and nothing else.
    ///
    /// # Errors
    /// The component imports something else, or does not export the interface `model`.
    pub fn new(
        sandbox: Arc<Sandbox>,
        code: &Code,
        graphs: Arc<Graphs>,
        tenant: Tenant,
        limits: Limits,
    ) -> Result<Self> {
        let mut linker = Linker::new(code.component.engine());
        code.define(&mut linker)?;
        if !graphs.is_empty() {
            nn::add_to_linker(&mut linker, |guest: &mut Guest| &mut guest.nn)?;
        }
        let pre = ModelFunctionPre::new(linker.instantiate_pre(&code.component)?)?;
        Ok(Self {
            sandbox,
            pre,
            graphs,
            tenant,
            limits,
        })
    }

    /// What each request may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whose compute it uses.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// What the model is called with, as the component itself says.
    pub async fn signature(&self) -> Finished<protocol::Signature> {
        let deadline = Instant::now() + self.limits.timeout;
        let Finished { outcome, usage } = self.invoke(Call::Signature, deadline, ()).await;
        let outcome = outcome.and_then(|answer| match answer {
            Answer::Signature(signature) => Ok(signature),
            _ => Err(Fault::Host("the answer is of another call".into())),
        });
        Finished { outcome, usage }
    }

    /// Calls the component in a fresh instance, which is gone when the permit is dropped.
    /// Dropping the future ends the instance within two ticks.
    pub async fn invoke(
        &self,
        call: Call,
        deadline: Instant,
        permit: impl Send + Sync + 'static,
    ) -> Finished<Answer> {
        self.invoke_for(1, call, deadline, permit).await
    }

    /// The same for several requests at once, which together may use what each may by itself; but
    /// not more memory.
    pub async fn invoke_for(
        &self,
        requests: u32,
        call: Call,
        deadline: Instant,
        permit: impl Send + Sync + 'static,
    ) -> Finished<Answer> {
        let invocation = Invocation::new(self.limits.for_requests(requests), deadline);
        let entry = ModelCall {
            pre: self.pre.clone(),
            graphs: Arc::clone(&self.graphs),
            call,
        };
        let mut outcome = invocation.submit(&self.sandbox, self.tenant.clone(), entry, permit);
        Finished {
            outcome: invocation.wait(&mut outcome).await,
            usage: invocation.usage(),
        }
    }
}
