//! Components put together: what one imports, another exports.

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PackageId, PlugError, plug};
use wasm_encoder::{ComponentSection, CustomSection};

use super::package::description;
use super::{metadata, runtime};
use crate::text;

/// A component for another's imports.
pub struct Part<'a> {
    /// What it is called in errors.
    pub name: &'a str,
    /// Its bytes.
    pub component: Vec<u8>,
}

/// Why components do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// One of them is broken.
    #[error(
        "{name} is no component that can be composed: {}",
        text::escape(reason)
    )]
    Invalid {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// None of the exports is an import of the other, or their types differ.
    #[error(
        "{socket} imports nothing that {plugs} exports in the same version and of the same types"
    )]
    NothingFits {
        /// The component with imports.
        socket: String,
        /// The components with exports.
        plugs: String,
    },
    /// They fit, but not into one component.
    #[error("cannot compose {socket}: {}", text::escape(reason))]
    Composition {
        /// The component with imports.
        socket: String,
        /// Why.
        reason: String,
    },
}

/// A packed model behind the HTTP front of this host: an HTTP component.
///
/// # Errors
/// The model is of another version.
pub fn with_front(model: Vec<u8>) -> Result<Vec<u8>, ComposeError> {
    let front = Part {
        name: "the HTTP front",
        component: runtime::FRONT.clone(),
    };
    let model = Part {
        name: "the model",
        component: model,
    };
    compose(front, vec![model])
}

/// Gives `socket` the exports of `plugs` for its imports. What nobody exports remains an import.
/// Each part is inside unchanged, with its image and its code, and what a model says about itself
/// is what the whole says.
///
/// # Errors
/// They do not fit together.
pub fn compose(socket: Part<'_>, plugs: Vec<Part<'_>>) -> Result<Vec<u8>, ComposeError> {
    let mut descriptions = plugs.iter().map(|plug| description(&plug.component));
    let description = descriptions.find_map(|text| text.map(<[u8]>::to_vec));
    let names: Vec<_> = plugs.iter().map(|plug| plug.name).collect();
    let names = names.join(", ");
    let mut graph = CompositionGraph::new();
    let mut ids = Vec::new();
    for (index, part) in plugs.into_iter().enumerate() {
        ids.push(register(
            &mut graph,
            &format!("glovebox:plug{index}"),
            part,
        )?);
    }
    let name = socket.name;
    let id = register(&mut graph, "glovebox:socket", socket)?;
    plug(&mut graph, ids, id).map_err(|error| match error {
        PlugError::NoPlugHappened => ComposeError::NothingFits {
            socket: name.to_owned(),
            plugs: names,
        },
        PlugError::GraphError { source } => ComposeError::Composition {
            socket: name.to_owned(),
            reason: format!("{source:#}"),
        },
    })?;
    let mut component =
        graph
            .encode(EncodeOptions::default())
            .map_err(|error| ComposeError::Composition {
                socket: name.to_owned(),
                reason: error.to_string(),
            })?;
    if let Some(description) = description {
        CustomSection {
            name: metadata::SECTION.into(),
            data: description.into(),
        }
        .append_to_component(&mut component);
    }
    Ok(component)
}

fn explain(error: &str) -> String {
    match error.contains("unexpected end") {
        true => "it ends in the middle; copy or download the whole of it again".into(),
        false => error.to_owned(),
    }
}

fn register(
    graph: &mut CompositionGraph,
    name: &str,
    part: Part<'_>,
) -> Result<PackageId, ComposeError> {
    let invalid = |reason: String| ComposeError::Invalid {
        name: part.name.to_owned(),
        reason,
    };
    let package = Package::from_bytes(name, None, part.component, graph.types_mut())
        .map_err(|error| invalid(explain(&format!("{error:#}"))))?;
    graph
        .register_package(package)
        .map_err(|error| invalid(error.to_string()))
}
