//! Linear memory to a core module that defines it.

use wasm_encoder::{
    ConstExpr, DataSection, ExportKind, ExportSection, MemorySection, MemoryType, Module,
};

use crate::limits::{self, Bytes};

const WASM_PAGE: usize = 65536;
/// Runs of zeros shorter than this stay part of a segment: wasmtime allows 100,000 segments.
const BLOCK: usize = 16384;

/// A module that exports `memory` with the given contents, and behind them what a request needs and
/// some more. Blocks of zeros are left out of the file; fresh memory is zero.
pub(super) fn module(memory: &[u8], heap_bytes: u64) -> Vec<u8> {
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: pages(memory.len() as u64, heap_bytes),
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    let mut data = DataSection::new();
    for (start, bytes) in runs(memory) {
        data.active(
            0,
            &ConstExpr::i32_const(start as u32 as i32),
            bytes.iter().copied(),
        );
    }
    let mut module = Module::new();
    module.section(&memories).section(&exports).section(&data);
    module.finish()
}

/// The memory that such a module has at the start.
pub(super) fn memory(image_bytes: u64, heap_bytes: u64) -> Bytes {
    Bytes(pages(image_bytes, heap_bytes).saturating_mul(WASM_PAGE as u64))
}

fn pages(image_bytes: u64, heap_bytes: u64) -> u64 {
    let pages = |bytes: u64| bytes.div_ceil(WASM_PAGE as u64);
    let all = pages(image_bytes) + pages(heap_bytes) + limits::HEADROOM_PAGES;
    all.min(pages(limits::PACK_MEMORY_BYTES))
}

/// The longest runs of blocks that are not all zero, with their addresses.
fn runs(memory: &[u8]) -> Vec<(usize, &[u8])> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (index, block) in memory.chunks(BLOCK).enumerate() {
        if is_zero(block) {
            continue;
        }
        let (start, end) = (index * BLOCK, index * BLOCK + block.len());
        match runs.last_mut() {
            Some(run) if run.1 == start => run.1 = end,
            _ => runs.push((start, end)),
        }
    }
    runs.into_iter()
        .filter_map(|(start, end)| Some((start, memory.get(start..end)?)))
        .collect()
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}
