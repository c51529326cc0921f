//! The data of an HTTP component's store: its limiter, and its view of the world.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::World;
use super::console::Console;
use super::outbound::Calls;
use crate::limits;
use crate::sandbox::allowance::Allowance;
use crate::sandbox::invoke::Limited;
use crate::sandbox::limiter::Limiter;
use crate::sandbox::nn::Session;

/// What one instance has.
pub(super) struct Guest {
    limiter: Limiter,
    world: Arc<World>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    calls: Calls,
    nn: Session,
    table: ResourceTable,
}

impl Guest {
    /// Sees the world and nothing else: no arguments, no input, no sockets, no file but those.
    ///
    /// # Errors
    /// The folder of its files cannot be opened.
    pub(super) fn new(
        world: &Arc<World>,
        console: &Console,
        allowance: &Arc<Allowance>,
    ) -> Result<Self> {
        let mut wasi = WasiCtx::builder();
        wasi.envs(&world.environment)
            .stdout(console.clone())
            .stderr(console.clone())
            .max_random_size(limits::RANDOM_BYTES)
            .allow_tcp(false)
            .allow_udp(false);
        if let Some(files) = &world.files {
            wasi.preopened_dir(files, "/", FsPerms::ReadOnly)?;
        }
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits::FIELDS_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::RESOURCES);
        Ok(Self {
            limiter: Limiter::new(Arc::clone(&allowance.memory)),
            nn: Session::new(&world.graphs, allowance),
            calls: Calls::new(world.outbound.clone()),
            world: Arc::clone(world),
            wasi: wasi.build(),
            http,
            table,
        })
    }

    /// The graphs that it uses.
    pub(super) fn nn(&mut self) -> &mut Session {
        &mut self.nn
    }

    /// The configuration variables.
    pub(super) fn variables(&self) -> &BTreeMap<String, String> {
        &self.world.variables
    }
}

impl Limited for Guest {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.calls,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
