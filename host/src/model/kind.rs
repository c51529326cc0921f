//! What a file is, by its first bytes, for people who give the wrong one. Formats are recognised, and not
//! read: to the host, a model is bytes.

use wasmparser::Parser;

use crate::limits;

/// What a file is that is not the one that is wanted, and what to do about it.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    advice: &'static str,
}

const fn kind(name: &'static str, advice: &'static str) -> Kind {
    Kind { name, advice }
}

/// What to do about a model of the library that is named in its file.
const OTHER_LIBRARIES: [(&[u8], Kind); 5] = [
    (
        b"sklearn",
        kind(
            "a pickle of scikit-learn",
            "load it in Python, and convert it with skl2onnx",
        ),
    ),
    (
        b"xgboost",
        kind(
            "a pickle of XGBoost",
            "load it in Python, and convert it with onnxmltools",
        ),
    ),
    (
        b"lightgbm",
        kind(
            "a pickle of LightGBM",
            "load it in Python, and convert it with onnxmltools",
        ),
    ),
    (
        b"catboost",
        kind(
            "a pickle of CatBoost",
            "load it in Python, and save it with save_model(\"model.onnx\", format=\"onnx\")",
        ),
    ),
    (b"torch", PYTORCH),
];

const EMPTY: Kind = kind("an empty file", "copy or download it again");
const COMPONENT: Kind = kind(
    "a wasm component",
    "it is packed already; serve it with `glovebox up --from`, or pack the ONNX file that it was made of",
);
const CORE_MODULE: Kind = kind(
    "a wasm core module",
    "build it as a component for wasm32-wasip2; models are packed from ONNX files",
);
const CUT_WASM: Kind = kind(
    "the beginning of a wasm file",
    "copy or download the whole of it again",
);
const ONNX: Kind = kind("an ONNX model", "make one of it with `glovebox pack`");
const ELF: Kind = kind(
    "machine code, which is never accepted",
    "build it as a component for wasm32-wasip2",
);
const PICKLE: Kind = kind(
    "a pickle of Python",
    "load it there and export the model: skl2onnx for scikit-learn, onnxmltools for XGBoost and LightGBM, \
     torch.onnx for PyTorch",
);
const PYTORCH: Kind = kind(
    "a file of PyTorch",
    "load it in Python and export it with torch.onnx.export, or with `optimum-cli export onnx` if it is of \
     Hugging Face",
);
const COMPRESSED_PICKLE: Kind = kind(
    "data compressed by zlib, as joblib saves models of scikit-learn",
    "load it in Python, and convert it with skl2onnx",
);
const NUMPY: Kind = kind(
    "arrays of NumPy",
    "they have no graph; export the model that they belong to",
);
const KERAS: Kind = kind(
    "a model of Keras",
    "load it in Python, and save it with model.export(\"model.onnx\", format=\"onnx\")",
);
const ZIP: Kind = kind("a zip archive", "unpack it and give the file in it");
const COMPRESSED: Kind = kind("a compressed file", "unpack it first");
const SKOPS: Kind = kind(
    "a model of scikit-learn as skops saves it",
    "load it in Python, and convert it with skl2onnx",
);
const XGBOOST: Kind = kind(
    "a model of XGBoost",
    "load it in Python, and convert it with onnxmltools",
);
const LIGHTGBM: Kind = kind(
    "a model of LightGBM",
    "load it in Python, and convert it with onnxmltools",
);
const SAFETENSORS: Kind = kind(
    "weights in the format safetensors",
    "they have no graph; export the model with `optimum-cli export onnx`, or from PyTorch with \
     torch.onnx.export",
);
const HTML: Kind = kind(
    "an HTML page",
    "download the file itself (on Hugging Face, `resolve` stands where the page's address has `blob`)",
);
const XML: Kind = kind(
    "an XML document",
    "read what it says, if it came in the place of a download; models are packed from ONNX files",
);
const JSON: Kind = kind(
    "a JSON text",
    "models are packed from ONNX files; look for one beside it",
);
const TEXT: Kind = kind(
    "a text",
    "models are packed from ONNX files; look for one beside it",
);
const PICTURE: Kind = kind(
    "a picture",
    "name the model first; a picture is what a model gets, with --input",
);

