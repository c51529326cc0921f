//! Paths: Open Inference Protocol v2, `predict` for media, and what operators look at.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use glovebox_protocol::rest::{Call, Endpoint, Method as Allowed, Refusal};
use glovebox_protocol::{
    ModelConfig, ModelList, ModelMetadata, ModelReady, PLATFORM, ServerLive, ServerMetadata,
    ServerReady, StatisticsReport,
};
use hyper::header::{ALLOW, CONNECTION, HeaderValue, LOCATION};
use hyper::{Method, StatusCode, Version};
use serde_json::json;

use super::application::{Application, Target};
use super::docs;
use super::function;
use super::grpc;
use super::repository;
use super::rest::{self, Kind};
use super::state::State;
use super::{answer, answer::REQUEST_ID};
use crate::error::RequestError;
use crate::model::Model;

/// Every path that is served.
pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/healthz", only_get(live))
        .route("/readyz", only_get(ready))
        .route("/metrics", only_get(metrics))
        .route("/openapi.json", only_get(openapi))
        .route("/", only_get(to_docs))
        .route("/docs", only_get_file())
        .route("/docs/{file}", only_get_file())
        .fallback(protocol)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            manifest_first,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            close_when_draining,
        ))
        .with_state(state)
}

/// The paths of the host that no manifest can take.
const RESERVED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// Where Spin tells about itself; nothing else is below.
const WELL_KNOWN: &str = "/.well-known/spin/";

/// Whether a route would lead where requests never come.
pub fn is_reserved(route: &str) -> bool {
    RESERVED.contains(&route) || route.starts_with(WELL_KNOWN) || grpc::is_service(route)
}

/// What a manifest routes goes there, before the paths of the protocol: as it would under Spin.
async fn manifest_first(Shared(state): App, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if let Some(name) = path.strip_prefix(WELL_KNOWN) {
        return well_known(&state, name);
    }
    if RESERVED.contains(&path.as_str()) {
        return next.run(request).await;
    }
    if grpc::is_service(&path) && grpc::is_spoken(&request) {
        return grpc::answer(state, request).await;
    }
    let Some(matched) = state.application.routes.find(&path) else {
        return next.run(request).await;
    };
    match matched.value {
        Target::Static(answer) => answer.response(),
        Target::Model(model) => mounted(Arc::clone(&state), Arc::clone(model), request).await,
        Target::Broken => refuse(&state, &RequestError::NotLoaded),
        Target::Function(function) => match function::prepare(&mut request, &matched) {
            Err(error) => refuse(&state, &error),
            Ok(()) => {
                let function = Arc::clone(function);
                function::answer(Arc::clone(&state), function, request).await
            }
        },
    }
}

fn well_known(state: &State, name: &str) -> Response {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    let Application {
        name: app, version, ..
    } = &state.application;
    match name {
        "health" => answer::with_type(StatusCode::OK, TEXT, "OK"),
        "info" => answer::json(&json!({ "name": app, "version": version })),
        _ => refuse(
            state,
            &Refusal::unknown_path(&format!("{WELL_KNOWN}{name}")).into(),
        ),
    }
}

