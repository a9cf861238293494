//! One step of a response.

use std::time::Duration;

use super::matchers;
use crate::config::job::{free, program_of, session_keys};
use crate::config::read::{Item, Section, nearest};
use crate::config::response::{
    DiskStep, ErrorsStep, ExecPlace, Ground, Limits, LogsStep, ProbeStep, QuantileStep, StatsStep, Step,
    StepKind, shipped,
};
use crate::config::values::Program;

/// How long a program of the operator's may take where the file does not say: the runbook's load a model.
const EXEC_TIMEOUT: Duration = Duration::from_mins(1);

/// A kind with what it has where nothing is said.
pub(super) fn plain(item: &Item<'_, '_>, ground: &Ground) -> Option<StepKind> {
    Some(match item.text()? {
        "container" => StepKind::Container,
        "probe" => shipped::probe(),
        "logs" => shipped::logs(),
        "errors" => shipped::errors(Vec::new()),
        "memory-kills" => StepKind::MemoryKills,
        "stats" => shipped::stats(),
        "disk" => shipped::disk(),
        "port" => StepKind::Port { port: None },
        "sessions" => StepKind::Sessions(Box::new(ground.sessions.clone())),
        "top" => shipped::top(),
        kind @ ("query" | "quantile" | "exec") => {
            let hint = format!("write [[response.step]] with kind = \"{kind}\" and its keys");
            item.error(format!("a step {kind:?} needs more than its name"), Some(hint));
            return None;
        }
        unknown => {
            unknown_kind(item, unknown);
            return None;
        }
    })
}

fn unknown_kind(item: &Item<'_, '_>, unknown: &str) {
    let hint = match nearest(unknown, StepKind::NAMES.into_iter()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("there is {}", StepKind::NAMES.join(", ")),
    };
    item.error(format!("unknown kind of a step {unknown:?}"), Some(hint));
}

/// A `[[response.step]]`.
pub(super) fn read(mut section: Section<'_, '_>, ground: &Ground) -> Option<Step> {
    let name = section.get("name").and_then(|item| item.text().map(str::to_owned));
    let timeout = section.get("timeout").and_then(|item| item.some_duration());
    let item = section.require("kind", "\"probe\"")?;
    let text = item.text()?;
    let looks_at_one = matches!(
        text,
        "container" | "logs" | "errors" | "memory-kills" | "stats" | "disk" | "port" | "top" | "exec"
    );
    let container = if looks_at_one { section.get("container") } else { None };
    let container = container.and_then(|item| item.text().map(str::to_owned));
    let kind = match text {
        "container" => Some(StepKind::Container),
        "probe" => probe(&mut section),
        "logs" => logs(&mut section),
        "errors" => errors(&mut section),
        "memory-kills" => Some(StepKind::MemoryKills),
        "stats" => stats(&mut section),
        "disk" => disk(&mut section),
        "port" => port(&mut section),
        "query" => query(&mut section),
        "sessions" => session_keys(&mut section, &ground.sessions).map(Box::new).map(StepKind::Sessions),
        "quantile" => quantile(&mut section),
        "top" => top(&mut section),
        "exec" => exec(&mut section, ground, container.is_some()),
        unknown => {
            unknown_kind(&item, unknown);
            return None;
        }
    };
    section.finish(&[]);
    let kind = kind?;
    let usual = if matches!(kind, StepKind::Exec { .. }) { EXEC_TIMEOUT } else { Step::TIMEOUT };
    Some(Step {
        name: name.unwrap_or_else(|| kind.to_string()),
        timeout: timeout.unwrap_or(usual),
        container,
        kind,
    })
}

fn probe(section: &mut Section<'_, '_>) -> Option<StepKind> {
    let path = match section.get("path") {
        None => None,
        Some(item) => Some(path(&item)?),
    };
    let slow = section.get("slow").map_or(Some(Duration::from_secs(2)), |item| item.some_duration());
    Some(StepKind::Probe(ProbeStep { path, slow: slow? }))
}

fn path(item: &Item<'_, '_>) -> Option<String> {
    let path = item.text()?;
    if !path.starts_with('/') {
        item.error("\"path\" must start with /", Some(format!("write \"/{path}\"")));
        return None;
    }
    Some(path.to_owned())
}

fn logs(section: &mut Section<'_, '_>) -> Option<StepKind> {
    let lines = section.get("lines").map_or(Some(15), |item| item.number(1..201));
    let matchers = section.get("match").map_or(Some(Vec::new()), |item| matchers(&item));
    let field = section.get("field").map(|item| item.text().map(str::to_owned));
    let field = match field {
        None => None,
        Some(field) => Some(field?),
    };
    Some(StepKind::Logs(LogsStep { lines: lines?, matchers: matchers?, field }))
}

fn errors(section: &mut Section<'_, '_>) -> Option<StepKind> {
    let level = match section.get("level") {
        None => Some("ERROR".to_owned()),
        Some(item) => item.text().map(str::to_owned),
    };
    let matchers = section.get("match").map_or(Some(Vec::new()), |item| matchers(&item));
    let lines = section.get("lines").map_or(Some(10_000), |item| item.number(1..100_001));
    Some(StepKind::Errors(ErrorsStep { level: level?, matchers: matchers?, lines: lines? }))
}