/// Formats that always begin with the same bytes, at this place.
const MAGIC: [(usize, &[u8], Kind); 23] = [
    (
        0,
        b"version https://git-lfs.github.com/spec/",
        kind(
            "a Git LFS pointer",
            "run `git lfs pull` in its repository, which downloads the file itself",
        ),
    ),
    (0, b"\x7fELF", ELF),
    (
        0,
        b"GGUF",
        kind(
            "weights in the format GGUF, for llama.cpp",
            "they have no graph; export the model that they were made of with `optimum-cli export onnx`",
        ),
    ),
    (
        4,
        b"TFL3",
        kind(
            "a model of TensorFlow Lite",
            "convert it with `python -m tf2onnx.convert --tflite <file> --output model.onnx`",
        ),
    ),
    (
        4,
        b"ORTM",
        kind(
            "a model in ONNX Runtime's own format (.ort)",
            "take the .onnx file that it was made of",
        ),
    ),
    (
        0,
        b"\x89HDF\r\n\x1a\n",
        kind(
            "an HDF5 file, as Keras saves models (.h5)",
            "load it in Python, and save it with model.export(\"model.onnx\", format=\"onnx\"), or convert it \
             with tf2onnx",
        ),
    ),
    (0, b"\x93NUMPY", NUMPY),
    (
        0,
        b"CBM1",
        kind(
            "a model of CatBoost",
            "load it in Python, and save it with save_model(\"model.onnx\", format=\"onnx\")",
        ),
    ),
    (0, b"tree\nversion=", LIGHTGBM),
    (0, b"\x1f\x8b", COMPRESSED),
    (0, b"\xfd7zXZ\0", COMPRESSED),
    (0, b"BZh", COMPRESSED),
    (0, b"\x28\xb5\x2f\xfd", COMPRESSED),
    (0, b"7z\xbc\xaf\x27\x1c", COMPRESSED),
    (0, b"Rar!", COMPRESSED),
    (
        257,
        b"ustar",
        kind("a tar archive", "unpack it and give the file in it"),
    ),
    (0, b"\x78\x01", COMPRESSED_PICKLE),
    (0, b"\x78\x5e", COMPRESSED_PICKLE),
    (0, b"\x78\x9c", COMPRESSED_PICKLE),
    (0, b"\x78\xda", COMPRESSED_PICKLE),
    // The number that files of torch.save had before they were zip archives.
    (
        0,
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
        PYTORCH,
    ),
    (0, b"\x89PNG", PICTURE),
    (0, b"\xff\xd8\xff", PICTURE),
];

/// Why bytes cannot be an ONNX model, if that is certain.
pub fn not_onnx(bytes: &[u8]) -> Option<String> {
    match recognise(bytes)? {
        Kind { name, .. } if name == ONNX.name => None,
        kind => Some(kind.is_not("an ONNX model")),
    }
}

/// Why bytes are no component.
pub fn not_component(bytes: &[u8]) -> String {
    let kind = recognise(bytes).unwrap_or(kind(
        "something else",
        "make one with `glovebox pack`, or build for wasm32-wasip2",
    ));
    kind.is_not("a wasm component")
}

/// Why bytes cannot be a core module or a component, if that is certain.
pub fn not_wasm(bytes: &[u8]) -> Option<String> {
    match recognise(bytes)? {
        Kind { name, .. } if [COMPONENT.name, CORE_MODULE.name].contains(&name) => None,
        kind => Some(kind.is_not("a guest in wasm")),
    }
}

/// Why bytes are no manifest, if they are something that is known.
pub fn not_manifest(bytes: &[u8]) -> Option<String> {
    let kind = match recognise(bytes)? {
        Kind { name, .. } if [EMPTY.name, TEXT.name].contains(&name) => return None,
        Kind { name, .. } if name == ONNX.name => {
            kind(name, "give its file the extension .onnx, or pack it")
        }
        Kind { name, .. } if name == COMPONENT.name => {
            kind(name, "give its file the extension .wasm")
        }
        kind => kind,
    };
    Some(kind.is_not("a manifest"))
}

