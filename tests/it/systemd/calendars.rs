//! The timers that `systemd-timers` writes, by what systemd itself makes of them: their slots are those of the schedule.

use std::collections::BTreeSet;
use std::iter::successors;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use watchkeeper::schedule::Schedule;

use crate::support::{installed, missing, run};

const PATTERNS: &[&str] = &[
    // Fixed times, also in the hours that clocks leave out and repeat.
    "0 2 * * *",
    "30 2 * * *",
    "*/10 2 * * *",
    "0 0 * * *",
    "15 0-3 * * *",
    "30 1,2,3 * * *",
    "59 23 31 12 *",
    "30 15 2 * * *",
    "*/20 30 2 * * *",
    // The hour is wild.
    "* * * * *",
    "*/5 * * * *",
    "*/7 * * * *",
    "30 * * * *",
    "*/15 */2 * * *",
    "0 */5 * * *",
    "10 * * * SUN",
    "10 */3 1,25,28,29 * *",
    "*/30 * * * * *",
    "0 * * 3,10 *",
    // Days of the month.
    "0 3 1 * *",
    "0 3 29-31 * *",
    "0 3 31 * *",
    "0 3 */2 * *",
    "0 3 29 2 *",
    "0 3 L * *",
    "0 3 1,15,L * *",
    "0 3 L 2 *",
    "0 3 L 1,3,5 *",
    "0 3 1W * *",
    "0 3 15W * *",
    "0 3 28W * *",
    "0 3 29W * *",
    "0 3 30W * *",
    "0 3 31W * *",
    "0 3 28W 2 *",
    "0 3 29W 2 *",
    "0 3 LW * *",
    "0 3 LW 2 *",
    // Days of the week.
    "0 3 * * MON-FRI",
    "0 3 * * 0,3,6",
    "0 3 * * 7",
    "0 3 * * 1#1",
    "0 3 * * 5#2,5#4",
    "0 3 * * 5#5",
    "0 3 * * 5L",
    "0 3 * * SUN#L",
    "0 3 * 2 5L",
    "0 3 * * 1#1,5L",
    "0 3 * * MON,5#2",
    // Either day, or both.
    "0 3 1,15 * MON",
    "0 3 L * MON",
    "0 3 15W * SUN",
    "0 3 LW * 5#1",
    "0 3 13 * 5",
    "0 3 1-7 * +MON",
    "0 3 L * +FRI",
    "0 3 */2 * MON",
    "0 3 13 * +5",
    "0 3 13,L * +5L",
    "0 3 29 2 +MON",
    // Hashed, by name, and intervals.
    "H H * * *",
    "H/15 * * * *",
    "H H(1-5) H * H",
    "@hourly",
    "@weekly",
    "@monthly",
    "@yearly",
    "@every 6h",
    "@every 90m",
    "@every 10s",
    "@every 1d",
    "@every 7d",
];
const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    // Midnight is left out.
    "America/Santiago",
    "Africa/Cairo",
    // Half an hour, and no change at all.
    "Australia/Lord_Howe",
    "Asia/Kolkata",
];
/// So many slots of each line are asked for, from the beginning and around a change of the clocks.
const SLOTS: [usize; 2] = [40, 8];
const WRITTEN: &str = "2026-01-01T00:00:17Z";

#[test]
fn a_timers_slots_are_those_of_its_schedule() {
    if !installed("systemd-analyze") {
        return missing("systemd-analyze");
    }
    let cases: Vec<(&str, &str)> =
        PATTERNS.iter().flat_map(|pattern| ZONES.map(|zone| (*pattern, zone))).collect();
    let (next, slots) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let differences = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((pattern, zone)) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match compare(pattern, zone) {
                        Ok(count) => drop(slots.fetch_add(count, Ordering::SeqCst)),
                        Err(difference) => differences.lock().unwrap().push(difference),
                    }
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    let slots = slots.into_inner();
    println!("{} schedules in {} zones: {slots} slots, no difference", PATTERNS.len(), ZONES.len());
    assert!(slots > 10 * cases.len(), "next to nothing was compared: {slots} slots");
}

