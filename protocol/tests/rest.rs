//! What paths stand for, and how refusals look.

use glovebox_protocol::rest::{
    Call, Endpoint, Method, Refusal, check_content_encoding, error_json,
};
use glovebox_protocol::{
    Datatype, Error, FIRST_VERSION, ModelList, ModelMetadata, ModelReady, ServerLive, ServerReady,
    Signature, TensorSpec, escape,
};

fn model(name: &str, version: Option<&str>, call: Call) -> Option<Endpoint> {
    Some(Endpoint::Model {
        name: name.into(),
        version: version.map(str::to_owned),
        call,
    })
}

#[test]
fn paths_of_the_server() {
    for (path, endpoint) in [
        ("/v2", Endpoint::Server),
        ("/v2/", Endpoint::Server),
        ("/v2/health/live", Endpoint::Live),
        ("/v2/health/ready", Endpoint::Ready),
        ("/v2/models", Endpoint::Models),
        ("/v2/models/stats", Endpoint::Statistics),
        (
            "/v2/systemsharedmemory/status",
            Endpoint::SharedMemory(Method::Get),
        ),
        (
            "/v2/cudasharedmemory/region/a/status",
            Endpoint::SharedMemory(Method::Get),
        ),
    ] {
        assert_eq!(Endpoint::parse(path).as_ref(), Some(&endpoint), "{path}");
        assert_eq!(endpoint.method(), Method::Get, "{path}");
    }
}

#[test]
fn paths_that_change_something() {
    for (path, endpoint) in [
        ("/v2/repository/index", Endpoint::Index),
        ("/v2/repository/models/m/load", Endpoint::Load("m".into())),
        (
            "/v2/repository/models/a%20b/unload",
            Endpoint::Unload("a b".into()),
        ),
        (
            "/v2/systemsharedmemory/region/a/register",
            Endpoint::SharedMemory(Method::Post),
        ),
        (
            "/v2/cudasharedmemory/unregister",
            Endpoint::SharedMemory(Method::Post),
        ),
    ] {
        assert_eq!(Endpoint::parse(path).as_ref(), Some(&endpoint), "{path}");
        assert_eq!(endpoint.method(), Method::Post, "{path}");
    }
    for path in [
        "/v2/repository",
        "/v2/repository/index/",
        "/v2/repository/models/m",
        "/v2/repository/models//load",
        "/v2/repository/models/m/load/",
        "/v2/repository/models/m/versions/1/load",
        "/v2/systemsharedmemory",
    ] {
        assert_eq!(Endpoint::parse(path), None, "{path}");
    }
}

#[test]
fn paths_of_a_model_with_and_without_version() {
    for (last, call, method) in [
        ("", Call::Describe, Method::Get),
        ("/ready", Call::Ready, Method::Get),
        ("/infer", Call::Infer, Method::Post),
        ("/predict", Call::Predict, Method::Post),
        ("/config", Call::Config, Method::Get),
        ("/stats", Call::Statistics, Method::Get),
    ] {
        let plain = Endpoint::parse(&format!("/v2/models/digits{last}"));
        assert_eq!(plain, model("digits", None, call), "{last}");
        let versioned = Endpoint::parse(&format!("/v2/models/digits/versions/1.0{last}"));
        assert_eq!(versioned, model("digits", Some("1.0"), call), "{last}");
        assert_eq!(plain.unwrap().method(), method, "{last}");
    }
}

#[test]
fn models_may_be_called_like_segments() {
    let parse = Endpoint::parse;
    assert_eq!(parse("/v2/models/v2"), model("v2", None, Call::Describe));
    assert_eq!(
        parse("/v2/models/models/infer"),
        model("models", None, Call::Infer)
    );
    assert_eq!(
        parse("/v2/models/versions/versions/versions"),
        model("versions", Some("versions"), Call::Describe)
    );
}

