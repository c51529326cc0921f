//! What users of Spin deploy, made to be tested with: an HTTP component of its SDK that does what
//! its path says.
//!
//! The path below the mount names what to do, with what follows it; [`answer`] is the list. What is
//! not in the list is answered with the request as it was seen. Things that only go wrong do so
//! before an answer, or with `?after=head` when the answer has begun.
#![allow(unsafe_code, reason = "`http_component` makes it")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a guest that panics has trapped, and what it prints is a test"
)]

mod asked;
mod hostile;
mod plain;
mod reply;
mod streamed;
mod world;

use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;

use asked::Asked;
use reply::Reply;

#[http_component]
async fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let asked = Asked::new(&request);
    match asked.parameter("after") {
        Some(_) => {
            let _body = streamed::begin(out).await;
            answer(&asked, request, Reply::begun()).await;
        }
        None => answer(&asked, request, Reply::to(out)).await,
    }
}

/// Does what is asked for.
async fn answer(asked: &Asked, request: IncomingRequest, reply: Reply) {
    match asked.verb() {
        "echo" => plain::echo(request, reply).await,
        "count" => plain::count(reply).await,
        "status" => plain::status(asked, reply),
        "headers" => plain::headers(asked, reply),

        "environment" => world::environment(asked, reply).await,
        "variable" => world::variable(asked, reply).await,
        "file" => world::file(asked, reply).await,
        "folder" => world::folder(asked, reply).await,
        "write" => world::write(asked, reply).await,
        "call" => world::call(asked, reply).await,
        "calls" => world::calls(asked, reply).await,
        "sockets" => world::sockets(asked, reply).await,

        "stream" => streamed::stream(asked, reply).await,
        "declare" => streamed::declare(asked, reply).await,
        "flood" => streamed::flood(reply).await,

        "burn" => hostile::burn(),
        "grow" => hostile::grow(),
        "wait" => hostile::wait(asked, reply).await,
        "print" => hostile::print(reply).await,
        "random" => hostile::random(asked, reply).await,
        "trap" => hostile::trap(),
        "panic" => panic!("\u{1b}[2Jpanicked"),
        "exit" => std::process::exit(3),
        "nothing" => {}
        "fields" => hostile::fields(),
        _ => plain::shape(&request, reply).await,
    }
}
