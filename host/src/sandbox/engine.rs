//! The one `wasmtime::Config`: which wasm features exist and how instances are allocated.

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, WasmFeatures,
};

use crate::limits;

/// An engine with pooled instances, copy-on-write images and epoch interruption.
pub(super) fn new() -> Result<Engine> {
    Engine::new(&config())
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool()))
        .epoch_interruption(true)
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
        .wasm_multi_memory(false)
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
        .table_elements(limits::TABLE_ELEMENTS);
    pool
}
