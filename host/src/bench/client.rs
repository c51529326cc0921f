//! One connection to the server, and what is said on it in either protocol.

use std::time::Duration;

use bytes::Bytes;
use glovebox_grpc::{SERVICE, inference as proto};
use glovebox_protocol::{InferRequest, ModelMetadata, Tensor, TensorSpec, escape};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use proto::model_infer_request::InferInputTensor;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{BenchError, Target};
use crate::limits;

/// Which protocol is spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Rest,
    Grpc,
}

/// A request, ready to be sent.
#[derive(Clone)]
pub(super) struct Ask {
    is_get: bool,
    uri: String,
    authority: String,
    pub(super) body: Bytes,
}

/// One connection.
pub(super) struct Connection {
    sender: Sender,
    dialect: Dialect,
    authority: String,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// How a request has failed.
pub(super) struct Failed {
    /// For counting: a code, or a status.
    pub(super) kind: String,
    /// For people.
    problem: String,
    /// Whether the connection can be used again.
    pub(super) is_lost: bool,
}

impl Dialect {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rest => "REST",
            Self::Grpc => "gRPC",
        }
    }

    /// An inference. Over REST a text that the user gives is sent as it stands.
    pub(super) fn infer(
        self,
        target: &Target,
        request: InferRequest,
        text: Option<&[u8]>,
    ) -> Result<Ask, BenchError> {
        let authority = target.authority.clone();
        Ok(match self {
            Self::Rest => Ask {
                is_get: false,
                uri: format!("{}/infer", target.path),
                authority,
                body: match text {
                    Some(text) => Bytes::copy_from_slice(text),
                    None => request.to_json().map_err(BenchError::File)?.into(),
                },
            },
            Self::Grpc => method(target, "ModelInfer", &message(target, request)),
        })
    }
}

fn method(target: &Target, method: &str, message: &impl Message) -> Ask {
    let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
    let head = [&[0][..], &length.to_be_bytes()].concat();
    Ask {
        is_get: false,
        uri: format!("http://{}/{SERVICE}/{method}", target.authority),
        authority: target.authority.clone(),
        body: [head, message.encode_to_vec()].concat().into(),
    }
}

fn message(target: &Target, request: InferRequest) -> proto::ModelInferRequest {
    let input = |tensor: &Tensor| InferInputTensor {
        name: tensor.name.clone(),
        datatype: tensor.datatype.name().to_owned(),
        shape: tensor.shape.iter().map(|size| size.cast_signed()).collect(),
        ..Default::default()
    };
    proto::ModelInferRequest {
        model_name: target.model.clone(),
        model_version: target.version.clone().unwrap_or_default(),
        inputs: request.inputs.iter().map(input).collect(),
        raw_input_contents: request
            .inputs
            .into_iter()
            .map(|tensor| tensor.data.into())
            .collect(),
        ..Default::default()
    }
}

