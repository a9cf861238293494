//! What is asked of the Docker engine, compared with what docs/SECURITY.md says a proxy must let through.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::reliability::figure;
use crate::support::application::{Application, Data};
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::scratch;
use crate::support::watchkeeper::{JOB, Watchkeeper};

type Requests = Arc<Mutex<BTreeSet<String>>>;

/// A proxy before the socket of the engine; gives where it is, and what it was asked for until now.
fn proxy(folder: &Path) -> (PathBuf, Requests) {
    let (path, requests) = (folder.join("docker.sock"), Requests::default());
    let listener = UnixListener::bind(&path).unwrap();
    let seen = Arc::clone(&requests);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let engine = UnixStream::connect("/var/run/docker.sock").unwrap();
            let (from, to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
            let seen = Arc::clone(&seen);
            thread::spawn(move || pass(from, to, |bytes| note(bytes, &seen)));
            thread::spawn(move || pass(engine, client, |_| ()));
        }
    });
    (path, requests)
}

fn pass(mut from: UnixStream, mut to: UnixStream, see: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        see(&buffer[..count]);
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A client writes the head of a request at once.
fn note(bytes: &[u8], seen: &Requests) {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    let (Some(method), Some(path), Some("HTTP/1.1")) = (words.next(), words.next(), words.next()) else {
        return;
    };
    if !["GET", "HEAD", "POST", "PUT", "DELETE"].contains(&method) {
        return;
    }
    let path = path.split('?').next().unwrap();
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && !part.starts_with("v1.")).collect();
    let shape = match parts[..] {
        [one] => format!("/{one}"),
        [kind, verb @ ("json" | "create")] => format!("/{kind}/{verb}"),
        [kind, _] => format!("/{kind}/{{id}}"),
        [kind, .., verb] => format!("/{kind}/{{id}}/{verb}"),
        [] => "/".to_owned(),
    };
    seen.lock().unwrap().insert(format!("{method} {shape}"));
}

/// The requests that the table has in the column with this heading.
fn allowed(heading: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SECURITY.md")).unwrap();
    let rows = text.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let mut rows = rows.skip_while(|cells| cells.get(1) != Some(&"request"));
    let head = rows.next().unwrap();
    let column = head.iter().position(|cell| *cell == heading);
    let Some(column) = column else { return BTreeSet::new() };
    let rows = rows.take_while(|cells| cells.len() == head.len());
    rows.filter(|cells| ["yes", "left"].contains(&cells[column])).map(|cells| cells[1].to_owned()).collect()
}

/// Runs commands, and compares what the engine is asked for with the column of the table.
fn asks_for_no_more(watchkeeper: &Watchkeeper, heading: &str, commands: &[&[&str]]) {
    let folder = scratch::folder("socket");
    let (socket, requests) = proxy(folder.path());
    for arguments in commands {
        let mut command = watchkeeper.command(arguments);
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        let output = watchkeeper.wait(command.spawn().unwrap(), arguments);
        assert!([0, 3].contains(&output.code), "{arguments:?}: {output:?}");
    }
    let (asked, said) = (requests.lock().unwrap().clone(), allowed(heading));
    assert!(asked.len() > 3, "{heading}: only {asked:?} went through the proxy");
    let more: Vec<&String> = asked.difference(&said).collect();
    assert_eq!(more, Vec::<&String>::new(), "{heading} asks for more than docs/SECURITY.md says");
    let less: Vec<&String> = said.difference(&asked).collect();
    figure(
        &format!("requests to the Docker engine: {heading}"),
        &format!("{} kinds; not met: {less:?}", asked.len()),
    );
}

#[test]
fn the_engine_is_asked_by_the_jobs_of_a_prometheus_for_nothing_but_what_the_document_says() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_shell()) else { return };
    let name = prometheus.container_name().unwrap();
    let watchkeeper = Watchkeeper::with_keys(
        &prometheus,
        &format!(
            "schedule = \"0 2 * * *\"\naccess = \"docker\"\n\
             [[job]]\nname = \"inside\"\nkind = \"command\"\ncontainer = \"{name}\"\n\
             command = [\"prometheus\", \"--version\"]\n\
             [[job]]\nname = \"clean\"\nkind = \"block-cleanup\"\nprometheus = \"main\"\nolder_than = \"9h\"\n\
             max_share = 1.0\n"
        ),
    );
    asks_for_no_more(&watchkeeper, "`command`", &[&["run-now", "inside"]]);
    asks_for_no_more(&watchkeeper, "snapshot", &[&["run-now", JOB]]);
    asks_for_no_more(&watchkeeper, "cleanup", &[&["run-now", "clean"]]);
    asks_for_no_more(&watchkeeper, "restore", &[&["restore", JOB, "--yes"]]);
}

#[test]
fn the_engine_is_asked_for_files_for_nothing_but_what_the_document_says() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_shell().bind_mounted()) else {
        return;
    };
    let mounted = prometheus.data_dir().join("own.yml");
    fs::write(&mounted, "mine: 1\n").unwrap();
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"conf\"\nkind = \"files-backup\"\nkeep = {{ last = 3 }}\ncontainer = \"{}\"\n\
         paths = [\"/prometheus/own.yml\"]\n",
        prometheus.container_name().unwrap()
    ));
    asks_for_no_more(&watchkeeper, "files", &[&["run-now", "conf"]]);
    fs::write(&mounted, "mine: 2\n").unwrap();
    let there_and_back: [&[&str]; 2] =
        [&["restore", "conf", "--yes"], &["restore", "conf", "--undo", "--yes"]];
    asks_for_no_more(&watchkeeper, "files: restore, undo", &there_and_back);
    assert_eq!(fs::read_to_string(&mounted).unwrap(), "mine: 2\n");
}

/// A database in a container, and the sessions in it.
fn of_an_application(data: Data) -> Option<(Application, Watchkeeper)> {
    let application = Application::container(data, &["sqlite3"])?;
    application.wait_well();
    let sessions = "[[job]]\nname = \"stale\"\nkind = \"close-stale-sessions\"\nkeep = { last = 3 }\napplication = \"app\"\nretries = { max = 0 }\n";
    let watchkeeper = Watchkeeper::with_config(&format!("{}{sessions}", application.config()));
    application.sqlite("INSERT INTO work_sessions VALUES (9, 'stuck', '2026-01-01 09:00:00', NULL)");
    Some((application, watchkeeper))
}

const CLOSED_AND_OPENED: [&[&str]; 2] = [&["run-now", "stale"], &["restore", "stale", "--undo", "--yes"]];

#[test]
fn the_engine_is_asked_for_a_database_in_a_volume_for_nothing_but_what_the_document_says() {
    let Some((_application, watchkeeper)) = of_an_application(Data::Volume) else { return };
    asks_for_no_more(&watchkeeper, "SQLite", &[&["run-now", "db"]]);
    asks_for_no_more(&watchkeeper, "sessions", &CLOSED_AND_OPENED);
    let there_and_back: [&[&str]; 2] = [&["restore", "db", "--yes"], &["restore", "db", "--undo", "--yes"]];
    asks_for_no_more(&watchkeeper, "SQLite: restore, undo", &there_and_back);
}

#[test]
fn the_engine_is_asked_for_a_database_in_a_layer_for_nothing_but_what_the_document_says() {
    let Some((_application, watchkeeper)) = of_an_application(Data::Layer) else { return };
    asks_for_no_more(&watchkeeper, "SQLite in a layer", &[&["run-now", "db"]]);
    asks_for_no_more(&watchkeeper, "sessions in a layer", &CLOSED_AND_OPENED);
}
