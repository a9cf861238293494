//! A history that is not what it was when the program starts.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::reliability::figure;
use crate::support::watchkeeper::{Watchkeeper, files_job};
use crate::support::{run, wait_until};

const SOON: Duration = Duration::from_mins(2);

type Way = (&'static str, bool, fn(&Path));

/// What happens to the file, and whether that must be told.
const WAYS: [Way; 5] = [
    ("is lost", false, |file| fs::remove_file(file).unwrap()),
    ("is empty", false, |file| fs::write(file, "").unwrap()),
    ("begins with something else", true, |file| overwrite(file, 0, 4096)),
    ("is cut to a half", true, |file| {
        let size = file.metadata().unwrap().len();
        fs::OpenOptions::new().write(true).open(file).unwrap().set_len(size / 2 / 4096 * 4096).unwrap();
    }),
    ("has nothing right behind its first page", true, |file| {
        overwrite(file, 4096, file.metadata().unwrap().len() - 4096);
    }),
];

fn overwrite(file: &Path, at: u64, length: u64) {
    let bytes = vec![0xA5; usize::try_from(length).unwrap()];
    fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(&bytes, at).unwrap();
}

/// How the runs began that a history knows; nothing where it cannot be read.
fn causes(file: &Path) -> Vec<String> {
    let read = || {
        let history = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut statement = history.prepare("SELECT cause FROM run WHERE job = 'j'")?;
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
    };
    read().unwrap_or_else(|_: rusqlite::Error| Vec::new())
}

/// The daemon, until a run of it is in its history; gives what it said.
fn daemon(watchkeeper: &Watchkeeper, file: &Path) -> String {
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("the job runs", SOON, || !causes(file).is_empty());
    run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    watchkeeper.wait(daemon, &["run"]).expect(0).stderr
}

#[test]
fn a_history_that_is_lost_or_damaged_stops_no_job_and_nothing_is_made_up_for() {
    for (what, told, way) in WAYS {
        let watchkeeper = Watchkeeper::with_config("");
        watchkeeper.configure(&format!(
            "{}[[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"* * * * * *\"\n\
             on_missed = \"all\"\n",
            files_job(3, &[watchkeeper.config().as_path()])
        ));
        let file = watchkeeper.state().join("history.db");
        daemon(&watchkeeper, &file);
        way(&file);
        let output = watchkeeper.run(&["run-now", "conf"]);
        assert!([0, 3].contains(&output.code), "the history {what}: {output:?}");
        // Where it is no database any more, who runs something first sets it aside, and says so.
        assert!(
            !told || output.stderr.contains("is damaged, and was set aside"),
            "the history {what}: {output:?}"
        );
        daemon(&watchkeeper, &file);
        let causes = causes(&file);
        assert!(causes.iter().all(|cause| cause == "scheduled"), "the history {what}: {causes:?}");
        let backups = watchkeeper.run_json(&["backups", "conf"]).expect(0).json();
        assert_eq!(backups["backups"].as_array().unwrap().len(), 1, "the history {what}");
    }
    let ways: Vec<&str> = WAYS.iter().map(|(what, ..)| *what).collect();
    figure(
        "history that is damaged before a start",
        &format!("{}: jobs run, none is caught up", ways.join(", ")),
    );
}
