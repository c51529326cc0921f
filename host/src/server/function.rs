//! One request to an HTTP component: permit, body, headers, sandbox, record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use glovebox_protocol::rest::Refusal;
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Method, Uri};

use super::answer::{self, REQUEST_ID};
use super::application::Target;
use super::body;
use super::spin::{self, Reached};
use super::state::State;
use super::streaming::{self, Fate, Streaming, Watch};
use crate::admission::Memory;
use crate::error::{self, RequestError};
use crate::model::http::HttpFunction;
use crate::routing::Match;
use crate::sandbox::invoke::Fault;
use crate::sandbox::wasi::{self, Handling};
use crate::telemetry::Record;
use crate::text;

/// Where a request comes from; known of every request that came over a connection.
#[derive(Clone, Copy)]
pub(super) struct Client(pub(super) SocketAddr);

/// A request to a component that exists.
struct Exchange {
    state: Arc<State>,
    function: Arc<HttpFunction>,
    id: String,
    accepted: Instant,
}

/// An answer that has begun.
struct Begun {
    head: wasi::Response,
    handling: Handling,
    memory: Arc<Memory>,
    /// Who asks for the head alone reads no body.
    only_head: bool,
}

/// What goes on behind the head of an answer.
struct Rest {
    function: Arc<HttpFunction>,
    id: String,
    handling: Handling,
    watch: Watch,
    record: Record,
    /// How the request is counted if nothing goes wrong any more.
    outcome: &'static str,
}

/// Answers a request and leaves exactly one record of it, when its guest has ended.
pub(super) async fn answer(
    state: Arc<State>,
    function: Arc<HttpFunction>,
    request: Request,
) -> Response {
    let id = state.request_ids.next();
    let exchange = Exchange {
        state,
        function,
        id: id.clone(),
        accepted: Instant::now(),
    };
    let mut response = exchange.run(request).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Makes of a request what a component gets: an absolute URI, and the headers of Spin.
pub(super) fn prepare(
    request: &mut Request,
    matched: &Match<'_, '_, Target>,
) -> Result<(), RequestError> {
    let invalid = |problem: &str| Refusal::InvalidRequest(problem.to_owned());
    let authority =
        authority(request).ok_or_else(|| invalid("the header host must name one host"))?;
    let uri = request.uri().clone();
    let reached = Reached {
        authority: authority.as_str(),
        uri: &uri,
        client: request.extensions().get::<Client>().map(|client| client.0),
    };
    spin::set_headers(request.headers_mut(), matched, &reached)
        .map_err(|_| invalid("the path has characters that no header takes"))?;
    let mut parts = uri.into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    *request.uri_mut() =
        Uri::from_parts(parts).map_err(|_| invalid("the request names no path"))?;
    Ok(())
}

/// Whom a request is for: one host, perhaps with a port, and no user.
fn authority(request: &Request) -> Option<Authority> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => {
            let mut hosts = request.headers().get_all(HOST).iter();
            let (host, None) = (hosts.next()?, hosts.next()) else {
                return None;
            };
            host.to_str().ok()?.parse().ok()?
        }
    };
    let has_port = authority.as_str().len() > authority.host().len();
    let is_plain = !authority.as_str().contains('@') && !authority.host().is_empty();
    (is_plain && (!has_port || authority.port_u16().is_some())).then_some(authority)
}

impl Exchange {
    async fn run(self, request: Request) -> Response {
        let metrics = Arc::clone(&self.state.metrics);
        let mut record = Record::new(metrics, &self.function.id, &self.id, self.accepted);
        match self.begin(request, &mut record).await {
            Ok(begun) => self.stream(begun, record),
            Err(error) => {
                record.outcome(error.code().0);
                answer::error(&error, &self.id)
            }
        }
    }

