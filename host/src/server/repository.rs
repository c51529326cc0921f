//! The extension `model_repository`: which models there are, and who may load and unload them.
//!
//! A serving process opens nothing, so nothing new comes in this way. To unload a model is to answer
//! for it no more, and to free what it holds; to load it is to bring it back.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use glovebox_protocol::rest::Refusal;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::routes::refuse;
use super::state::State;
use super::{answer, body};
use crate::error::RequestError;
use crate::limits;
use crate::model::Model;
use crate::model::registry::Broken;

/// What opens the repository: a secret that only an operator's clients know, as its hash.
pub struct Token(blake3::Hash);

/// The text is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Too short.
    #[error("it must hold a token of at least {} letters", limits::TOKEN_BYTES)]
    Short,
    /// It cannot stand in a header.
    #[error("it must hold one line of visible ASCII and nothing else")]
    Letters,
}

impl Token {
    /// Takes a token; blanks and line ends around it do not belong to it.
    ///
    /// # Errors
    /// It is too short, or cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let token = text.trim();
        match () {
            () if token.len() < limits::TOKEN_BYTES => Err(TokenError::Short),
            () if !token.bytes().all(|byte| byte.is_ascii_graphic()) => Err(TokenError::Letters),
            () => Ok(Self(blake3::hash(token.as_bytes()))),
        }
    }

    /// Whether a request brings it. Hashes are compared in constant time.
    fn opens_for(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let Some((scheme, token)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ") && blake3::hash(token) == self.0
    }
}

/// What a call may say.
#[derive(Default, Deserialize)]
struct Wish {
    /// Only models that answer.
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    parameters: BTreeMap<String, IgnoredAny>,
}

/// One model in the index.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) state: &'static str,
    pub(super) reason: &'a str,
}

impl<'a> Entry<'a> {
    fn of(model: &'a Model) -> Self {
        let reason = model.unavailable();
        Self {
            name: &model.name,
            version: model.version(),
            state: match reason {
                None => "READY",
                Some(_) => "UNAVAILABLE",
            },
            reason: reason.unwrap_or_default(),
        }
    }

    fn of_broken(broken: &'a Broken) -> Self {
        Self {
            name: &broken.name,
            version: "",
            state: "UNAVAILABLE",
            reason: &broken.reason,
        }
    }
}

#[derive(Serialize)]
struct Done {}

/// Lists all models.
pub(super) async fn index(state: &State, request: Request) -> Response {
    match wish(state, request).await {
        Err(error) => refuse(state, &error),
        Ok(wish) => answer::json(&list(state, wish.ready).collect::<Vec<_>>()),
    }
}

/// All models, with components that could not be loaded, or those that answer.
pub(super) fn list(state: &State, only_ready: bool) -> impl Iterator<Item = Entry<'_>> {
    let entries = state.registry.iter().map(|model| Entry::of(model));
    let broken = state.registry.broken().iter().map(Entry::of_broken);
    let entries = entries.chain(broken);
    entries.filter(move |entry| !only_ready || entry.state == "READY")
}

/// Lets a model answer again.
pub(super) async fn load(state: &State, name: &str, request: Request) -> Response {
    let load = async {
        let wish = wish(state, request).await?;
        load_model(state, name, !wish.parameters.is_empty()).await
    };
    finish(state, load.await)
}

/// The same by its name alone.
pub(super) async fn load_model(
    state: &State,
    name: &str,
    has_parameters: bool,
) -> Result<(), RequestError> {
    if has_parameters {
        let problem = "a server takes models and their settings from its manifest only; load takes \
                       no parameters";
        return Err(Refusal::InvalidRequest(problem.to_owned()).into());
    }
    let deadline = Instant::now() + limits::REPOSITORY_TIME;
    state.registry.get(name)?.load(deadline).await?;
    log(name, "load");
    Ok(())
}

/// Lets a model answer no more. That of its dependents, which Triton's clients send, is no matter
/// here: none has any.
pub(super) async fn unload(state: &State, name: &str, request: Request) -> Response {
    let unload = async {
        wish(state, request).await?;
        unload_model(state, name).await
    };
    finish(state, unload.await)
}

/// The same by its name alone.
pub(super) async fn unload_model(state: &State, name: &str) -> Result<(), RequestError> {
    state.registry.get(name)?.unload().await;
    log(name, "unload");
    Ok(())
}

fn log(model: &str, call: &str) {
    tracing::info!(model, call, "the model repository was changed");
}

fn finish(state: &State, result: Result<(), RequestError>) -> Response {
    match result {
        Ok(()) => answer::json(&Done {}),
        Err(error) => refuse(state, &error),
    }
}

/// Whether a request may ask the repository at all.
pub(super) fn open(state: &State, headers: &HeaderMap) -> Result<(), RequestError> {
    let token = state.repository.get();
    let token = token.ok_or(RequestError::RepositoryClosed)?;
    match token.opens_for(headers) {
        true => Ok(()),
        false => Err(RequestError::Unauthorized),
    }
}

/// What an operator's client says; nobody else's body is read.
async fn wish(state: &State, request: Request) -> Result<Wish, RequestError> {
    if let Err(error) = open(state, request.headers()) {
        body::discard(request).await;
        return Err(error);
    }
    body::check_length(&request, limits::REPOSITORY_BODY)?;
    let deadline = Instant::now() + limits::REPOSITORY_TIME;
    let body = body::read(request.into_body(), limits::REPOSITORY_BODY, deadline).await?;
    if body.is_empty() {
        return Ok(Wish::default());
    }
    let invalid = |_| Refusal::InvalidRequest("the body is not the JSON of such a call".into());
    Ok(serde_json::from_slice(&body).map_err(invalid)?)
}
