//! What a request asks for, from its path and query.

use spin_sdk::http::IncomingRequest;

/// A verb, what it is about, and parameters.
pub(crate) struct Asked {
    path: String,
    query: String,
}

impl Asked {
    /// The path is that below the mount, as far as the host tells it.
    pub(crate) fn new(request: &IncomingRequest) -> Self {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let below = request.headers().get("spin-path-info");
        let below = below
            .into_iter()
            .next()
            .and_then(|value| String::from_utf8(value).ok());
        Self {
            path: below
                .filter(|path| !path.is_empty())
                .unwrap_or_else(|| path.to_owned()),
            query: query.to_owned(),
        }
    }

    /// The first part of the path.
    pub(crate) fn verb(&self) -> &str {
        self.parts().0
    }

    /// The rest of the path, without the slash before it.
    pub(crate) fn object(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        let path = self.path.trim_start_matches('/');
        path.split_once('/').unwrap_or((path, ""))
    }

    /// A parameter of the query as it is written.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    }

    /// A number of the query, or 0.
    pub(crate) fn number(&self, name: &str) -> usize {
        let text = self.parameter(name);
        text.map_or(0, |text| text.parse().expect("a number"))
    }
}
