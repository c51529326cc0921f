//! Panics of the engine: caught, and told to nobody but the caller.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether this thread runs the engine.
    static IN_ENGINE: Cell<bool> = const { Cell::new(false) };
}

/// Does what may panic. What it was working on is not to be used afterwards.
///
/// # Errors
/// Its own, or what the panic said.
pub(super) fn caught<T, E>(
    work: impl FnOnce() -> Result<T, E>,
    panicked: impl FnOnce(String) -> E,
) -> Result<T, E> {
    quieten();
    IN_ENGINE.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IN_ENGINE.set(false);
    result.unwrap_or_else(|panic| Err(panicked(message(panic.as_ref()))))
}

/// Keeps what the engine's panics say out of standard error, where it would stand as it is.
fn quieten() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IN_ENGINE.get() {
                usual(info);
            }
        }));
    });
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it did not say why").to_owned()
}
