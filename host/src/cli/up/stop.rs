//! Signals that make a server drain and end.

use std::fs;
use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Which signals are heeded beside SIGTERM and SIGINT.
pub(in crate::cli) struct Signals {
    /// Not where whoever started this process wants it to outlive its terminal, as `nohup` does.
    hangup: bool,
}

impl Signals {
    /// Looks up what is ignored, which nobody can do behind the wall.
    pub(in crate::cli) fn wanted() -> Self {
        Self {
            hangup: !is_ignored(SignalKind::hangup()),
        }
    }

    /// Waits for the first of them.
    pub(in crate::cli) fn caught(self) -> io::Result<impl Future<Output = ()>> {
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let hangup = self.hangup.then(|| signal(SignalKind::hangup()));
        let hangup = hangup.transpose()?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = wait(hangup) => {}
            }
            tracing::info!("draining");
        })
    }
}

async fn wait(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => {
            signal.recv().await;
        }
        None => pending().await,
    }
}

fn is_ignored(signal: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = signal.as_raw_value().checked_sub(1);
    let bit = bit.and_then(|bit| 1u64.checked_shl(bit.unsigned_abs()));
    ignored.unwrap_or_default() & bit.unwrap_or_default() != 0
}
