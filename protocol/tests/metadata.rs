//! What servers and models say about themselves.

use glovebox_protocol::{Datatype, ModelMetadata, ServerMetadata, TensorSpec};

#[test]
fn server_metadata_always_lists_its_extensions() {
    let metadata = ServerMetadata {
        name: "glovebox".into(),
        version: "0.1.0".into(),
        extensions: Vec::new(),
    };
    let json = serde_json::to_string(&metadata).unwrap();
    assert_eq!(
        json,
        r#"{"name":"glovebox","version":"0.1.0","extensions":[]}"#
    );
    assert_eq!(
        serde_json::from_str::<ServerMetadata>(&json).unwrap(),
        metadata
    );
}

#[test]
fn model_metadata_leaves_out_what_is_empty() {
    let mut metadata = ModelMetadata {
        name: "m".into(),
        platform: "onnx_onnxv1".into(),
        inputs: vec![TensorSpec {
            name: "x".into(),
            datatype: Datatype::Fp32,
            shape: vec![-1, 4],
        }],
        ..ModelMetadata::default()
    };
    assert_eq!(
        serde_json::to_string(&metadata).unwrap(),
        concat!(
            r#"{"name":"m","platform":"onnx_onnxv1","#,
            r#""inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}],"outputs":[]}"#
        )
    );
    metadata.versions.push("1".into());
    metadata.properties.insert("runtime".into(), "tract".into());
    let json = serde_json::to_string(&metadata).unwrap();
    assert!(
        json.contains(r#""versions":["1"]"#)
            && json.contains(r#""properties":{"runtime":"tract"}"#),
        "{json}"
    );
    assert_eq!(
        serde_json::from_str::<ModelMetadata>(&json).unwrap(),
        metadata
    );
}
