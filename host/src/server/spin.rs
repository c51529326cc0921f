//! What Spin promises to a component beside plain HTTP: headers that tell it how it was reached.

use std::net::SocketAddr;

use hyper::header::{HeaderName, HeaderValue, InvalidHeaderValue};
use hyper::{HeaderMap, Request, Uri};

use crate::routing::Match;

/// How a request reached a component.
pub(super) struct Reached<'a> {
    pub(super) authority: &'a str,
    pub(super) uri: &'a Uri,
    pub(super) client: Option<SocketAddr>,
}

/// Puts Spin's headers into a request's, and nobody else's: a client cannot pretend a route.
///
/// # Errors
/// A part of the path cannot stand in a header.
pub(super) fn set_headers<T>(
    headers: &mut HeaderMap,
    matched: &Match<'_, '_, T>,
    reached: &Reached<'_>,
) -> Result<(), InvalidHeaderValue> {
    remove_foreign(headers);
    let Reached {
        authority,
        uri,
        client,
    } = reached;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let fixed = [
        ("spin-full-url", format!("http://{authority}{path}")),
        ("spin-path-info", matched.rest.to_owned()),
        ("spin-matched-route", matched.pattern.matched().to_owned()),
        (
            "spin-component-route",
            matched.pattern.component_route().to_owned(),
        ),
        ("spin-raw-component-route", matched.pattern.raw().to_owned()),
        ("spin-base-path", "/".to_owned()),
    ];
    for (name, value) in fixed {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(&value)?,
        );
    }
    if let Some(client) = client {
        let client = HeaderValue::from_str(&client.to_string())?;
        headers.insert(HeaderName::from_static("spin-client-addr"), client);
    }
    for (parameter, part) in &matched.parameters {
        let name = format!("spin-path-match-{}", parameter.replace('_', "-"));
        // A parameter's name has the letters of a header's.
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            headers.insert(name, HeaderValue::from_str(part)?);
        }
    }
    Ok(())
}

/// The same for a request from a component of the application, which no route has led here.
///
/// # Errors
/// Its path cannot stand in a header.
pub(super) fn set_headers_of_call<B>(request: &mut Request<B>) -> Result<(), InvalidHeaderValue> {
    let uri = request.uri();
    let values = [
        ("spin-full-url", uri.to_string()),
        ("spin-path-info", uri.path().to_owned()),
        ("spin-base-path", "/".to_owned()),
    ];
    let headers = request.headers_mut();
    remove_foreign(headers);
    for (name, value) in values {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(&value)?,
        );
    }
    Ok(())
}

fn remove_foreign(headers: &mut HeaderMap) {
    let names = headers.keys().filter(|name| is_ours(name));
    let names: Vec<_> = names.cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with("spin-") || name.as_str().starts_with("spin_")
}
