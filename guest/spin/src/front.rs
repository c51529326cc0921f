//! From a request to its answer.

use glovebox_protocol::rest::{Call, Endpoint, Method, Refusal};
use glovebox_protocol::{
    InferRequest, InferResponse, ModelList, ModelReady, ServerLive, ServerMetadata, ServerReady,
};

use crate::answer::{Answer, JSON};
use crate::bindings::wasi::http::types::{IncomingRequest, Method as HttpMethod};
use crate::model::Model;
use crate::{body, route};

/// Answers every request.
pub(crate) fn answer(request: &IncomingRequest) -> Answer {
    let is_head = matches!(request.method(), HttpMethod::Head);
    let answer = respond(request).unwrap_or_else(|refusal| Answer::refusal(&refusal));
    Answer { is_head, ..answer }
}

fn respond(request: &IncomingRequest) -> Result<Answer, Refusal> {
    let target = request.path_with_query().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let model = Model::get();
    let endpoint = route::endpoint(path, &model.name).ok_or_else(|| Refusal::unknown_path(path))?;
    if !takes(endpoint.method(), &request.method()) {
        return Ok(Answer {
            allow: Some(endpoint.method()),
            ..Answer::refusal(&Refusal::MethodNotAllowed)
        });
    }
    serve(&model, endpoint, request)
}

fn serve(model: &Model, endpoint: Endpoint, request: &IncomingRequest) -> Result<Answer, Refusal> {
    match endpoint {
        Endpoint::Server => Answer::json(&ServerMetadata {
            name: "glovebox".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            extensions: Vec::new(),
        }),
        Endpoint::Live => Answer::json(&ServerLive { live: true }),
        Endpoint::Ready => Answer::json(&ServerReady {
            live: true,
            ready: true,
        }),
        Endpoint::Models => Answer::json(&ModelList {
            models: vec![model.name.clone()],
        }),
        Endpoint::Model {
            name,
            version,
            call,
        } => {
            check_name(model, &name, version.as_deref())?;
            call_model(model, call, request)
        }
    }
}

fn takes(method: Method, request: &HttpMethod) -> bool {
    match method {
        Method::Get => matches!(request, HttpMethod::Get | HttpMethod::Head),
        Method::Post => matches!(request, HttpMethod::Post),
    }
}

fn check_name(model: &Model, name: &str, version: Option<&str>) -> Result<(), Refusal> {
    if name != model.name {
        return Err(Refusal::unknown_model(name));
    }
    match version {
        Some(version) if model.version.as_deref() != Some(version) => {
            Err(Refusal::unknown_version(version))
        }
        _ => Ok(()),
    }
}

fn call_model(model: &Model, call: Call, request: &IncomingRequest) -> Result<Answer, Refusal> {
    match call {
        Call::Describe => Answer::json(&model.describe()),
        Call::Ready => Answer::json(&ModelReady {
            name: model.name.clone(),
            ready: true,
        }),
        Call::Infer => infer(model, request),
        Call::Predict => predict(model, request),
    }
}

fn infer(model: &Model, request: &IncomingRequest) -> Result<Answer, Refusal> {
    let body = body::read(request)?;
    let mut request = InferRequest::from_json(&body)?;
    // Its tensors are whole now; both at once would take memory for nothing.
    drop(body);
    let id = request.id.take();
    let response = InferResponse {
        model_name: model.name.clone(),
        model_version: model.version.clone(),
        id,
        outputs: model.infer(request)?,
    };
    let json = response.to_json().map_err(|_| Refusal::BadOutput)?;
    Ok(Answer::new(JSON, json))
}

fn predict(model: &Model, request: &IncomingRequest) -> Result<Answer, Refusal> {
    let content_type = body::header(request, "content-type");
    let content_type = content_type.unwrap_or_else(|| "application/octet-stream".into());
    let (content_type, answer) = model.predict(content_type, body::read(request)?)?;
    match body::is_header_value(&content_type) {
        true => Ok(Answer::new(content_type, answer)),
        false => Err(Refusal::BadOutput),
    }
}
