//! The one `wasmtime::Config`: which wasm features exist and how instances are allocated.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result,
    WasmFeatures,
};

use crate::limits;

/// What the code of guests counts while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Metering {
    /// Nothing: it looks at the epoch, from time to time.
    Epochs,
    /// Also its instructions, for budgets that are the same on every machine.
    Fuel,
}

impl Metering {
    /// Its name on the command line of a worker.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epochs => "epochs",
            Self::Fuel => "fuel",
        }
    }
}

/// Where the memory of instances comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allocation {
    /// From a pool that is reserved at the start: for those that serve.
    Pooled,
    /// From the kernel: for those that make few instances or none.
    OnDemand,
}

/// An engine with copy-on-write images and epoch interruption.
pub(super) fn new(metering: Metering, allocation: Allocation) -> Result<Engine> {
    let mut config = config(metering);
    if let Allocation::Pooled = allocation {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    }
    Engine::new(&config)
}

fn config(metering: Metering) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(metering == Metering::Fuel)
        .max_wasm_stack(limits::GUEST_STACK_BYTES)
        .async_stack_size(limits::FIBER_STACK_BYTES)
        // A fiber's stack has held another tenant's values.
        .async_stack_zeroing(true)
        // An image is always mapped, never copied: the packer makes it dense.
        .memory_guaranteed_dense_image_size(u64::MAX)
        // A backtrace would name the guest's own functions, which is the guest's text.
        .wasm_backtrace_max_frames(None);
    only_needed_features(&mut config);
    config
}

/// Most advisories of 2026 needed a feature that a model does not: they are off by name.
fn only_needed_features(config: &mut Config) {
    config
        .wasm_memory64(false)
        // Wasmtime's own code between two components has both their memories. A component's own
        // modules have one: the reader of packages refuses others.
        .wasm_multi_memory(true)
        .wasm_gc(false)
        .wasm_tail_call(false)
        // Without the crate's feature `gc` there is no method for it, and it is on.
        .wasm_features(WasmFeatures::FUNCTION_REFERENCES, false)
        .wasm_stack_switching(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_shared_everything_threads(false)
        .wasm_component_model_gc(false)
        .concurrency_support(false)
        .gc_support(false);
}

fn pool() -> PoolingAllocationConfig {
    let instances = limits::INSTANCES;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * limits::CORE_INSTANCES)
        .total_memories(instances * limits::MEMORIES)
        .total_tables(instances * limits::TABLES)
        .total_stacks(instances)
        .max_core_instances_per_component(limits::CORE_INSTANCES)
        .max_memories_per_component(limits::MEMORIES)
        .max_tables_per_component(limits::TABLES)
        .table_elements(limits::TABLE_ELEMENTS)
        // What is kept is overwritten with zeros, which takes less than giving it back and faulting
        // it in again. Not so memories: a guest writes to pages all over its memory, and finding
        // them (`pagemap_scan`) is not safe yet: it overlooks a page that is being moved or is
        // swapped out, and the next instance would find another's values there
        // (bytecodealliance/wasmtime#14357).
        .table_keep_resident(limits::KEPT_TABLE_BYTES)
        .async_stack_keep_resident(limits::KEPT_STACK_BYTES)
        .linear_memory_keep_resident(0)
        .pagemap_scan(Enabled::No);
    pool
}