fn compare(pattern: &str, zone_name: &str) -> Result<usize, String> {
    let zone = TimeZone::get(zone_name).unwrap();
    let schedule = Schedule::parse(pattern, &zone, "nightly").unwrap();
    let written: Timestamp = WRITTEN.parse().unwrap();
    let calendar = schedule.on_calendar(written).unwrap();
    let lines = [calendar.lines, calendar.clock_changes].concat();
    let mut compared = 0;
    for (from, most) in starts(&zone, written) {
        let (slots, until) = elapses(&lines, from, most);
        let wanted = successors(schedule.next_after(from), |slot| schedule.next_after(*slot));
        let wanted: BTreeSet<Timestamp> = wanted.take_while(|slot| *slot <= until).collect();
        let slots: BTreeSet<Timestamp> = slots.into_iter().filter(|slot| *slot <= until).collect();
        let (missing, mut more) = (wanted.difference(&slots), slots.difference(&wanted));
        // systemd takes a time that comes twice for the second one where it begins to look between the two. A timer
        // does that only when it is started just then.
        let is_repeated =
            |slot: &Timestamp| zone.to_ambiguous_timestamp(zone.to_datetime(*slot)).is_ambiguous();
        if missing.clone().next().is_some() || !more.all(|slot| is_repeated(&from) && is_repeated(slot)) {
            let more = slots.difference(&wanted);
            return Err(format!(
                "{pattern} in {zone_name} from {from}: missing {:?}, too much {:?} of {lines:?}",
                missing.collect::<Vec<_>>(),
                more.collect::<Vec<_>>()
            ));
        }
        compared += slots.len();
    }
    Ok(compared)
}

/// The beginning, and before and just after two changes of the clocks; each with how many slots are asked for.
fn starts(zone: &TimeZone, written: Timestamp) -> Vec<(Timestamp, usize)> {
    let changes = zone.following(written).map(|change| change.timestamp()).take(2);
    let changes: Vec<Timestamp> = changes.take_while(|change| *change < written + 8_784.hours()).collect();
    let around = changes.into_iter().flat_map(|change| [change - 70.minutes(), change + 17.minutes()]);
    [(written, SLOTS[0])].into_iter().chain(around.map(|time| (time + 17.seconds(), SLOTS[1]))).collect()
}

/// What systemd makes of the lines, and until when that is all there is.
fn elapses(lines: &[String], from: Timestamp, most: usize) -> (BTreeSet<Timestamp>, Timestamp) {
    let base = from.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let text = run(Command::new("systemd-analyze")
        .env("TZ", "UTC")
        .args(["calendar", &format!("--iterations={most}"), &format!("--base-time={base}")])
        .args(lines));
    let mut slots = BTreeSet::new();
    let mut until = Timestamp::MAX;
    for block in text.split("Normalized form:").skip(1) {
        let found: Vec<Timestamp> = block.lines().filter_map(elapse).collect();
        if found.len() >= most {
            until = until.min(*found.last().unwrap());
        }
        slots.extend(found);
    }
    // A line without end has been cut; where none was, ten years of clock changes are written.
    (slots, until.min("2035-01-01T00:00:00Z".parse().unwrap()))
}

/// `Next elapse: Sat 2026-10-24 00:30:00 UTC`, `Iter. #2: …`
fn elapse(line: &str) -> Option<Timestamp> {
    let (label, time) = line.trim().split_once(": ")?;
    if label != "Next elapse" && !label.starts_with("Iter. #") {
        return None;
    }
    let mut words = time.split_whitespace().skip(1);
    let (date, time) = (words.next()?, words.next()?);
    format!("{date}T{time}Z").parse().ok()
}
