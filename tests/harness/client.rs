//! A small HTTP client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

/// Longer than the longest default limit.
const TIME: Duration = Duration::from_secs(60);
const BODY_BYTES: u64 = 256 << 20;

/// Speaks to one host.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    pub(crate) address: SocketAddr,
}

/// An answer of any status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIME))
            .proxy(None);
        Self {
            agent: config.build().into(),
            address,
        }
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        Answer::read(self.agent.get(self.url(path)).call())
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let request = self.agent.post(self.url(path));
        Answer::read(request.header("content-type", content_type).send(body))
    }

    /// The same with any headers.
    #[track_caller]
    pub(crate) fn send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = headers
            .iter()
            .fold(self.agent.post(self.url(path)), |request, (name, value)| {
                request.header(*name, *value)
            });
        Answer::read(request.send(body))
    }

    /// Tensors to a model.
    #[track_caller]
    pub(crate) fn infer(&self, model: &str, request: &Value) -> Answer {
        let path = format!("/v2/models/{model}/infer");
        self.post(&path, "application/json", request.to_string().as_bytes())
    }

    /// Calls a guest of `guest.rs`, which takes no tensors.
    #[track_caller]
    pub(crate) fn call(&self, model: &str) -> Answer {
        self.infer(model, &json!({ "inputs": [] }))
    }

    /// Media to a model.
    #[track_caller]
    pub(crate) fn predict(&self, model: &str, content_type: &str, body: &[u8]) -> Answer {
        self.post(&format!("/v2/models/{model}/predict"), content_type, body)
    }

    /// The value of one series, 0 if there is no such series.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// How many requests to a model ended so.
    #[track_caller]
    pub(crate) fn requests(&self, model: &str, outcome: &str) -> f64 {
        self.metric(&format!(
            "glovebox_requests_total{{model=\"{model}\",outcome=\"{outcome}\"}}"
        ))
    }

    /// A connection on which a test writes by itself.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(TIME)).expect("a timeout");
        stream
    }

    /// Writes `request` on a connection of its own and reads one answer.
    pub(crate) fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("it reads");
        Answer::from_stream(&mut stream)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Answer {
    #[track_caller]
    fn read(response: Result<Response<Body>, ureq::Error>) -> Self {
        let response = response.unwrap_or_else(|error| panic!("no answer: {error}"));
        let (parts, body) = response.into_parts();
        let body = body.into_with_config().limit(BODY_BYTES).read_to_vec();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.expect("a whole body"),
        }
    }

    /// Reads one HTTP/1.1 answer that has a length.
    pub(crate) fn from_stream(stream: &mut TcpStream) -> Self {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a whole head");
            head.extend(byte);
        }
        let head = String::from_utf8(head).expect("ASCII");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers: HeaderMap = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| {
                let name = name.to_ascii_lowercase();
                (name.parse().expect("a name"), value.parse().expect("text"))
            })
            .collect();
        let length = headers["content-length"].to_str().expect("ASCII");
        let mut body = vec![0; length.parse().expect("a length")];
        stream.read_exact(&mut body).expect("a whole body");
        Self {
            status: status.and_then(|text| text.parse().ok()).expect("a status"),
            headers,
            body,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} is no JSON ({error}): {}", self.status, self.text()))
    }

    /// The JSON of a 200.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Checks the form that every error has; its text.
    #[track_caller]
    pub(crate) fn error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(self.header("content-type"), "application/json");
        let id = body["request_id"].as_str().expect("an id");
        assert!(!id.is_empty());
        assert_eq!(self.header("x-request-id"), id);
        let error = body["error"].as_str().expect("a text");
        assert!(!error.is_empty() && !error.contains('\n'), "{error:?}");
        error.to_owned()
    }
}
