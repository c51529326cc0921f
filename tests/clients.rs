//! Clients that others have written: tritonclient, the reference client of the protocol, calls
//! everything that it has.

use std::fs;
use std::process::Command;

use crate::harness::files::{Manifest, digits, manifest, workspace};
use crate::harness::packing::behind_front;
use crate::harness::python;

const TOKEN: &str = "correct-horse-battery-staple";

/// What the server will not have, by the names of the steps of `clients/triton.py` that ask for it: tenants
/// share no memory, and traces and the log are the operator's. `*.` stands for all four clients. A step
/// that works all the same fails the test.
const NEVER: [&str; 6] = [
    "*.system_shared_memory",
    "*.cuda_shared_memory",
    "*.trace_settings",
    "*.update_trace_settings",
    "*.log_settings",
    "*.update_log_settings",
];

#[test]
fn everything_that_tritonclient_has_works() {
    let manifest = Manifest::new(&manifest(&[("digits", digits(), "")]));
    let token = manifest.dir.path().join("token");
    fs::write(&token, TOKEN).unwrap();
    let host = manifest.up().option("--repository-admin", &token).serve();
    let python = python::with("clients", "clients/requirements.txt");
    let output = Command::new(python)
        .arg(workspace().join("tests/clients/triton.py"))
        .arg(host.client().address.to_string())
        .args(["--token", TOKEN, "--missing", &NEVER.join(",")])
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("FAIL"))
        .collect();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(output.status.success(), "{said}\n{log}");
}

behind_front! {
    everything_that_tritonclient_has_works,
}
