//! The units, by what `systemd-analyze` says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{make, project};
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{installed, missing, run, scratch};

/// Tenths of systemd's exposure, with and without the right to talk to Docker.
const EXPOSURE: u32 = 15;
const EXPOSURE_ALONE: u32 = 12;

/// All units as they are installed, their `ExecStart=` being there.
fn units(root: &Path) -> PathBuf {
    make("install", root, "/usr/local");
    let units = root.join("usr/local/lib/systemd/system");
    let program = root.join("usr/local/bin/watchkeeper");
    for unit in ["watchkeeper.service", "watchkeeper-job@.service"] {
        let path = units.join(unit);
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("/usr/local/bin/watchkeeper", program.to_str().unwrap());
        fs::write(&path, text).unwrap();
    }
    units
}

fn drop_in(units: &Path, unit: &str, name: &str) {
    let folder = units.join(format!("{unit}.d"));
    fs::create_dir_all(&folder).unwrap();
    fs::copy(project().join("systemd/drop-ins").join(name), folder.join(name)).unwrap();
}

/// `systemd-analyze verify`, which must have nothing to say.
fn verify(units: &Path, names: &[&str]) {
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(names.iter().map(|name| units.join(name)))
        .env("SYSTEMD_UNIT_PATH", format!("{}:", units.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{names:?}: {said}");
}

/// Fails above so many tenths.
fn exposure(unit: &Path, threshold: u32) {
    run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &format!("--threshold={threshold}")])
        .arg(unit));
}

#[test]
fn systemd_has_nothing_to_say_against_the_units_and_little_is_exposed() {
    if !installed("systemd-analyze") {
        return missing("systemd-analyze");
    }
    let root = scratch::folder("units");
    let units = units(root.path());
    let services = ["watchkeeper.service", "watchkeeper-job@.service"];
    verify(&units, &services);
    for unit in services {
        exposure(&units.join(unit), EXPOSURE_ALONE);
        drop_in(&units, unit, "docker.conf");
        drop_in(&units, unit, "credentials.conf");
    }
    verify(&units, &services);
    let with_docker = fs::read_to_string(units.join("watchkeeper.service"))
        .unwrap()
        .replace("[Install]", "SupplementaryGroups=docker\n[Install]");
    fs::write(units.join("watchkeeper.service"), with_docker).unwrap();
    exposure(&units.join("watchkeeper.service"), EXPOSURE);
    for unit in services {
        drop_in(&units, unit, "host.conf");
    }
    verify(&units, &services);
}

#[test]
fn both_services_have_the_same_limits() {
    let limits = |unit: &str| {
        let text = fs::read_to_string(project().join("systemd").join(unit)).unwrap();
        let text = text[text.find("User=").unwrap()..].split("[Install]").next().unwrap().trim().to_owned();
        assert!(text.contains("SystemCallFilter="), "{text}");
        text
    };
    assert_eq!(limits("watchkeeper.service"), limits("watchkeeper-job@.service"));
}

#[test]
fn the_service_of_a_timer_honours_a_pause() {
    let text = fs::read_to_string(project().join("systemd/watchkeeper-job@.service")).unwrap();
    assert!(text.contains("run-now --scheduled %i\n"), "{text}");
}

const JOBS: &str = r#"
timezone = "Europe/Berlin"
[[job]]
name = "nightly"
kind = "command"
command = ["true"]
schedule = "30 2 1,15 * MON"
jitter = "10m"
[[job]]
name = "often"
kind = "command"
command = ["true"]
schedule = "@every 6h"
on_missed = "skip"
[[job]]
name = "by-hand"
kind = "command"
command = ["true"]
[[job]]
name = "off"
kind = "command"
command = ["true"]
schedule = "@daily"
enabled = false
"#;

