//! The messages of a request: cut out of its body, uncompressed, within limits of size and pace.

use std::io::Read;
use std::time::Instant;

use axum::body::Body;
use flate2::read::{GzDecoder, ZlibDecoder};
use glovebox_protocol::rest::Refusal;
use http_body_util::BodyExt;
use tokio::time::timeout_at;

use crate::error::RequestError;
use crate::limits::{self, Bytes};
use crate::server::coding::Coding;
use crate::server::pace::Transfer;

/// The metadata that names how messages are compressed, and what it can name.
pub(super) const CODING: &str = "grpc-encoding";
pub(super) const ACCEPTED_CODINGS: (&str, &str) = ("grpc-accept-encoding", "identity,gzip,deflate");

/// `deflate` is zlib here, as it is to all libraries of gRPC.
fn reader<'a>(coding: Coding, bytes: &'a [u8]) -> Box<dyn Read + 'a> {
    match coding {
        Coding::Gzip => Box::new(GzDecoder::new(bytes)),
        Coding::Deflate => Box::new(ZlibDecoder::new(bytes)),
    }
}

/// The messages of one request. No more of them is held than has been asked for, and what comes with
/// it in one frame of HTTP/2.
pub(super) struct Messages {
    body: Body,
    coding: Option<Coding>,
    received: Vec<u8>,
    transfer: Transfer,
    current: Option<Head>,
}

/// What stands before a message.
#[derive(Clone, Copy)]
struct Head {
    coding: Option<Coding>,
    length: usize,
}

const HEAD_BYTES: usize = 5;

impl Messages {
    /// The messages of a body, whose pace is watched from now on.
    pub(super) fn new(body: Body, coding: Option<Coding>) -> Self {
        Self {
            body,
            coding,
            received: Vec::new(),
            transfer: Transfer::new(limits::BODY_PACE),
            current: None,
        }
    }

    /// Waits until something of a next message is there, without a pace. False if there is none.
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn wait(&mut self, until: Instant) -> Result<bool, RequestError> {
        while self.received.is_empty() {
            let frame = timeout_at(until.into(), self.body.frame()).await;
            let frame = frame.map_err(|_| RequestError::Timeout)?;
            if !self.take_in(frame)? {
                return Ok(false);
            }
        }
        self.transfer = Transfer::new(limits::BODY_PACE);
        Ok(true)
    }

    /// Goes to the next message and gives its beginning, uncompressed, which for a small message is
    /// all of it. None if there are no more messages.
    pub(super) async fn begin(&mut self, until: Instant) -> Result<Option<Vec<u8>>, RequestError> {
        while self.received.len() < HEAD_BYTES {
            if !self.fill(until).await? {
                return match self.received.is_empty() {
                    true => Ok(None),
                    false => Err(Refusal::body_broke_off().into()),
                };
            }
        }
        let head = self.head()?;
        self.current = Some(head);
        let length = head.length.min(limits::GRPC_BEGINNING_BYTES);
        self.fill_to(length, until).await?;
        let beginning = self.received.get(..length).unwrap_or_default();
        let Some(coding) = head.coding else {
            return Ok(Some(beginning.to_vec()));
        };
        let (mut bytes, most) = (Vec::new(), limits::GRPC_BEGINNING_BYTES as u64);
        // The end is missing, and that is an error, but all before it is there.
        let _ = reader(coding, beginning).take(most).read_to_end(&mut bytes);
        Ok(Some(bytes))
    }

    /// The whole message that has begun, if it has no more than `most` bytes, compressed and not.
    pub(super) async fn finish(
        &mut self,
        most: Bytes,
        until: Instant,
    ) -> Result<Vec<u8>, RequestError> {
        let head = self.current.ok_or(RequestError::INTERNAL)?;
        if head.length as u64 > most.0 {
            return Err(too_large(most));
        }
        let missing = head.length.saturating_sub(self.received.len());
        self.received.reserve_exact(missing);
        self.fill_to(head.length, until).await?;
        // Who waits for the next message must not hold the memory of this one.
        let rest = self.received.split_off(head.length);
        let message = std::mem::replace(&mut self.received, rest);
        self.current = None;
        match head.coding {
            None => Ok(message),
            Some(coding) => tokio::task::block_in_place(|| uncompress(&message, coding, most)),
        }
    }