impl Connection {
    pub(super) async fn open(target: &Target, dialect: Dialect) -> Result<Self, BenchError> {
        let authority = target.authority.clone();
        let unreachable = |problem: String| BenchError::Unreachable {
            authority: authority.clone(),
            problem,
        };
        let stream = timeout(limits::CONNECT_TIME, TcpStream::connect(&authority)).await;
        let stream = stream.map_err(|_| unreachable("it does not answer".into()))?;
        let stream = stream.map_err(|error| unreachable(error.to_string()))?;
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(stream);
        let foreign = |error: hyper::Error| BenchError::Foreign {
            authority: authority.clone(),
            problem: error.to_string(),
        };
        let sender = match dialect {
            Dialect::Rest => {
                let (sender, connection) = http1::handshake(io).await.map_err(foreign)?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Dialect::Grpc => {
                let executor = TokioExecutor::new();
                let (sender, connection) = http2::handshake(executor, io).await.map_err(foreign)?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Self {
            sender,
            dialect,
            authority,
        })
    }

    /// The inputs of the model.
    pub(super) async fn describe(
        &mut self,
        target: &Target,
    ) -> Result<Vec<TensorSpec>, BenchError> {
        let ask = match self.dialect {
            Dialect::Rest => Ask {
                is_get: true,
                uri: target.path.clone(),
                authority: target.authority.clone(),
                body: Bytes::new(),
            },
            Dialect::Grpc => method(
                target,
                "ModelMetadata",
                &proto::ModelMetadataRequest {
                    name: target.model.clone(),
                    version: target.version.clone().unwrap_or_default(),
                },
            ),
        };
        let answer = self
            .send(&ask)
            .await
            .map_err(|failed| self.refused("the model", failed))?;
        let inputs = match self.dialect {
            Dialect::Rest => of_json(&answer),
            Dialect::Grpc => of_message(&answer),
        };
        inputs.ok_or_else(|| BenchError::Foreign {
            authority: self.authority.clone(),
            problem: "its answer is no model's metadata".into(),
        })
    }

    /// Sends the request once: what fails now would fail always.
    pub(super) async fn try_out(&mut self, ask: &Ask) -> Result<(), BenchError> {
        let answer = self.send(ask).await;
        answer.map_err(|failed| self.refused("the request", failed))?;
        Ok(())
    }

    fn refused(&self, what: &'static str, failed: Failed) -> BenchError {
        let problem = escape(&failed.problem);
        match failed.is_lost {
            true => BenchError::Foreign {
                authority: self.authority.clone(),
                problem,
            },
            false => BenchError::Refused { what, problem },
        }
    }

    /// Sends a request and takes the whole answer.
    pub(super) async fn send(&mut self, ask: &Ask) -> Result<Bytes, Failed> {
        match timeout(limits::BENCH_TIME, self.exchange(ask)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failed::lost("timeout", no_answer(limits::BENCH_TIME))),
        }
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Bytes, Failed> {
        let request = ask.request(self.dialect)?;
        let response = match &mut self.sender {
            Sender::Http1(sender) => match sender.ready().await {
                Ok(()) => sender.send_request(request).await,
                Err(error) => Err(error),
            },
            Sender::Http2(sender) => sender.send_request(request).await,
        };
        let (parts, body) = response.map_err(Failed::connection)?.into_parts();
        let collected = body.collect().await.map_err(Failed::connection)?;
        let trailers = collected.trailers().cloned();
        let response = Response::from_parts(parts, ());
        let body = collected.to_bytes();
        match self.dialect {
            Dialect::Rest => rest_result(&response, body),
            Dialect::Grpc => grpc_result(&response, trailers, body),
        }
    }
}

impl Ask {
    fn request(&self, dialect: Dialect) -> Result<Request<Full<Bytes>>, Failed> {
        let request = match self.is_get {
            true => Request::get(&self.uri),
            false => Request::post(&self.uri),
        };
        let request = match dialect {
            Dialect::Rest => request
                .header(HOST, &self.authority)
                .header(CONTENT_TYPE, "application/json"),
            Dialect::Grpc => request
                .header("te", "trailers")
                .header(CONTENT_TYPE, "application/grpc"),
        };
        let request = request.body(Full::new(self.body.clone()));
        request.map_err(|error| Failed::lost("request", error.to_string()))
    }
}

fn rest_result(response: &Response<()>, body: Bytes) -> Result<Bytes, Failed> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Refusal {
        error: String,
        code: String,
    }
    let status = response.status();
    if status.is_success() {
        return Ok(body);
    }
    let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
    Err(Failed {
        kind: or(refusal.code, || format!("http_{}", status.as_u16())),
        problem: or(refusal.error, || status.to_string()),
        is_lost: false,
    })
}

/// A status stands behind the answer, or, if there is no answer, in its headers.
fn grpc_result(
    response: &Response<()>,
    trailers: Option<HeaderMap>,
    body: Bytes,
) -> Result<Bytes, Failed> {
    let trailers = trailers.unwrap_or_default();
    let field = |name: &str| {
        let value = trailers.get(name).or(response.headers().get(name))?;
        Some(value.to_str().ok()?.to_owned())
    };
    match field("grpc-status").as_deref() {
        Some("0") => Ok(body),
        Some(status) => Err(Failed {
            kind: field("glovebox-code").unwrap_or(format!("grpc_{status}")),
            problem: field("grpc-message").map_or(status.to_owned(), |text| plain(&text)),
            is_lost: false,
        }),
        None => Err(Failed::lost(
            "no_grpc",
            format!("{} without a status", response.status()),
        )),
    }
}

/// A message without its percent-encoding.
fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = rest
            .get(1..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn or(text: String, otherwise: impl FnOnce() -> String) -> String {
    match text.is_empty() {
        true => otherwise(),
        false => text,
    }
}

fn no_answer(time: Duration) -> String {
    format!("no answer within {time:?}")
}

impl Failed {
    fn lost(kind: &str, problem: String) -> Self {
        Self {
            kind: kind.to_owned(),
            problem,
            is_lost: true,
        }
    }

    fn connection(error: hyper::Error) -> Self {
        Self::lost("connection", error.to_string())
    }
}

fn of_json(answer: &[u8]) -> Option<Vec<TensorSpec>> {
    let metadata: ModelMetadata = serde_json::from_slice(answer).ok()?;
    Some(metadata.inputs)
}

fn of_message(answer: &[u8]) -> Option<Vec<TensorSpec>> {
    let metadata = proto::ModelMetadataResponse::decode(answer.get(5..)?).ok()?;
    let inputs = metadata.inputs.into_iter().map(|input| {
        Some(TensorSpec {
            datatype: input.datatype.parse().ok()?,
            name: input.name,
            shape: input.shape,
        })
    });
    inputs.collect()
}
