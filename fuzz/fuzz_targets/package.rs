//! The reader of packages: any bytes, and any number of copies of the runtime's code among them.
#![no_main]

use glovebox::limits::{Bytes, Limits};
use glovebox::model::package::{Code, Package};
use glovebox::model::runtime;
use glovebox_fuzz::assert_harmless;
use glovebox_fuzz::guest::leb128;
use glovebox_fuzz::memory::{Counting, peak};
use libfuzzer_sys::{Corpus, fuzz_target};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sections that stand for parts of a packed model which no fuzzer finds: an empty core module for
/// the runtime's code, an empty custom section for what follows it.
const CODE: &[u8] = b"\x01\x08\0asm\x01\0\0\0";
const TAIL: &[u8] = b"\0\x05\x04tail";
/// More copies of 15 MB would only take time.
const MOST_COPIES: usize = 2;

/// What a file may take beside itself: names and sizes that a few bytes of section announce each.
const MOST_TIMES: usize = 32;
const MOST_BESIDE: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let copies = bytes.windows(CODE.len()).filter(|part| *part == CODE);
    if copies.count() > MOST_COPIES {
        return Corpus::Reject;
    }
    let file = complete(bytes);
    let (package, taken) = peak(|| Package::look_through(file));
    let most = MOST_TIMES * bytes.len() + MOST_BESIDE;
    assert!(taken <= most, "{taken} bytes for {} bytes", bytes.len());
    match package {
        Ok(package) => look(package),
        Err(error) => assert_harmless(&error.to_string()),
    }
    Corpus::Keep
});

/// The file with the parts that sections stand for.
fn complete(bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        if let Some(behind) = rest.strip_prefix(CODE) {
            file.push(1);
            leb128(runtime::CODE.len(), &mut file);
            file.extend_from_slice(runtime::CODE);
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix(TAIL) {
            file.extend_from_slice(runtime::TAIL);
            rest = behind;
        } else {
            file.push(*first);
            rest = &rest[1..];
        }
    }
    file
}

/// What the host does with a package before it compiles it.
fn look(package: Package) {
    let limits = Limits::for_image(package.image.0);
    assert!(limits.memory >= package.image);
    assert!(!limits.to_string().is_empty());
    let modules = package
        .modules
        .iter()
        .fold(0, |sum: u64, Bytes(size)| sum + size);
    let shares = !matches!(package.code, Code::Own);
    assert!(!shares || modules > 0);

    // Of a packed model the image is left, which is no component.
    if let Code::Shared(runtime) = &package.code {
        assert!(package.wasm().starts_with(b"\0asm\x01\0\0\0"));
        // Whoever's code it is, taking it apart ends.
        let parts = runtime.parts().expect("it is in memory");
        let _ = glovebox_split::shell(&parts.code, &parts.tail);
        return;
    }
    // Its runtime taken out, the rest reads as it did.
    let again = Package::parse(package.wasm().to_vec()).expect("it was read before");
    assert!(matches!(again.code, Code::Own));
    assert_eq!(again.image, package.image);
    assert_eq!(again.exports, package.exports);
    let name = |imports: &[String]| {
        let other = |name: &&String| *name != "runtime";
        imports.iter().filter(other).cloned().collect::<Vec<_>>()
    };
    assert_eq!(name(&again.imports), name(&package.imports));
    assert_eq!(again.imports.len() > package.imports.len(), shares);
    let json = |package: &Option<_>| serde_json::to_string(package).expect("it is JSON");
    assert_eq!(json(&again.metadata), json(&package.metadata));
}
