//! What a process behind the wall can still do. A program of its own: what is given up here cannot
//! be taken back, and holds for every thread.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use glovebox::harden::{self, Door, Wall};

#[track_caller]
fn refused<T>(tried: std::io::Result<T>) {
    let kind = tried.err().map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::PermissionDenied));
}

#[test]
fn behind_the_wall_nothing_can_be_opened_and_what_is_open_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A client from before the wall; it is accepted behind it.
    let mut client = TcpStream::connect(address).unwrap();
    let file = fs::canonicalize("/proc/self/exe").unwrap();
    let dir = tempfile::tempdir().unwrap();

    let door = Door::default();
    let wall = Wall::raise(&harden::serving_resources(1), &door).close(&door);
    assert!(wall.gaps().all(|(layer, _)| layer.name() == "landlock"));

    refused(File::open(&file));
    refused(File::open("/etc/passwd"));
    refused(File::open("/proc/self/mem"));
    refused(File::create(dir.path().join("new")));
    refused(fs::read_dir("/"));
    refused(fs::remove_file(&file));
    refused(TcpStream::connect(address));
    refused(TcpListener::bind("127.0.0.1:0"));
    refused(UdpSocket::bind("127.0.0.1:0"));
    refused(UnixStream::connect("/run/nothing"));
    refused(Command::new(&file).status());
    // In this very process: on success nothing below would run.
    let error = Command::new(&file).exec();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    refused(
        rustix::process::setrlimit(
            rustix::process::Resource::Core,
            rustix::process::Rlimit {
                current: None,
                maximum: None,
            },
        )
        .map_err(Into::into),
    );

    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"still here").unwrap();
    });
    let mut answer = [0; 10];
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"still here");
    server.join().unwrap();
    // A temporary folder cannot be removed from here.
    let _ = dir.keep();
}