#[test]
fn other_paths_stand_for_nothing() {
    for path in [
        "",
        "/",
        "v2",
        "/v2x",
        "/v22/models",
        "/V2",
        "//v2",
        "/v2//",
        "/v2/health",
        "/v2/health/",
        "/v2/health/live/",
        "/v2/models/",
        "/v2/models//",
        "/v2/models//infer",
        "/v2/models/m/",
        "/v2/models/m/other",
        "/v2/models/m/infer/",
        "/v2/models/m/infer/x",
        "/v2/models/m/Infer",
        "/v2/models/m/versions",
        "/v2/models/m/versions/",
        "/v2/models/m/versions//infer",
        "/v2/models/m/versions/1/",
        "/v2/models/m/versions/1/versions/2",
        "/v2/models/m/infer?x=1",
        // Fixed segments are not decoded.
        "/v2/%6dodels/m",
        "/v2/models/m/%69nfer",
        "/%762/models/m",
    ] {
        assert_eq!(Endpoint::parse(path), None, "{path}");
    }
}

#[test]
fn names_are_decoded() {
    for (encoded, name) in [
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("%64%69gits", "digits"),
        ("%2e%2E", ".."),
        (".", "."),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("%C3%A4", "ä"),
        ("ä", "ä"),
        ("%00", "\0"),
        // What is no escape stands for itself.
        ("%", "%"),
        ("%4", "%4"),
        ("%zz", "%zz"),
        ("%4z%41", "%4zA"),
        ("%+1", "%+1"),
        ("100%", "100%"),
        ("%%41", "%A"),
    ] {
        let path = format!("/v2/models/{encoded}/ready");
        assert_eq!(Endpoint::parse(&path), model(name, None, Call::Ready));
        let path = format!("/v2/models/m/versions/{encoded}");
        assert_eq!(
            Endpoint::parse(&path),
            model("m", Some(name), Call::Describe)
        );
    }
}

#[test]
fn names_that_are_no_text_are_no_names() {
    for encoded in ["%FF", "%C3", "a%C3%28", "%ED%A0%80", "%F4%90%80%80"] {
        let path = format!("/v2/models/{encoded}/infer");
        assert_eq!(Endpoint::parse(&path), None, "{path}");
        let path = format!("/v2/models/m/versions/{encoded}");
        assert_eq!(Endpoint::parse(&path), None, "{path}");
    }
}

#[test]
fn methods_are_named_for_the_client() {
    assert_eq!(Method::Get.allow(), "GET,HEAD");
    assert_eq!(Method::Post.allow(), "POST");
}

#[test]
fn every_refusal_has_a_code_and_a_status() {
    let text = || "text".to_owned();
    for (refusal, code, status) in [
        (Refusal::InvalidRequest(text()), "invalid_request", 400),
        (Refusal::UnknownModel(text()), "unknown_model", 404),
        (Refusal::UnknownVersion(text()), "unknown_model", 404),
        (Refusal::UnknownPath(text()), "unknown_path", 404),
        (Refusal::MethodNotAllowed, "method_not_allowed", 405),
        (Refusal::TooLarge(text()), "too_large", 413),
        (Refusal::UnsupportedMedia(text()), "unsupported_media", 415),
        (Refusal::InvalidInput(text()), "invalid_input", 422),
        (Refusal::Internal, "internal", 500),
        (Refusal::ModelFailed, "model_failed", 502),
        (Refusal::BadOutput, "bad_output", 502),
    ] {
        assert_eq!(refusal.code(), (code, status));
    }
}

