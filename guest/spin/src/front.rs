//! From a request to its answer.

use glovebox_protocol::rest::{self, Call, Endpoint, HEADER_LENGTH, Method, Refusal};
use glovebox_protocol::{
    Error, InferResponse, ModelList, ModelReady, ServerLive, ServerMetadata, ServerReady,
};

use crate::answer::Answer;
use crate::bindings::wasi::http::types::{IncomingRequest, Method as HttpMethod};
use crate::body;
use crate::model::Model;

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
    let endpoint =
        Endpoint::mounted(path, &model.name).ok_or_else(|| Refusal::unknown_path(path))?;
    if !takes(endpoint.method(), &request.method()) {
        return Ok(Answer {
            allow: Some(endpoint.method()),
            ..Answer::refusal(&Refusal::MethodNotAllowed)
        });
    }
    serve(&model, endpoint, request, path)
}

/// What of the protocol is there beside its core. Nothing is counted here: no instance lives longer
/// than its request.
const EXTENSIONS: [&str; 3] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
];

fn serve(
    model: &Model,
    endpoint: Endpoint,
    request: &IncomingRequest,
    path: &str,
) -> Result<Answer, Refusal> {
    match endpoint {
        Endpoint::Server => Answer::json(&ServerMetadata {
            name: "glovebox".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            extensions: EXTENSIONS.map(str::to_owned).into(),
        }),
        Endpoint::Live => Answer::json(&ServerLive { live: true }),
        Endpoint::Ready => Answer::json(&ServerReady {
            live: true,
            ready: true,
        }),
        Endpoint::Models => Answer::json(&ModelList {
            models: vec![model.name.clone()],
        }),
        Endpoint::SharedMemory(_) => Err(Refusal::SHARED_MEMORY),
        Endpoint::Statistics | Endpoint::Index | Endpoint::Load(_) | Endpoint::Unload(_) => {
            Err(Refusal::unknown_path(path))
        }
        Endpoint::Model {
            name,
            version,
            call,
        } => {
            check_name(model, &name, version.as_deref())?;
            call_model(model, call, request, path)
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
        Some(version) if model.version != version => Err(Refusal::unknown_version(version)),
        _ => Ok(()),
    }
}

fn call_model(
    model: &Model,
    call: Call,
    request: &IncomingRequest,
    path: &str,
) -> Result<Answer, Refusal> {
    match call {
        Call::Config => Answer::json(&model.config()),
        Call::Statistics => Err(Refusal::unknown_path(path)),
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
    let header_length = body::header(request, HEADER_LENGTH);
    let header_length = header_length.map(|value| rest::header_length(value.as_bytes()));
    let header_length = header_length.transpose()?;
    let body = body::read(request)?;
    let (mut request, forms) = rest::read_request(&body, header_length, &model.signature)?;
    // Its tensors are whole now; both at once would take memory for nothing.
    drop(body);
    let id = request.id.take();
    let mut response = InferResponse {
        model_name: model.name.clone(),
        model_version: Some(model.version.clone()),
        id,
        outputs: model.infer(request)?,
    };
    // A component does not know its model's labels.
    forms.classify(&mut response, &[])?;
    let written = rest::write_response(&response, &forms).map_err(|error| match error {
        Error::NoJsonForm { .. } | Error::NotText { .. } => error.into(),
        _ => Refusal::BadOutput,
    })?;
    Ok(Answer {
        header_length: written.header_length,
        ..Answer::new(written.content_type(), written.body)
    })
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
