//! Reads that fail, and calls that do less than they were asked to: what cannot be read is told and never taken for what it
//! is not, and what is done in pieces is done whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use tempfile::TempDir;

use super::sweep::clean;
use crate::reliability::figure;
use crate::support::watchkeeper::{Output, Watchkeeper, files_job};
use crate::support::{run, scratch};

/// A folder `conf` and a database, each with a backup.
struct Stand {
    folder: TempDir,
    watchkeeper: Watchkeeper,
}

impl Stand {
    fn new() -> Self {
        let folder = scratch::folder("reads");
        let (conf, database) = (folder.path().join("conf"), folder.path().join("app.db"));
        fs::create_dir(&conf).unwrap();
        fs::write(conf.join("a.yml"), "a line of it\n".repeat(40_000)).unwrap();
        let open = Connection::open(&database).unwrap();
        open.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(400000))").unwrap();
        drop(open);
        let jobs = format!(
            "{}[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\ndatabase = \"{}\"\nkeep = {{ last = 2 }}\n",
            files_job(2, &[&conf]),
            database.display()
        );
        let watchkeeper = Watchkeeper::with_config(&jobs);
        watchkeeper.run(&["run-now", "conf", "db"]).expect(0);
        Self { folder, watchkeeper }
    }

    /// The one file in the store of a job whose name ends so.
    fn stored(&self, job: &str, end: &str) -> PathBuf {
        let store = self.watchkeeper.store_of(job);
        let mut names: Vec<PathBuf> = scratch::files_below(&store);
        names.retain(|name| {
            let name = name.to_string_lossy();
            name.ends_with(end) && !name.ends_with(".state.json")
        });
        store.join(names.pop().unwrap())
    }

    /// Runs it while the n-th read of this file by each thread fails.
    fn run_unread(&self, path: &Path, nth: usize, words: &[&str]) -> Output {
        let program = self.watchkeeper.command(words);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qqq", "-o", "/dev/null", "-P"]).arg(path);
        strace.args(["-e", "trace=read,pread64,readv,preadv"]);
        strace.args(["-e", &format!("inject=read,pread64,readv,preadv:error=EIO:when={nth}")]);
        strace.arg("--").arg(program.get_program()).args(program.get_args()).env("NO_COLOR", "1");
        strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.watchkeeper.wait(strace.spawn().unwrap(), words)
    }
}

#[test]
fn a_read_that_fails_is_told_and_nothing_is_made_of_it() {
    let stand = Stand::new();
    let (conf, database) = (stand.folder.path().join("conf/a.yml"), stand.folder.path().join("app.db"));
    let history = stand.watchkeeper.state().join("history.db");
    let mut failed = 0;
    let mut fails = |path: &Path, words: &[&str], codes: &[i32]| {
        for nth in 1..=2 {
            let output = stand.run_unread(path, nth, words);
            let said = format!("{}{}", output.stdout, output.stderr);
            // A manifest that cannot be read is listed as broken, with the reason.
            let is_met = said.contains("no good backup")
                || said.contains("nput/output error")
                || said.contains("disk I/O error");
            // The second read may be one that is not made.
            assert!(
                codes.contains(&output.code) && (is_met || nth > 1),
                "{words:?} {path:?} {nth}: {output:?}"
            );
            assert!(!said.contains("panicked"), "{said}");
            failed += usize::from(is_met);
        }
    };
    // What is to be backed up: what cannot be read is lacking in the backup, and a database that cannot is none.
    fails(&conf, &["run-now", "conf"], &[0, 1, 3]);
    fails(&database, &["run-now", "db"], &[0, 1]);
    for job in ["conf", "db"] {
        for end in [".json", ".tar.gz"] {
            let path = stand.stored(job, end);
            fails(&path, &["verify", job], &[0, 1]);
        }
    }
    let was = fs::read(&conf).unwrap();
    fs::write(&conf, "mine").unwrap();
    for end in [".json", ".tar.gz"] {
        let path = stand.stored("conf", end);
        fails(&path, &["restore", "conf", "latest", "--yes"], &[0, 1]);
        if fs::read(&conf).unwrap() != b"mine" {
            stand.watchkeeper.run(&["restore", "conf", "--undo", "--yes"]).expect(0);
        }
        assert_eq!(fs::read(&conf).unwrap(), b"mine");
    }
    fs::write(&conf, was).unwrap();
    fails(&history, &["history"], &[0, 1]);
    fails(&history, &["run-now", "conf"], &[0, 1, 3]);
    figure(
        "EIO at a read",
        &format!("{failed} reads of source, archive, manifest and history failed; each was told"),
    );
    // What could not be read was noted as bad, until it is read again.
    stand.watchkeeper.run(&["verify"]).expect(0);
    stand.watchkeeper.run(&["run-now", "conf", "db"]).expect(0);
    clean(&stand.watchkeeper);
}

/// Does half of each read and write of a regular file, at least a byte.
const HALVES: &str = r"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
static size_t half(int fd, size_t n) {
    struct stat s;
    return n > 1 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode) ? n / 2 : n;
}
#define NEXT(name) static __typeof__(&name) next; if (!next) next = (__typeof__(&name)) dlsym(RTLD_NEXT, #name)
ssize_t write(int fd, const void *b, size_t n) { NEXT(write); return next(fd, b, half(fd, n)); }
ssize_t read(int fd, void *b, size_t n) { NEXT(read); return next(fd, b, half(fd, n)); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { NEXT(pwrite64); return next(fd, b, half(fd, n), o); }
ssize_t pread64(int fd, void *b, size_t n, off64_t o) { NEXT(pread64); return next(fd, b, half(fd, n), o); }
";

#[test]
fn what_is_read_and_written_in_pieces_is_whole() {
    let stand = Stand::new();
    let (source, library) = (stand.folder.path().join("halves.c"), stand.folder.path().join("halves.so"));
    fs::write(&source, HALVES).unwrap();
    run(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl"));
    let in_pieces = |words: &[&str]| {
        let mut command = stand.watchkeeper.command(words);
        command.env("LD_PRELOAD", &library);
        stand.watchkeeper.wait(command.spawn().unwrap(), words).expect(0)
    };
    let conf = stand.folder.path().join("conf/a.yml");
    let was = fs::read(&conf).unwrap();
    in_pieces(&["run-now", "conf", "db"]);
    stand.watchkeeper.run(&["verify"]).expect(0);
    in_pieces(&["verify", "--deep"]);
    fs::write(&conf, "mine").unwrap();
    in_pieces(&["restore", "conf", "--yes"]);
    assert!(fs::read(&conf).unwrap() == was);
    in_pieces(&["restore", "conf", "--undo", "--yes"]);
    assert_eq!(fs::read(&conf).unwrap(), b"mine");
    let into = stand.folder.path().join("into");
    in_pieces(&["restore", "db", "--into", into.to_str().unwrap()]);
    let well: String = Connection::open(into.join("app.db"))
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(well, "ok");
    in_pieces(&["history"]);
    clean(&stand.watchkeeper);
}