fn stats(section: &mut Section<'_, '_>) -> Option<StepKind> {
    let mut percent = |key| section.get(key).map_or(Some(80), |item: Item<'_, '_>| item.number(1..101));
    let (warn_cpu, warn_memory) = (percent("warn_cpu"), percent("warn_memory"));
    Some(StepKind::Stats(StatsStep { warn_cpu: warn_cpu?, warn_memory: warn_memory? }))
}

fn disk(section: &mut Section<'_, '_>) -> Option<StepKind> {
    let paths = section.get("paths").map_or(Some(Vec::new()), |item| {
        let elements = item.elements("a list of folders")?;
        elements.iter().map(Item::path).collect::<Vec<_>>().into_iter().collect()
    });
    let StepKind::Disk(DiskStep { free: usual, .. }) = shipped::disk() else { return None };
    let free = section.get("free").map_or(Some(usual), |item| free(&item));
    Some(StepKind::Disk(DiskStep { paths: paths?, free: free? }))
}

fn port(section: &mut Section<'_, '_>) -> Option<StepKind> {
    let Some(item) = section.get("port") else { return Some(StepKind::Port { port: None }) };
    let port = item.number(1..65_536).and_then(|port| u16::try_from(port).ok())?;
    Some(StepKind::Port { port: Some(port) })
}

fn query(section: &mut Section<'_, '_>) -> Option<StepKind> {
    let query = section.require("query", "\"up\"").and_then(|item| item.text().map(str::to_owned));
    let limits = limits(section);
    Some(StepKind::Query { query: query?, limits: limits? })
}

fn quantile(section: &mut Section<'_, '_>) -> Option<StepKind> {
    let metric = section.require("metric", "\"http_request_duration_seconds\"");
    let metric = metric.and_then(|item| metric_name(&item));
    let quantile = section.get("quantile").map_or(Some(0.95), |item| {
        let quantile = item.float()?;
        if quantile <= 0.0 || quantile >= 1.0 {
            item.error("\"quantile\" must be between 0 and 1", Some("such as 0.95".to_owned()));
            return None;
        }
        Some(quantile)
    });
    let window = section.get("window").map_or(Some(Duration::from_mins(5)), |item| item.some_duration());
    let limits = limits(section);
    Some(StepKind::Quantile(QuantileStep {
        metric: metric?,
        quantile: quantile?,
        window: window?,
        limits: limits?,
    }))
}

/// The name of a histogram, and nothing else: it becomes a part of an expression.
fn metric_name(item: &Item<'_, '_>) -> Option<String> {
    let text = item.text()?;
    let name = text.strip_suffix("_bucket").unwrap_or(text);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if !name.chars().all(is_part) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let hint =
            "the histogram without _bucket and without labels; for more write a step with kind = \"query\"";
        item.error(format!("{text:?} is no name of a metric"), Some(hint.to_owned()));
        return None;
    }
    Some(name.to_owned())
}

fn limits(section: &mut Section<'_, '_>) -> Option<Limits> {
    let mut read = |key| match section.get(key) {
        None => Some(None),
        Some(item) => Item::float(&item).map(Some),
    };
    let (warn_above, bad_above) = (read("warn_above"), read("bad_above"));
    let (warn_below, bad_below) = (read("warn_below"), read("bad_below"));
    Some(Limits {
        warn_above: warn_above?,
        bad_above: bad_above?,
        warn_below: warn_below?,
        bad_below: bad_below?,
    })
}

fn top(section: &mut Section<'_, '_>) -> Option<StepKind> {
    let processes = section.get("processes").map_or(Some(8), |item| item.number(1..51));
    Some(StepKind::Top { processes: processes? })
}

fn exec(section: &mut Section<'_, '_>, ground: &Ground, has_container: bool) -> Option<StepKind> {
    let command = section.require("command", "[\"program\", \"argument\"]");
    let argv = command.and_then(|item| argv(&item));
    let places = [("container", ExecPlace::Container), ("host", ExecPlace::Host)];
    let usual =
        if has_container || ground.container.is_some() { ExecPlace::Container } else { ExecPlace::Host };
    let place = section.get("in").map_or(Some(usual), |item| crate::config::job::choice(&item, &places));
    Some(StepKind::Exec { argv: argv?, place: place? })
}

/// There is no shell here, and nothing to be put into a text for one.
fn argv(item: &Item<'_, '_>) -> Option<Vec<String>> {
    if item.is_plain() {
        let words: Vec<String> = item.text()?.split_whitespace().map(|word| format!("{word:?}")).collect();
        let hint = format!("write [{}]: it is run without a shell", words.join(", "));
        item.error(format!("{} must be a list of a program and its arguments", item.what), Some(hint));
        return None;
    }
    match program_of(item, false)? {
        Program::Argv(argv) => Some(argv),
        Program::Shell(_) => None,
    }
}
