//! The budget of instructions: the same every time, and only where it is asked for.

use std::fs;
use std::path::Path;

use crate::harness::client::Client;
use crate::harness::files::{Manifest, digits, manifest, model_dir, temporary};
use crate::harness::host::Host;
use crate::harness::{bodies, guest};

const USED: &str = "glovebox_guest_fuel_total{model=\"own\"}";

fn serve(file: &Path, limits: &str) -> Host {
    Manifest::new(&manifest(&[("own", file, limits)]))
        .up()
        .serve()
}

/// What one call uses.
#[track_caller]
fn used(client: &Client) -> u64 {
    let before = client.metric(USED);
    client.call("own").ok();
    (client.metric(USED) - before) as u64
}

#[test]
fn a_budget_holds_and_is_the_same_every_time() {
    let dir = temporary();
    let file = dir.path().join("own.wasm");
    fs::write(&file, guest::component(&bodies::burn(100_000))).unwrap();
    let host = serve(&file, "fuel = 100000000");
    let fuel = used(&host.client());
    assert!(fuel > 100_000, "{fuel}");
    assert_eq!(used(&host.client()), fuel, "it is the same every time");

    serve(&file, &format!("fuel = {fuel}"))
        .client()
        .call("own")
        .ok();

    // Guests look at their budget where a loop begins anew, here every ten instructions or so.
    let less = fuel - 50;
    let host = serve(&file, &format!("fuel = {less}"));
    host.client().call("own").error(504, "fuel_limit");
    assert_eq!(host.client().requests("own", "fuel_limit"), 1.0);
    assert_eq!(host.client().metric(USED) as u64, less);
}

#[test]
fn a_loop_without_end_uses_its_budget_up() {
    let dir = temporary();
    let file = dir.path().join("own.wasm");
    fs::write(&file, guest::component(bodies::SPIN)).unwrap();
    let host = serve(&file, "fuel = 1000000");
    host.client().call("own").error(504, "fuel_limit");
    assert!(
        host.announcement.contains("fuel 1000000"),
        "{}",
        host.announcement
    );
}

#[test]
fn the_cpu_limit_holds_beside_a_budget() {
    let dir = temporary();
    let file = dir.path().join("own.wasm");
    fs::write(&file, guest::component(bodies::SPIN)).unwrap();
    let host = serve(&file, "fuel = 1000000000000000\ncpu = \"20ms\"");
    host.client().call("own").error(504, "cpu_limit");
}

#[test]
fn fuel_is_not_counted_where_there_is_no_budget() {
    let dir = temporary();
    let file = dir.path().join("own.wasm");
    fs::write(&file, guest::component(bodies::ANSWER)).unwrap();
    assert_eq!(used(&serve(&file, "").client()), 0);
}

#[test]
fn a_packed_model_answers_the_same_under_a_budget() {
    let host = serve(digits(), "fuel = 100000000000");
    let client = host.client();
    let picture = fs::read(model_dir("digits").join("examples/7.png")).unwrap();
    let fuel = [(); 2].map(|()| {
        let before = client.metric(USED);
        assert_eq!(
            client.predict("own", "image/png", &picture).ok()["label"],
            "7"
        );
        client.metric(USED) - before
    });
    assert!(fuel[0] > 0.0 && fuel[0] == fuel[1], "{fuel:?}");
}

#[test]
fn a_budget_of_nothing_is_refused() {
    let models = [("own", digits(), "fuel = 0")];
    let line = Manifest::new(&manifest(&models)).up().run().refusal();
    assert!(line.contains("fuel must be more than 0"), "{line}");
}
