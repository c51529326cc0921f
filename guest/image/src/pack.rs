//! What the host calls while packing: plain core functions, for they run before there is a
//! component. In a packed model nobody can reach them.
//!
//! ```text
//! survey:  stage(model) stage(config)             -> load -> report with plan
//! place:   reserve(kept) stage(model, config, plan) -> load -> report with image size -> rehearse
//! ```
#![allow(
    unsafe_code,
    reason = "exported by name, and the host passes blocks as address and length"
)]

use glovebox_protocol::Signature;
use serde::Serialize;

use crate::loaded::Loaded;
use crate::{exports, heap, note};

/// What the host learns of one load.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Report<R> {
    /// The guest refuses the model.
    Failed(R),
    /// There is a model, of which no image can be made.
    Unplaceable(String),
    Surveyed {
        kept_bytes: usize,
        plan_at: usize,
        plan_bytes: usize,
    },
    Placed {
        image_bytes: usize,
        stack_bytes: usize,
        signature: Signature,
        class_names: Vec<(String, Vec<String>)>,
    },
}

/// The version of these functions, as a name: a host that packs asks for it before it calls anything.
/// It changes with every change that a host of another version would misunderstand.
#[unsafe(no_mangle)]
extern "C" fn pack_contract_1() {}

/// Makes room for `bytes` of model. Before everything else.
#[unsafe(no_mangle)]
extern "C" fn pack_reserve(bytes: usize) {
    heap::reserve(bytes);
}

/// A block of memory that will not be part of the image; null when there is no more.
#[unsafe(no_mangle)]
extern "C" fn pack_stage(bytes: usize) -> *mut u8 {
    heap::stage(bytes)
}

/// Loads a model into a guest and, if `warm` is not 0, runs it once. Returns the report, a JSON text,
/// as `address << 32 | length`. [`export!`](crate::export) makes `pack_load` of it.
///
/// # Safety
/// Each pair, an address and a length, is a block from [`pack_stage`] (`plan` is in words and may be
/// empty).
pub unsafe fn load_as<L: Loaded>(
    model: (*const u8, usize),
    config: (*const u8, usize),
    plan: (*const u32, usize),
    warm: u32,
) -> u64 {
    // Kernels register themselves in constructors. The component's exports run them once a memory;
    // that has to happen here, so that the image holds what they registered.
    wit_bindgen::rt::run_ctors_once();
    note::take();
    // SAFETY: the host's promise; blocks of `stage` live as long as the instance.
    let (model, config, plan) = unsafe {
        (
            std::slice::from_raw_parts(model.0, model.1),
            std::slice::from_raw_parts(config.0, config.1),
            std::slice::from_raw_parts(plan.0, plan.1),
        )
    };
    heap::begin(plan);
    match L::load(model, config, warm != 0).map(exports::leave) {
        Err(refusal) => stage_report(&Report::Failed(refusal)),
        Ok(_) if plan.is_empty() => stage_report(&surveyed::<L::Refusal>()),
        Ok(loaded) => placed::<L::Refusal>(loaded),
    }
}

/// Answers a request of zeros as a packed model would; how much memory that took behind the image. The
/// host has read the image by now, and nothing of this is kept.
#[unsafe(no_mangle)]
extern "C" fn pack_rehearse() -> usize {
    if let Ok(loaded) = exports::left() {
        loaded.rehearse();
    }
    heap::served()
}

/// The message of the last panic, as `address << 32 | length`.
#[unsafe(no_mangle)]
extern "C" fn pack_panic() -> u64 {
    note::read(|note| address_and_length(note.as_ptr(), note.len())).unwrap_or(0)
}

fn surveyed<R>() -> Report<R> {
    match heap::survey() {
        Some(plan) => Report::Surveyed {
            kept_bytes: plan.get(1).map_or(0, |bytes| *bytes as usize),
            plan_at: plan.as_ptr() as usize,
            plan_bytes: size_of_val(plan),
        },
        None => Report::Unplaceable("not enough memory for the plan".into()),
    }
}

/// The report is written before the heap is sealed: what is allocated afterwards would be part of
/// the image, and its memory would not.
fn placed<R: Serialize>(loaded: &dyn Loaded) -> u64 {
    let report = stage_report(&Report::<R>::Placed {
        image_bytes: heap::image_end(),
        stack_bytes: stack_bytes(),
        signature: loaded.signature().clone(),
        class_names: loaded.class_names().to_vec(),
    });
    match heap::seal() {
        0 => report,
        strays => stage_report(&Report::<R>::Unplaceable(format!(
            "loading twice differed in {strays} blocks; please report this model"
        ))),
    }
}

/// The stack lies first in memory, below the first static.
fn stack_bytes() -> usize {
    unsafe extern "C" {
        static __global_base: u8;
    }
    (&raw const __global_base) as usize
}

/// Writes the report where it will not be part of the image.
fn stage_report<R: Serialize>(report: &Report<R>) -> u64 {
    let json = serde_json::to_vec(report).unwrap_or_default();
    let block = heap::stage(json.len());
    if block.is_null() {
        return 0;
    }
    // SAFETY: the block has room for `json`.
    unsafe { block.copy_from_nonoverlapping(json.as_ptr(), json.len()) };
    address_and_length(block, json.len())
}

fn address_and_length(at: *const u8, length: usize) -> u64 {
    (at as u64) << 32 | length as u64
}
