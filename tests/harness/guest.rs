//! Components that are no packed models: written by hand, to misbehave or to burn time.

/// The types of the interface `model`, in their order in `wit/world.wit`.
const TYPES: [(&str, &str); 6] = [
    (
        "datatype",
        r#"(enum "bool" "uint8" "uint16" "uint32" "uint64" "int8" "int16" "int32" "int64" "fp16" "bf16" "fp32" "fp64" "bytes")"#,
    ),
    (
        "tensor-spec",
        r#"(record (field "name" string) (field "datatype" $datatype) (field "shape" (list s64)))"#,
    ),
    (
        "tensor",
        r#"(record (field "name" string) (field "datatype" $datatype) (field "shape" (list u64)) (field "data" (list u8)))"#,
    ),
    (
        "model-signature",
        r#"(record (field "inputs" (list $tensor-spec)) (field "outputs" (list $tensor-spec)) (field "media" (list string)))"#,
    ),
    (
        "media",
        r#"(record (field "content-type" string) (field "body" (list u8)))"#,
    ),
    (
        "error",
        r#"(variant (case "invalid-input" string) (case "unsupported-media" string) (case "too-large" string) (case "failed" string))"#,
    ),
];

const FUNCTIONS: [(&str, &str); 3] = [
    ("signature", "(result $model-signature)"),
    (
        "infer",
        r#"(param "inputs" (list $tensor)) (param "outputs" (list string)) (result (result (list $tensor) (error $error)))"#,
    ),
    (
        "predict",
        r#"(param "input" $media) (result (result $media (error $error)))"#,
    ),
];

/// Answers at once: no tensors.
pub(crate) const ANSWER: &str = "(i32.const 2048)";

/// Never ends.
pub(crate) const SPIN: &str = "(loop (br 0)) unreachable";

/// Calls itself without end.
pub(crate) const RECURSE: &str = "(call $recurse (i32.const 1))";

/// Takes memory until there is no more.
pub(crate) const GROW: &str =
    "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";

pub(crate) const TRAP: &str = "unreachable";

/// Says that it answers with more tensors than its memory could hold.
pub(crate) const CLAIM: &str = "(i32.store (i32.const 2052) (i32.const 2048))
    (i32.store (i32.const 2056) (i32.const 0x10000000)) (i32.const 2048)";

/// Answers with one tensor of 65 MiB, which it really has.
pub(crate) const FLOOD: &str = "(drop (memory.grow (i32.const 1100)))
    (i32.store (i32.const 2052) (i32.const 6000)) (i32.store (i32.const 2056) (i32.const 1))
    (i32.store (i32.const 6024) (i32.const 68157440)) (i32.const 2048)";

/// Answers with a tensor that its signature does not have.
pub(crate) const UNDECLARED: &str = "(i32.store (i32.const 2052) (i32.const 6000))
    (i32.store (i32.const 2056) (i32.const 1)) (i32.const 2048)";

/// Answers with an error whose text wants to move a terminal's cursor and forge a line.
pub(crate) const FORGE: &str = "(i32.store8 (i32.const 2048) (i32.const 1))
    (i32.store (i32.const 2056) (i32.const 4200)) (i32.store (i32.const 2060) (i32.const 12))
    (i32.const 2048)";

/// Says itself that it failed, and why.
pub(crate) const FAIL: &str = "(i32.store8 (i32.const 2048) (i32.const 1))
    (i32.store8 (i32.const 2052) (i32.const 3)) (i32.store (i32.const 2056) (i32.const 4096))
    (i32.store (i32.const 2060) (i32.const 10)) (i32.const 2048)";

/// Answers to `predict` with how often this instance was called.
const COUNT: &str = "
    (i32.store8 (i32.const 5000) (i32.add (i32.load8_u (i32.const 5000)) (i32.const 1)))
    (i32.store8 (i32.const 5001) (i32.add (i32.load8_u (i32.const 5000)) (i32.const 48)))
    (i32.store (i32.const 3076) (i32.const 4096)) (i32.store (i32.const 3080) (i32.const 10))
    (i32.store (i32.const 3084) (i32.const 5001)) (i32.store (i32.const 3088) (i32.const 1))
    (i32.const 3072)";

