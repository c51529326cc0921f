//! What `up` says when it starts to serve: its address, its routes, its limits, its wall.

use std::io;
use std::sync::Arc;

use super::attempt::{self, Commands};
use crate::harden::{Door, Hosts, Layer, Wall};
use crate::limits::Limits;
use crate::model::Model;
use crate::model::http::HttpFunction;
use crate::native::Graphs;
use crate::server::Server;
use crate::server::application::{Application, Target};
use crate::server::state::State;
use crate::text;

/// Prints it; the paths of the host come last.
pub(super) fn announce(server: &Server, state: &State, wall: &Wall, door: &Door) -> io::Result<()> {
    println!("serving http://{}", server.address()?);
    for address in server.other_addresses()? {
        println!("and http://{address}");
    }
    let models = state.registry.iter();
    let (loaded, on_demand): (Vec<_>, Vec<_>) =
        models.partition(|model| model.shared_memory().is_none());
    loaded.into_iter().for_each(|model| about_model(model));
    about_on_demand(&on_demand);
    let application = &state.application;
    for function in &application.functions {
        about_function(function, application);
    }
    about_static_answers(application);
    about_broken(state);
    println!("\nmemory budget {}", state.admission.memory().total());
    about_wall(wall);
    about_door(door);
    about_attempts(state, &attempt::base(server.address()?));
    println!("\n  gRPC inference.GRPCInferenceService  grpc.health.v1.Health");
    println!(
        "  GET  /v2  /v2/health/live  /v2/health/ready  /docs  /openapi.json  /healthz  /readyz  /metrics"
    );
    Ok(())
}

/// Commands to try what is served; the page has the rest.
fn about_attempts(state: &State, base: &str) {
    let Commands { lines, others } = Commands::new(state, base);
    println!("\ntry it in a browser, {base}/docs");
    if !lines.is_empty() {
        println!("or in another terminal:");
    }
    lines.iter().for_each(|line| println!("  {line}"));
    match others {
        0 => {}
        1 => println!("  and so on for 1 model more"),
        _ => println!("  and so on for {others} models more"),
    }
}

/// There may be thousands, and `GET /v2/models` lists them.
fn about_on_demand(models: &[&Arc<Model>]) {
    let Some(memory) = models.first().and_then(|model| model.shared_memory()) else {
        return;
    };
    let (count, memory) = (models.len(), memory.total());
    println!("\n{count} models, each loaded when it is asked for, into {memory} for all");
    println!("  POST /v2/models/<name>/infer  /v2/models/<name>/predict");
    println!("  GET  /v2/models  /v2/models/<name>");
}

fn about_model(model: &Model) {
    let path = format!("/v2/models/{}", model.name);
    println!("\n{}", model.name);
    println!("  POST {path}/infer     tensors, as JSON or as bytes");
    if !model.signature.media.is_empty() {
        println!(
            "  POST {path}/predict   {}",
            text::escape(&model.signature.media.join(", "))
        );
    }
    println!("  GET  {path}           signature");
    about_graphs(&model.graphs);
    about_limits(&model.limits);
}

fn about_function(function: &HttpFunction, application: &Application) {
    println!("\n{}", function.id);
    if let Some(metadata) = &function.metadata {
        println!("  holds the model {}", text::escape(&metadata.name));
    }
    let routes = application
        .routes
        .iter()
        .filter(|(_, target)| matches!(target, Target::Function(other) if other.id == function.id));
    let mut is_private = true;
    for (pattern, _) in routes {
        println!("  {}", text::escape(pattern.raw()));
        is_private = false;
    }
    if is_private {
        println!("  private: no route leads to it");
    }
    about_graphs(&function.graphs);
    about_limits(function.handler.limits());
}

fn about_graphs(graphs: &Graphs) {
    if !graphs.is_empty() {
        let names: Vec<_> = graphs.names().collect();
        println!(
            "  execution {}, outside of the sandbox: graphs {}",
            graphs.execution(),
            text::escape(&names.join(", "))
        );
    }
}

fn about_limits(limits: &Limits) {
    println!("  {limits}: {} a request", limits.footprint());
}

fn about_broken(state: &State) {
    for broken in state.registry.broken() {
        println!("\n{}", text::escape(&broken.name));
        println!("  NOT SERVED: {}", text::escape(&broken.reason));
    }
}

fn about_static_answers(application: &Application) {
    let answers = application.routes.iter();
    let mut answers = answers
        .filter(|(_, target)| matches!(target, Target::Static(_)))
        .peekable();
    if answers.peek().is_some() {
        println!("\nstatic answers");
    }
    for (pattern, _) in answers {
        println!("  {}", text::escape(pattern.raw()));
    }
}

fn about_door(door: &Door) {
    if !door.files.is_empty() {
        println!("door: components may read {} folders", door.files.len());
    }
    match &door.hosts {
        Hosts::None => {}
        Hosts::Any => println!("door: components may call the hosts that they name"),
        Hosts::Ports(ports) => {
            let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
            println!(
                "door: components may call the hosts that they name, at ports {}",
                ports.join(", ")
            );
        }
    }
}

fn about_wall(wall: &Wall) {
    let layers: Vec<_> = wall.layers().map(Layer::name).collect();
    match layers.is_empty() {
        true => println!("not hardened"),
        false => println!("hardened: {}", layers.join(", ")),
    }
    for (layer, reason) in wall.gaps() {
        println!("not hardened by {}: {reason}", layer.name());
    }
}
