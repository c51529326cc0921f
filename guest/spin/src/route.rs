//! Paths: the protocol's below wherever the component is mounted, and the short one of its model.

use glovebox_protocol::rest::{Call, Endpoint};

/// What a path stands for, where the model is called `name`. What stands before the first segment
/// `v2` is where a host has mounted the component. Without such a segment, a path that ends with
/// `predict` means this model: its clients need not know its name.
pub(crate) fn endpoint(path: &str, name: &str) -> Option<Endpoint> {
    match of_protocol(path) {
        Some(path) => Endpoint::parse(path),
        None if path.ends_with("/predict") => Some(Endpoint::Model {
            name: name.to_owned(),
            version: None,
            call: Call::Predict,
        }),
        None => None,
    }
}

fn of_protocol(path: &str) -> Option<&str> {
    let mut candidates = path
        .match_indices("/v2")
        .filter_map(|(start, _)| path.get(start..));
    candidates.find(|path| *path == "/v2" || path.starts_with("/v2/"))
}
