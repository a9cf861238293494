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
use crate::support::prometheus::{Builder, Prometheus};
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

/// The requests of a column of the table, from 1.
fn allowed(column: usize) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SECURITY.md")).unwrap();
    let rows = text.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let rows = rows.filter(|cells| cells.len() > 5 && cells[1].contains(" /") && cells[column + 1] == "yes");
    rows.map(|cells| cells[1].to_owned()).collect()
}

#[test]
fn the_engine_is_asked_for_nothing_but_what_the_document_says() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_shell()) else { return };
    let watchkeeper = Watchkeeper::with_keys(&prometheus, "access = \"docker\"\n");
    let name = prometheus.container_name().unwrap();
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    let job = format!(
        "\n[[job]]\nname = \"inside\"\nkind = \"command\"\ncontainer = \"{name}\"\ncommand = [\"prometheus\", \"--version\"]\n"
    );
    fs::write(watchkeeper.config(), text + &job).unwrap();
    let (socket, requests) = proxy(watchkeeper.folder());
    let stories: [(&str, usize, &[&str]); 3] = [
        ("command", 1, &["run-now", "inside"]),
        ("snapshot", 2, &["run-now", JOB]),
        ("restore", 3, &["restore", JOB, "--yes"]),
    ];
    for (what, column, arguments) in stories {
        requests.lock().unwrap().clear();
        let mut command = watchkeeper.command(arguments);
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        let output = watchkeeper.wait(command.spawn().unwrap(), arguments);
        assert!([0, 3].contains(&output.code) || what == "command", "{what}: {output:?}");
        let asked = requests.lock().unwrap().clone();
        let said = allowed(column);
        assert!(asked.len() > 3, "{what}: nothing went through the proxy: {output:?}");
        let more: Vec<&String> = asked.difference(&said).collect();
        assert_eq!(more, Vec::<&String>::new(), "{what} asks for more than docs/SECURITY.md says");
        let less: Vec<&String> = said.difference(&asked).collect();
        figure(
            &format!("requests to the Docker engine: {what}"),
            &format!("{} kinds; not met: {less:?}", asked.len()),
        );
    }
}
