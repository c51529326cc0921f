//! The methods of Triton's extensions: configuration, statistics, the model repository.

use axum::response::Response;
use glovebox_grpc::inference as proto;
use glovebox_protocol::{
    ConfigTensor, DurationStatistics, InferenceStatistics, ModelConfig, ModelStatistics,
};
use proto::repository_index_response::ModelIndex;

use super::call::Call;
use super::method::given;
use crate::error::RequestError;
use crate::server::state::State;
use crate::server::{repository, routes};

pub(super) fn model_config(
    state: &State,
    request: proto::ModelConfigRequest,
) -> Result<proto::ModelConfigResponse, RequestError> {
    let model = state
        .registry
        .version(&request.name, given(&request.version))?;
    let config = Some(config(routes::model_config(model)));
    Ok(proto::ModelConfigResponse { config })
}

fn config(model: ModelConfig) -> proto::ModelConfig {
    let data_type = |tensor: &ConfigTensor| {
        proto::DataType::from_str_name(tensor.data_type)
            .unwrap_or_default()
            .into()
    };
    let input = model.input.into_iter().map(|tensor| proto::ModelInput {
        data_type: data_type(&tensor),
        name: tensor.name,
        dims: tensor.dims,
    });
    let output = model.output.into_iter().map(|tensor| proto::ModelOutput {
        data_type: data_type(&tensor),
        name: tensor.name,
        dims: tensor.dims,
        label_filename: String::new(),
    });
    proto::ModelConfig {
        name: model.name,
        platform: model.platform,
        max_batch_size: i32::try_from(model.max_batch_size).unwrap_or_default(),
        input: input.collect(),
        output: output.collect(),
        backend: model.backend,
    }
}

pub(super) fn model_statistics(
    state: &State,
    request: proto::ModelStatisticsRequest,
) -> Result<proto::ModelStatisticsResponse, RequestError> {
    let report = match given(&request.name) {
        None => routes::all_statistics(state),
        Some(name) => {
            let model = state.registry.version(name, given(&request.version))?;
            routes::statistics(state, [model.as_ref()])
        }
    };
    let model_stats = report.model_stats.into_iter().map(statistics).collect();
    Ok(proto::ModelStatisticsResponse { model_stats })
}

fn statistics(model: ModelStatistics) -> proto::ModelStatistics {
    let batches = model.batch_stats.into_iter();
    let batches = batches.map(|batch| proto::InferBatchStatistics {
        batch_size: batch.batch_size,
        compute_input: duration(batch.compute_input),
        compute_infer: duration(batch.compute_infer),
        compute_output: duration(batch.compute_output),
    });
    proto::ModelStatistics {
        name: model.name,
        version: model.version,
        last_inference: model.last_inference,
        inference_count: model.inference_count,
        execution_count: model.execution_count,
        inference_stats: Some(requests(model.inference_stats)),
        batch_stats: batches.collect(),
        memory_usage: Vec::new(),
        response_stats: Default::default(),
    }
}

fn requests(statistics: InferenceStatistics) -> proto::InferStatistics {
    proto::InferStatistics {
        success: duration(statistics.success),
        fail: duration(statistics.fail),
        queue: duration(statistics.queue),
        compute_input: duration(statistics.compute_input),
        compute_infer: duration(statistics.compute_infer),
        compute_output: duration(statistics.compute_output),
        cache_hit: duration(statistics.cache_hit),
        cache_miss: duration(statistics.cache_miss),
    }
}

fn duration(statistics: DurationStatistics) -> Option<proto::StatisticDuration> {
    let DurationStatistics { count, ns } = statistics;
    Some(proto::StatisticDuration { count, ns })
}

/// Lists all models.
pub(super) async fn index(mut call: Call) -> Response {
    let index = async {
        repository::open(&call.state, &call.headers)?;
        let request: proto::RepositoryIndexRequest = call.question().await?;
        let entries = repository::list(&call.state, request.ready);
        let models = entries.map(|entry| ModelIndex {
            name: entry.name.to_owned(),
            version: entry.version.to_owned(),
            state: entry.state.to_owned(),
            reason: entry.reason.to_owned(),
        });
        let models = models.collect();
        Ok(proto::RepositoryIndexResponse { models })
    };
    let index = index.await;
    call.answer(index)
}

/// Lets a model answer again.
pub(super) async fn load(mut call: Call) -> Response {
    let load = async {
        repository::open(&call.state, &call.headers)?;
        let request: proto::RepositoryModelLoadRequest = call.question().await?;
        let has_parameters = !request.parameters.is_empty();
        repository::load_model(&call.state, &request.model_name, has_parameters).await?;
        Ok(proto::RepositoryModelLoadResponse {})
    };
    let load = load.await;
    call.answer(load)
}

/// Lets a model answer no more.
pub(super) async fn unload(mut call: Call) -> Response {
    let unload = async {
        repository::open(&call.state, &call.headers)?;
        let request: proto::RepositoryModelUnloadRequest = call.question().await?;
        repository::unload_model(&call.state, &request.model_name).await?;
        Ok(proto::RepositoryModelUnloadResponse {})
    };
    let unload = unload.await;
    call.answer(unload)
}
