//! Sockets of clients that behave badly.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

/// How often a client writes that drips.
pub(crate) const DRIP_TIME: Duration = Duration::from_millis(250);
/// By then everything is closed that ever will be.
const TIME: Duration = Duration::from_secs(100);

/// What a host did with a connection: what it said, and how long it kept it.
pub(crate) struct Closed {
    pub(crate) said: Vec<u8>,
    pub(crate) after: Duration,
}

impl Closed {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.said).into_owned()
    }
}

/// Writes `first`, then `drip` again and again, until the host closes the connection.
#[track_caller]
pub(crate) fn drip_until_closed(mut stream: TcpStream, first: &[u8], drip: &[u8]) -> Closed {
    let (start, mut said) = (Instant::now(), Vec::new());
    stream.set_read_timeout(Some(DRIP_TIME)).expect("a timeout");
    stream.write_all(first).expect("it reads");
    let mut buffer = [0; 1 << 14];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => said.extend(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // That the host has closed is heard by reading.
                let _ = stream.write_all(drip);
            }
            Err(_) => break,
        }
        assert!(start.elapsed() < TIME, "still open after {TIME:?}");
    }
    Closed {
        said,
        after: start.elapsed(),
    }
}

/// Writes `more` again and again and never reads, until the host closes the connection or the
/// bytes are as many as `most`; how many it took.
#[track_caller]
pub(crate) fn write_until_closed(stream: &mut TcpStream, more: &[u8], most: usize) -> usize {
    let (start, mut written) = (Instant::now(), 0);
    stream
        .set_write_timeout(Some(DRIP_TIME))
        .expect("a timeout");
    while written < most {
        // A part of `more` may have been taken: it goes on where it stopped.
        match stream.write(&more[written % more.len()..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        assert!(start.elapsed() < TIME, "still open after {TIME:?}");
    }
    written
}

/// Lets this process have as many sockets as it may.
pub(crate) fn allow_many_sockets() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum is allowed");
}

/// Waits a moment as slow clients do: for an answer to nothing.
pub(crate) fn pause() {
    let (waiting, _other) = UnixStream::pair().unwrap();
    let time = Duration::from_millis(250);
    waiting.set_read_timeout(Some(time)).unwrap();
    (&waiting).read(&mut [0]).unwrap_err();
}
