//! A plan, as a person reads it before saying yes.

use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::prometheus::restore::Fate;
use crate::prometheus::restore::into::Unpacked;
use crate::prometheus::restore::plan::{Destination, Live, RestorePlan};
use crate::words::{count, for_job, grouped, size, time};

/// The plan. `all` also lists every block.
pub(super) fn plan(plan: &RestorePlan, zone: &TimeZone, all: bool) -> String {
    let mut out = String::new();
    let made = plan.created.map(|at| format!(", made {}", time(at, zone))).unwrap_or_default();
    let _ = writeln!(out, "Restore {}{made}", plan.source);
    field(&mut out, "to", &destination(&plan.destination));
    let (blocks, samples) = (count(plan.blocks.len(), "block"), grouped(plan.samples));
    let blocks = format!("{blocks}, {samples} samples, {}", size(plan.bytes));
    field(&mut out, "brings", &blocks);
    field(&mut out, "covers", &covered(plan.time, zone));
    let read = if plan.is_read { "every file was read for this plan" } else { "before anything is touched" };
    field(&mut out, "verified", read);
    field(&mut out, "sets aside", &live(&plan.live, zone));
    field(&mut out, "space", &format!("{} needed, {} free", size(plan.space.needed), size(plan.space.free)));
    let service = match (plan.destination.controllable, plan.destination.running) {
        (false, _) => "is not started: nothing says how",
        (true, Some(true)) => "is stopped for the swap, started again, and asked for the restored samples",
        (true, _) => "is started, and asked for the restored samples",
    };
    field(&mut out, "Prometheus", service);
    for block in &plan.left_out {
        field(&mut out, "left out", &block.to_string());
    }
    if all {
        for block in &plan.blocks {
            let covers = covered((block.min_time, block.max_time), zone);
            let what = format!(
                "{covers}, {} samples, {}{}",
                grouped(block.samples),
                size(block.bytes),
                fate(block.fate)
            );
            field(&mut out, &block.name, &what);
        }
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    // Where it is to be done, the refusal is the error that ends it.
    for refusal in plan.refusals.iter().filter(|_| all) {
        let _ = writeln!(out, "cannot be done: {refusal}");
        if let Some(hint) = refusal.hint() {
            let hint = for_job(&hint, &format!("--prometheus {}", plan.destination.target));
            let _ = writeln!(out, "hint: {hint}");
        }
    }
    out
}

fn field(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "  {name:<11} {value}");
}

fn destination(to: &Destination) -> String {
    let place = match &to.container {
        Some(container) => format!("{} in container {container}", to.data_path),
        None => to.data_path.clone(),
    };
    format!("Prometheus {} ({}), {place}", to.target, to.url.trim_end_matches('/'))
}

fn live(live: &Live, zone: &TimeZone) -> String {
    if live.blocks == 0 && live.head_bytes == 0 {
        return "nothing: the data folder is empty".to_owned();
    }
    let mut text = format!("{}, {}", count(live.blocks, "block"), size(live.bytes));
    if live.head_bytes > 0 {
        let _ = write!(text, ", and {} of its head", size(live.head_bytes));
    }
    if let Some(time) = live.time {
        let _ = write!(text, ", {}", covered(time, zone));
    }
    if live.unreadable > 0 {
        let _ = write!(text, " ({} cannot be read)", live.unreadable);
    }
    text
}

fn covered((from, until): (i64, i64), zone: &TimeZone) -> String {
    let shown =
        |millis| Timestamp::from_millisecond(millis).map_or_else(|_| "?".to_owned(), |at| time(at, zone));
    format!("{} to {}", shown(from), shown(until))
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Stays => "",
        Fate::Superseded { .. } | Fate::Emptied => " (Prometheus will delete it: nothing is lost)",
        Fate::TooOld | Fate::TooMuch => " (Prometheus will delete it at its start)",
        Fate::TooOldSoon => " (Prometheus will delete it some hours later)",
    }
}

/// What `--into` did, and how to look at it.
pub(super) fn unpacked(title: &str, folder: &Path, unpacked: &Unpacked) -> String {
    let folder = folder.display();
    let mut out =
        format!("{title}: {}, {} in {folder}\n", count(unpacked.blocks.len(), "block"), size(unpacked.bytes));
    for file in &unpacked.left_out {
        let _ = writeln!(out, "left out: {file}");
    }
    for block in unpacked.blocks.iter().filter(|block| !block.is_good()) {
        for damage in &block.damage {
            let _ = writeln!(out, "damaged: {}: {damage}", block.name);
        }
    }
    let _ = writeln!(
        out,
        "To look into it:\n  prometheus --config.file=/dev/null --storage.tsdb.path={folder} \
         --storage.tsdb.retention.time=100y --web.listen-address=127.0.0.1:9099"
    );
    out
}