impl Kind {
    fn is_not(self, wanted: &str) -> String {
        let Self { name, advice } = self;
        format!("this is {name}, not {wanted}: {advice}")
    }
}

/// What bytes are that begin a file; nothing of it is read but that.
fn recognise(bytes: &[u8]) -> Option<Kind> {
    let bytes = bytes.get(..limits::KIND_BYTES).unwrap_or(bytes);
    let begins = |at: usize, magic: &[u8]| {
        let rest = bytes.get(at..);
        rest.is_some_and(|rest| rest.starts_with(magic))
    };
    let magic = MAGIC.iter().find(|(at, magic, _)| begins(*at, magic));
    match bytes {
        [] => Some(EMPTY),
        _ if Parser::is_component(bytes) => Some(COMPONENT),
        _ if Parser::is_core_wasm(bytes) => Some(CORE_MODULE),
        _ if b"\0asm\x01\0\0\0".starts_with(bytes) || begins(0, b"\0asm") => Some(CUT_WASM),
        _ if magic.is_some() => magic.map(|(_, _, kind)| *kind),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(zip(bytes)),
        // The version of the protocol, and what the first opcodes can be.
        [0x80, 2..=5, ..] => Some(pickle(bytes)),
        _ if is_safetensors(bytes) => Some(SAFETENSORS),
        _ if is_onnx(bytes) => Some(ONNX),
        _ => text(bytes),
    }
}

/// A zip archive, by the name of the first file in it.
fn zip(bytes: &[u8]) -> Kind {
    let length = bytes.get(26..28).and_then(|length| length.first_chunk());
    let length = length.map_or(0, |length| usize::from(u16::from_le_bytes(*length)));
    let name = bytes.get(30..30 + length).unwrap_or_default();
    let is_of_torch = [
        &b"/data.pkl"[..],
        b"/version",
        b"/byteorder",
        b"/.format_version",
    ]
    .iter()
    .any(|end| name.ends_with(end))
        || contains(name, b"/code/");
    match name {
        _ if is_of_torch => PYTORCH,
        _ if name.ends_with(b".npy") => NUMPY,
        b"metadata.json" | b"config.json" | b"model.weights.h5" => KERAS,
        b"schema.json" => SKOPS,
        _ => ZIP,
    }
}

/// A pickle, by the library whose classes it names first.
fn pickle(bytes: &[u8]) -> Kind {
    let named = OTHER_LIBRARIES.iter();
    let mut named = named.filter(|(library, _)| contains(bytes, library));
    named.next().map_or(PICKLE, |(_, kind)| *kind)
}

/// A length of eight bytes, and behind it JSON.
fn is_safetensors(bytes: &[u8]) -> bool {
    let header = bytes.split_first_chunk::<8>();
    header.is_some_and(|(length, json)| {
        u64::from_le_bytes(*length) >> 32 == 0 && json.starts_with(b"{") && length != &[0; 8]
    })
}

/// A small number as `ir_version`, as all libraries write it first, and then another field of a model.
fn is_onnx(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [
            0x08,
            1..=32,
            0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42 | 0x72,
            ..
        ]
    )
}

/// Formats that are text.
fn text(bytes: &[u8]) -> Option<Kind> {
    let is_binary = |letter: char| letter.is_control() && !letter.is_whitespace();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // A letter may go on behind the bytes that are looked at.
        Err(error) if error.error_len().is_none() => {
            let whole = bytes.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => "",
    };
    let begins = text.trim_start_matches('\u{feff}').trim_start();
    let is_html = ["<!doctype html", "<html"].iter().any(|start| {
        let beginning = begins.get(..start.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
    });
    // Of XGBoost there is a binary form of JSON as well.
    let first = bytes.get(..limits::FIRST_KEY_BYTES).unwrap_or(bytes);
    Some(match begins {
        _ if bytes.starts_with(b"{") && contains(first, b"learner") => XGBOOST,
        "" => return None,
        _ if text.contains(is_binary) => return None,
        _ if is_html => HTML,
        _ if begins.starts_with('<') => XML,
        _ if begins.starts_with('{') && contains(first, b"\"tree\"") => LIGHTGBM,
        _ if begins.starts_with('{') => JSON,
        _ => TEXT,
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
