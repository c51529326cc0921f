//! A guest that keeps what it hears wherever Rust can keep something, and does what a guest should not:
//! the body says what. Its tensors are twice those of the model.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

use glovebox_guest::{Answer, CallError, Config, Function, InferRequest, Model, Signature, Tensor};
use serde::Deserialize;

static CALLS: AtomicU32 = AtomicU32::new(0);
static FIRST: OnceLock<String> = OnceLock::new();

thread_local! {
    static IN_THREAD: Cell<u32> = const { Cell::new(0) };
}

#[derive(Deserialize)]
struct Settings {
    /// What `load` does.
    load: Option<String>,
}

struct Own {
    heard: Mutex<Vec<String>>,
}

impl Function for Own {
    fn load(_: &Model, config: &Config) -> Result<Self, String> {
        // What is changed while packing, every request begins with.
        CALLS.store(100, Relaxed);
        match config.output::<Settings>()?.load.as_deref() {
            Some("refuse") => return Err("it is not \x1b[31mred".into()),
            Some("panic") => panic!("this guest is {}", "afraid"),
            Some("loop") => loop {
                std::hint::black_box(());
            },
            _ => {}
        }
        let heard = Mutex::new(vec!["loaded".into()]);
        Ok(Self { heard })
    }

    fn media(&self) -> Vec<String> {
        vec!["text/plain".into()]
    }

    fn predict(&self, _: &Model, content_type: &str, body: &[u8]) -> Result<Answer, CallError> {
        let text = String::from_utf8_lossy(body).into_owned();
        match text.as_str() {
            "loop" => loop {
                std::hint::black_box(());
            },
            "grow" => {
                let mut blocks = Vec::new();
                loop {
                    blocks.push(vec![1_u8; 1 << 20]);
                }
            }
            "panic" => panic!("this guest is afraid"),
            "refuse" => return Err(CallError::TooLarge("too much".into())),
            _ => {}
        }
        let calls = CALLS.fetch_add(1, Relaxed) + 1;
        let first = FIRST.get_or_init(|| text.clone());
        let in_thread = IN_THREAD.replace(7);
        let mut heard = self
            .heard
            .lock()
            .map_err(|error| CallError::Failed(error.to_string()))?;
        heard.push(text);
        let answer = format!(
            "{content_type}: {calls} {first} {in_thread} {}",
            heard.join("+")
        );
        Ok(Answer {
            content_type: "text/plain",
            body: answer.into(),
        })
    }

    fn signature(&self, model: &Model) -> Signature {
        let mut signature = model.signature().clone();
        signature.media = self.media();
        for input in &mut signature.inputs {
            input.name = "twice".into();
        }
        signature
    }

    fn infer(&self, model: &Model, request: &InferRequest) -> Result<Vec<Tensor>, CallError> {
        let mut inputs = Vec::new();
        for (twice, spec) in request.inputs.iter().zip(&model.signature().inputs) {
            let numbers = twice.to_fp32().unwrap_or_default();
            let halves: Vec<f32> = numbers.iter().map(|number| number / 2.0).collect();
            inputs.push(Tensor::fp32(&spec.name, twice.shape.clone(), &halves)?);
        }
        let outputs = request.outputs.clone();
        model.infer(&InferRequest {
            inputs,
            outputs,
            ..Default::default()
        })
    }
}

glovebox_guest::export!(Own);