/// HTTP/1 clients learn by this header that the connection will not be used again; HTTP/2 has a
/// frame for it, which hyper sends.
async fn close_when_draining(Shared(state): App, request: Request, next: Next) -> Response {
    let is_http1 = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    if is_http1 && !state.readiness.is_ready() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

type App = Shared<Arc<State>>;

/// The paths of the protocol.
async fn protocol(Shared(state): App, request: Request) -> Response {
    if grpc::is_spoken(&request) {
        return grpc::answer(state, request).await;
    }
    let endpoint = Endpoint::parse(request.uri().path());
    serve(state, endpoint, &Scope::All, request).await
}

/// A model where a manifest mounts it or a neighbour calls it: the paths that the HTTP front of a
/// packed model answers on other hosts.
pub(super) async fn mounted(state: Arc<State>, model: Arc<Model>, request: Request) -> Response {
    let endpoint = Endpoint::mounted(request.uri().path(), &model.name);
    serve(state, endpoint, &Scope::One(model), request).await
}

/// The models that a path leads to.
enum Scope {
    All,
    /// A mounted model knows of no other.
    One(Arc<Model>),
}

impl Scope {
    fn models<'a>(&'a self, state: &'a State) -> Box<dyn Iterator<Item = &'a Model> + 'a> {
        let models: Box<dyn Iterator<Item = _>> = match self {
            Self::All => Box::new(state.registry.iter()),
            Self::One(model) => Box::new(std::iter::once(model)),
        };
        Box::new(
            models
                .map(AsRef::as_ref)
                .filter(|model| model.is_available()),
        )
    }

    fn check(&self, state: &State, name: &str) -> Result<(), RequestError> {
        match self {
            Self::All => Ok(()),
            Self::One(model) => match state.registry.get(name) {
                Ok(named) if Arc::ptr_eq(named, model) => Ok(()),
                _ => Err(Refusal::unknown_model(name).into()),
            },
        }
    }
}

async fn serve(
    state: Arc<State>,
    endpoint: Option<Endpoint>,
    scope: &Scope,
    request: Request,
) -> Response {
    let Some(endpoint) = endpoint else {
        return refuse(&state, &Refusal::unknown_path(request.uri().path()).into());
    };
    if !takes(endpoint.method(), request.method()) {
        let mut response = refuse(&state, &Refusal::MethodNotAllowed.into());
        let allowed = HeaderValue::from_static(endpoint.method().allow());
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match endpoint {
        Endpoint::Server => answer::json(&server_metadata(&state)),
        Endpoint::Live => live(Shared(state)).await,
        Endpoint::Ready => ready(Shared(state)).await,
        Endpoint::Models => answer::json(&ModelList {
            models: scope
                .models(&state)
                .map(|model| model.name.clone())
                .collect(),
        }),
        Endpoint::Statistics => answer::json(&statistics(&state, scope.models(&state))),
        Endpoint::SharedMemory(_) => refuse(&state, &Refusal::SHARED_MEMORY.into()),
        Endpoint::Index | Endpoint::Load(_) | Endpoint::Unload(_)
            if matches!(scope, Scope::One(_)) =>
        {
            refuse(&state, &Refusal::unknown_path(request.uri().path()).into())
        }
        Endpoint::Index => repository::index(&state, request).await,
        Endpoint::Load(name) => repository::load(&state, &name, request).await,
        Endpoint::Unload(name) => repository::unload(&state, &name, request).await,
        Endpoint::Model {
            name,
            version,
            call,
        } => match scope.check(&state, &name) {
            Ok(()) => model(state, &name, version.as_deref(), call, request).await,
            Err(error) => refuse(&state, &error),
        },
    }
}

async fn model(
    state: Arc<State>,
    name: &str,
    version: Option<&str>,
    call: Call,
    request: Request,
) -> Response {
    match call {
        Call::Describe => with_model(&state, name, version, |model| {
            answer::json(&model_metadata(model))
        }),
        Call::Ready => with_model(&state, name, version, model_ready),
        Call::Config => with_model(&state, name, version, |model| {
            answer::json(&model_config(model))
        }),
        Call::Statistics => with_model(&state, name, version, |model| {
            answer::json(&statistics(&state, [model]))
        }),
        Call::Infer => rest::answer(state, name, version, Kind::Infer, request).await,
        Call::Predict => rest::answer(state, name, version, Kind::Predict, request).await,
    }
}

fn takes(method: Allowed, request: &Method) -> bool {
    match method {
        Allowed::Get => [Method::GET, Method::HEAD].contains(request),
        Allowed::Post => request == Method::POST,
    }
}

fn only_get<F>(handler: fn(App) -> F) -> MethodRouter<Arc<State>>
where
    F: Future<Output = Response> + Send + 'static,
{
    get(handler).fallback(wrong_method)
}

/// Leads people to the page, where no manifest has a route `/`.
async fn to_docs(_: App) -> Response {
    const DOCS: HeaderValue = HeaderValue::from_static("/docs");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, DOCS);
    response
}

