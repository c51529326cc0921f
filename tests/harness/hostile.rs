//! Hostile guests beside a neighbour that is asked all the time, and what must hold afterwards.

use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::client::{Answer, Client};
use super::files::{Manifest, manifest, model_dir, temporary, wine};
use super::guest::Guest;
use super::host::Host;

/// Between two requests of the neighbour.
const PACE: Duration = Duration::from_millis(10);
/// All that a hostile guest held is back by then; it takes milliseconds.
const SETTLE_TIME: Duration = Duration::from_secs(20);
/// What a process may have in memory beyond what it had before.
const SLACK_KIB: u64 = 64 << 10;
/// What a guest of `bodies.rs` writes, and no client may see.
const GUEST_TEXT: [&str; 2] = ["text/plain", "aerror"];

/// A host with hostile guests and the wines, which everybody expects to keep being served.
pub(crate) struct Hostile {
    host: Host,
    client: Client,
    neighbour: Neighbour,
    before: Held,
    /// Requests sent to each hostile guest.
    sent: Sent,
    _dir: TempDir,
}

type Sent = Mutex<HashMap<String, usize>>;

/// What the process holds.
#[derive(Debug)]
struct Held {
    files: usize,
    memory_kib: u64,
}

/// A thread that asks the wines until it is told to stop; it ends with how often they answered.
struct Neighbour {
    stop: Sender<()>,
    thread: JoinHandle<usize>,
}

impl Hostile {
    /// One guest under these limits, named `hostile`.
    #[track_caller]
    pub(crate) fn new(guest: &Guest, limits: &str) -> Self {
        Self::many(&[("hostile", guest, limits)])
    }

    /// Several guests by name, each under its limits.
    #[track_caller]
    pub(crate) fn many(guests: &[(&str, &Guest, &str)]) -> Self {
        Self::start(guests, false)
    }

    /// The same on one core.
    #[track_caller]
    pub(crate) fn on_one_core(guest: &Guest, limits: &str) -> Self {
        Self::start(&[("hostile", guest, limits)], true)
    }

    #[track_caller]
    fn start(guests: &[(&str, &Guest, &str)], one_core: bool) -> Self {
        let dir = temporary();
        let file = |name: &str| dir.path().join(format!("{name}.wasm"));
        for (name, guest, _) in guests {
            fs::write(file(name), guest.component()).expect("a file");
        }
        let files: Vec<_> = guests.iter().map(|(name, ..)| file(name)).collect();
        let mut models = vec![("wine", wine(), "")];
        models.extend(
            guests
                .iter()
                .zip(&files)
                .map(|((name, _, limits), file)| (*name, file.as_path(), *limits)),
        );
        let manifest = Manifest::new(&manifest(&models));
        let up = match one_core {
            true => manifest.up().on_one_core(),
            false => manifest.up(),
        };
        let host = up.log("warn,glovebox=info").serve();
        let record = record();
        assert!(
            ask_wine(&host.client(), &record),
            "the neighbour does not even answer alone"
        );
        let before = Held::of(&host);
        let neighbour = Neighbour::start(Client::new(host.client().address), record);
        Self {
            client: Client::new(host.client().address),
            host,
            neighbour,
            before,
            sent: Sent::default(),
            _dir: dir,
        }
    }

    /// A client of this host. What it sends to hostile guests is to be announced by [`Self::sends`].
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Says that requests to a guest were sent by other ways than [`Self::call`].
    pub(crate) fn sends(&self, model: &str, requests: usize) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        *sent.entry(model.to_owned()).or_default() += requests;
    }

    /// Calls `infer` without tensors.
    #[track_caller]
    pub(crate) fn call(&self, model: &str) -> Answer {
        self.sends(model, 1);
        self.client.infer(model, &json!({ "inputs": [] }))
    }

    /// Calls `predict` with one byte.
    #[track_caller]
    pub(crate) fn predict(&self, model: &str) -> Answer {
        self.sends(model, 1);
        self.client.predict(model, "text/plain", b"x")
    }

    /// Calls `infer` of the one guest twice: each ends so, and is counted so.
    #[track_caller]
    pub(crate) fn fails(&self, status: u16, code: &str) {
        for count in 1..=2 {
            check(&self.call("hostile"), status, code);
            assert_eq!(self.client.requests("hostile", code), f64::from(count));
        }
    }

    /// CPU time billed to a guest so far, in seconds.
    #[track_caller]
    pub(crate) fn billed(&self, model: &str) -> f64 {
        self.client.metric(&format!(
            "glovebox_guest_cpu_seconds_total{{model=\"{model}\"}}"
        ))
    }

    /// The same post-condition for every case: the process lives, the neighbour had no failure,
    /// each request left one record, everything is given back, and the log is clean.
    #[track_caller]
    pub(crate) fn unhurt(self) {
        self.unhurt_with_heap(SLACK_KIB);
    }

    /// The same where the allocator keeps so much of what the host itself had to allocate.
    #[track_caller]
    pub(crate) fn unhurt_with_heap(self, slack_kib: u64) {
        let Self {
            mut host,
            client,
            neighbour,
            before,
            sent,
            _dir,
        } = self;
        let answers = neighbour.stop();
        assert!(answers > 0, "the neighbour was not served");
        assert!(host.is_running(), "the host ended");
        // Its idle connections are open files of the host.
        drop(client);
        let client = host.client();
        assert!(ask_wine(&client, &record()), "the neighbour is not served");
        for path in ["/healthz", "/readyz"] {
            assert_eq!(client.get(path).status, 200, "{path}");
        }
        let sent = sent.into_inner().unwrap_or_else(PoisonError::into_inner);
        settles("records", || {
            let records = sent.keys().map(|model| records(&client, model));
            let missing = records
                .zip(sent.values())
                .any(|(records, sent)| records != *sent as f64);
            missing.then(|| format!("{sent:?} sent\n{}", client.get("/metrics").text()))
        });
        settles("gauges", || {
            let text = client.get("/metrics").text();
            let busy = text.lines().find(|line| is_held(line));
            busy.map(str::to_owned)
        });
        settles("what the process holds", || {
            let now = Held::of(&host);
            let is_back =
                now.files <= before.files && now.memory_kib <= before.memory_kib + slack_kib;
            (!is_back).then(|| format!("{now:?}, before {before:?}"))
        });
        let (status, log) = host.terminate();
        assert_eq!(status.code(), Some(0), "{log}");
        check_log(&log);
    }
}

