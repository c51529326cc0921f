# Shorthands for people. Continuous integration calls `.ci/run` and `release/build`, which need no `just`.

[private]
default:
    @just --list

# everything that a change must pass
check:
    .ci/run

# format and lints of the host only
lint:
    cargo fmt --all --check
    cargo clippy --release --locked --all-targets --package glovebox --features native -- -D warnings

# all tests, or those of one topic: `just topic memory::`
topic topic="":
    cargo test --release --locked --package glovebox --features native --test scenarios {{ topic }}

# kernels and the pipeline, natively
kernels:
    cargo test --release --locked --package glovebox-kernels --package glovebox-pipeline

# the documentation of all crates that build for this machine
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps --document-private-items --package glovebox --package glovebox-protocol --package glovebox-grpc --package glovebox-split

# a fuzz target for some seconds; needs a nightly compiler and cargo-fuzz
fuzz target="request" seconds="60":
    cargo +nightly fuzz run {{ target }} -- -max_total_time={{ seconds }}

# one of the benchmarks: bars, batching, density, front, request, fuel, overload, neighbour
bench name="bars":
    cargo bench --locked --package glovebox --bench {{ name }}

# licences, duplicates and sources of dependencies; needs cargo-deny
deny:
    cargo deny check

# build and try everything that a release consists of, by whatever compiler is here
release-check:
    release/build --unpinned
    release/reproducible