async fn live(_: App) -> Response {
    answer::json(&ServerLive { live: true })
}

async fn ready(Shared(state): App) -> Response {
    let ready = state.readiness.is_ready();
    let mut response = answer::json(&ServerReady { live: true, ready });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn metrics(Shared(state): App) -> Response {
    const OPEN_METRICS: HeaderValue =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer::with_type(
        StatusCode::OK,
        OPEN_METRICS,
        state.metrics.encode(
            state.gates(),
            state.admission.memory(),
            state.sandbox.live(),
        ),
    )
}

async fn openapi(Shared(state): App) -> Response {
    docs::openapi(&state)
}

fn only_get_file() -> MethodRouter<Arc<State>> {
    get(page).fallback(wrong_method)
}

async fn page(Shared(state): App, request: Request) -> Response {
    let path = request.uri().path();
    docs::file(path).unwrap_or_else(|| refuse(&state, &Refusal::unknown_path(path).into()))
}

/// What of the protocol is there beside its core, by the names that it gives.
const EXTENSIONS: [&str; 5] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "schedule_policy",
    "statistics",
];

/// What the server is.
pub(super) fn server_metadata(state: &State) -> ServerMetadata {
    let repository = state.repository.get().map(|_| "model_repository");
    let extensions = EXTENSIONS.into_iter().chain(repository);
    ServerMetadata {
        name: "glovebox".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        extensions: extensions.map(str::to_owned).collect(),
    }
}

/// What has been counted of all models that answer.
pub(super) fn all_statistics(state: &State) -> StatisticsReport {
    let models = state.registry.iter().map(AsRef::as_ref);
    statistics(state, models.filter(|model: &&Model| model.is_available()))
}

/// What has been counted of some models.
pub(super) fn statistics<'a>(
    state: &State,
    models: impl IntoIterator<Item = &'a Model>,
) -> StatisticsReport {
    let of_model = |model: &Model| state.metrics.of_model(&model.name, model.version());
    StatisticsReport {
        model_stats: models.into_iter().map(of_model).collect(),
    }
}

/// A model's configuration.
pub(super) fn model_config(model: &Model) -> ModelConfig {
    ModelConfig::describe(&model.name, PLATFORM, &model.signature)
}

async fn wrong_method(Shared(state): App, _: Request<Body>) -> Response {
    refuse(&state, &Refusal::MethodNotAllowed.into())
}

fn with_model(
    state: &State,
    name: &str,
    version: Option<&str>,
    respond: impl FnOnce(&Model) -> Response,
) -> Response {
    match state.registry.version(name, version) {
        Ok(model) => respond(model),
        Err(error) => refuse(state, &error),
    }
}

fn model_ready(model: &Model) -> Response {
    answer::json(&ModelReady {
        name: model.name.clone(),
        ready: true,
    })
}

pub(super) fn refuse(state: &State, error: &RequestError) -> Response {
    let id = state.request_ids.next();
    let mut response = answer::error(error, &id);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// What a model is.
pub(super) fn model_metadata(model: &Model) -> ModelMetadata {
    let metadata = model.metadata.as_ref();
    let properties = [
        (
            "description",
            metadata.and_then(|metadata| metadata.description.clone()),
        ),
        (
            "licence",
            metadata.and_then(|metadata| metadata.licence.clone()),
        ),
    ];
    let properties = properties.into_iter();
    let properties = properties.filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let (name, version) = (&model.name, model.version());
    ModelMetadata::describe(name, version, &model.signature, properties)
}
