//! A real Prometheus that is started in the middle of an exchange. It stands here and not with the other tests of
//! real processes because only from here an exchange can be cut at a chosen point.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::exchange::{Exchange, Side};
use super::tests::{note, op, restored, write};
use super::*;

/// Makes one block with the one metric, and returns the block's name.
fn block_of(metric: &str, into: &Path) -> Option<String> {
    let text = into.with_extension("om");
    let _ = fs::remove_file(&text);
    write(&text, &format!("# TYPE {metric} gauge\n{metric} 1 1700000000\n{metric} 2 1700000060\n# EOF\n"));
    let before: BTreeSet<String> = files::names(into).unwrap().into_iter().collect();
    let done = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&text, into])
        .stdout(Stdio::null())
        .status();
    let made =
        files::names(into).unwrap().into_iter().find(|name| !before.contains(name) && files::is_block(name));
    done.ok().and(made)
}

/// A running server, killed when it goes.
struct Server(Child, u16);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts on the data folder, and returns when it is ready; fails the test with its log when it exits.
    fn start(data: &Path, what: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = data.with_extension("yml");
        let _ = fs::remove_file(&config);
        write(&config, "global: {}\n");
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--storage.tsdb.retention.time=100y")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut log = Vec::new();
        let ready = lines.by_ref().any(|line| {
            log.push(line);
            log.last().is_some_and(|line| line.contains("Server is ready"))
        });
        let server = Self(child, port);
        assert!(ready, "{what}: Prometheus did not start:\n{}", log.join("\n"));
        // Its pipe must be emptied, or it stops at a full one.
        std::thread::spawn(move || lines.for_each(drop));
        server
    }

    /// The names of all metrics it serves.
    fn metrics(&self) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.1)).unwrap();
        stream.write_all(b"GET /api/v1/label/__name__/values HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        serde_json::from_value(body["data"].clone()).unwrap()
    }
}

/// Old: two blocks. New: one that has the name of an old one, and one of its own. Nothing when no Prometheus is here.
fn stage(root: &Path, restore: Ulid, with_head: bool) -> Option<()> {
    fs::create_dir(root).unwrap();
    let _first = block_of("old_a", root)?;
    let shared = block_of("old_b", root)?;
    if with_head {
        for head in files::HEAD_FOLDERS {
            fs::create_dir(root.join(head)).unwrap();
        }
    }
    let other = tempfile::tempdir().unwrap();
    let (own, renamed) = (block_of("new_c", other.path())?, block_of("new_b", other.path())?);
    let note = RestoreNote { blocks: vec![own.clone(), shared.clone()], ..note(restore) };
    assert_eq!(restored(op(root, &FolderOp::Prepare { note })).phase, Phase::Staging);
    let copy = |from: &str, to: &str| {
        let to = root.join(staging(restore)).join(to);
        assert!(
            Command::new("cp").arg("-r").arg(other.path().join(from)).arg(&to).status().unwrap().success()
        );
        let meta = fs::read_to_string(to.join("meta.json")).unwrap();
        let meta = meta.replace(from, to.file_name().unwrap().to_str().unwrap());
        fs::remove_file(to.join("meta.json")).unwrap();
        write(&to.join("meta.json"), &meta);
    };
    copy(&own, &own);
    copy(&renamed, &shared);
    let reply = op(root, &FolderOp::CheckStaged { restore });
    let FolderReply::Staged { blocks } = &reply else { panic!("{reply:?}") };
    assert!(blocks.iter().all(BlockReport::is_good), "{blocks:?}");
    Some(())
}

/// The budgets just around the turn, and one well before and after it.
fn points(root: &Path, restore: Ulid) -> [usize; 4] {
    let work = root.join(work_folder(restore));
    let (mut turn, mut end) = (None, 0);
    for budget in 0..1000 {
        // Each drive goes one change further than the last: what is done already costs nothing.
        let exchange = Exchange::new(root, &work, true);
        exchange.budget.set(1);
        let arrived = exchange.drive(Side::New).is_ok();
        end = budget;
        if turn.is_none() && fs::read_link(work.join("current")).unwrap() == Path::new("new") {
            turn = Some(budget);
        }
        if arrived {
            break;
        }
    }
    let turn = turn.unwrap();
    [turn / 2, turn, turn + 1, usize::midpoint(turn, end)]
}

#[test]
fn a_prometheus_started_in_the_middle_serves_all_old_or_all_new_and_then_both_ways_out_arrive() {
    let restore = Ulid::from_parts(5, 5);
    for with_head in [true, false] {
        let probe = tempfile::tempdir().unwrap();
        if stage(&probe.path().join("d"), restore, with_head).is_none() {
            return; // no Prometheus here
        }
        for cut in points(&probe.path().join("d"), restore) {
            for goal in [Side::New, Side::Old] {
                let dir = tempfile::tempdir().unwrap();
                let root = dir.path().join("d");
                stage(&root, restore, with_head).unwrap();
                let work = root.join(work_folder(restore));
                for _ in 0..=cut {
                    let exchange = Exchange::new(&root, &work, true);
                    exchange.budget.set(1);
                    let _ = exchange.drive(Side::New);
                }
                let what = format!("head {with_head}, cut after {cut}");
                let seen = Server::start(&root, &what).metrics();
                let new = fs::read_link(work.join("current")).unwrap() == Path::new("new");
                let (all_new, all_old) = (["new_b", "new_c"], ["old_a", "old_b"]);
                assert_eq!(seen, if new { all_new } else { all_old }, "{what}");
                Exchange::new(&root, &work, true).drive(goal).unwrap();
                let seen = Server::start(&root, &what).metrics();
                assert_eq!(seen, if goal == Side::New { all_new } else { all_old }, "{what}, then {goal:?}");
            }
        }
    }
}
