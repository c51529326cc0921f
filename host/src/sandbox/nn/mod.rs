//! `wasi:nn` for components whose graphs an operator trusts.
//!
//! A component gets graphs by name, and only those that its manifest names; it cannot load any from
//! bytes. Its tensors and those of a run count against the memory of its request, the operators'
//! time against its CPU time. A [`Session`] is what one instance has; a [`run`] goes on threads of
//! its own, and looks at the limits between two operators.

mod bindings;
mod host;
mod run;
mod session;
mod types;

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker};

use bindings::wasi::nn;
pub(super) use session::Session;

/// Gives a linker the interfaces of `wasi:nn`.
///
/// # Errors
/// It has them already.
pub(super) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    session: fn(&mut T) -> &mut Session,
) -> Result<()> {
    nn::errors::add_to_linker::<_, HasSelf<Session>>(linker, session)?;
    nn::tensor::add_to_linker::<_, HasSelf<Session>>(linker, session)?;
    nn::inference::add_to_linker::<_, HasSelf<Session>>(linker, session)?;
    nn::graph::add_to_linker::<_, HasSelf<Session>>(linker, session)
}
