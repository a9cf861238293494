//! A limit on the size of files (`ulimit -f`, `LimitFSIZE=`): what is beyond it fails with a reason as on a full disk, where the
//! signal of the system would end the program without a word.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::watchkeeper::{Output, Watchkeeper, files_job};
use crate::support::{run, scratch, wait_until};

/// Bytes that no compressor makes fewer.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    let mut random = fs::File::open("/dev/urandom").unwrap();
    std::io::Read::read_exact(&mut random, &mut noise).unwrap();
    noise
}

/// The program, which may write no file of more bytes than so many.
fn limited(watchkeeper: &Watchkeeper, bytes: usize, words: &[&str]) -> Child {
    let program = watchkeeper.command(words);
    let mut prlimit = Command::new("prlimit");
    prlimit.arg(format!("--fsize={bytes}")).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        prlimit.env(name, value.unwrap_or_default());
    }
    prlimit.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn run_limited(watchkeeper: &Watchkeeper, bytes: usize, words: &[&str]) -> Output {
    watchkeeper.wait(limited(watchkeeper, bytes, words), words)
}

#[track_caller]
fn is_told(output: &Output, code: i32) {
    assert_eq!(output.code, code, "{output:?}");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains("File too large"), "{said}");
    assert!(said.contains("`ulimit -f`, LimitFSIZE= of the service"), "{said}");
}

/// A file of a MiB, and a job that backs it up. Without a reserve, which would be too large as well.
fn conf() -> (TempDir, PathBuf, Watchkeeper) {
    let folder = scratch::folder("conf");
    let conf = folder.path().join("conf");
    fs::create_dir(&conf).unwrap();
    fs::write(conf.join("large"), noise(1 << 20)).unwrap();
    let watchkeeper = Watchkeeper::with_config(&format!("reserve = \"0\"\n{}", files_job(5, &[&conf])));
    (folder, conf, watchkeeper)
}

#[test]
fn a_backup_and_a_restore_beyond_the_limit_fail_and_leave_nothing() {
    let (_folder, conf, watchkeeper) = conf();
    is_told(&run_limited(&watchkeeper, 512 << 10, &["run-now", "conf"]), 1);
    let left = scratch::files_below(&watchkeeper.store_of("conf"));
    assert!(left.iter().all(|file| file.ends_with(".lock")), "{left:?}");
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    fs::write(conf.join("large"), "mine").unwrap();
    fs::write(conf.join("small"), "mine too").unwrap();
    is_told(&run_limited(&watchkeeper, 512 << 10, &["restore", "conf", "--yes"]), 1);
    assert_eq!(fs::read(conf.join("large")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(&conf).unwrap().count(), 2, "{:?}", scratch::files_below(&conf));
    let into = watchkeeper.folder().join("into");
    is_told(&run_limited(&watchkeeper, 512 << 10, &["restore", "conf", "--into", into.to_str().unwrap()]), 1);
    watchkeeper.run(&["restore", "conf", "--yes"]).expect(0);
    watchkeeper.run(&["verify"]).expect(0);
}

#[test]
fn a_backup_of_a_database_beyond_the_limit_fails() {
    let folder = scratch::folder("database");
    let path = folder.path().join("app.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE t (x)").unwrap();
    database.execute("INSERT INTO t VALUES (?1)", [noise(1 << 20)]).unwrap();
    drop(database);
    let watchkeeper = Watchkeeper::with_config(&format!(
        "reserve = \"0\"\n[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\ndatabase = \"{}\"\nkeep = {{ last = 3 }}\n",
        path.display()
    ));
    let output = run_limited(&watchkeeper, 512 << 10, &["run-now", "db"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains("I/O error") || output.stdout.contains("File too large"), "{output:?}");
    watchkeeper.run(&["run-now", "db"]).expect(0);
}

#[test]
fn a_history_beyond_the_limit_keeps_no_job_from_running_and_that_is_told() {
    let (_folder, _, watchkeeper) = conf();
    watchkeeper.configure("[[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"true\"]\n");
    let output = run_limited(&watchkeeper, 8 << 10, &["run-now", "j"]).expect(3);
    assert!(output.stdout.contains("history"), "{output:?}");
    watchkeeper.run(&["run-now", "j"]).expect(0);
}

#[test]
fn a_daemon_with_the_limit_lives_tells_of_what_fails_and_runs_the_rest() {
    let (_folder, conf, watchkeeper) = conf();
    let job = files_job(5, &[&conf]);
    watchkeeper.configure(&format!(
        "reserve = \"0\"\n{job}schedule = \"* * * * * *\"\nretries = {{ max = 0 }}\n\
         [[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"* * * * * *\"\n"
    ));
    let daemon = limited(&watchkeeper, 512 << 10, &["run"]);
    let runs = |job: &str, outcome: &str| {
        let listed = watchkeeper.run_json(&["history", job, "--outcome", outcome]).expect(0).json();
        listed["runs"].as_array().map_or(0, Vec::len)
    };
    wait_until("it has failed and the other was done", Duration::from_mins(1), || {
        runs("conf", "failed") > 1 && runs("j", "done") > 1
    });
    run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    watchkeeper.wait(daemon, &["run"]).expect(0);
    let shown = watchkeeper.run(&["show", "conf"]).expect(0).stdout;
    assert!(shown.contains("File too large") || runs("conf", "failed") > 1, "{shown}");
}
