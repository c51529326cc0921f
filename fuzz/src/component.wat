;; A component of the world `model-function` around one core module, which is put in the place of
;; the empty one. `fuzz/src/guest.rs` fills it in.
;;
;; Random code returns random addresses, and hardly ever gets past the first check. So a second
;; module stands between: it masks the addresses, and lays bytes of the fuzzer's choice where they
;; then point. All that it goes by lies in the guest's own memory, where the guest may change it.
(component
  (core module)
  (core module $shim
    (import "guest" "memory" (memory 4))
    (import "guest" "cabi_realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "guest" "signature" (func $signature (result i32)))
    (import "guest" "infer" (func $infer (param i32 i32 i32 i32) (result i32)))
    (import "guest" "predict" (func $predict (param i32 i32 i32 i32) (result i32)))
    (global $next (mut i32) (i32.const 131072))
    (data (i32.const 0)
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
      "\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa\aa"
    )
    ;; Memory for arguments: the guest's own function if byte 1016 says so, else one that works.
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (if (result i32) (i32.load8_u (i32.const 1016))
        (then (call $realloc (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
        (else
          (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
          (global.set $next (i32.add (local.get $at) (local.get 3)))
          (local.get $at))))
    ;; The mask stands at 1020.
    (func (export "signature") (result i32)
      (i32.and (call $signature) (i32.load (i32.const 1020))))
    (func (export "infer") (param i32 i32 i32 i32) (result i32)
      (i32.and (call $infer (local.get 0) (local.get 1) (local.get 2) (local.get 3)) (i32.load (i32.const 1020))))
    (func (export "predict") (param i32 i32 i32 i32) (result i32)
      (i32.and (call $predict (local.get 0) (local.get 1) (local.get 2) (local.get 3)) (i32.load (i32.const 1020)))))
  (core instance $guest (instantiate 0))
  (core instance $shim (instantiate $shim (with "guest" (instance $guest))))

  (type $datatype (enum "bool" "uint8" "uint16" "uint32" "uint64" "int8" "int16" "int32" "int64" "fp16" "bf16" "fp32" "fp64" "bytes"))
  (type $tensor-spec (record (field "name" string) (field "datatype" $datatype) (field "shape" (list s64))))
  (type $tensor (record (field "name" string) (field "datatype" $datatype) (field "shape" (list u64)) (field "data" (list u8))))
  (type $model-signature (record (field "inputs" (list $tensor-spec)) (field "outputs" (list $tensor-spec)) (field "media" (list string))))
  (type $media (record (field "content-type" string) (field "body" (list u8))))
  (type $error (variant (case "invalid-input" string) (case "unsupported-media" string) (case "too-large" string) (case "failed" string)))
  (func $f-signature (result $model-signature)
    (canon lift (core func $shim "signature") (memory (core memory $guest "memory")) (realloc (core func $shim "cabi_realloc"))))
  (func $f-infer (param "inputs" (list $tensor)) (param "outputs" (list string)) (result (result (list $tensor) (error $error)))
    (canon lift (core func $shim "infer") (memory (core memory $guest "memory")) (realloc (core func $shim "cabi_realloc")) (post-return (core func $guest "post-infer"))))
  (func $f-predict (param "input" $media) (result (result $media (error $error)))
    (canon lift (core func $shim "predict") (memory (core memory $guest "memory")) (realloc (core func $shim "cabi_realloc"))))

  ;; The exported instance. It needs a component of its own, which gives the types their names.
  (component $interface
    (type $raw-datatype (enum "bool" "uint8" "uint16" "uint32" "uint64" "int8" "int16" "int32" "int64" "fp16" "bf16" "fp32" "fp64" "bytes")) (import "type-datatype" (type $in-datatype (eq $raw-datatype)))
    (type $raw-tensor-spec (record (field "name" string) (field "datatype" $in-datatype) (field "shape" (list s64)))) (import "type-tensor-spec" (type $in-tensor-spec (eq $raw-tensor-spec)))
    (type $raw-tensor (record (field "name" string) (field "datatype" $in-datatype) (field "shape" (list u64)) (field "data" (list u8)))) (import "type-tensor" (type $in-tensor (eq $raw-tensor)))
    (type $raw-model-signature (record (field "inputs" (list $in-tensor-spec)) (field "outputs" (list $in-tensor-spec)) (field "media" (list string)))) (import "type-model-signature" (type $in-model-signature (eq $raw-model-signature)))
    (type $raw-media (record (field "content-type" string) (field "body" (list u8)))) (import "type-media" (type $in-media (eq $raw-media)))
    (type $raw-error (variant (case "invalid-input" string) (case "unsupported-media" string) (case "too-large" string) (case "failed" string))) (import "type-error" (type $in-error (eq $raw-error)))
    (import "func-signature" (func $in-f-signature (result $in-model-signature)))
    (import "func-infer" (func $in-f-infer (param "inputs" (list $in-tensor)) (param "outputs" (list string)) (result (result (list $in-tensor) (error $in-error)))))
    (import "func-predict" (func $in-f-predict (param "input" $in-media) (result (result $in-media (error $in-error)))))
    (type $own-datatype (enum "bool" "uint8" "uint16" "uint32" "uint64" "int8" "int16" "int32" "int64" "fp16" "bf16" "fp32" "fp64" "bytes")) (export $out-datatype "datatype" (type $own-datatype))
    (type $own-tensor-spec (record (field "name" string) (field "datatype" $out-datatype) (field "shape" (list s64)))) (export $out-tensor-spec "tensor-spec" (type $own-tensor-spec))
    (type $own-tensor (record (field "name" string) (field "datatype" $out-datatype) (field "shape" (list u64)) (field "data" (list u8)))) (export $out-tensor "tensor" (type $own-tensor))
    (type $own-model-signature (record (field "inputs" (list $out-tensor-spec)) (field "outputs" (list $out-tensor-spec)) (field "media" (list string)))) (export $out-model-signature "model-signature" (type $own-model-signature))
    (type $own-media (record (field "content-type" string) (field "body" (list u8)))) (export $out-media "media" (type $own-media))
    (type $own-error (variant (case "invalid-input" string) (case "unsupported-media" string) (case "too-large" string) (case "failed" string))) (export $out-error "error" (type $own-error))
    (export "signature" (func $in-f-signature) (func (result $out-model-signature)))
    (export "infer" (func $in-f-infer) (func (param "inputs" (list $out-tensor)) (param "outputs" (list string)) (result (result (list $out-tensor) (error $out-error)))))
    (export "predict" (func $in-f-predict) (func (param "input" $out-media) (result (result $out-media (error $out-error)))))
  )
  (instance $model (instantiate $interface
    (with "type-datatype" (type $datatype))
    (with "type-tensor-spec" (type $tensor-spec))
    (with "type-tensor" (type $tensor))
    (with "type-model-signature" (type $model-signature))
    (with "type-media" (type $media))
    (with "type-error" (type $error))
    (with "func-signature" (func $f-signature))
    (with "func-infer" (func $f-infer))
    (with "func-predict" (func $f-predict))
  ))
  (export "glovebox:inference/model@0.1.0" (instance $model)))
