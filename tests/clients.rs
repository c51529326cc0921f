//! Clients that others have written: tritonclient, the reference client of the protocol, calls
//! everything that it has.

use crate::harness::files::{Manifest, digits, manifest, workspace};
use crate::harness::python;

/// Whether tensors go over HTTP as JSON, for a server without the binary tensor extension.
const HTTP_AS_TEXT: bool = true;

/// What the server does not have yet, by the names of the steps of `clients/triton.py` that ask for it;
/// `*.` stands for all four clients. A step that works all the same fails the test, so this list is
/// never longer than it must be.
const NOT_YET: [&str; 8] = [
    "*.model_config",
    "*.statistics",
    "*.repository_index",
    "*.load_model",
    "*.unload_model",
    "*.classification",
    "http.infer.gzip,http.infer.deflate",
    "http.aio.infer.gzip,http.aio.infer.deflate",
];

/// What it will not have: tenants share no memory, and traces and the log are the operator's.
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
    let host = Manifest::new(&manifest(&[("digits", digits(), "")]))
        .up()
        .serve();
    let python = python::with("clients", "clients/requirements.txt");
    let missing = [&NOT_YET[..], &NEVER].concat().join(",");
    let mut command = std::process::Command::new(python);
    command
        .arg(workspace().join("tests/clients/triton.py"))
        .arg(host.client().address.to_string())
        .args(["--missing", &missing]);
    if HTTP_AS_TEXT {
        command.arg("--text");
    }
    let output = command.output().expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("FAIL"))
        .collect();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(output.status.success(), "{said}\n{log}");
}
