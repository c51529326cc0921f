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
        r#"(record (field "inputs" (list $tensor-spec)) (field "outputs" (list $tensor-spec)) (field "media" (list string)) (field "name" string) (field "version" (option string)) (field "properties" (list (tuple string string))))"#,
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

/// A component of the world `model-function`. What is not said otherwise: the signature is empty,
/// `infer` answers no tensors, `predict` answers how often it was called, and memory is 1 MiB.
#[derive(Clone)]
pub(crate) struct Guest {
    infer: String,
    signature: String,
    predict: String,
    realloc: String,
    post_return: Option<String>,
    pages: u32,
    fields: String,
    before: String,
    with: String,
}

impl Guest {
    /// With this body of `infer`, which leaves the address of its result.
    pub(crate) fn infer(body: &str) -> Self {
        Self {
            infer: body.to_owned(),
            signature: "(i32.const 1024)".to_owned(),
            predict: COUNT.to_owned(),
            realloc: ALLOCATE.to_owned(),
            post_return: None,
            pages: 16,
            fields: String::new(),
            before: String::new(),
            with: String::new(),
        }
    }

    /// The body of `predict`, which leaves the address of its result.
    pub(crate) fn predict(mut self, body: &str) -> Self {
        self.predict = body.to_owned();
        self
    }

    /// The body of `signature`, which leaves the address of its result.
    pub(crate) fn signature(mut self, body: &str) -> Self {
        self.signature = body.to_owned();
        self
    }

    /// What runs when the host wants memory for an input.
    pub(crate) fn realloc(mut self, body: &str) -> Self {
        self.realloc = body.to_owned();
        self
    }

    /// What runs after the host has read the result of `infer`.
    pub(crate) fn post_return(mut self, body: &str) -> Self {
        self.post_return = Some(body.to_owned());
        self
    }

    /// The size of the memory at the start.
    pub(crate) fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// Further fields of the code, imports first.
    pub(crate) fn fields(mut self, fields: &str) -> Self {
        self.fields += fields;
        self
    }

    /// Definitions of the component before the code, and what the code is instantiated with.
    pub(crate) fn before(mut self, definitions: &str, with: &str) -> Self {
        self.before += definitions;
        self.with += with;
        self
    }

    /// The component's bytes.
    pub(crate) fn component(&self) -> Vec<u8> {
        let Self { before, with, .. } = self;
        let (core, lifted, interface) = (self.core(), self.lifted(), interface());
        let text = format!(
            "(component {before} {core} (core instance $code (instantiate $code {with})) {lifted} {interface})"
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The code. Results lie at fixed addresses: signature 1024, infer 2048, predict 3072.
    fn core(&self) -> String {
        let Self {
            infer,
            signature,
            predict,
            realloc,
            pages,
            fields,
            ..
        } = self;
        let post_return = self.post_return.as_deref().unwrap_or_default();
        format!(
            r#"(core module $code {fields}
  (memory (export "memory") {pages})
  (global $next (mut i32) (i32.const 65536))
  (data (i32.const 4096) "text/plain")
  (data (i32.const 4200) "x\1b[2J\0aerror:")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
  (func $recurse (param i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
  (func $branch (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1)) (else
      (i32.add (call $branch (i32.sub (local.get 0) (i32.const 1)))
               (call $branch (i32.sub (local.get 0) (i32.const 1)))))))
  (func $deep (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0)) (else
      (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (local.get 0)))))
  (func $burn (param $rounds i64)
    (local $hash i64)
    (loop
      (local.set $hash (i64.mul (i64.xor (local.get $hash) (local.get $rounds)) (i64.const 0x100000001b3)))
      (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
      (br_if 0 (i64.ne (local.get $rounds) (i64.const 0))))
    (i64.store (i32.const 8000) (local.get $hash)))
  (func (export "signature") (result i32) {signature})
  (func (export "infer") (param i32 i32 i32 i32) (result i32) {infer})
  (func (export "post-infer") (param i32) {post_return})
  (func (export "predict") (param i32 i32 i32 i32) (result i32) {predict}))"#
        )
    }

    /// Types, and functions lifted from the code.
    fn lifted(&self) -> String {
        let types = TYPES.map(|(name, definition)| format!("(type ${name} {definition})"));
        let functions = FUNCTIONS.map(|(name, signature)| {
            let post_return = match (&self.post_return, name) {
                (Some(_), "infer") => r#"(post-return (core func $code "post-infer"))"#,
                _ => "",
            };
            format!(
                r#"(func $f-{name} {signature} (canon lift (core func $code "{name}") (memory (core memory $code "memory")) (realloc (core func $code "cabi_realloc")) {post_return}))"#
            )
        });
        [types.concat(), functions.concat()].concat()
    }
}

/// The component with this body of `infer`.
pub(crate) fn component(infer: &str) -> Vec<u8> {
    Guest::infer(infer).component()
}

/// `cabi_realloc`: memory is given once and never back.
const ALLOCATE: &str = "(local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at)";

/// `predict`: how often it was called in this memory.
const COUNT: &str =
    "(i32.store8 (i32.const 5000) (i32.add (i32.load8_u (i32.const 5000)) (i32.const 1)))
    (i32.store8 (i32.const 5001) (i32.add (i32.load8_u (i32.const 5000)) (i32.const 48)))
    (i32.store (i32.const 3076) (i32.const 4096)) (i32.store (i32.const 3080) (i32.const 10))
    (i32.store (i32.const 3084) (i32.const 5001)) (i32.store (i32.const 3088) (i32.const 1))
    (i32.const 3072)";

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

/// A guest with a resource type of its own, whose destructor has this body; `infer` makes and
/// drops handles with `$new` and `$drop`.
pub(crate) fn with_resource(destructor: &str, infer: &str) -> Guest {
    let before = format!(
        r#"(core module $destructors (func (export "d") (param i32) {destructor}))
        (core instance $destructors (instantiate $destructors))
        (type $resource (resource (rep i32) (dtor (core func $destructors "d"))))
        (core func $new (canon resource.new $resource))
        (core func $drop (canon resource.drop $resource))"#
    );
    let with = r#"(with "r" (instance (export "new" (func $new)) (export "drop" (func $drop))))"#;
    let imports = r#"(import "r" "new" (func $new (param i32) (result i32)))
        (import "r" "drop" (func $drop (param i32)))"#;
    Guest::infer(infer).before(&before, with).fields(imports)
}

/// A guest with so many modules beside its code, each instantiated once, each with this field.
pub(crate) fn with_modules(count: u32, field: &str) -> Guest {
    let module = |index: u32| {
        format!("(core module $m{index} {field}) (core instance $i{index} (instantiate $m{index}))")
    };
    let before: String = (0..count).map(module).collect();
    Guest::infer("(i32.const 2048)").before(&before, "")
}

/// A component whose `predict` answers with `bytes` zeros.
pub(crate) fn zeros(bytes: u32) -> Vec<u8> {
    let predict = format!(
        "(drop (memory.grow (i32.const {}))) (i32.store (i32.const 3076) (i32.const 4096))
        (i32.store (i32.const 3080) (i32.const 10)) (i32.store (i32.const 3084) (i32.const 65536))
        (i32.store (i32.const 3088) (i32.const {bytes})) (i32.const 3072)",
        bytes >> 16
    );
    Guest::infer("(i32.const 2048)")
        .predict(&predict)
        .component()
}
