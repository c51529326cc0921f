//! What the manifest gives a component.

use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::{env, fs, io};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::json;
use spin_sdk::http::{self, Request, Response, SendError};
use spin_sdk::variables;

use crate::asked::Asked;
use crate::reply::Reply;

/// An environment variable, or all of them sorted.
pub(crate) async fn environment(asked: &Asked, reply: Reply) {
    let mut pairs: Vec<_> = env::vars()
        .filter(|(name, _)| asked.object().is_empty() || name == asked.object())
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    pairs.sort();
    reply.text(pairs.concat()).await;
}

/// A variable, or why there is none.
pub(crate) async fn variable(asked: &Asked, reply: Reply) {
    let value = variables::get(asked.object());
    reply
        .text(value.unwrap_or_else(|error| format!("{error:?}")))
        .await;
}

/// A file below the root.
pub(crate) async fn file(asked: &Asked, reply: Reply) {
    let text = fs::read_to_string(path(asked));
    reply.text(told(text)).await;
}

/// What is in a folder, sorted.
pub(crate) async fn folder(asked: &Asked, reply: Reply) {
    let names = fs::read_dir(path(asked)).and_then(|entries| {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string());
        let names: io::Result<Result<Vec<_>, _>> = entries.map(name).collect();
        let mut names = names?.map_err(|_| io::Error::other("a name is no text"))?;
        names.sort();
        Ok(names.join(" "))
    });
    reply.text(told(names)).await;
}

/// Each way to change a file, and what came of it.
pub(crate) async fn write(asked: &Asked, reply: Reply) {
    let path = path(asked);
    let new = format!("{path}.new");
    let tries = [
        ("write", fs::write(&path, "changed")),
        (
            "append",
            fs::OpenOptions::new().append(true).open(&path).map(drop),
        ),
        (
            "truncate",
            fs::OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(&path)
                .map(drop),
        ),
        ("create", fs::write(&new, "made")),
        ("create_dir", fs::create_dir(&new)),
        ("rename", fs::rename(&path, &new)),
        ("hard_link", fs::hard_link(&path, &new)),
        ("remove", fs::remove_file(&path)),
    ];
    reply.text(outcomes(&tries)).await;
}

/// Each way to use the network without HTTP, and what came of it.
pub(crate) async fn sockets(asked: &Asked, reply: Reply) {
    let address = asked.parameter("address").expect("an address");
    let udp = || {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.send_to(b"x", address)
    };
    let tries = [
        ("connect", TcpStream::connect(address).map(drop)),
        ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
        ("send", udp().map(drop)),
        ("look up", ("localhost", 80).to_socket_addrs().map(drop)),
    ];
    reply.text(outcomes(&tries)).await;
}

/// A line for each: what was tried, and `ok` or the kind of its error.
fn outcomes(tries: &[(&str, io::Result<()>)]) -> String {
    let line = |(name, outcome): &(&str, io::Result<()>)| match outcome {
        Ok(()) => format!("{name}: ok\n"),
        Err(error) => format!("{name}: {:?}\n", error.kind()),
    };
    tries.iter().map(line).collect()
}

fn path(asked: &Asked) -> String {
    Path::new("/").join(asked.object()).display().to_string()
}

fn told(outcome: io::Result<String>) -> String {
    outcome.unwrap_or_else(|error| format!("refused: {:?}", error.kind()))
}

/// Asks `url` and tells what came of it.
pub(crate) async fn call(asked: &Asked, reply: Reply) {
    reply.text(ask(asked).await).await;
}

/// Asks `url` so many times at once and tells what came of the first `wanted` that have ended.
pub(crate) async fn calls(asked: &Asked, reply: Reply) {
    let calls = (0..asked.number("count")).map(|_| ask(asked));
    let calls: FuturesUnordered<_> = calls.collect();
    let ended: Vec<_> = calls.take(asked.number("wanted")).collect().await;
    reply.text(ended.join("\n")).await;
}

async fn ask(asked: &Asked) -> String {
    let url = asked.parameter("url").expect("a url");
    let response: Result<Response, _> = http::send(Request::get(url).build()).await;
    let told = match response {
        Ok(response) => json!({
            "status": response.status(),
            "body": String::from_utf8_lossy(response.body()),
        }),
        Err(SendError::Http(code)) => json!({ "error": format!("{code:?}") }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    told.to_string()
}
