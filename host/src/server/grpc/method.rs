//! The methods with one small message each way: what the server and its models are.

use axum::response::Response;
use glovebox_grpc::inference as proto;
use glovebox_protocol::TensorSpec;
use proto::model_metadata_response::TensorMetadata;

use super::call::Call;
use super::{NO_METHOD, extension};
use crate::error::RequestError;
use crate::server::routes;
use crate::server::state::State;

/// Methods of Triton that have no meaning here. The first because an address in the host's memory is
/// none of a tenant's business.
const SHARED_MEMORY: RequestError = RequestError::Unsupported(
    "shared memory is not offered: tenants of one machine do not share any; send the tensors",
);
const OPERATORS: RequestError = RequestError::Unsupported(
    "traces and the log are the operator's: set RUST_LOG when you start the host",
);

/// Answers a method by its name.
pub(super) async fn answer(call: Call, name: &str) -> Response {
    match name {
        "ServerLive" => {
            let live = |_: &State, _: proto::ServerLiveRequest| {
                Ok(proto::ServerLiveResponse { live: true })
            };
            call.unary(live).await
        }
        "ServerReady" => call.unary(server_ready).await,
        "ModelReady" => call.unary(model_ready).await,
        "ServerMetadata" => call.unary(server_metadata).await,
        "ModelMetadata" => call.unary(model_metadata).await,
        "ModelConfig" => call.unary(extension::model_config).await,
        "ModelStatistics" => call.unary(extension::model_statistics).await,
        "RepositoryIndex" => extension::index(call).await,
        "RepositoryModelLoad" => extension::load(call).await,
        "RepositoryModelUnload" => extension::unload(call).await,
        "TraceSetting" | "LogSettings" => call.refuse(&OPERATORS),
        name if name.contains("SharedMemory") => call.refuse(&SHARED_MEMORY),
        _ => call.refuse(&NO_METHOD),
    }
}

fn server_ready(
    state: &State,
    _: proto::ServerReadyRequest,
) -> Result<proto::ServerReadyResponse, RequestError> {
    let ready = state.readiness.is_ready();
    Ok(proto::ServerReadyResponse { ready })
}

/// A model that is not here is not ready: clients that wait for one ask again.
fn model_ready(
    state: &State,
    request: proto::ModelReadyRequest,
) -> Result<proto::ModelReadyResponse, RequestError> {
    let model = state
        .registry
        .version(&request.name, given(&request.version));
    let ready = model.is_ok() && state.readiness.is_ready();
    Ok(proto::ModelReadyResponse { ready })
}

fn server_metadata(
    state: &State,
    _: proto::ServerMetadataRequest,
) -> Result<proto::ServerMetadataResponse, RequestError> {
    let server = routes::server_metadata(state);
    Ok(proto::ServerMetadataResponse {
        name: server.name,
        version: server.version,
        extensions: server.extensions,
    })
}

fn model_metadata(
    state: &State,
    request: proto::ModelMetadataRequest,
) -> Result<proto::ModelMetadataResponse, RequestError> {
    let model = state
        .registry
        .version(&request.name, given(&request.version))?;
    let model = routes::model_metadata(model);
    Ok(proto::ModelMetadataResponse {
        name: model.name,
        versions: model.versions,
        platform: model.platform,
        inputs: model.inputs.into_iter().map(tensor).collect(),
        outputs: model.outputs.into_iter().map(tensor).collect(),
        properties: model.properties,
    })
}

fn tensor(spec: TensorSpec) -> TensorMetadata {
    TensorMetadata {
        name: spec.name,
        datatype: spec.datatype.name().to_owned(),
        shape: spec.shape,
    }
}

/// A text of protobuf is never missing; an empty one means so.
pub(super) fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
