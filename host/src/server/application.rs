//! The routes of a manifest: which component, or which fixed answer, a path belongs to.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use std::sync::Arc;

use crate::model::Model;
use crate::model::http::HttpFunction;
use crate::routing::Table;

/// What a manifest serves beside models.
#[derive(Default)]
pub struct Application {
    /// The application's name.
    pub name: String,
    /// Its version; may be empty.
    pub version: String,
    /// All HTTP components, also those that no route leads to.
    pub functions: Vec<Arc<HttpFunction>>,
    /// What is where.
    pub routes: Table<Target>,
}

/// What is behind a route.
pub enum Target {
    /// An HTTP component.
    Function(Arc<HttpFunction>),
    /// A model, at another path than the protocol's.
    Model(Arc<Model>),
    /// Always the same answer.
    Static(StaticAnswer),
    /// A component that could not be loaded.
    Broken,
}

/// An answer that stands in the manifest.
#[derive(Debug)]
pub struct StaticAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl StaticAnswer {
    /// An answer, if its parts are those of HTTP.
    pub fn new(
        status: u16,
        headers: impl IntoIterator<Item = (String, String)>,
        body: String,
    ) -> Option<Self> {
        let header = |(name, value): (String, String)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(&value).ok()?))
        };
        Some(Self {
            status: StatusCode::from_u16(status).ok()?,
            headers: headers.into_iter().map(header).collect::<Option<_>>()?,
            body: body.into(),
        })
    }

    pub(super) fn response(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}
