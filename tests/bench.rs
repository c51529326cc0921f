//! `glovebox bench`: what it measures is true, and what it cannot measure it says.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, temporary};
use crate::harness::host::Host;
use crate::harness::packing::behind_front;

fn host() -> Host {
    Manifest::new(&manifest(&[("digits", digits(), "")]))
        .up()
        .serve()
}

fn bench(address: SocketAddr, path: &str) -> Glovebox {
    bench_for("500ms", address, path)
}

fn bench_for(duration: &str, address: SocketAddr, path: &str) -> Glovebox {
    let url = format!("http://{address}{path}");
    let bench = Glovebox::new("bench").arg(url);
    bench.option("--duration", duration)
}

fn latency(step: &Value, name: &str) -> f64 {
    step["latency_ms"][name].as_f64().unwrap()
}

#[test]
fn loads_are_measured_over_both_protocols() {
    let host = host();
    let before = host.client().requests("digits", "ok");
    for grpc in [false, true] {
        let mut bench = bench(host.client().address, "/v2/models/digits");
        if grpc {
            bench = bench.arg("--grpc");
        }
        let report = bench
            .option("--concurrency", "1,4")
            .arg("--json")
            .run()
            .json();
        assert_eq!(report["protocol"], if grpc { "gRPC" } else { "REST" });
        let steps = report["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 2);
        for (step, clients) in steps.iter().zip([1, 4]) {
            assert_eq!(step["concurrency"], clients);
            assert_eq!(step["errors"], serde_json::json!({}));
            let requests = step["requests"].as_u64().unwrap();
            assert!(requests > 5, "{step}");
            let throughput = step["throughput"].as_f64().unwrap();
            assert!((throughput - requests as f64 / 0.5).abs() < 0.01, "{step}");
            let order = ["p50", "p90", "p99", "p99_9", "max"].map(|name| latency(step, name));
            assert!(order.is_sorted() && order[0] > 0.0, "{step}");
        }
    }
    // What was counted was served.
    assert!(host.client().requests("digits", "ok") > before + 20.0);
}

#[test]
fn a_rate_is_kept_and_the_table_shows_it() {
    let host = host();
    let bench = || {
        bench(host.client().address, "/v2/models/digits/versions/1/infer").option("--rate", "40")
    };
    let report = bench().arg("--json").run().json();
    let step = &report["steps"][0];
    assert_eq!(step["rate"], 40.0);
    let requests = step["requests"].as_u64().unwrap();
    assert!((15..=22).contains(&requests), "{step}");
    let dir = temporary();
    let plot = dir.path().join("plot.svg");
    let table = bench().option("--plot", &plot).run().success();
    for text in ["over REST", "requests/s", "p99.9 ms", "40/s", "none"] {
        assert!(table.contains(text), "{table}");
    }
    let plot = fs::read_to_string(plot).unwrap();
    assert!(
        plot.starts_with("<svg ") && plot.ends_with("</svg>\n"),
        "{plot}"
    );
    for text in [
        "prefers-color-scheme:dark",
        "p99.9",
        "requests a second",
        "40/s",
    ] {
        assert!(plot.contains(text), "{plot}");
    }
    assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
    assert!(!plot.contains("00000"), "{plot}");
}

#[test]
fn a_request_of_one_s_own_is_sent() {
    let host = host();
    let dir = temporary();
    let file = dir.path().join("request.json");
    let data = vec![0.5; 128];
    let input = serde_json::json!({ "name": "image", "datatype": "FP32", "shape": [2, 1, 8, 8], "data": data });
    fs::write(&file, serde_json::json!({ "inputs": [input] }).to_string()).unwrap();
    let bench = |file: &std::path::Path| {
        let bench = bench(host.client().address, "/v2/models/digits").option("--input", file);
        bench.option("--concurrency", "1")
    };
    let report = bench(&file).arg("--json").arg("--grpc").run().json();
    let bytes = report["request_bytes"].as_u64().unwrap();
    assert!((512..600).contains(&bytes), "{report}");
    fs::write(&file, "{}").unwrap();
    let line = bench(&file).run().refusal();
    assert!(
        line.contains("--input: the body is not a valid inference request"),
        "{line}"
    );
    let line = bench(&dir.path().join("nowhere.json")).run().refusal();
    assert!(line.contains("nowhere.json"), "{line}");
}

#[test]
fn what_cannot_be_measured_is_said_in_one_line() {
    let host = host();
    let address = host.client().address;
    for arg in ["--json", "--grpc"] {
        let line = bench(address, "/v2/models/nobody").arg(arg).run().refusal();
        assert!(
            line.contains("the server refuses the model: unknown model \"nobody\""),
            "{line}"
        );
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = free.local_addr().unwrap();
    drop(free);
    for arg in ["--json", "--grpc"] {
        let line = bench(closed, "/v2/models/digits").arg(arg).run().refusal();
        assert!(line.contains(&format!("cannot reach {closed}")), "{line}");
    }
    for url in [
        "http://127.0.0.1:1",
        "https://127.0.0.1/v2/models/x",
        "digits",
        "http://x/v2/health/live",
    ] {
        let outcome = Glovebox::new("bench").arg(url).run();
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("is not the URL of a model"),
            "{}",
            outcome.stderr
        );
    }
    for (option, value) in [
        ("--rate", "0"),
        ("--concurrency", "0"),
        ("--duration", "1ms"),
    ] {
        let url = format!("http://{address}/v2/models/digits");
        let bench = Glovebox::new("bench").arg(url).option(option, value);
        let outcome = bench.run();
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    }
}

#[test]
fn a_datatype_that_cannot_be_made_up_is_named() {
    let server = Server::start("BYTES", None);
    let line = bench(server.address, "/v2/models/m").run().refusal();
    assert!(line.contains("input \"x\" is BYTES"), "{line}");
    assert!(line.contains("--input"), "{line}");
}

#[test]
fn a_server_that_stops_for_a_while_makes_all_late_that_was_due() {
    // 1000 requests a second, and none is answered for 600 ms: the median waits longer than that of
    // the 64 clients that could have asked.
    let server = Server::start("FP32", Some(Duration::from_millis(600)));
    let bench = bench_for("800ms", server.address, "/v2/models/m").option("--rate", "1000");
    let report = bench.arg("--json").run().json();
    let step = &report["steps"][0];
    assert!(latency(step, "p50") > 100.0, "{step}");
    assert!(latency(step, "max") > 550.0, "{step}");
}

/// A server of one model that answers at once, except that once it stops for a while.
struct Server {
    address: SocketAddr,
}

struct Model {
    datatype: &'static str,
    pause: Option<Duration>,
    answered: AtomicUsize,
    turn: Mutex<()>,
}

/// The answer before which the server stops.
const PAUSE_AT: usize = 150;

impl Server {
    fn start(datatype: &'static str, pause: Option<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let model = Arc::new(Model {
            datatype,
            pause,
            answered: AtomicUsize::new(0),
            turn: Mutex::new(()),
        });
        thread::spawn(move || {
            for stream in listener.incoming() {
                let model = Arc::clone(&model);
                thread::spawn(move || model.serve(stream.unwrap()));
            }
        });
        Self { address }
    }
}

impl Model {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Some(is_get) = read(&mut reader) {
            let body = match is_get {
                true => format!(
                    r#"{{"name":"m","platform":"p","inputs":[{{"name":"x","datatype":"{}","shape":[1]}}],"outputs":[]}}"#,
                    self.datatype
                ),
                false => self.answer(),
            };
            let length = body.len();
            if write!(
                writer,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .is_err()
            {
                return;
            }
        }
    }

    fn answer(&self) -> String {
        let _turn = self.turn.lock().unwrap();
        if self.answered.fetch_add(1, SeqCst) == PAUSE_AT
            && let Some(pause) = self.pause
        {
            let (_sender, nobody) = mpsc::channel::<()>();
            let _ = nobody.recv_timeout(pause);
        }
        "{}".into()
    }
}

/// Reads one request; whether it is a GET. None at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> Option<bool> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(lines[0].starts_with("get "))
}

behind_front! {
    loads_are_measured_over_both_protocols,
}
