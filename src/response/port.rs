//! Who listens on the port of an application: on this host, and in the network of its container.

mod listeners;

use std::path::Path;

use super::proc::Pid;
use super::seen::Seen;
use super::{Context, Severity, Unable};
use crate::blocking::blocking;
use crate::config::response::Step;
use listeners::Listener;

pub(super) async fn look(port: Option<u16>, step: &Step, context: &Context) -> Result<Seen, Unable> {
    let port = if let Some(port) = port {
        port
    } else {
        let url = &context.needs_application()?.url;
        url.port_or_known_default().ok_or_else(|| Unable::new(format!("{url} has no port")))?
    };
    let mut seen = Seen::default();
    let Some(name) = context.container(step) else {
        on_host(port, true, &mut seen).await?;
        return Ok(seen);
    };
    let docker = context.docker()?;
    let container = docker.container(name).await?;
    let info = container.info();
    let published = info.bounds.ports.iter().find(|(_, outside)| *outside == port);
    match published {
        Some((inside, _)) => {
            seen.evidence(format!("port {port} of the host leads to port {inside} of {name}"));
        }
        None => seen.evidence(format!("{name} publishes no port {port}: it is looked for inside as it is")),
    }
    if docker.is_local() {
        on_host(port, false, &mut seen).await?;
    }
    let inside = published.map_or(port, |(inside, _)| *inside);
    match Pid::of(docker, info) {
        Some(pid) => in_container(pid, inside, name, &mut seen).await?,
        None if info.life.pid.is_none() => {
            seen.bad(format!("nobody listens on port {inside} in {name}: it does not run"));
        }
        None => seen.evidence(format!(
            "who listens in {name} cannot be seen from here: it is on another machine, or this user may not"
        )),
    }
    Ok(seen)
}

/// Where nothing leads into a container somebody has to listen on the host itself.
async fn on_host(port: u16, must: bool, seen: &mut Seen) -> Result<(), Unable> {
    let all = blocking(|| listeners::read(Path::new("/proc/self/net"))).await;
    let all = all.map_err(|error| Unable::new(format!("/proc/self/net cannot be read: {error}")))?;
    let listening: Vec<&Listener> = all.iter().filter(|listener| listener.port == port).collect();
    if let Some(first) = listening.first() {
        let text = format!(
            "port {port} of this host: {}",
            who(&listening).await.unwrap_or_else(|| first.to_string())
        );
        if must {
            seen.good(text);
        } else {
            seen.evidence(text);
        }
        return Ok(());
    }
    if must {
        seen.bad(format!("nobody listens on port {port} of this host"));
    } else {
        seen.evidence(format!("nobody listens on port {port} of this host"));
    }
    Ok(())
}

async fn in_container(pid: Pid, port: u16, name: &str, seen: &mut Seen) -> Result<(), Unable> {
    let net = pid.path("net");
    let all = blocking(move || listeners::read(&net)).await;
    let all = all.map_err(|error| Unable::new(format!("the network of {name} cannot be read: {error}")))?;
    let listening: Vec<&Listener> = all.iter().filter(|listener| listener.port == port).collect();
    if listening.is_empty() {
        seen.bad(format!("nobody listens on port {port} in {name}"));
        let others: Vec<String> = all.iter().map(ToString::to_string).collect();
        let others = if others.is_empty() { "nobody".to_owned() } else { crate::words::some(&others, 5) };
        seen.evidence(format!("who listens in {name}: {others}"));
        let text = format!(
            "its program hangs, has not come so far, or listens elsewhere: `docker logs --tail 100 {name}`"
        );
        seen.recommend(Severity::Bad, text);
    } else if listening.iter().all(|listener| listener.is_own_only()) {
        seen.bad(format!("port {port} in {name} is open only to {name} itself: {}", listening[0]));
        seen.recommend(Severity::Bad, "let its program listen on 0.0.0.0 (or [::])");
    } else {
        let who = who(&listening).await.unwrap_or_else(|| listening[0].to_string());
        seen.good(format!("port {port} in {name}: {who}"));
    }
    Ok(())
}

/// `0.0.0.0:8080 by python3 (12)`; nothing where that cannot be seen.
async fn who(listening: &[&Listener]) -> Option<String> {
    let sockets: Vec<Listener> = listening.iter().map(|listener| (*listener).clone()).collect();
    let owner = blocking(move || listeners::owner(&sockets)).await?;
    Some(format!("{} by {owner}", listening.first()?))
}
