//! Databases that only their own container reaches: what is empty or missing there is no database, a writer that never
//! rests does not keep the backup from its end, and where nothing may be written beside the database the copy is made
//! elsewhere.

use std::process::Command;
use std::time::{Duration, Instant};

use super::unpacked;
use crate::support::database::{create, number};
use crate::support::docker::{self, Container, Image, docker};
use crate::support::scratch;
use crate::support::watchkeeper::Watchkeeper;

/// A container that sleeps, with these programs of this host.
struct Sleeper {
    container: Container,
    _image: Image,
}

impl Sleeper {
    fn start(programs: &[&str], arguments: &[&str]) -> Option<Self> {
        if !docker::available() {
            return None;
        }
        let image = Image::of_programs(programs);
        let container = Container::named("sleeper");
        container.create(&[arguments, &[image.name.as_str(), "/bin/sleep", "1000000"]].concat());
        docker(["start", &container.name]);
        Some(Self { container, _image: image })
    }

    fn root(&self, script: &str) -> String {
        docker(["exec", "-u", "0", &self.container.name, "sh", "-c", script])
    }

    /// Puts a database there that `fill` has filled.
    fn put(&self, path: &str, fill: &str) {
        let folder = scratch::folder("inside");
        let here = folder.path().join("memory.db");
        let database = create(&here);
        database.execute_batch(fill).unwrap();
        database.close().unwrap();
        docker(["cp", here.to_str().unwrap(), &format!("{}:{path}", self.container.name)]);
    }

    /// One job `db` on a database of it, that keeps two.
    fn watchkeeper(&self, path: &str) -> Watchkeeper {
        Watchkeeper::with_config(&format!(
            "[application.app]\nurl = \"http://127.0.0.1:9\"\ndatabase = \"{path}\"\ncontainer = \"{}\"\n\
             [[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\napplication = \"app\"\nkeep = {{ last = 2 }}\n\
             retries = {{ max = 0 }}\n",
            self.container.name
        ))
    }
}

fn is_refused_where_it_is_empty_or_missing(program: &str) {
    let Some(sleeper) = Sleeper::start(&[program], &[]) else { return };
    sleeper.put("/app/memory.db", "");
    let watchkeeper = sleeper.watchkeeper("/app/memory.db");
    watchkeeper.run(&["run-now", "db"]).expect(0);
    for (script, reason) in [
        (": >/app/memory.db; rm -f /app/memory.db-*", "it is empty"),
        ("rm /app/memory.db; ln -s /app/nowhere.db /app/memory.db", "a link to /app/nowhere.db"),
        ("rm /app/memory.db; mkdir /app/memory.db", "no regular file"),
        ("rm -r /app/memory.db; ln -s /app/empty.db /app/memory.db; : >/app/empty.db", "it is empty"),
    ] {
        sleeper.root(script);
        for _ in 0..2 {
            let failed = watchkeeper.run(&["run-now", "db"]).expect(1);
            assert!(failed.stdout.contains(reason), "{script}: {}", failed.stdout);
        }
        assert_eq!(watchkeeper.goods(), [true], "{script}");
    }
    let left = sleeper.root("ls -a /app");
    assert!(!left.contains("nowhere") && !left.contains("watchkeeper"), "{left}");
    // A link to one that is there is followed.
    sleeper.put("/app/real.db", "");
    sleeper.root("rm /app/memory.db; ln -s real.db /app/memory.db");
    watchkeeper.run(&["run-now", "db"]).expect(0);
    assert_eq!(number(&unpacked(&watchkeeper, "into"), "SELECT count(*) FROM work_sessions"), 1);
}

#[test]
fn what_is_empty_or_missing_in_a_container_is_no_database_for_its_sqlite3() {
    is_refused_where_it_is_empty_or_missing("sqlite3");
}

#[test]
fn what_is_empty_or_missing_in_a_container_is_no_database_for_its_python3() {
    is_refused_where_it_is_empty_or_missing("python3");
}

/// A database that cannot be copied between two writes of a tight loop.
const LARGE: &str = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO pairs SELECT i, -i, randomblob(4000) FROM n;";

#[test]
fn a_writer_in_a_tight_loop_does_not_keep_the_sqlite3_of_a_container_from_copying() {
    let Some(sleeper) = Sleeper::start(&["sqlite3"], &[]) else { return };
    sleeper.put("/app/memory.db", LARGE);
    let folder = scratch::folder("inside");
    let script = folder.path().join("writer.sql");
    let one = "BEGIN; INSERT INTO pairs VALUES (7, 0, randomblob(500)); INSERT INTO pairs VALUES (-7, 0, randomblob(500)); COMMIT;\n";
    let first = ".timeout 30000\nPRAGMA synchronous = OFF;\n";
    std::fs::write(&script, format!("{first}{}", one.repeat(500_000))).unwrap();
    docker(["cp", script.to_str().unwrap(), &format!("{}:/tmp/writer.sql", sleeper.container.name)]);
    let mut writer = Command::new("docker")
        .args([
            "exec",
            &sleeper.container.name,
            "sh",
            "-c",
            "exec sqlite3 -bail /app/memory.db </tmp/writer.sql",
        ])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let count = "sqlite3 -cmd '.timeout 30000' /app/memory.db 'SELECT count(*) FROM pairs'";
    let rows = || sleeper.root(count).lines().last().unwrap().parse::<i64>().unwrap();
    let before = rows();
    let since = Instant::now();
    let watchkeeper = sleeper.watchkeeper("/app/memory.db");
    watchkeeper.run(&["run-now", "db"]).expect(0);
    assert!(since.elapsed() < Duration::from_mins(1), "{:?}", since.elapsed());
    let after = rows();
    assert!(writer.try_wait().unwrap().is_none() && after > before, "nobody wrote meanwhile");
    docker(["kill", &sleeper.container.name]);
    writer.wait().unwrap();
    let copy = unpacked(&watchkeeper, "into");
    assert_eq!(number(&copy, "SELECT coalesce(sum(a), 0) FROM pairs WHERE b = 0"), 0);
    let copied = number(&copy, "SELECT count(*) FROM pairs");
    assert!((before..=after).contains(&copied), "{before} <= {copied} <= {after}");
}

fn is_copied_elsewhere(program: &str) {
    let Some(sleeper) = Sleeper::start(&[program], &["--user", "65534"]) else { return };
    sleeper.put("/app/memory.db", "PRAGMA journal_mode = DELETE");
    let watchkeeper = sleeper.watchkeeper("/app/memory.db");
    let failed = watchkeeper.run(&["run-now", "db"]).expect(1);
    for told in ["may write a copy neither to /app nor to /tmp", "its user a folder to write"] {
        assert!(failed.stdout.contains(told), "{told}: {}", failed.stdout);
    }
    sleeper.root("chown 65534 /tmp");
    watchkeeper.run(&["run-now", "db"]).expect(0);
    assert_eq!(number(&unpacked(&watchkeeper, "into"), "SELECT count(*) FROM work_sessions"), 1);
    assert!(!sleeper.root("ls -a /app /tmp").contains("watchkeeper"));
    assert!(super::names(&watchkeeper.state().join("copies")).is_empty());
}

#[test]
fn a_user_who_may_not_write_beside_the_database_copies_it_elsewhere_with_sqlite3() {
    is_copied_elsewhere("sqlite3");
}

#[test]
fn a_user_who_may_not_write_beside_the_database_copies_it_elsewhere_with_python3() {
    is_copied_elsewhere("python3");
}
