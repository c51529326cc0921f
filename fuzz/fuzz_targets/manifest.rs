//! The two files in TOML that people write: `spin.toml` and `model.toml`.
#![no_main]

use std::path::Path;
use std::time::Instant;

use glovebox::admission::Gate;
use glovebox::config::{self, Application, Settings, Target};
use glovebox::limits::Bytes;
use glovebox::model::defaults::Defaults;
use glovebox::pack::config::ModelConfig;
use glovebox::routing::Table;
use glovebox_fuzz::assert_harmless;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match config::parse(text, Path::new("app/spin.toml"), &Settings::default()) {
        Ok(application) => serve(application),
        Err(error) => assert_harmless(&error.to_string()),
    }
    match ModelConfig::parse(text, Path::new("models/model.toml"), "model") {
        Ok(config) => pack(&config),
        Err(error) => assert_harmless(&error.to_string()),
    }
});

/// What `up` makes of an application before it reads a file of a component.
fn serve(application: Application) {
    application.components.iter().for_each(check);
    application
        .warnings
        .iter()
        .for_each(|warning| assert_harmless(warning));
    for trigger in &application.triggers {
        if let Target::Component(id) = &trigger.target {
            assert!(
                application
                    .components
                    .iter()
                    .any(|component| component.id == *id)
            );
        }
    }
    let routes = application
        .triggers
        .into_iter()
        .filter_map(|trigger| trigger.route);
    let table = Table::new(routes.map(|route| (route, ())).collect());
    for (route, ()) in table.iter() {
        // With its own text for each parameter, a route is a path that it takes.
        assert!(
            table
                .find(&format!("/{}/", route.matched().trim_start_matches('/')))
                .is_some()
        );
    }
}

fn check(component: &config::Component) {
    assert!(component.weight > 0);
    assert!(component.source.starts_with("app") || component.source.is_absolute());
    for dependency in &component.dependencies {
        assert!(dependency.path.starts_with("app") || dependency.path.is_absolute());
    }
    if component.outbound.is_empty() {
        assert!(!component.outbound.allows("https", "example.com", 443));
    }
    let defaults = Defaults::of(Bytes(1 << 20), None);
    let limits = component
        .limits
        .resolve(&defaults, Bytes(2 << 20), Bytes(16 << 30));
    let Ok(limits) = limits else {
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
