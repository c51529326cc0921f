//! What no component should do.

use std::hint::black_box;

use spin_sdk::http::Fields;
use wasi::clocks::monotonic_clock;
use wasi::random::random;

use crate::asked::Asked;
use crate::reply::Reply;

/// Never ends.
pub(crate) fn burn() -> ! {
    let mut rounds = 0_u64;
    loop {
        rounds = black_box(rounds.wrapping_add(1));
    }
}

/// Takes memory until there is no more, and writes all of it.
pub(crate) fn grow() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Waits for `ms` milliseconds, or for ever, without using the CPU.
pub(crate) async fn wait(asked: &Asked, reply: Reply) {
    match asked.parameter("ms") {
        Some(_) => pause(asked.number("ms")),
        None => monotonic_clock::subscribe_duration(u64::MAX).block(),
    }
    reply.text("waited").await;
}

/// Waits for a timer of the host.
pub(crate) fn pause(millis: usize) {
    monotonic_clock::subscribe_duration(millis as u64 * 1_000_000).block();
}

/// Prints more than anybody wants to read, with all that a terminal obeys.
pub(crate) async fn print(reply: Reply) {
    const LINE: &str =
        "\u{1b}[2J\u{1b}]0;title\u{7}\r\n{\"level\":\"ERROR\"}\u{202e}\u{9b}31m\u{0}";
    for number in 0..1000 {
        println!("out {number} {LINE}");
        eprintln!("err {number} {LINE}");
    }
    reply.text("printed").await;
}

/// `bytes` random bytes at once; how many of them are not zero.
pub(crate) async fn random(asked: &Asked, reply: Reply) {
    let bytes = random::get_random_bytes(asked.number("bytes") as u64);
    let count = bytes.iter().filter(|byte| **byte != 0).count();
    reply.text(count.to_string()).await;
}

/// The instruction that traps.
pub(crate) fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

/// Makes header fields without end, each with a field.
pub(crate) fn fields() -> ! {
    loop {
        let fields = Fields::new();
        let value = vec![b'x'; 1000];
        fields.append("x-probe", &value).expect("a field");
        std::mem::forget(fields);
    }
}
