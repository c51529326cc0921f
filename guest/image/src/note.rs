//! What a panic was about, readable after the trap that it ends in.

#[cfg(target_family = "wasm")]
use std::panic::{self, PanicHookInfo};
use std::sync::Mutex;

#[cfg(target_family = "wasm")]
const PANIC_BYTES: usize = 512;
/// Why the guest panicked.
#[cfg(target_family = "wasm")]
static PANIC: Mutex<([u8; PANIC_BYTES], usize)> = Mutex::new(([0; PANIC_BYTES], 0));
/// What a panic would be about.
static DOING: Mutex<String> = Mutex::new(String::new());

/// From now on the last panic is noted.
#[cfg(target_family = "wasm")]
pub(crate) fn take() {
    panic::set_hook(Box::new(write));
}

/// Reads the note of the last panic.
#[cfg(target_family = "wasm")]
pub(crate) fn read<T>(read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let note = PANIC.lock().ok()?;
    note.0.get(..note.1).map(read)
}

/// Does something that may panic, whose note then begins with `what`.
pub fn while_doing<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let set = |text: String| DOING.lock().map(|mut doing| *doing = text);
    let _ = set(format!("{what}: "));
    let result = act();
    let _ = set(String::new());
    result
}

#[cfg(target_family = "wasm")]
fn write(panic: &PanicHookInfo<'_>) {
    use std::io::Write;
    let Ok(mut note) = PANIC.try_lock() else {
        return;
    };
    let mut rest = note.0.as_mut_slice();
    let doing = DOING.try_lock();
    let doing = doing.as_ref().map_or("", |doing| doing.as_str());
    // A message that does not fit is cut.
    let _ = write!(rest, "{doing}{panic}");
    note.1 = PANIC_BYTES - rest.len();
}
