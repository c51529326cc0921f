//! A small gRPC client, which can also send what no library sends.

use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use futures_util::stream::{self, StreamExt};
use glovebox_grpc::SERVICE;
use glovebox_grpc::inference::infer_parameter::ParameterChoice;
use glovebox_grpc::inference::model_infer_request::InferInputTensor;
use glovebox_grpc::inference::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::convert::Infallible;
use std::io::{Read, Write};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::client::Client;
use super::files::{Manifest, digits, manifest, temporary, wine};
use super::host::Host;
use super::hostile::settles;

type Body = BoxBody<Bytes, Infallible>;

/// Longer than the longest default limit.
const TIME: Duration = Duration::from_secs(60);

/// One connection.
pub(crate) struct Grpc {
    runtime: Runtime,
    sender: SendRequest<Body>,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) headers: HeaderMap,
    pub(crate) messages: Vec<Vec<u8>>,
    trailers: HeaderMap,
}

impl Grpc {
    pub(crate) fn connect(client: &Client) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(client.address)
                .await
                .expect("it listens");
            let io = TokioIo::new(stream);
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
                .await
                .expect("it speaks HTTP/2");
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    /// Sends these bytes as the body, which then ends.
    pub(crate) fn send(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        self.exchange(path, headers, whole(body))
    }

    /// Sends these bytes, and the body does not end.
    pub(crate) fn send_without_end(&self, path: &str, body: Vec<u8>) -> Reply {
        self.exchange(path, &[], without_end(body))
    }

    /// Makes a call whose body does not end; does something when `count` messages have come, and goes on
    /// until the server ends it.
    pub(crate) fn watch(
        &self,
        path: &str,
        body: Vec<u8>,
        count: usize,
        then: impl FnOnce(),
    ) -> Reply {
        let request = request(path, &[], without_end(body));
        let mut sender = self.sender.clone();
        self.runtime.block_on(async {
            let response = sender.send_request(request).await.expect("an answer");
            let (parts, mut body) = response.into_parts();
            let mut bytes = Vec::new();
            let mut trailers = HeaderMap::new();
            let mut then = Some(then);
            while let Some(frame) = body.frame().await {
                match frame.expect("a whole body").into_data() {
                    Ok(data) => bytes.extend_from_slice(&data),
                    Err(frame) => trailers = frame.into_trailers().expect("trailers"),
                }
                if messages(&bytes).len() >= count
                    && let Some(then) = then.take()
                {
                    then();
                }
            }
            Reply {
                headers: parts.headers,
                messages: messages(&bytes),
                trailers,
            }
        })
    }

    fn exchange(&self, path: &str, headers: &[(&str, &str)], body: Body) -> Reply {
        let request = request(path, headers, body);
        let mut sender = self.sender.clone();
        let answer = async {
            let response = sender.send_request(request).await.expect("an answer");
            assert_eq!(response.status(), 200);
            let (parts, body) = response.into_parts();
            let collected = body.collect().await.expect("a whole answer");
            let trailers = collected.trailers().cloned().unwrap_or_default();
            Reply {
                headers: parts.headers,
                messages: messages(&collected.to_bytes()),
                trailers,
            }
        };
        self.runtime
            .block_on(async { tokio::time::timeout(TIME, answer).await })
            .expect("an answer in time")
    }

    /// Calls a method of the protocol.
    pub(crate) fn call(&self, method: &str, message: &impl Message) -> Reply {
        self.send(&path(method), &[], frame(&message.encode_to_vec()))
    }

    /// The answer of a call that succeeds.
    #[track_caller]
    pub(crate) fn ok<A: Message + Default>(&self, method: &str, message: &impl Message) -> A {
        self.call(method, message).ok()
    }

    #[track_caller]
    pub(crate) fn infer(&self, request: &ModelInferRequest) -> ModelInferResponse {
        self.ok("ModelInfer", request)
    }
}

impl Reply {
    /// The number of the status.
    pub(crate) fn code(&self) -> u32 {
        let code = self.field("grpc-status");
        code.parse()
            .unwrap_or_else(|_| panic!("no status: {self:?}"))
    }