#[test]
fn refusals_say_what_is_wrong() {
    let error = Error::UnknownDatatype {
        found: "FP31".into(),
    };
    assert_eq!(Refusal::from(error.clone()).to_string(), error.to_string());
    for (refusal, text) in [
        (
            Refusal::body_too_large("16 MiB"),
            "the body is larger than 16 MiB",
        ),
        (Refusal::body_broke_off(), "the body broke off"),
        (
            Refusal::unknown_model("a\"b"),
            r#"unknown model "a\"b"; GET /v2/models lists the models here"#,
        ),
        (
            Refusal::unknown_version("7"),
            r#"unknown version "7" of this model; its metadata lists the versions here"#,
        ),
        (Refusal::unknown_path("/x"), r#"unknown path "/x""#),
        (
            Refusal::invalid_input("no PNG\x1b[2J"),
            r"the model refused the input: no PNG\u{1b}[2J",
        ),
        (
            Refusal::unsupported_media("send\nimage/png"),
            r"send\nimage/png",
        ),
        (Refusal::input_too_large("too\tlarge"), r"too\tlarge"),
    ] {
        assert_eq!(refusal.to_string(), text);
    }
}

#[test]
fn hostile_names_are_cut_and_escaped() {
    let hostile = "\u{202e}\0\r\n\x1b[31m".repeat(10_000);
    for refusal in [
        Refusal::unknown_model(&hostile),
        Refusal::unknown_version(&hostile),
        Refusal::unknown_path(&hostile),
        Refusal::invalid_input(&hostile),
        Refusal::unsupported_media(&hostile),
        Refusal::input_too_large(&hostile),
        check_content_encoding(hostile.as_bytes()).unwrap_err(),
    ] {
        let text = refusal.to_string();
        assert!(text.len() < 1500, "{}", text.len());
        let is_harmless = |letter: char| !letter.is_control() && letter != '\u{202e}';
        assert!(text.chars().all(is_harmless), "{text:?}");
    }
}

#[test]
fn guest_text_is_escaped_and_cut_behind_a_whole_letter() {
    assert_eq!(escape("ä\u{feff}\u{1}b"), r"ä\u{feff}\u{1}b");
    assert_eq!(escape(&"x".repeat(400)), "x".repeat(400));
    assert_eq!(escape(&"x".repeat(401)), format!("{}…", "x".repeat(400)));
    assert_eq!(escape(&"ä".repeat(500)), format!("{}…", "ä".repeat(200)));
}

#[test]
fn only_bodies_without_encoding_are_taken() {
    for coding in ["identity", "Identity", "IDENTITY"] {
        assert_eq!(check_content_encoding(coding.as_bytes()), Ok(()));
    }
    for coding in ["gzip", "", "identity, gzip", " identity"] {
        let refusal = check_content_encoding(coding.as_bytes()).unwrap_err();
        assert_eq!(refusal.code().0, "unsupported_media", "{coding}");
    }
    assert_eq!(
        check_content_encoding(b"gz\xff").unwrap_err().to_string(),
        "content-encoding \"gz\u{fffd}\" is not supported; send the body as it is"
    );
}

#[test]
fn errors_have_one_form() {
    let json = |id| String::from_utf8(error_json("no \"x\"", "invalid_request", id)).unwrap();
    assert_eq!(
        json(Some("a-1")),
        r#"{"error":"no \"x\"","code":"invalid_request","request_id":"a-1"}"#
    );
    assert_eq!(
        json(None),
        r#"{"error":"no \"x\"","code":"invalid_request"}"#
    );
}

#[test]
fn answers_about_health_and_models() {
    let json = |value: serde_json::Value| value.to_string();
    let live = serde_json::to_value(ServerLive { live: true }).unwrap();
    assert_eq!(json(live), r#"{"live":true}"#);
    let ready = ServerReady {
        live: true,
        ready: false,
    };
    let ready = serde_json::to_value(ready).unwrap();
    assert_eq!(json(ready), r#"{"live":true,"ready":false}"#);
    let models = ModelList {
        models: vec!["a".into(), "b".into()],
    };
    let models = serde_json::to_value(models).unwrap();
    assert_eq!(json(models), r#"{"models":["a","b"]}"#);
    let ready = ModelReady {
        name: "a".into(),
        ready: true,
    };
    let ready = serde_json::to_value(ready).unwrap();
    assert_eq!(json(ready), r#"{"name":"a","ready":true}"#);
}

#[test]
fn models_are_described_with_their_media() {
    let spec = |name: &str| TensorSpec {
        name: name.into(),
        datatype: Datatype::Fp32,
        shape: vec![-1],
    };
    let mut signature = Signature {
        inputs: vec![spec("x")],
        outputs: vec![spec("y")],
        media: Vec::new(),
    };
    let plain = ModelMetadata::describe("m", FIRST_VERSION, &signature, []);
    assert_eq!(
        serde_json::to_string(&plain).unwrap(),
        concat!(
            r#"{"name":"m","versions":["1"],"platform":"onnx_onnxv1","#,
            r#""inputs":[{"name":"x","datatype":"FP32","shape":[-1]}],"#,
            r#""outputs":[{"name":"y","datatype":"FP32","shape":[-1]}]}"#
        )
    );
    signature.media = vec!["image/png".into(), "image/jpeg".into()];
    let licence = [("licence".to_owned(), "MIT".to_owned())];
    let described = ModelMetadata::describe("m", "2", &signature, licence);
    assert_eq!(described.versions, ["2"]);
    let properties: Vec<_> = described.properties.into_iter().collect();
    let expected = [("licence", "MIT"), ("media", "image/png, image/jpeg")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(properties, expected);
}
