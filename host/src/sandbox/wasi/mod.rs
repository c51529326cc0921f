//! HTTP components: guests with an exported HTTP handler, and WASI within bounds.
//!
//! [`Handler`] is a deployed component; each request gets a fresh instance, under the same limits
//! as a model function. What such a guest may see of the world is a [`World`]: its environment,
//! its files, its variables and the hosts it may call, and nothing that is not named there. A guest
//! that waits, for its client or for a host, is parked and costs no compute thread.

mod console;
mod guest;
pub mod outbound;
mod variables;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tokio::sync::oneshot;
use wasmtime::component::Linker;
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use self::guest::Guest;
use super::Sandbox;
use super::allowance::Allowance;
use super::compute::Tenant;
use super::function::Code;
use super::invoke::{Entry, Fault, Finished, Invocation, Outcome, Usage};
use super::nn;
use crate::limits::Limits;
use crate::native::Graphs;
use console::Console;
use outbound::Outbound;

/// A request with its whole body.
pub type Request = hyper::Request<Bytes>;
/// The head of an answer, and a body that may still be in the making.
pub type Response = hyper::Response<Body>;
/// What a guest sends, piece by piece. It ends without an error also if the guest is stopped.
pub type Body = HyperOutgoingBody;

/// What a component may see and reach.
#[derive(Default)]
pub struct World {
    /// Its environment variables.
    pub environment: Vec<(String, String)>,
    /// Its configuration variables.
    pub variables: BTreeMap<String, String>,
    /// The folder that it may read as `/`.
    pub files: Option<PathBuf>,
    /// The hosts that it may call; none by default.
    pub outbound: Option<Arc<Outbound>>,
    /// The graphs that it may run; none by default.
    pub graphs: Arc<Graphs>,
}

/// An HTTP component with its limits. Cheap to clone; requests share nothing but the code, the
/// image and the world.
#[derive(Clone)]
pub struct Handler {
    sandbox: Arc<Sandbox>,
    pre: ProxyPre<Guest>,
    world: Arc<World>,
    tenant: Tenant,
    limits: Limits,
}

