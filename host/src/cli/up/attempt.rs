//! Commands that ask what is served, to be pasted into a shell.
//!
//! Names and examples come from files that anybody can write: what is not plain text is not shown, and
//! the rest is quoted, so that a shell takes it for what it is.

use std::net::SocketAddr;

use glovebox_protocol::{InferRequest, Signature, TensorSpec, element_count};

use crate::limits;
use crate::model::metadata::{Body, Example, Metadata};
use crate::model::{self, example};
use crate::server::application::{Application, Target};
use crate::server::state::State;
use crate::text::escape;

/// A picture of one grey pixel, which every model of pictures takes.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mNoaGgAAAMEAYF1LgG8AAAAAElFTkSuQmCC";

/// Commands for the first models.
pub(super) struct Commands {
    pub(super) lines: Vec<String>,
    /// How many models are not among them.
    pub(super) others: usize,
}

/// A model wherever it is served.
struct Subject<'a> {
    /// Where, without `/infer` and `/predict`.
    url: String,
    signature: &'a Signature,
    example: Option<&'a Example>,
}

/// Where people on this machine find the host: an address that stands for all cannot be asked.
pub(super) fn base(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("http://localhost:{}", address.port()),
        false => format!("http://{address}"),
    }
}

impl Commands {
    /// Those for what is served at `base`.
    pub(super) fn new(state: &State, base: &str) -> Self {
        let subjects = models(state, base).chain(functions(&state.application, base));
        let mut commands = Self {
            lines: Vec::new(),
            others: 0,
        };
        for subject in subjects {
            match commands.lines.len() < limits::SHOWN_COMMANDS {
                true => commands.lines.extend(subject.command()),
                false => commands.others += 1,
            }
        }
        commands
    }
}

fn models<'a>(state: &'a State, base: &str) -> impl Iterator<Item = Subject<'a>> {
    state.registry.iter().map(move |model| Subject {
        url: format!("{base}/v2/models/{}", model.name),
        signature: &model.signature,
        example: example_in(model.metadata.as_ref()),
    })
}

/// Components with a model inside, where a route leads to it under its own name.
fn functions<'a>(application: &'a Application, base: &str) -> impl Iterator<Item = Subject<'a>> {
    application.functions.iter().filter_map(move |function| {
        let metadata = function.metadata.as_ref()?;
        let mut routes = application.routes.iter().filter(
            |(_, target)| matches!(target, Target::Function(other) if other.id == function.id),
        );
        let path = routes.find_map(|(pattern, _)| path(pattern.raw(), &metadata.name))?;
        Some(Subject {
            url: format!("{base}{path}"),
            signature: &metadata.signature,
            example: example_in(Some(metadata)),
        })
    })
}

/// The path of a model below a route that takes all that is below it.
fn path(route: &str, name: &str) -> Option<String> {
    let mount = route.strip_suffix("/...")?;
    let own = format!("/v2/models/{name}");
    let is_plain = model::is_name(name) && !mount.contains(':');
    match mount {
        _ if !is_plain => None,
        _ if mount == own => Some(own),
        _ if mount.contains("/v2") => None,
        _ => Some(format!("{mount}{own}")),
    }
}

fn example_in(metadata: Option<&Metadata>) -> Option<&Example> {
    metadata.and_then(|metadata| metadata.example.as_ref())
}

impl Subject<'_> {
    /// A command that can be pasted, if one can be made up.
    fn command(&self) -> Option<String> {
        let example = self.example.and_then(|example| self.of_example(example));
        example
            .or_else(|| self.of_media())
            .or_else(|| self.of_numbers())
            .or_else(|| self.of_zeros())
    }

    /// Its own example.
    fn of_example(&self, example: &Example) -> Option<String> {
        let predict = self.predict(&example.content_type)?;
        match &example.body {
            Body::Text(text) => Some(format!("{predict} --data-raw {}", quoted(text)?)),
            Body::Base64(text) => piped(&format!("echo {} | base64 -d", plain(text)?), &predict),
        }
    }

    /// What every model of texts or of pictures takes.
    fn of_media(&self) -> Option<String> {
        let takes = |kind: &&str| self.signature.media.iter().any(|media| media == kind);
        let kind = ["text/plain", "image/png"]
            .iter()
            .find(|kind| takes(kind))?;
        let predict = self.predict(kind)?;
        match *kind {
            "text/plain" => Some(format!("{predict} --data-raw 'Hello, world.'")),
            _ => piped(&format!("echo {PIXEL} | base64 -d"), &predict),
        }
    }

    /// Small tensors as JSON.
    fn of_numbers(&self) -> Option<String> {
        let inputs = self.signature.inputs.iter();
        let inputs = inputs.map(|spec| example::tensor(spec, limits::SHOWN_ELEMENTS));
        let request = InferRequest {
            inputs: inputs.collect::<Option<_>>()?,
            ..InferRequest::default()
        };
        let body = String::from_utf8(request.to_json().ok()?).ok()?;
        Some(format!("{} -d {}", self.curl("infer")?, quoted(&body)?))
    }

    /// One large tensor as bytes.
    fn of_zeros(&self) -> Option<String> {
        let [input] = self.signature.inputs.as_slice() else {
            return None;
        };
        let zeros = format!("head -c {} /dev/zero", bytes(input)?);
        let infer = format!(
            "{} -H 'Inference-Header-Content-Length: 0' -o answer.bin",
            self.curl("infer")?
        );
        piped(&zeros, &infer)
    }

    fn predict(&self, content_type: &str) -> Option<String> {
        let header = quoted(&format!("content-type: {content_type}"))?;
        Some(format!("{} -H {header}", self.curl("predict")?))
    }

    fn curl(&self, call: &str) -> Option<String> {
        let url = format!("{}/{call}", self.url);
        match plain(&url) {
            Some(url) => Some(format!("curl {url}")),
            None => Some(format!("curl {}", quoted(&url)?)),
        }
    }
}

fn piped(source: &str, curl: &str) -> Option<String> {
    Some(format!("{source} | {curl} --data-binary @-"))
}

/// The size of a tensor of which no more than one size is open, that being 1.
fn bytes(spec: &TensorSpec) -> Option<u64> {
    let open = spec.shape.iter().filter(|size| **size < 0).count();
    let size = |size: &i64| u64::try_from(*size).unwrap_or(1);
    let shape: Vec<_> = spec.shape.iter().map(size).collect();
    let element = spec.datatype.element_bytes().filter(|_| open <= 1)?;
    let bytes = element_count(&shape)?.checked_mul(element as u64)?;
    (bytes <= limits::Limits::BODY.0).then_some(bytes)
}

/// A text that means the same in a shell as it is.
fn plain(text: &str) -> Option<&str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "+/=:.-_".contains(letter);
    text.chars().all(is_plain).then_some(text)
}

/// A text in quotes of a shell; nothing if it could look like something else than it is.
fn quoted(text: &str) -> Option<String> {
    // A letter at a time, for long texts are cut.
    let is_shown = |letter: char| escape(letter.encode_utf8(&mut [0; 4])).starts_with(letter);
    let is_harmless = text.chars().all(is_shown);
    is_harmless.then(|| format!("'{}'", text.replace('\'', "'\\''")))
}
