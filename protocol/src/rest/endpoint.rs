//! Paths: what each stands for, and which method it takes.

/// What a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v2`, also `/v2/`: what the server is.
    Server,
    /// `/v2/health/live`: whether the server is there.
    Live,
    /// `/v2/health/ready`: whether it takes requests.
    Ready,
    /// `/v2/models`: the names of all models.
    Models,
    /// `/v2/models/stats`: what has been counted of all models.
    Statistics,
    /// `/v2/repository/index`: which models there are and whether they answer.
    Index,
    /// `/v2/repository/models/{name}/load`: lets a model answer again.
    Load(String),
    /// `/v2/repository/models/{name}/unload`: lets it answer no more.
    Unload(String),
    /// `/v2/systemsharedmemory/...` and `/v2/cudasharedmemory/...`, which no server here has; with the
    /// method that the protocol gives the path.
    SharedMemory(Method),
    /// `/v2/models/{name}`, with or without `/versions/{version}`, and what may stand behind.
    Model {
        /// The model's name.
        name: String,
        /// The version that the path asks for.
        version: Option<String>,
        /// What is wanted of it.
        call: Call,
    },
}

/// What a path wants of a model, by its last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// No segment: its metadata.
    Describe,
    /// `ready`: whether it takes requests.
    Ready,
    /// `infer`: tensors to tensors.
    Infer,
    /// `predict`: media to an answer.
    Predict,
    /// `config`: how it is served, in the words of Triton.
    Config,
    /// `stats`: what has been counted of it.
    Statistics,
}

/// The method that a path takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
}

impl Endpoint {
    /// What a path stands for where a model called `name` is mounted anywhere. What stands before the
    /// first segment `v2` is where a host has mounted it. Without such a segment, a path that ends with
    /// `predict` means this model: its clients need not know its name.
    pub fn mounted(path: &str, name: &str) -> Option<Self> {
        match of_protocol(path) {
            Some(path) => Self::parse(path),
            None if path.ends_with("/predict") => Some(Self::Model {
                name: name.to_owned(),
                version: None,
                call: Call::Predict,
            }),
            None => None,
        }
    }

    /// Reads a path as it stands in a request, without its query. The fixed segments must stand as
    /// they are; names and versions may be percent-encoded. `None` for any other path, also one
    /// whose name is empty or, once decoded, no UTF-8.
    pub fn parse(path: &str) -> Option<Self> {
        match path.strip_prefix("/v2")? {
            "" | "/" => Some(Self::Server),
            "/health/live" => Some(Self::Live),
            "/health/ready" => Some(Self::Ready),
            "/models" => Some(Self::Models),
            "/models/stats" => Some(Self::Statistics),
            "/repository/index" => Some(Self::Index),
            other => Self::parse_longer(other),
        }
    }

    fn parse_longer(path: &str) -> Option<Self> {
        if let Some(path) = path.strip_prefix("/models/") {
            return Self::parse_model(path);
        }
        if let Some(path) = path.strip_prefix("/repository/models/") {
            return Self::parse_repository(path);
        }
        let memory = ["/systemsharedmemory/", "/cudasharedmemory/"];
        let rest = memory.iter().find_map(|start| path.strip_prefix(start))?;
        Some(Self::SharedMemory(match rest.ends_with("status") {
            true => Method::Get,
            false => Method::Post,
        }))
    }

    fn parse_repository(path: &str) -> Option<Self> {
        let (name, call) = path.split_once('/')?;
        let name = decode(name)?;
        match call {
            "load" => Some(Self::Load(name)),
            "unload" => Some(Self::Unload(name)),
            _ => None,
        }
    }

    fn parse_model(path: &str) -> Option<Self> {
        let mut segments = path.split('/');
        let name = decode(segments.next()?)?;
        let (mut version, mut last) = (None, segments.next());
        if last == Some("versions") {
            version = Some(decode(segments.next()?)?);
            last = segments.next();
        }
        let call = match last {
            None => Call::Describe,
            Some("ready") => Call::Ready,
            Some("infer") => Call::Infer,
            Some("predict") => Call::Predict,
            Some("config") => Call::Config,
            Some("stats") => Call::Statistics,
            Some(_) => return None,
        };
        let is_whole = segments.next().is_none();
        is_whole.then_some(Self::Model {
            name,
            version,
            call,
        })
    }

    /// The one method that the path takes.
    pub fn method(&self) -> Method {
        match self {
            Self::Model {
                call: Call::Infer | Call::Predict,
                ..
            }
            | Self::Index
            | Self::Load(_)
            | Self::Unload(_) => Method::Post,
            Self::SharedMemory(method) => *method,
            _ => Method::Get,
        }
    }
}

impl Method {
    /// The methods for the header `allow`.
    pub fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET,HEAD",
            Self::Post => "POST",
        }
    }
}

/// A segment without its percent-encoding. A `%` that begins no escape stands for itself.
fn decode(segment: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let (byte, behind) = escaped(rest).unwrap_or((*byte, behind));
        decoded.push(byte);
        rest = behind;
    }
    let decoded = String::from_utf8(decoded).ok()?;
    (!decoded.is_empty()).then_some(decoded)
}

/// The byte that an escape at the beginning stands for, and what is behind it.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let (escape, behind) = text.split_first_chunk::<3>()?;
    let [b'%', high, low] = escape else {
        return None;
    };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    Some((byte, behind))
}

fn of_protocol(path: &str) -> Option<&str> {
    let mut candidates = path
        .match_indices("/v2")
        .filter_map(|(start, _)| path.get(start..));
    candidates.find(|path| *path == "/v2" || path.starts_with("/v2/"))
}
