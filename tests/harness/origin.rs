//! A small HTTP server that guests may want to call.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What it answers.
pub(crate) const GREETING: &str = "hello from outside";

/// It listens on 127.0.0.1 until the tests end.
pub(crate) struct Origin {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    /// Answers every request with [`GREETING`].
    pub(crate) fn start() -> Self {
        Self::with(|mut stream| {
            let length = GREETING.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{GREETING}");
            let _ = stream.write_all(answer.as_bytes());
        })
    }

    /// Reads requests and never answers.
    pub(crate) fn silent() -> Self {
        let held = Mutex::new(Vec::new());
        Self::with(move |stream| {
            held.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(stream);
        })
    }

    /// Answers with a body without end.
    pub(crate) fn endless() -> Self {
        Self::with(|mut stream| {
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            while stream.write_all(chunk.as_bytes()).is_ok() {}
        })
    }

    fn with(answer: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let head = head(&mut stream);
                heard
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(head);
                answer(stream);
            }
        });
        Self { port, requests }
    }

    /// A path of it by a name of this machine.
    pub(crate) fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.extend(byte);
    }
    String::from_utf8_lossy(&head).into_owned()
}
