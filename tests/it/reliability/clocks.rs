//! The real daemon with tokio-cron-scheduler while a wall clock (shifted by libfaketime) passes both changes of a year.

use std::path::{Path, PathBuf};
use std::process::Child;

use jiff::Timestamp;

use super::{SOON, ask, count, figure, stop};
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{missing, wait_until};

/// Every kind of time: in the gap, just after it, each minute, and by a rhythm.
const JOBS: [(&str, &str); 6] = [
    ("at-2", "0 2 * * *"),
    ("half-past-2", "30 2 * * *"),
    ("at-3", "0 3 * * *"),
    ("hourly", "0 * * * *"),
    ("minutely", "* * * * *"),
    ("rhythm", "@every 10s"),
];

/// What makes a program see another time.
pub(crate) fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let libraries = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    let found = libraries.into_iter().find(|path| path.exists());
    if found.is_none() {
        missing("libfaketime");
    }
    found
}

fn berlin() -> Watchkeeper {
    let job = |(name, schedule)| {
        format!(
            "[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"{schedule}\"\n"
        )
    };
    Watchkeeper::with_config(&(String::from("timezone = \"Europe/Berlin\"\n") + &JOBS.map(job).concat()))
}

/// Starts the daemon with a clock that shows this time.
fn at(watchkeeper: &Watchkeeper, library: &Path, start: &str) -> Child {
    let mut command = watchkeeper.command(&["run"]);
    command.env("LD_PRELOAD", library).env("TZ", "UTC").env("FAKETIME", format!("@{start}"));
    // What counts seconds goes on as it does when somebody sets the clock of a host.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    super::start(watchkeeper, command)
}

/// Lets it run from one time of the clock to another.
fn pass(watchkeeper: &Watchkeeper, library: &Path, start: &str, end: &str) {
    let daemon = at(watchkeeper, library, start);
    let until = millis(end);
    let looked = "SELECT max(slot) FROM run WHERE job = 'rhythm'";
    wait_until(&format!("its clock shows {end}"), SOON, || count(watchkeeper, looked) >= until);
    stop(watchkeeper, daemon);
}

fn millis(time: &str) -> i64 {
    format!("{}Z", time.replace(' ', "T")).parse::<Timestamp>().unwrap().as_millisecond()
}

/// When a job's slots were, and what ran: cause and slot.
fn slots(watchkeeper: &Watchkeeper, job: &str) -> Vec<(String, String)> {
    let sql = "SELECT cause, slot FROM run WHERE job = ?1 AND outcome = 'done' ORDER BY slot";
    ask(watchkeeper, sql, [job], |row| {
        let slot = Timestamp::from_millisecond(row.get(1)?).unwrap();
        Ok((row.get(0)?, slot.to_string()))
    })
}

fn scheduled(slots: &[&str]) -> Vec<(String, String)> {
    slots.iter().map(|slot| ("scheduled".to_owned(), (*slot).to_owned())).collect()
}

#[test]
fn a_time_that_does_not_come_runs_when_clocks_are_put_forward() {
    let (Some(library), watchkeeper) = (library(), berlin()) else { return };
    // At 01:00 UTC 02:00 becomes 03:00.
    pass(&watchkeeper, &library, "2027-03-28 00:59:45", "2027-03-28 01:00:05");
    for job in ["at-2", "half-past-2", "at-3", "hourly", "minutely"] {
        assert_eq!(slots(&watchkeeper, job), scheduled(&["2027-03-28T01:00:00Z"]), "{job}");
    }
    even(&watchkeeper);
    assert_eq!(count(&watchkeeper, "SELECT count(*) FROM missed"), 0);
    figure(
        "real daemon, clocks put forward (Berlin, 02:00 to 03:00)",
        "each time in the gap ran once, at its end",
    );
}

#[test]
fn a_time_that_comes_twice_runs_once_when_clocks_are_put_back() {
    let (Some(library), watchkeeper) = (library(), berlin()) else { return };
    // At 01:00 UTC 03:00 becomes 02:00: 00:30 and 01:30 are both half past two.
    pass(&watchkeeper, &library, "2027-10-31 00:29:50", "2027-10-31 00:30:03");
    pass(&watchkeeper, &library, "2027-10-31 00:59:50", "2027-10-31 01:00:03");
    pass(&watchkeeper, &library, "2027-10-31 01:29:50", "2027-10-31 01:30:03");
    assert_eq!(slots(&watchkeeper, "half-past-2"), scheduled(&["2027-10-31T00:30:00Z"]));
    // 02:00 came first at 00:00 UTC, before this history was born.
    assert_eq!(slots(&watchkeeper, "at-2"), []);
    let all: Vec<String> = slots(&watchkeeper, "hourly").into_iter().map(|slot| slot.1).collect();
    assert_eq!(all, ["2027-10-31T01:00:00Z"], "the hour that is repeated is an hour");
    let minutes: Vec<String> = slots(&watchkeeper, "minutely").into_iter().map(|slot| slot.1).collect();
    for minute in ["00:30", "01:00", "01:30"] {
        assert!(minutes.contains(&format!("2027-10-31T{minute}:00Z")), "{minute}: {minutes:?}");
    }
    figure(
        "real daemon, clocks put back (Berlin, 03:00 to 02:00)",
        "each time that came twice ran once, hours went on",
    );
}

/// A rhythm knows of no clocks.
fn even(watchkeeper: &Watchkeeper) {
    let sql = "SELECT slot FROM run WHERE job = 'rhythm' ORDER BY slot";
    let slots: Vec<i64> = ask(watchkeeper, sql, [], |row| row.get(0));
    assert!(slots.windows(2).all(|pair| pair[1] - pair[0] == 10_000), "{slots:?}");
}