impl Handler {
    /// Links a component, which may import WASI 0.2, the interfaces of [`variables`], `wasi:nn` if
    /// there are graphs for it, and the modules beside it.
    ///
    /// # Errors
    /// The component imports something else, or does not export an HTTP handler.
    pub fn new(
        sandbox: Arc<Sandbox>,
        code: &Code,
        world: World,
        tenant: Tenant,
        limits: Limits,
    ) -> Result<Self> {
        let mut linker = Linker::new(code.component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        variables::add_to_linker(&mut linker)?;
        if !world.graphs.is_empty() {
            nn::add_to_linker(&mut linker, Guest::nn)?;
        }
        code.define(&mut linker)?;
        Ok(Self {
            sandbox,
            pre: ProxyPre::new(linker.instantiate_pre(&code.component)?)?,
            world: Arc::new(world),
            tenant,
            limits,
        })
    }

    /// What each request may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whose compute it uses.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Hands a request to a fresh instance, which is gone when the permit is dropped.
    pub fn handle(
        &self,
        request: Request,
        deadline: Instant,
        permit: impl Send + Sync + 'static,
    ) -> Handling {
        let invocation = Invocation::new(self.limits.clone(), deadline);
        let (respond, head) = oneshot::channel();
        let console = Console::default();
        let entry = HttpCall {
            pre: self.pre.clone(),
            world: Arc::clone(&self.world),
            console: console.clone(),
            request,
            respond,
        };
        let outcome = invocation.submit(&self.sandbox, self.tenant.clone(), entry, permit);
        Handling {
            invocation,
            head,
            outcome,
            console,
        }
    }
}

/// A request with a body, for those who only want to know what becomes of it.
pub struct Post {
    /// The path, which must be one.
    pub path: String,
    /// What the body is.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Handler {
    /// Posts a body and waits for the whole answer: its status and its body.
    pub async fn post(&self, post: Post) -> Finished<(u16, Bytes)> {
        let request = hyper::Request::post(format!("http://localhost{}", post.path))
            .header(CONTENT_TYPE, post.content_type)
            .header(CONTENT_LENGTH, post.body.len())
            .body(Bytes::from(post.body));
        let deadline = Instant::now() + self.limits.timeout;
        let request = request.unwrap_or_default();
        let mut handling = self.handle(request, deadline, ());
        let outcome = handling.whole().await;
        Finished {
            outcome,
            usage: handling.usage(),
        }
    }
}

/// A request that a guest works on. Dropping it ends the instance.
pub struct Handling {
    invocation: Arc<Invocation>,
    head: oneshot::Receiver<Result<Response, ErrorCode>>,
    outcome: Outcome<()>,
    console: Console,
}

impl Handling {
    /// Waits for the answer's head, until the deadline; once. Its body goes on arriving while the
    /// guest works.
    ///
    /// # Errors
    /// The guest fails, meets a limit, or returns without an answer.
    pub async fn head(&mut self) -> Result<Response, Fault> {
        let deadline = self.invocation.deadline().into();
        let Ok(head) = tokio::time::timeout_at(deadline, &mut self.head).await else {
            return Err(Fault::Timeout);
        };
        match head {
            Ok(Ok(response)) if response.status().as_u16() >= 200 => Ok(response),
            Ok(Ok(response)) => Err(Fault::BadOutput(format!(
                "the status {} is no answer",
                response.status()
            ))),
            Ok(Err(code)) => Err(Fault::ModelFailed(format!("{code:?}"))),
            // The guest is gone, or will be: it cannot answer any more.
            Err(_) => match self.invocation.wait(&mut self.outcome).await {
                Ok(()) => Err(Fault::BadOutput("there was no answer".into())),
                Err(fault) => Err(fault),
            },
        }
    }

    /// Waits until the guest has returned, until the deadline.
    pub async fn end(&mut self) -> Result<(), Fault> {
        self.invocation.wait(&mut self.outcome).await
    }

    /// The whole answer, when the guest has returned.
    async fn whole(&mut self) -> Result<(u16, Bytes), Fault> {
        let head = self.head().await?;
        let status = head.status().as_u16();
        let (body, ended) = tokio::join!(head.into_body().collect(), self.end());
        let body = body.map_err(|error| Fault::BadOutput(format!("{error:?}")))?;
        ended.map(|()| (status, body.to_bytes()))
    }

    /// What it has cost so far.
    pub fn usage(&self) -> Usage {
        self.invocation.usage()
    }

    /// What the guest has written to its standard output and error: the beginning, hostile text.
    pub fn console(&self) -> String {
        self.console.text()
    }
}

/// One request to an HTTP component.
struct HttpCall {
    pre: ProxyPre<Guest>,
    world: Arc<World>,
    console: Console,
    request: Request,
    respond: oneshot::Sender<Result<Response, ErrorCode>>,
}

impl Entry for HttpCall {
    type Guest = Guest;
    type Instance = Proxy;
    type Answer = ();

    fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    fn guest(&mut self, allowance: &Arc<Allowance>) -> Result<Guest> {
        Guest::new(&self.world, &self.console, allowance)
    }

    async fn instantiate(&self, store: &mut Store<Guest>) -> Result<Proxy> {
        self.pre.instantiate_async(store).await
    }

    async fn call(self, store: &mut Store<Guest>, instance: &Proxy) -> Result<Result<(), Fault>> {
        let request = self.request.map(Full::new);
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(Scheme::Http, request)?;
        let respond = http.new_response_outparam(self.respond)?;
        let handler = instance.wasi_http_incoming_handler();
        handler.call_handle(store, request, respond).await?;
        Ok(Ok(()))
    }
}
