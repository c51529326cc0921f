//! The HTTP front of one model: Open Inference Protocol v2 on every host of `wasi:http`.
//!
//! The component imports the model, and what every such host gives: requests, responses and their
//! streams. Composed with a packed model it is one file that answers HTTP by itself. It answers
//! what Glovebox's own server would, by the same rules (`glovebox_protocol::rest`) and the same
//! codec; limits of memory and time are the host's business. It reads no clock, no environment and
//! nothing random: the same request has the same answer.
//!
//! A request goes through [`front`], which reads it with [`body`] and calls the [`model`]. [`delivery`] writes the [`answer`].

mod answer;
mod body;
mod delivery;
mod front;
mod model;

#[allow(unsafe_code, missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "spin-function", generate_all });
    export!(Exports);
    use super::Exports;
}

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::http::types::{IncomingRequest, ResponseOutparam};

struct Exports;

impl Guest for Exports {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        delivery::send(front::answer(&request), response);
    }
}
