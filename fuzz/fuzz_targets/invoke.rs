//! Random guests in the real sandbox, under small limits, with callers that leave.
#![no_main]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use glovebox::limits::{Bytes, Limits};
use glovebox::sandbox::Sandbox;
use glovebox::sandbox::bindings::Media;
use glovebox::sandbox::compute::Tenant;
use glovebox::sandbox::engine::Metering;
use glovebox::sandbox::function::{Code, Function};
use glovebox::sandbox::call::{Answer, Call};
use glovebox::sandbox::invoke::{Fault, Finished};
use glovebox_fuzz::guest::{self, CHOSEN_BYTES};
use glovebox_protocol::{Datatype, Tensor};
use libfuzzer_sys::{Corpus, fuzz_target};
use tokio::runtime::{Builder, Runtime};
use wasmtime::Engine;
use wasmtime::component::Component;

/// How far CPU time may exceed its limit. A tick and what one libcall takes would do on an idle
/// machine; a busy one runs the ticker late.
const CPU_SLACK: Duration = Duration::from_millis(500);
/// How long an instance may outlive its caller, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

static SANDBOX: LazyLock<Arc<Sandbox>> =
    LazyLock::new(|| Sandbox::new(1).expect("the sandbox starts"));
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_time().build().expect("the runtime starts")
});

/// What is asked of a guest beside its code.
struct Request {
    limits: Limits,
    calls: Vec<(Call, Option<u8>)>,
    chosen: [u8; CHOSEN_BYTES],
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let mut bytes = Unstructured::new(bytes);
    let Ok(request) = request(&mut bytes) else {
        return Corpus::Reject;
    };
    let Ok(module) = guest::module(&mut bytes) else {
        return Corpus::Reject;
    };
    let component = guest::component(&module, &request.chosen);
    // What the engine refuses never runs.
    let Ok(component) = Component::new(engine(), component) else {
        return Corpus::Keep;
    };
    let tenant = Tenant {
        name: "fuzz".into(),
        weight: 1,
    };
    let limits = request.limits;
    let sandbox = Arc::clone(&SANDBOX);
    let code = Code {
        component,
        modules: Vec::new(),
    };
    let function = Function::new(sandbox, &code, Arc::default(), tenant, limits.clone());
    let Ok(function) = function else {
        return Corpus::Keep;
    };
    for (call, polls) in request.calls {
        invoke(&function, call, polls, &limits);
    }
    Corpus::Keep
});

fn request(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Request> {
    let limits = Limits {
        memory: Bytes(1 << bytes.int_in_range(17..=24)?),
        cpu: Duration::from_micros(bytes.int_in_range(100..=5_000)?),
        // With a long one, only the limit of CPU time stops a guest.
        timeout: match bool::arbitrary(bytes)? {
            true => Duration::from_micros(bytes.int_in_range(0..=20_000)?),
            false => Duration::from_secs(5),
        },
        ..Limits::for_image(0)
    };
    let mut calls = Vec::new();
    for _ in 0..bytes.int_in_range(1..=6)? {
        calls.push((call(bytes)?, Option::arbitrary(bytes)?));
    }
    let mut chosen = [0; CHOSEN_BYTES];
    let length = bytes.int_in_range(0..=CHOSEN_BYTES)?;
    chosen[..length].copy_from_slice(bytes.bytes(length)?);
    if bool::arbitrary(bytes)? {
        guest::point_to_chosen(&mut chosen);
    }
    Ok(Request {
        limits,
        calls,
        chosen,
    })
}

fn call(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Call> {
    Ok(match bytes.int_in_range(0..=2)? {
        0 => Call::Signature,
        1 => {
            let length = bytes.int_in_range(0..=70_000)?;
            let data = vec![u8::arbitrary(bytes)?; length];
            let shape = [length as u64];
            let input = Tensor::new("x", Datatype::Uint8, shape, data).expect("it fits");
            Call::Infer(vec![input; bytes.int_in_range(0..=3)?], vec!["y".into()])
        }
        _ => Call::Predict(Media {
            content_type: "text/plain".into(),
            body: vec![u8::arbitrary(bytes)?; bytes.int_in_range(0..=70_000)?],
        }),
    })
}

/// Tells when it is dropped, which is after its instance.
struct Permit(Sender<()>);

impl Drop for Permit {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// Calls in a fresh instance; a caller with a number of polls leaves after them.
fn invoke(function: &Function, call: Call, polls: Option<u8>, limits: &Limits) {
    let (sender, gone) = channel();
    let deadline = Instant::now() + limits.timeout;
    let finished = RUNTIME.block_on(async {
        let work = function.invoke(call, deadline, Permit(sender));
        leave_after(polls, work).await
    });
    gone.recv_timeout(PATIENCE)
        .expect("the instance ends after its caller");
    assert_pool_is_empty();
    if let Some(finished) = finished {
        judge(&finished, limits);
    }
}

async fn leave_after<T>(polls: Option<u8>, work: impl Future<Output = T>) -> Option<T> {
    let Some(polls) = polls else {
        return Some(work.await);
    };
    let mut work = pin!(work);
    for _ in 0..polls {
        let poll = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        if let Poll::Ready(result) = poll {
            return Some(result);
        }
        tokio::time::sleep(Duration::from_micros(50)).await;
    }
    None
}

fn engine() -> &'static Engine {
    SANDBOX.engine(Metering::Epochs).expect("it is there")
}

fn assert_pool_is_empty() {
    let pool = SANDBOX.live();
    let live = (pool.instances, pool.memories, pool.tables, pool.stacks);
    assert_eq!(
        live,
        (0, 0, 0, 0),
        "instances, memories, tables, stacks"
    );
}

fn judge(finished: &Finished<Answer>, limits: &Limits) {
    let Finished { outcome, usage } = finished;
    let over = usage.cpu.saturating_sub(limits.cpu);
    assert!(over <= CPU_SLACK, "{usage:?} with {limits}");
    note(over);
    assert!(usage.memory <= limits.memory, "{usage:?} with {limits}");
    match outcome {
        Ok(Answer::Tensors(tensors)) => tensors.iter().for_each(|tensor| {
            assert_eq!(tensor.check(), Ok(()));
        }),
        Ok(_) => {}
        Err(Fault::Host(text)) => panic!("our own fault: {text}"),
        Err(Fault::Exhausted) => panic!("the pool was empty before"),
        Err(_) => {}
    }
}

/// Says how far over its limit a guest came, whenever that is further than before.
fn note(over: Duration) {
    static WORST: AtomicU64 = AtomicU64::new(2_000);
    let micros = over.as_micros() as u64;
    if WORST.fetch_max(micros, Relaxed) < micros {
        eprintln!("worst so far: {micros} us of CPU time over the limit");
    }
}