    /// A field of the trailers, or of the headers of an answer that has no trailers.
    pub(crate) fn field(&self, name: &str) -> &str {
        let value = self.trailers.get(name).or(self.headers.get(name));
        value.map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// The only message of a call that has succeeded.
    #[track_caller]
    pub(crate) fn ok<A: Message + Default>(&self) -> A {
        assert_eq!(self.code(), 0, "{self:?}");
        assert_eq!(self.messages.len(), 1);
        A::decode(self.messages[0].as_slice()).expect("a message")
    }

    /// All messages.
    pub(crate) fn all<A: Message + Default>(&self) -> Vec<A> {
        let decode = |bytes: &Vec<u8>| A::decode(bytes.as_slice()).expect("a message");
        self.messages.iter().map(decode).collect()
    }

    /// Checks the form that every error has; its text.
    #[track_caller]
    pub(crate) fn error(&self, status: u32, code: &str) -> String {
        assert_eq!(self.code(), status, "{self:?}");
        assert_eq!(self.field("glovebox-code"), code, "{self:?}");
        assert!(!self.field("x-request-id").is_empty(), "{self:?}");
        let text = self
            .field("grpc-message")
            .replace("%20", " ")
            .replace("%22", "\"");
        assert!(!text.is_empty(), "{self:?}");
        text
    }
}

fn whole(bytes: Vec<u8>) -> Body {
    // Small pieces, so that nothing depends on how a message is cut.
    let pieces: Vec<_> = bytes
        .chunks(10_000)
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    BodyExt::boxed(StreamBody::new(stream::iter(pieces)))
}

fn without_end(bytes: Vec<u8>) -> Body {
    let first = stream::iter([Ok(Frame::data(Bytes::from(bytes)))]);
    BodyExt::boxed(StreamBody::new(first.chain(stream::pending())))
}

fn request(path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::post(format!("http://glovebox{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a request")
}

/// The messages in a body.
fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let Some((message, rest)) = rest.split_at_checked(length) else {
            break;
        };
        messages.push(match head[0] {
            0 => message.to_vec(),
            _ => {
                let mut whole = Vec::new();
                GzDecoder::new(message)
                    .read_to_end(&mut whole)
                    .expect("gzip");
                whole
            }
        });
        bytes = rest;
    }
    messages
}

/// The path of a method of the protocol.
pub(crate) fn path(method: &str) -> String {
    format!("/{SERVICE}/{method}")
}

/// A message behind its length.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    frame_of(0, message)
}

/// The same with any flag.
pub(crate) fn frame_of(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

/// The same, compressed.
pub(crate) fn frame_gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).expect("memory");
    frame_of(1, &encoder.finish().expect("memory"))
}

/// A request without tensors.
pub(crate) fn to(model: &str) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.into(),
        ..Default::default()
    }
}

/// An input without data.
pub(crate) fn input(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
        ..Default::default()
    }
}

/// A request to digits with these 64 numbers, typed.
pub(crate) fn digits_typed(pixels: &[f32]) -> ModelInferRequest {
    let mut image = input("image", "FP32", &[1, 1, 8, 8]);
    image.contents = Some(InferTensorContents {
        fp32_contents: pixels.to_vec(),
        ..Default::default()
    });
    ModelInferRequest {
        inputs: vec![image],
        ..to("digits")
    }
}

/// The same, raw.
pub(crate) fn digits_raw(pixels: &[f32]) -> ModelInferRequest {
    let raw: Vec<u8> = pixels
        .iter()
        .flat_map(|pixel| pixel.to_le_bytes())
        .collect();
    ModelInferRequest {
        inputs: vec![input("image", "FP32", &[1, 1, 8, 8])],
        raw_input_contents: vec![raw.into()],
        ..to("digits")
    }
}

/// The numbers of the only output.
#[track_caller]
pub(crate) fn floats(response: &ModelInferResponse) -> Vec<f32> {
    assert_eq!(response.raw_output_contents.len(), 1);
    let raw = &response.raw_output_contents[0];
    let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("four bytes"));
    raw.chunks_exact(4).map(number).collect()
}

/// A parameter that is a text.
pub(crate) fn text(value: &str) -> InferParameter {
    InferParameter {
        parameter_choice: Some(ParameterChoice::StringParam(value.into())),
    }
}

/// A parameter that is a whole number.
pub(crate) fn number(value: i64) -> InferParameter {
    InferParameter {
        parameter_choice: Some(ParameterChoice::Int64Param(value)),
    }
}

/// The numbers of gRPC's statuses.
pub(crate) mod status {
    pub(crate) const UNKNOWN: u32 = 2;
    pub(crate) const INVALID: u32 = 3;
    pub(crate) const DEADLINE: u32 = 4;
    pub(crate) const NOT_FOUND: u32 = 5;
    pub(crate) const PERMISSION: u32 = 7;
    pub(crate) const EXHAUSTED: u32 = 8;
    pub(crate) const UNIMPLEMENTED: u32 = 12;
    pub(crate) const UNAVAILABLE: u32 = 14;
    pub(crate) const UNAUTHENTICATED: u32 = 16;
}

/// The method of an inference.
pub(crate) const INFER: &str = "ModelInfer";

/// The two bundled models.
pub(crate) fn both() -> Host {
    let models = [("digits", digits(), ""), ("wine", wine(), "")];
    Manifest::new(&manifest(&models)).up().serve()
}

/// A host with one component of `guest.rs`.
pub(crate) fn one(component: &[u8], limits: &str) -> Host {
    let dir = temporary();
    let file = dir.path().join("guest.wasm");
    std::fs::write(&file, component).unwrap();
    Manifest::new(&manifest(&[("guest", &file, limits)]))
        .up()
        .serve()
}

/// Nobody holds any memory.
#[track_caller]
pub(crate) fn idle(client: &Client) {
    settles("memory", || {
        let held = client.metric("glovebox_memory_reserved_bytes");
        (held > 0.0).then(|| format!("{held} bytes are reserved"))
    });
}

/// A picture of digits.
pub(crate) fn pixels() -> Vec<f32> {
    (0..64).map(|pixel| pixel as f32 / 64.0).collect()
}