#[test]
fn timers_are_written_for_jobs_that_are_due_and_systemd_takes_them() {
    let watchkeeper = Watchkeeper::with_config(JOBS);
    let folder = watchkeeper.folder().join("units");
    let output = watchkeeper.run(&["systemd-timers", folder.to_str().unwrap()]).expect(0);
    assert_eq!(output.stdout, "watchkeeper-job@nightly.timer\nwatchkeeper-job@often.timer\n");
    assert!(output.stderr.contains("enable --now watchkeeper-job@nightly.timer"), "{output:?}");
    let nightly = fs::read_to_string(folder.join("watchkeeper-job@nightly.timer")).unwrap();
    for line in [
        "OnCalendar=Mon *-*-* 02:30:00 Europe/Berlin",
        "OnCalendar=Tue..Sun *-*-01,15 02:30:00 Europe/Berlin",
        "Persistent=true",
        "RandomizedDelaySec=600000ms",
        "FixedRandomDelay=true",
    ] {
        assert!(nightly.lines().any(|other| other == line), "no {line} in {nightly}");
    }
    let often = fs::read_to_string(folder.join("watchkeeper-job@often.timer")).unwrap();
    assert!(often.contains("OnCalendar=*-*-* 00,06,12,18:00:00 UTC\nPersistent=false\n"), "{often}");
    let printed = watchkeeper.run(&["systemd-timers"]).expect(0);
    assert!(printed.stdout.contains(&nightly) && printed.stdout.contains(&often), "{printed:?}");
    if !installed("systemd-analyze") {
        return missing("systemd-analyze");
    }
    let root = scratch::folder("units");
    let units = units(root.path());
    for timer in ["watchkeeper-job@nightly.timer", "watchkeeper-job@often.timer"] {
        fs::copy(folder.join(timer), units.join(timer)).unwrap();
        verify(&units, &[timer]);
    }
}

#[test]
fn a_timer_that_is_masked_stays_so_and_is_told() {
    let watchkeeper = Watchkeeper::with_config(JOBS);
    let folder = watchkeeper.folder().join("units");
    fs::create_dir(&folder).unwrap();
    let masked = folder.join("watchkeeper-job@nightly.timer");
    std::os::unix::fs::symlink("/dev/null", &masked).unwrap();
    let output = watchkeeper.run(&["systemd-timers", folder.to_str().unwrap()]).expect(3);
    assert_eq!(output.stdout, "watchkeeper-job@often.timer\n");
    let told = "watchkeeper-job@nightly.timer was not written, because it is masked";
    assert!(output.stderr.contains(told) && output.stderr.contains(masked.to_str().unwrap()), "{output:?}");
    assert!(
        !output.stderr.contains("is of no job") && !output.stderr.contains("--now watchkeeper-job@nightly"),
        "{output:?}"
    );
    assert_eq!(fs::read_link(&masked).unwrap().to_str(), Some("/dev/null"));
    let json = watchkeeper.run_json(&["systemd-timers", folder.to_str().unwrap()]).expect(3).json();
    assert_eq!(json["masked"][0], "watchkeeper-job@nightly.timer");
}

#[test]
fn a_timer_of_no_job_is_told_and_a_schedule_that_is_no_calendar_is_refused_by_name() {
    let watchkeeper = Watchkeeper::with_config(JOBS);
    let folder = watchkeeper.folder().join("units");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("watchkeeper-job@old.timer"), "").unwrap();
    fs::write(folder.join("other.timer"), "").unwrap();
    let output = watchkeeper.run(&["systemd-timers", folder.to_str().unwrap()]).expect(3);
    assert!(output.stderr.contains("systemctl disable --now watchkeeper-job@old.timer"), "{output:?}");
    assert!(!output.stderr.contains("other.timer"), "{output:?}");

    let after = "[[job]]\nname = \"last\"\nkind = \"command\"\ncommand = [\"true\"]\nafter = [\"nightly\"]\n";
    watchkeeper.configure(&(JOBS.replace("@every 6h", "@every 14d") + after));
    let empty = watchkeeper.folder().join("empty");
    let output = watchkeeper.run(&["systemd-timers", empty.to_str().unwrap()]).expect(1);
    assert!(output.stderr.contains("job \"often\": \"@every 14d\""), "{output:?}");
    assert!(output.stderr.contains("job \"last\": it runs after other jobs"), "{output:?}");
    assert!(!empty.exists(), "nothing is written where one is refused");
}
