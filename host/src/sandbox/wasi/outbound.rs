//! Calls of a guest to hosts that its manifest names, and to no others: other servers, and components
//! of the same application.
//!
//! A name is resolved here and its addresses are looked at before a connection is made, so that a
//! name that points into a private network opens no way there. What a call takes is bounded: its
//! connections by a number, its buffers by hyper and the sizes in `limits`, its time by the
//! deadline of the request that makes it, with which everything here is dropped.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper::{Request, Response, Uri, http::uri::Scheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
pub use wasmtime_wasi_http::Error as CallError;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::allowed_hosts::{AllowedHosts, component};
use crate::limits;

/// What a component may call.
pub struct Outbound {
    /// The hosts.
    pub allowed: AllowedHosts,
    /// How hosts outside are reached; not needed where only components may be called.
    pub network: Option<Arc<Network>>,
    /// How components of the same application are reached; known once all are loaded.
    pub siblings: Arc<OnceLock<Weak<dyn Siblings>>>,
}

/// The components of an application, which may call each other without a connection.
pub trait Siblings: Send + Sync {
    /// Hands a request to a component, within its own limits; the answer is what a client would get.
    fn call(self: Arc<Self>, component: String, request: CallRequest) -> Calling;
}

/// A request that a guest sends.
pub type CallRequest = Request<WasiBody>;
/// What it will get.
pub type Calling = Pin<Box<dyn Future<Output = Result<Response<WasiBody>, CallError>> + Send>>;

/// Names and certificates; made before the process gives up opening files.
pub struct Network {
    resolver: TokioResolver,
    tls: TlsConnector,
}

impl Network {
    /// Takes the name servers of this system and Mozilla's certificates.
    ///
    /// # Errors
    /// The system's configuration of names cannot be read.
    pub fn new() -> Result<Self, String> {
        let resolver = TokioResolver::builder_tokio()
            .and_then(|builder| builder.build())
            .map_err(|error| format!("cannot set up name resolution: {error}"))?;
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.into(),
        };
        let provider = Arc::new(ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot set up TLS: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            resolver,
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        let found = self.resolver.lookup_ip(host).await.map_err(|_| {
            // What the resolver says may tell about the network inside.
            let (rcode, info_code) = (Some("lookup failed".into()), None);
            Error::DnsError { rcode, info_code }
        })?;
        Ok(found.iter().collect())
    }
}

/// The calls of one instance.
pub(super) struct Calls {
    outbound: Option<Arc<Outbound>>,
    places: Arc<Semaphore>,
}

impl Calls {
    pub(super) fn new(outbound: Option<Arc<Outbound>>) -> Self {
        Self {
            outbound,
            places: Arc::new(Semaphore::new(limits::OUTBOUND_CALLS)),
        }
    }
}

/// The answer to a call, and the work that goes on until its body is read.
type Answer = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Calls {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer, Error>> + Send> {
        let outbound = self.outbound.clone();
        let place = Arc::clone(&self.places).try_acquire_owned();
        Box::new(async move {
            let outbound = outbound.ok_or(Error::HttpRequestDenied)?;
            let place = place.map_err(|_| Error::ConnectionLimitReached)?;
            call(&outbound, request, options.unwrap_or_default(), place).await
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        limits::BODY_CHUNK_BYTES
    }

    // By default these write to the log, which a guest could fill: it is told, and nobody else.

    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _: &io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _: &io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }
}

async fn call(
    outbound: &Outbound,
    mut request: Request<WasiBody>,
    options: RequestOptions,
    place: OwnedSemaphorePermit,
) -> Result<Answer, Error> {
    let target = Target::of(request.uri())?;
    if !outbound
        .allowed
        .allows(target.scheme, &target.host, target.port)
    {
        return Err(Error::HttpRequestDenied);
    }
    if let Some(component) = component(&target.host) {
        let siblings = outbound.siblings.get().and_then(Weak::upgrade);
        let siblings = siblings.ok_or(Error::DestinationNotFound)?;
        let answer = siblings.call(component, request).await?;
        // It counts as a call until its body is read.
        let whole = async move {
            drop(place);
            Ok(())
        };
        return Ok((answer, Box::new(whole)));
    }
    // The server gets the path alone; who it is stands in the header `host`.
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    let patience = options.connect_timeout.unwrap_or(limits::CONNECT_TIME);
    let stream = timeout(patience, connect(outbound, &target))
        .await
        .map_err(|_| Error::ConnectionTimeout)??;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(limits::OUTBOUND_BUFFER_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    let connection = wasmtime_wasi::runtime::spawn(async move {
        let _place = place;
        connection.await
    });
    let patience = options.first_byte_timeout.unwrap_or(Duration::MAX);
    let response = timeout(patience, sender.send_request(request))
        .await
        .map_err(|_| Error::ConnectionReadTimeout)??;
    let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
    Ok((
        response,
        Box::new(async move { connection.await.map_err(Error::from) }),
    ))
}

/// Whom a request is for.
struct Target {
    scheme: &'static str,
    host: String,
    port: u16,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let (scheme, default_port) = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => ("https", 443),
            Some(scheme) if *scheme == Scheme::HTTP => ("http", 80),
            _ => return Err(Error::HttpProtocolError),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        Ok(Self {
            scheme,
            host: host.ok_or(Error::HttpRequestUriInvalid)?.to_owned(),
            port: uri.port_u16().unwrap_or(default_port),
        })
    }
}

/// Bytes to and from a host.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(outbound: &Outbound, target: &Target) -> Result<Box<dyn Stream>, Error> {
    let network = outbound.network.as_ref();
    let network = network.ok_or(Error::HttpRequestDenied)?;
    let addresses = network.resolve(&target.host).await?;
    let addresses = addresses.into_iter();
    let addresses = addresses
        .map(|address| SocketAddr::new(address, target.port))
        .filter(|address| outbound.allowed.allows_address(*address));
    let stream = connect_to_any(addresses).await?;
    if target.scheme == "http" {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(target.host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| Error::HttpRequestUriInvalid)?;
    let stream = network.tls.connect(name, stream).await;
    Ok(Box::new(stream.map_err(Error::Tls)?))
}

/// The first that answers.
async fn connect_to_any(addresses: impl Iterator<Item = SocketAddr>) -> Result<TcpStream, Error> {
    let mut last = Error::DestinationIpProhibited;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                last = Error::ConnectionRefused;
            }
            Err(error) => last = Error::Connect(error),
        }
    }
    Err(last)
}