/// Burns CPU time before it answers: some nanoseconds a round.
pub(crate) fn burn(rounds: u64) -> String {
    format!("(call $burn (i64.const {rounds})) (i32.const 2048)")
}

/// A component of the world `model-function`: an empty signature, `infer` with the given body (it
/// leaves the address of its result), `predict` answers with how often it was called.
pub(crate) fn component(infer: &str) -> Vec<u8> {
    parse(&core(infer, COUNT))
}

/// The component of this code.
fn parse(core: &str) -> Vec<u8> {
    let text = format!("(component {core} {} {})", lifted(), interface());
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// A component whose `predict` answers with `bytes` zeros.
pub(crate) fn zeros(bytes: u32) -> Vec<u8> {
    let predict = format!(
        "(drop (memory.grow (i32.const {}))) (i32.store (i32.const 3076) (i32.const 4096))
        (i32.store (i32.const 3080) (i32.const 10)) (i32.store (i32.const 3084) (i32.const 65536))
        (i32.store (i32.const 3088) (i32.const {bytes})) (i32.const 3072)",
        bytes >> 16
    );
    parse(&core(ANSWER, &predict))
}

/// The code. Results lie at fixed addresses: signature 1024, infer 2048, predict 3072.
fn core(infer: &str, predict: &str) -> String {
    format!(
        r#"(core module $code
  (memory (export "memory") 16)
  (global $next (mut i32) (i32.const 65536))
  (data (i32.const 4096) "text/plain")
  (data (i32.const 4200) "x\1b[2J\0aerror:")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func $recurse (param i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
  (func $burn (param $rounds i64)
    (local $hash i64)
    (loop
      (local.set $hash (i64.mul (i64.xor (local.get $hash) (local.get $rounds)) (i64.const 0x100000001b3)))
      (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
      (br_if 0 (i64.ne (local.get $rounds) (i64.const 0))))
    (i64.store (i32.const 8000) (local.get $hash)))
  (func (export "signature") (result i32) (i32.const 1024))
  (func (export "infer") (param i32 i32 i32 i32) (result i32) {infer})
  (func (export "predict") (param i32 i32 i32 i32) (result i32) {predict}))
(core instance $code (instantiate $code))"#
    )
}

/// Types, and functions lifted from the code.
fn lifted() -> String {
    let types = TYPES.map(|(name, definition)| format!("(type ${name} {definition})"));
    let functions = FUNCTIONS.map(|(name, signature)| {
        format!(
            r#"(func $f-{name} {signature} (canon lift (core func $code "{name}") (memory (core memory $code "memory")) (realloc (core func $code "cabi_realloc"))))"#
        )
    });
    [types.concat(), functions.concat()].concat()
}

/// The exported instance. It needs a component of its own, which gives the types their names.
fn interface() -> String {
    let prefixed = |text: &str, prefix: &str| text.replace('$', &format!("${prefix}-"));
    let mut inner = String::new();
    let mut arguments = String::new();
    for (name, definition) in TYPES {
        let definition = prefixed(definition, "in");
        inner += &format!(
            r#"(type $raw-{name} {definition}) (import "type-{name}" (type $in-{name} (eq $raw-{name})))"#
        );
        arguments += &format!(r#"(with "type-{name}" (type ${name}))"#);
    }
    for (name, signature) in FUNCTIONS {
        let signature = prefixed(signature, "in");
        inner += &format!(r#"(import "func-{name}" (func $in-f-{name} {signature}))"#);
        arguments += &format!(r#"(with "func-{name}" (func $f-{name}))"#);
    }
    for (name, definition) in TYPES {
        let definition = prefixed(definition, "out");
        inner += &format!(
            r#"(type $own-{name} {definition}) (export $out-{name} "{name}" (type $own-{name}))"#
        );
    }
    for (name, signature) in FUNCTIONS {
        let signature = prefixed(signature, "out");
        inner += &format!(r#"(export "{name}" (func $in-f-{name}) (func {signature}))"#);
    }
    format!(
        r#"(component $interface {inner})
(instance $model (instantiate $interface {arguments}))
(export "glovebox:inference/model@0.1.0" (instance $model))"#
    )
}