    /// The only message of a request, if it is a small one.
    pub(super) async fn only(&mut self, until: Instant) -> Result<Vec<u8>, RequestError> {
        match self.begin(until).await? {
            Some(_) => self.finish(limits::GRPC_MESSAGE_BYTES, until).await,
            None => Err(missing()),
        }
    }

    /// Lets the rest of a message that was refused pass by, so that the next can be read.
    pub(super) async fn skip(&mut self, until: Instant) -> Result<(), RequestError> {
        let Some(Head { mut length, .. }) = self.current.take() else {
            return Ok(());
        };
        loop {
            let passed = length.min(self.received.len());
            self.received.drain(..passed);
            length -= passed;
            if length == 0 {
                return Ok(());
            }
            if !self.fill(until).await? {
                return Err(Refusal::body_broke_off().into());
            }
        }
    }

    fn head(&mut self) -> Result<Head, RequestError> {
        let Some(([flag, length @ ..], _)) = self.received.split_first_chunk::<HEAD_BYTES>() else {
            return Err(RequestError::INTERNAL);
        };
        let (flag, length) = (*flag, u32::from_be_bytes(*length) as usize);
        self.received.drain(..HEAD_BYTES);
        let coding = match (flag, self.coding) {
            (0, _) => None,
            (1, Some(coding)) => Some(coding),
            _ => {
                let problem = "a message is compressed, but grpc-encoding does not say how";
                return Err(Refusal::InvalidRequest(problem.into()).into());
            }
        };
        Ok(Head { coding, length })
    }

    async fn fill_to(&mut self, length: usize, until: Instant) -> Result<(), RequestError> {
        while self.received.len() < length {
            if !self.fill(until).await? {
                return Err(Refusal::body_broke_off().into());
            }
        }
        Ok(())
    }

    /// Takes the next frame, in time and at its pace. False at the end of the body.
    async fn fill(&mut self, until: Instant) -> Result<bool, RequestError> {
        let until = until.min(self.transfer.due());
        let frame = timeout_at(until.into(), self.body.frame()).await;
        let frame = frame.map_err(|_| RequestError::SlowBody)?;
        self.take_in(frame)
    }

    fn take_in(
        &mut self,
        frame: Option<Result<hyper::body::Frame<bytes::Bytes>, axum::Error>>,
    ) -> Result<bool, RequestError> {
        let Some(frame) = frame else {
            return Ok(false);
        };
        let frame = frame.map_err(|_| Refusal::body_broke_off())?;
        if let Some(data) = frame.data_ref() {
            self.transfer.moved(data.len());
            self.received.extend_from_slice(data);
        }
        Ok(true)
    }
}

/// A request without a message.
pub(super) fn missing() -> RequestError {
    Refusal::InvalidRequest("the request has no message".into()).into()
}

fn too_large(most: Bytes) -> RequestError {
    Refusal::TooLarge(format!("the message is larger than {most}")).into()
}

/// Takes memory for what comes out, not for what is said to come.
fn uncompress(message: &[u8], coding: Coding, most: Bytes) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::new();
    let mut reader = reader(coding, message).take(most.0.saturating_add(1));
    reader.read_to_end(&mut bytes).map_err(|_| {
        let problem = format!(
            "the message is not what grpc-encoding says: {}",
            coding.name()
        );
        Refusal::InvalidRequest(problem)
    })?;
    match bytes.len() as u64 > most.0 {
        true => Err(too_large(most)),
        false => Ok(bytes),
    }
}