impl Held {
    fn of(host: &Host) -> Self {
        let process = format!("/proc/{}", host.id());
        let status = fs::read_to_string(format!("{process}/status")).expect("it runs");
        let memory = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Self {
            files: fs::read_dir(format!("{process}/fd"))
                .expect("it runs")
                .count(),
            memory_kib: memory.and_then(|kib| kib.parse().ok()).expect("VmRSS"),
        }
    }
}

impl Neighbour {
    fn start(client: Client, record: Vec<u8>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut answers = 0;
            loop {
                assert!(ask_wine(&client, &record), "the neighbour failed");
                answers += 1;
                if !matches!(stopped.recv_timeout(PACE), Err(RecvTimeoutError::Timeout)) {
                    return answers;
                }
            }
        });
        Self { stop, thread }
    }

    #[track_caller]
    fn stop(self) -> usize {
        let _ = self.stop.send(());
        self.thread.join().expect("the neighbour has no failure")
    }
}

/// The line with which `up` refuses a guest.
#[track_caller]
pub(crate) fn refusal(guest: &Guest, limits: &str) -> String {
    refusal_of(&guest.component(), limits)
}

/// The line with which `up` refuses a component.
#[track_caller]
pub(crate) fn refusal_of(component: &[u8], limits: &str) -> String {
    let dir = temporary();
    let file = dir.path().join("hostile.wasm");
    fs::write(&file, component).expect("a file");
    let models = [("hostile", file.as_path(), limits)];
    // A taken port ends `up` also if the guest is not refused.
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let up = Manifest::new(&manifest(&models));
    let line = up.up().option("--listen", address).run().refusal();
    assert!(
        line.contains("component \"hostile\""),
        "not refused: {line}"
    );
    line
}

/// Checks an answer that says what went wrong: a code, a text that is the same for each request
/// with this code, an id, and nothing of the guest.
#[track_caller]
pub(crate) fn check(answer: &Answer, status: u16, code: &str) {
    static TEXTS: Mutex<Option<HashMap<String, String>>> = Mutex::new(None);
    let text = answer.error(status, code);
    let body = answer.text();
    assert_eq!(answer.json().as_object().expect("an object").len(), 3);
    for word in GUEST_TEXT {
        assert!(!body.contains(word), "{body}");
    }
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = texts.get_or_insert_default();
    let known = known.entry(code.to_owned()).or_insert_with(|| text.clone());
    assert_eq!(*known, text, "the text of {code} depends on the guest");
}

fn record() -> Vec<u8> {
    fs::read(model_dir("wine").join("examples/cultivar-1.json")).expect("an example")
}

fn ask_wine(client: &Client, record: &[u8]) -> bool {
    let answer = client.predict("wine", "application/json", record);
    answer.status == 200 && answer.json()["label"] == "cultivar 1"
}

/// Records of all outcomes.
fn records(client: &Client, model: &str) -> f64 {
    let series = format!("glovebox_requests_total{{model=\"{model}\",outcome=");
    let text = client.get("/metrics").text();
    let values = text.lines().filter(|line| line.starts_with(&series));
    let value = |line: &str| {
        line.rsplit(' ')
            .next()
            .and_then(|text| text.parse::<f64>().ok())
    };
    values.filter_map(value).sum()
}

/// Whether a line of the metrics says that something is in use.
fn is_held(line: &str) -> bool {
    let gauges = ["live_", "running_", "waiting_"].map(|name| format!("glovebox_{name}"));
    gauges.iter().any(|gauge| line.starts_with(gauge)) && !line.ends_with(" 0")
}

/// Asks until nothing is wrong any more.
#[track_caller]
pub(crate) fn settles(what: &str, mut wrong: impl FnMut() -> Option<String>) {
    let start = Instant::now();
    while let Some(text) = wrong() {
        assert!(start.elapsed() < SETTLE_TIME, "{what}: {text}");
        thread::yield_now();
    }
}

/// One JSON object a line, no panic, nothing that moves a terminal's cursor.
#[track_caller]
fn check_log(log: &str) {
    for line in log.lines() {
        let is_object = serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert!(is_object, "not a line of the log: {line}");
    }
    assert!(!log.contains("panic"), "{log}");
    let has_control = log
        .chars()
        .any(|letter| letter.is_control() && letter != '\n');
    assert!(!has_control, "{log:?}");
}
