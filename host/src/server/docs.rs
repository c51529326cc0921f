//! The description of the REST paths for tools, and a page of it for people. Both are files in this
//! binary; the page loads nothing from elsewhere, and its policy lets it load nothing else.

use axum::response::Response;
use glovebox_protocol::InferRequest;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use serde_json::{Map, Value, json};

use super::answer;
use super::state::State;
use crate::limits;
use crate::model::{Model, example};

const OPENAPI: &str = include_str!("docs/openapi.json");
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// A file of the page by its path.
pub(super) fn file(path: &str) -> Option<Response> {
    let (content_type, text) = match path {
        "/docs" => ("text/html; charset=utf-8", include_str!("docs/index.html")),
        "/docs/docs.css" => ("text/css; charset=utf-8", include_str!("docs/docs.css")),
        "/docs/docs.js" => (
            "text/javascript; charset=utf-8",
            include_str!("docs/docs.js"),
        ),
        _ => return None,
    };
    let content_type = HeaderValue::from_static(content_type);
    let mut response = answer::with_type(StatusCode::OK, content_type, text);
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, POLICY);
    Some(response)
}

/// The description, with an example for each of the first models.
pub(super) fn openapi(state: &State) -> Response {
    // A file of ours; a test reads it.
    let mut description: Value = serde_json::from_str(OPENAPI).unwrap_or_default();
    let models = state.registry.iter().take(limits::EXAMPLES);
    let examples: Map<_, _> = models.filter_map(|model| request(model)).collect();
    if let Some(version) = description.pointer_mut("/info/version") {
        *version = env!("CARGO_PKG_VERSION").into();
    }
    for path in ["", "~1versions~1{version}"] {
        let body = format!(
            "/paths/~1v2~1models~1{{model}}{path}~1infer/post/requestBody/content/application~1json"
        );
        if let Some(body) = description
            .pointer_mut(&body)
            .and_then(Value::as_object_mut)
        {
            body.insert("examples".into(), examples.clone().into());
        }
    }
    answer::json(&description)
}

/// A request that fits a model's signature, if it is a small one.
fn request(model: &Model) -> Option<(String, Value)> {
    let inputs = model.signature.inputs.iter();
    let inputs = inputs.map(|spec| example::tensor(spec, limits::EXAMPLE_ELEMENTS));
    let request = InferRequest {
        inputs: inputs.collect::<Option<_>>()?,
        ..InferRequest::default()
    };
    let request: Value = serde_json::from_slice(&request.to_json().ok()?).ok()?;
    Some((model.name.clone(), json!({ "value": request })))
}
