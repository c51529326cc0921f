//! Which operators of ONNX work: the cases that the `onnx` package has for backends.

use std::env;
use std::process::Command;

use crate::harness::command::shared_cache;
use crate::harness::files::workspace;
use crate::harness::python;

/// Set to `write`, it writes the list of cases and the report anew.
const VARIABLE: &str = "COVERAGE";

#[test]
#[ignore = "thousands of models: some minutes on a quiet machine; see docs/operators.md"]
fn each_case_of_onnx_ends_as_the_list_says_and_none_is_wrong() {
    let python = python::with("coverage", "coverage/requirements.txt");
    let writes = env::var_os(VARIABLE).is_some_and(|value| value == "write");
    let output = Command::new(python)
        .arg(workspace().join("tests/coverage/main.py"))
        .arg(env!("CARGO_BIN_EXE_glovebox"))
        .arg("--cache-dir")
        .arg(shared_cache())
        .args(writes.then_some("--write"))
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
