//! `[[trigger.http]]`: which route leads where.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::{ComponentToml, ExecutorToml, PrivateToml, StaticResponseToml, TriggerToml};
use super::name;
use super::shape::{TextOr, Triggers};
use crate::routing::Pattern;

/// A route and what answers there.
#[derive(Debug)]
pub struct Trigger {
    /// The route; a private trigger has none.
    pub route: Option<Pattern>,
    /// What answers.
    pub target: Target,
}

/// What answers a request.
#[derive(Debug)]
pub enum Target {
    /// The component of this id.
    Component(String),
    /// Always the same.
    Static(StaticResponse),
}

/// An answer that stands in the manifest.
#[derive(Clone, Debug)]
pub struct StaticResponse {
    /// Its status, from 200 to 599.
    pub status: u16,
    /// Its headers; HTTP takes their names and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

/// What the host says about an answer and its connection itself.
const FRAMING: [&str; 7] = [
    "connection",
    "content-length",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads all triggers, with warnings. Components that stand in triggers move to the others.
pub(super) fn triggers(
    written: Triggers,
    components: &mut BTreeMap<String, ComponentToml>,
) -> Result<(Vec<Trigger>, Vec<String>), String> {
    if let Some(kind) = written.others.first() {
        return Err(format!(
            "[[trigger.{kind}]] is not supported: only requests of HTTP are served; move trigger.{kind} \
             to a manifest of its own"
        ));
    }
    if written.http.is_empty() {
        return Err("there is no [[trigger.http]], so nothing would be served".into());
    }
    let ids = trigger_ids(&written.http);
    let mut triggers = Vec::new();
    for (toml, id) in written.http.into_iter().zip(ids) {
        let place = match &toml.route {
            TextOr::Text(route) => format!("[[trigger.http]] with route {route:?}"),
            TextOr::Table(_) => "[[trigger.http]] with a private route".into(),
        };
        let explain = |problem| format!("{place}: {problem}");
        triggers.push(trigger(toml, &id, components).map_err(explain)?);
    }
    without_duplicates(triggers)
}

/// The ids that Spin gives to triggers without one.
fn trigger_ids(triggers: &[TriggerToml]) -> Vec<String> {
    let mut taken: BTreeSet<String> = triggers.iter().filter_map(|t| t.id.clone()).collect();
    let mut free_numbers = 1..;
    let mut id = |trigger: &TriggerToml| {
        if let Some(id) = &trigger.id {
            return id.clone();
        }
        let pretty = match &trigger.component {
            Some(TextOr::Text(component)) => Some(format!("{component}-http-trigger")),
            _ => None,
        };
        let numbered = free_numbers.by_ref().map(|n| format!("http-trigger{n}"));
        let mut candidates = pretty.into_iter().chain(numbered);
        let free = candidates.find(|id| taken.insert(id.clone()));
        free.unwrap_or_default()
    };
    triggers.iter().map(&mut id).collect()
}

fn trigger(
    toml: TriggerToml,
    id: &str,
    components: &mut BTreeMap<String, ComponentToml>,
) -> Result<Trigger, String> {
    if toml.components.is_some() {
        return Err("components is not supported; compose them into one component".into());
    }
    if toml.dependencies.is_some() {
        return Err(
            "dependencies (middleware) is not supported; compose them into the component".into(),
        );
    }
    toml.executor.map_or(Ok(()), |executor| check(&executor))?;
    let route = route(&toml.route)?;
    let target = match (toml.component, toml.static_response) {
        (Some(component), None) => Target::Component(component_id(component, id, components)?),
        (None, Some(_)) if route.is_none() => {
            return Err("static_response would never be sent; give it a route".into());
        }
        (None, Some(response)) => Target::Static(static_response(response)?),
        _ => return Err("write either component or static_response".into()),
    };
    Ok(Trigger { route, target })
}

fn check(executor: &ExecutorToml) -> Result<(), String> {
    match executor.kind.as_str() {
        "wagi" => Err(
            "executor wagi is not supported; build the component for wasi:http and remove executor"
                .into(),
        ),
        "http" | "spin" if executor.argv.is_some() || executor.entrypoint.is_some() => {
            Err("argv and entrypoint belong to the executor wagi, which is not supported".into())
        }
        "http" | "spin" => Ok(()),
        kind => Err(format!(
            "executor {kind:?} is not supported; write executor = {{ type = \"http\" }} or remove it"
        )),
    }
}

fn route(written: &TextOr<PrivateToml>) -> Result<Option<Pattern>, String> {
    match written {
        TextOr::Text(route) => Pattern::parse(route)
            .map(Some)
            .map_err(|error| error.to_string()),
        TextOr::Table(private) if private.private => Ok(None),
        TextOr::Table(_) => Err("private = false says nothing; write the route as a string".into()),
    }
}

/// The id of a trigger's component, which joins the others if it stands in the trigger.
fn component_id(
    written: TextOr<ComponentToml>,
    trigger: &str,
    components: &mut BTreeMap<String, ComponentToml>,
) -> Result<String, String> {
    let toml = match written {
        TextOr::Text(id) if components.contains_key(&id) => return Ok(id),
        TextOr::Text(id) => {
            return Err(format!(
                "it names component {id:?}, which does not exist; write [component.{id}]"
            ));
        }
        TextOr::Table(toml) => *toml,
    };
    let natural = format!("{trigger}-component");
    let natural = name::check_kebab(&natural).is_ok().then_some(natural);
    let numbered = (1..).map(|n: u64| format!("inline-component{n}"));
    let mut candidates = natural.into_iter().chain(numbered);
    let id = candidates.find(|id| !components.contains_key(id));
    let id = id.unwrap_or_default();
    components.insert(id.clone(), toml);
    Ok(id)
}

fn static_response(toml: StaticResponseToml) -> Result<StaticResponse, String> {
    let status = toml.status_code.unwrap_or(200);
    if !(200..=599).contains(&status) {
        return Err(format!(
            "static_response: status_code {status} is no status of an answer; use 200 to 599"
        ));
    }
    if matches!(status, 204 | 205 | 304) && !toml.body.is_empty() {
        return Err(format!(
            "static_response: an answer with status_code {status} has no body; remove it"
        ));
    }
    for (name, value) in &toml.headers {
        check_header(name, value)
            .map_err(|problem| format!("static_response: header {name:?} {problem}"))?;
    }
    Ok(StaticResponse {
        status,
        headers: toml.headers.into_iter().collect(),
        body: toml.body,
    })
}

fn check_header(name: &str, value: &str) -> Result<(), &'static str> {
    let in_name =
        |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    let in_value = |letter: char| letter == '\t' || matches!(letter, ' '..='~');
    if name.is_empty() || !name.chars().all(in_name) {
        return Err("is no name of a header");
    }
    if FRAMING.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err("is set by the server; remove it");
    }
    match value.chars().all(in_value) {
        true => Ok(()),
        false => Err("has a value with characters that headers cannot have"),
    }
}

/// Of triggers with the same route the last one stays, as in Spin. Routes that differ in writing
/// alone are refused: it would not be clear who answers.
fn without_duplicates(triggers: Vec<Trigger>) -> Result<(Vec<Trigger>, Vec<String>), String> {
    let mut by_paths = BTreeMap::<String, String>::new();
    let (mut kept, mut warnings) = (Vec::new(), Vec::new());
    // The last ones first.
    for trigger in triggers.into_iter().rev() {
        let Some(route) = &trigger.route else {
            kept.push(trigger);
            continue;
        };
        match by_paths.insert(route.paths(), route.raw().to_owned()) {
            None => kept.push(trigger),
            Some(other) if other == route.raw() => warnings.push(format!(
                "two [[trigger.http]] have the route {other:?}; the last one is used"
            )),
            Some(other) => {
                return Err(format!(
                    "[[trigger.http]] with route {other:?}: it takes the same requests as {:?}; \
                     remove one of them",
                    route.raw()
                ));
            }
        }
    }
    kept.reverse();
    warnings.reverse();
    Ok((kept, warnings))
}
