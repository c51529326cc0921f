//! Whether a packed model keeps within the quotas of edge platforms: measured, not estimated.
//!
//! The finished HTTP component answers its own examples, or zeros if it has none, as a platform
//! would ask it; what its instances take is compared with the quotas in `limits`.

use std::fs;
use std::time::Duration;

use glovebox_protocol::{InferRequest, Signature, Tensor, element_count};
use serde::Serialize;

use super::PackError;
use super::config::Example;
use crate::limits::{self, Bytes, Limits};
use crate::media;
use crate::model::package::Package;
use crate::model::{DeployError, Deployer};
use crate::sandbox::compute::Tenant;
use crate::sandbox::invoke::{Finished, Usage};
use crate::sandbox::wasi::{Post, World};
use crate::text;

/// What was measured, beside what there may be.
#[derive(Serialize)]
pub struct EdgeReport {
    /// The whole file.
    pub component_bytes: u64,
    /// The most memory of one instance, over all requests.
    pub memory_bytes: u64,
    /// CPU time of a request, of the middle one.
    pub cpu_median_us: u64,
    /// CPU time of a request, of the longest.
    pub cpu_most_us: u64,
    /// How many requests were made.
    pub requests: usize,
    /// Whether they were the model's examples; otherwise they were zeros.
    pub has_examples: bool,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The component does not run.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// An example's file.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A request is not answered.
    #[error("the component does not answer {request}: {reason}")]
    Request {
        /// Which.
        request: String,
        /// Why.
        reason: String,
    },
}

impl EdgeReport {
    /// The quotas that it does not keep, in words.
    pub fn failures(&self) -> Vec<String> {
        let quotas = [
            ("component", self.component_bytes, limits::EDGE_COMPONENT),
            ("memory", self.memory_bytes, limits::EDGE_MEMORY),
        ];
        let broken = quotas
            .into_iter()
            .filter(|(_, found, most)| *found > most.0);
        broken
            .map(|(what, found, most)| format!("{what} {} is more than {most}", Bytes(found)))
            .collect()
    }
}

/// Runs the component on the examples of its model.
///
/// # Errors
/// It does not run, or does not answer one of them.
pub async fn measure(
    deployer: &Deployer,
    name: &str,
    component: &[u8],
    signature: &Signature,
    examples: &[Example],
) -> Result<EdgeReport, EdgeError> {
    let package = Package::parse(component.to_vec()).map_err(DeployError::from)?;
    let tenant = Tenant {
        name: name.into(),
        weight: 1,
    };
    let limits = Limits::generous(limits::RUN_CPU);
    let function = deployer.deploy_http(name, &package, World::default(), tenant, limits)?;
    let mut usages = Vec::new();
    for post in requests(name, signature, examples)? {
        let request = post.path.clone();
        let Finished { outcome, usage } = function.handler.post(post).await;
        let reason = match outcome {
            Ok((200, _)) => None,
            Ok((status, _)) => Some(format!("its status is {status}")),
            Err(fault) => Some(text::escape(&fault.to_string())),
        };
        match reason {
            None => usages.push(usage),
            Some(reason) => return Err(EdgeError::Request { request, reason }),
        }
    }
    Ok(report(component, usages, !examples.is_empty()))
}

fn report(component: &[u8], mut usages: Vec<Usage>, has_examples: bool) -> EdgeReport {
    usages.sort_by_key(|usage| usage.cpu);
    let micros = |usage: Option<&Usage>| {
        let cpu = usage.map_or(Duration::ZERO, |usage| usage.cpu);
        u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX)
    };
    EdgeReport {
        component_bytes: component.len() as u64,
        memory_bytes: usages.iter().map(|usage| usage.memory.0).max().unwrap_or(0),
        cpu_median_us: micros(usages.get(usages.len() / 2)),
        cpu_most_us: micros(usages.last()),
        requests: usages.len(),
        has_examples,
    }
}

fn requests(
    name: &str,
    signature: &Signature,
    examples: &[Example],
) -> Result<Vec<Post>, EdgeError> {
    if examples.is_empty() {
        return Ok(vec![zeros(name, signature)?]);
    }
    let post = |example: &Example| {
        let body = fs::read(&example.input).map_err(|source| PackError::ExampleFile {
            path: example.input.clone(),
            source,
        })?;
        Ok(Post {
            path: format!("/v2/models/{name}/predict"),
            content_type: media::content_type(&example.input).to_owned(),
            body,
        })
    };
    examples.iter().map(post).collect()
}

/// A request of zeros to the model `name`, open dimensions being 1.
///
/// # Errors
/// One of its inputs has no form in JSON.
pub fn zeros(name: &str, signature: &Signature) -> Result<Post, EdgeError> {
    let path = format!("/v2/models/{name}/infer");
    let inputs = signature.inputs.iter().map(|spec| {
        let shape: Vec<u64> = spec
            .shape
            .iter()
            .map(|size| u64::try_from(*size).unwrap_or(1))
            .collect();
        let elements = usize::try_from(element_count(&shape)?).ok()?;
        // An empty string is a length of four zero bytes.
        let bytes = elements.checked_mul(spec.datatype.element_bytes().unwrap_or(4))?;
        Tensor::new(spec.name.clone(), spec.datatype, shape, vec![0; bytes]).ok()
    });
    let request = inputs
        .collect::<Option<Vec<_>>>()
        .map(|inputs| InferRequest {
            inputs,
            ..Default::default()
        });
    let body = request.and_then(|request| request.to_json().ok());
    let body = body.ok_or_else(|| EdgeError::Request {
        request: path.clone(),
        reason: "its inputs have no zeros as JSON; add an [[example]] to model.toml".into(),
    })?;
    Ok(Post {
        path,
        content_type: "application/json".into(),
        body,
    })
}
