//! `grpc-timeout`: how long a client is ready to wait.

use std::time::{Duration, Instant};

use glovebox_protocol::rest::Refusal;
use hyper::HeaderMap;

use crate::error::RequestError;
use crate::limits::Limits;

const HEADER: &str = "grpc-timeout";

/// When a client gives up, if it says so. It can shorten what the host would wait, never lengthen.
pub(super) fn read(headers: &HeaderMap, now: Instant) -> Result<Option<Instant>, RequestError> {
    let Some(header) = headers.get(HEADER) else {
        return Ok(None);
    };
    let timeout = header.to_str().ok().and_then(parse).ok_or_else(|| {
        let problem = "grpc-timeout must be up to eight digits and one of H, M, S, m, u, n";
        Refusal::InvalidRequest(problem.into())
    })?;
    Ok(Some(now + timeout.min(Limits::LONGEST)))
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = is_number.then(|| digits.parse().ok()).flatten()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}
