//! Limits of one file on the command line. They are read as those of a manifest are, with the same errors.

use clap::Args;
use toml::{Table, Value};

use crate::cli::Failure;
use crate::config::LimitSettings;

#[derive(Args)]
#[command(next_help_heading = "Limits of one file (a manifest has its own)")]
pub(in crate::cli) struct Flags {
    /// What the model is called in URLs [default: as its file says]
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// All memories and tables of one instance, such as 64MiB [default: what fits the model]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// CPU time of one request [default: 10s]
    #[arg(long, value_name = "TIME")]
    cpu: Option<String>,
    /// Instructions of one request [default: they are not counted]
    #[arg(long, value_name = "COUNT")]
    fuel: Option<String>,
    /// From accepting a request to its answer [default: 30s]
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// Requests in the sandbox at once [default: 8, or as many as fit]
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<String>,
    /// The body of one request [default: 16MiB, or less if the model cannot take as much]
    #[arg(long, value_name = "SIZE")]
    body: Option<String>,
    /// What the model may return [default: 16MiB, or less if it never returns as much]
    #[arg(long, value_name = "SIZE")]
    output: Option<String>,
    /// Whose compute it is [default: the model's name]
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// The tenant's share of a busy machine [default: 1]
    #[arg(long, value_name = "NUMBER")]
    weight: Option<String>,
    /// Put requests together: the most rows, such as 8, or { max = 8, delay = "2ms" }
    #[arg(long, value_name = "ROWS")]
    batch: Option<String>,
}

impl Flags {
    /// The limits that are given.
    pub(super) fn settings(&self) -> Result<LimitSettings, Failure> {
        let mut table = Table::new();
        for (key, written) in self.given() {
            let explain = |problem| format!("--{key} {written:?}: {problem}");
            let value = value(key, written).map_err(explain)?;
            // Each by itself first, so that the error names it.
            LimitSettings::read(Table::from_iter([(key.to_owned(), value.clone())]))
                .map_err(explain)?;
            table.insert(key.to_owned(), value);
        }
        Ok(LimitSettings::read(table)?)
    }

    /// A manifest has its limits inside.
    pub(in crate::cli) fn refuse(&self) -> Result<(), Failure> {
        let name = self.name.as_ref().map(|_| "name");
        let first = self.given().map(|(key, _)| key).next().or(name);
        match first {
            None => Ok(()),
            Some(key) => Err(format!(
                "--{key} is for one file; in a manifest, write limits into \
                 [component.<id>.tool.glovebox]"
            )
            .into()),
        }
    }

    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("memory", &self.memory),
            ("cpu", &self.cpu),
            ("fuel", &self.fuel),
            ("timeout", &self.timeout),
            ("concurrency", &self.concurrency),
            ("body", &self.body),
            ("output", &self.output),
            ("tenant", &self.tenant),
            ("weight", &self.weight),
            ("batch", &self.batch),
        ];
        let given = all.into_iter();
        given.filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }
}

/// A flag's text as the manifest has it.
fn value(key: &str, written: &str) -> Result<Value, String> {
    let number = written.parse().map(Value::Integer);
    match key {
        "fuel" | "concurrency" | "weight" => {
            number.map_err(|_| "it must be a whole number".to_owned())
        }
        "batch" => match number {
            Ok(number) => Ok(Value::Table(Table::from_iter([("max".into(), number)]))),
            Err(_) => table(written),
        },
        _ => Ok(Value::String(written.to_owned())),
    }
}

fn table(written: &str) -> Result<Value, String> {
    let line: Result<Table, _> = format!("value = {written}").parse();
    let value = line.ok().and_then(|mut line| line.remove("value"));
    value.ok_or_else(|| "write a number of rows, or { max = 8, delay = \"2ms\" }".to_owned())
}
