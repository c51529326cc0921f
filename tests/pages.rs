//! The pages are true: their console blocks run against the server that they start, and print what
//! they show. Needs Python, as `clients.rs`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::command::shared_cache;
use crate::harness::files::{pages, workspace};
use crate::harness::project::Project;
use crate::harness::python;

/// Blocks that no machine of ours can run; the comment above each gives the reason.
const NOT_RUN: usize = 8;

/// The languages of blocks. A block of another, or of none, may hold what nobody runs.
const LANGUAGES: [&str; 9] = [
    "console", "sh", "text", "toml", "yaml", "json", "rust", "python", "mermaid",
];

/// A run of one page.
struct Page {
    name: &'static str,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Page {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            environment: Vec::new(),
        }
    }

    /// With a variable for `pages/run.py`.
    fn with(mut self, variable: &'static str, path: PathBuf) -> Self {
        self.environment.push((variable, path));
        self
    }

    /// Runs it, with the packages that these requirements (a file below `tests`) name.
    #[track_caller]
    fn holds(self, environment: &str, requirements: &str) {
        let python = python::with(environment, requirements);
        let output = Command::new(&python)
            .arg(workspace().join("tests/pages/run.py"))
            .arg(workspace().join(self.name))
            .args(["--glovebox", env!("CARGO_BIN_EXE_glovebox")])
            .arg("--programs")
            .arg(python.parent().unwrap())
            .env("GLOVEBOX_CACHE_DIR", shared_cache())
            .envs(self.environment)
            .output()
            .expect("python runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let log = String::from_utf8_lossy(&output.stderr);
        println!("{said}");
        assert!(output.status.success(), "{said}\n{log}");
    }
}

#[track_caller]
fn is_true(page: &'static str) {
    Page::new(page).holds("pages", "pages/requirements.txt");
}

#[test]
fn the_readme_is_true() {
    is_true("README.md");
}

#[test]
fn the_page_on_first_model_is_true() {
    is_true("docs/tutorial/first-model.md");
}

#[test]
fn the_page_on_own_models_is_true() {
    is_true("docs/tutorial/your-own-model.md");
}

#[test]
fn the_page_on_pictures_is_true() {
    is_true("docs/how-to/images.md");
}

#[test]
fn the_page_on_tables_is_true() {
    is_true("docs/how-to/tables.md");
}

#[test]
fn the_page_on_spin_is_true() {
    is_true("docs/how-to/spin.md");
}

#[test]
fn the_page_on_wasmtime_is_true() {
    is_true("docs/how-to/wasmtime.md");
}

#[test]
fn the_page_on_edge_platforms_is_true() {
    is_true("docs/how-to/edge.md");
}

#[test]
fn the_page_on_fronts_is_true() {
    is_true("docs/how-to/own-front.md");
}

#[test]
fn the_page_on_many_models_is_true() {
    is_true("docs/how-to/many-models.md");
}

#[test]
fn the_page_on_native_graphs_is_true() {
    is_true("docs/how-to/native-graphs.md");
}

#[test]
fn the_page_on_observing_is_true() {
    is_true("docs/how-to/observe.md");
}

#[test]
fn the_page_on_clients_of_triton_is_true() {
    is_true("docs/how-to/triton-clients.md");
}

#[test]
fn the_page_on_load_tests_is_true() {
    is_true("docs/how-to/load-test.md");
}

#[test]
fn the_page_on_http_is_true() {
    is_true("docs/reference/http.md");
}

#[test]
fn the_page_on_errors_is_true() {
    is_true("docs/reference/errors.md");
}

#[test]
fn the_page_on_the_file_format_is_true() {
    is_true("docs/reference/file-format.md");
}

#[test]
fn the_page_on_minilm_is_true() {
    is_true("models/minilm/README.md");
}

/// `cargo build` of the page is that of the harness: it finds the engine compiled.
#[test]
fn the_page_on_guests_is_true() {
    let guest = Project::new("wine-lines").build();
    Page::new("docs/guests.md")
        .with("PAGES_GUEST", guest)
        .holds("guest", "../examples/python-guest/requirements.txt");
}

#[test]
fn every_page_with_commands_is_run() {
    let tests = fs::read_to_string(workspace().join("tests/pages.rs")).unwrap();
    let mut not_run = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(workspace()).unwrap().display();
        not_run.extend(
            text.match_indices("<!-- not run: ")
                .map(|(at, _)| format!("{name}: {}", text[at..].lines().next().unwrap())),
        );
        let mut is_open = false;
        for fence in text.lines().filter_map(|line| line.strip_prefix("```")) {
            let language = fence.trim();
            assert!(
                is_open || LANGUAGES.contains(&language),
                "{name}: a block in {language:?}"
            );
            is_open = !is_open;
        }
        let is_tested = tests.contains(&format!("(\"{name}\")"));
        assert!(
            is_tested || commands(&text) == text.matches("<!-- not run: ").count(),
            "{name} is not run"
        );
    }
    println!("{}", not_run.join("\n"));
    assert_eq!(not_run.len(), NOT_RUN, "{}", not_run.join("\n"));
}

/// How many blocks of commands a page has.
fn commands(page: &str) -> usize {
    page.matches("```console").count()
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let letters = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = letters.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then_some(letter),
    });
    kept.collect()
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let others = [
        "ARCHITECTURE.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "tests/README.md",
        "benches/README.md",
        "fuzz/README.md",
    ];
    let others = others.map(|page| workspace().join(page));
    let mut wrong = Vec::new();
    for page in pages().into_iter().chain(others) {
        let text = fs::read_to_string(&page).unwrap();
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains(':') && !link.contains(' ')) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.with_file_name(file),
            };
            let is_there = match fs::read_to_string(&target) {
                Ok(text) => {
                    let mut headings = text.lines().filter(|line| line.starts_with('#'));
                    heading.is_empty() || headings.any(|line| anchor(line) == heading)
                }
                Err(_) => target.exists() && heading.is_empty(),
            };
            if !is_there {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