    async fn begin(&self, request: Request, record: &mut Record) -> Result<Begun, RequestError> {
        let (handler, gate) = (&self.function.handler, &self.function.gate);
        let (limits, tenant) = (handler.limits(), &handler.tenant().name);
        let deadline = self.accepted + limits.timeout;
        body::check_length(&request, limits.body)?;
        let permit = match gate.admit(&self.state.admission, tenant, deadline).await {
            Ok(permit) => permit,
            Err(error) => {
                body::discard(request).await;
                return Err(error);
            }
        };
        let memory = permit.memory();
        let only_head = request.method() == Method::HEAD;
        let (parts, body) = request.into_parts();
        let body = body::read(body, limits.body, deadline).await?;
        let request = wasi::Request::from_parts(parts, body);
        let mut handling = handler.handle(request, deadline, permit);
        match handling.head().await.and_then(|head| self.fitting(head)) {
            Ok(head) => Ok(Begun {
                head,
                handling,
                memory,
                only_head,
            }),
            Err(fault) => {
                record.usage(handling.usage());
                log(&self.function, &self.id, &fault, &handling);
                Err(fault.into())
            }
        }
    }

    /// An answer that declares more than it may be is none.
    fn fitting(&self, head: wasi::Response) -> Result<wasi::Response, Fault> {
        let most = self.function.handler.limits().output;
        match streaming::declared(head.headers()) {
            Some(length) if length > most.0 => Err(Fault::OutputTooLarge),
            _ => Ok(head),
        }
    }

    fn stream(self, begun: Begun, record: Record) -> Response {
        let Begun {
            head,
            handling,
            memory,
            only_head,
        } = begun;
        let most = self.function.handler.limits().output;
        let outcome = error::outcome(head.status());
        let (answer, watch) = Streaming::new(head, only_head, most, memory);
        let rest = Rest {
            function: self.function,
            id: self.id,
            handling,
            watch,
            record,
            outcome,
        };
        tokio::spawn(rest.run());
        answer.map(Body::new)
    }
}

impl Rest {
    /// Lets the guest work until it returns, unless its client goes away before it has all.
    async fn run(mut self) {
        let Watch { verdict, mut fate } = self.watch;
        let mut known = None;
        let ended = tokio::select! {
            biased;
            ended = self.handling.end() => Some(ended),
            early = &mut fate => {
                known = early.ok();
                match known {
                    Some(Fate::Delivered) => Some(self.handling.end().await),
                    _ => None,
                }
            }
        };
        let known = known.or_else(|| fate.try_recv().ok());
        let ended = match known {
            // A guest that fails because nobody reads what it sends is not at fault.
            Some(Fate::GivenUp) => None,
            _ => ended,
        };
        // It gets no further: what it has used is known.
        self.record.usage(self.handling.usage());
        let _ = verdict.send(matches!(ended, Some(Ok(()))));
        let fate = match known {
            Some(fate) => fate,
            None => fate.await.unwrap_or(Fate::GivenUp),
        };
        let (function, id) = (&self.function, &self.id);
        match fault(ended, fate) {
            Some(fault) => {
                log(function, id, &fault, &self.handling);
                self.record.outcome(RequestError::from(fault).code().0);
            }
            None if fate == Fate::Delivered => {
                log_console(function, id, &self.handling);
                self.record.outcome(self.outcome);
            }
            // The record's own word for it: the client went away.
            None => {}
        }
    }
}

/// What is wrong with a guest that has ended so, if it has, or with its body.
fn fault(ended: Option<Result<(), Fault>>, fate: Fate) -> Option<Fault> {
    match (ended, fate) {
        (_, Fate::TooLarge) => Some(Fault::OutputTooLarge),
        (Some(Err(fault)), _) => Some(fault),
        (_, Fate::Broken) => Some(Fault::BadOutput("the body broke off".into())),
        _ => None,
    }
}

fn log(function: &HttpFunction, request_id: &str, fault: &Fault, handling: &Handling) {
    tracing::info!(
        component = function.id,
        request_id,
        fault = text::escape(&fault.to_string()),
        cpu_ms = handling.usage().cpu.as_millis() as u64,
        printed = text::escape(&handling.console()),
        "a request failed in the sandbox"
    );
}

fn log_console(function: &HttpFunction, request_id: &str, handling: &Handling) {
    let printed = handling.console();
    if !printed.is_empty() {
        let printed = text::escape(&printed);
        tracing::info!(
            component = function.id,
            request_id,
            printed,
            "a guest printed"
        );
    }
}
