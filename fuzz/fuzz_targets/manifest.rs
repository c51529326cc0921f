//! The two files in TOML that people write: `spin.toml` and `model.toml`.
#![no_main]

use std::path::Path;
use std::time::Instant;

use glovebox::admission::Gate;
use glovebox::config;
use glovebox::limits::Bytes;
use glovebox::pack::config::ModelConfig;
use glovebox_fuzz::assert_harmless;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match config::parse(text, Path::new("app/spin.toml")) {
        Ok(components) => components.iter().for_each(serve),
        Err(error) => assert_harmless(&error.to_string()),
    }
    match ModelConfig::parse(text, Path::new("models/model.toml"), "model") {
        Ok(config) => pack(&config),
        Err(error) => assert_harmless(&error.to_string()),
    }
});

/// What `up` makes of a component before it reads the component's file.
fn serve(component: &config::Component) {
    assert!(component.weight > 0);
    assert!(component.source.starts_with("app") || component.source.is_absolute());
    let Ok(limits) = component.limits.resolve(Bytes(1 << 20), Bytes(16 << 30)) else {
        return;
    };
    assert!(!limits.to_string().is_empty());
    assert!(Instant::now().checked_add(limits.timeout).is_some());
    assert!(!limits.cpu.is_zero() && !limits.timeout.is_zero());
    assert_eq!(Gate::new(&limits).running(), 0);
    assert!(limits.footprint() >= limits.memory);
}

fn pack(config: &ModelConfig) {
    assert!((1..=64).contains(&config.name.len()));
    assert_harmless(&config.name);
    assert!(config.labels().len() <= 1 << 20);
    for example in &config.examples {
        assert!(example.input.starts_with("models") || example.input.is_absolute());
    }
}
