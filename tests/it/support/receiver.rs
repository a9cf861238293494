//! Takes what is posted, and answers as its path says.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was posted.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Posted {
    /// Its body, which must be JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("not JSON: {e}\n{}", self.body))
    }
}

/// A server on a free port, until the test process ends.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) port: u16,
    posted: Arc<Mutex<Vec<Posted>>>,
    hung: Arc<Mutex<Vec<TcpStream>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let this = Self { port, posted: Arc::default(), hung: Arc::default() };
        let server = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        this
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Everything that was posted to a path that begins so, the oldest first.
    pub(crate) fn posted(&self, path: &str) -> Vec<Posted> {
        let all = self.posted.lock().unwrap();
        all.iter().filter(|posted| posted.path.starts_with(path)).cloned().collect()
    }

    fn serve(&self, stream: TcpStream) {
        let Some(posted) = read(&stream) else { return };
        let path = posted.path.clone();
        let (nth, body) = {
            let mut all = self.posted.lock().unwrap();
            all.push(posted.clone());
            (all.iter().filter(|other| other.path == path).count(), &posted.body)
        };
        let answer = if path.starts_with("/hang") {
            return self.hung.lock().unwrap().push(stream);
        } else if path.starts_with("/thrice") && nth <= 3 {
            // As many a server does, it repeats what it was asked.
            ("500 Internal Server Error", format!("cannot serve {path}: {body}"))
        } else if path.starts_with("/later") {
            // Any number of seconds, or a date.
            let after = path.rsplit('/').next().unwrap_or_default().replace('_', " ");
            return reply(&stream, &format!("503 Busy\r\nRetry-After: {after}"), "try later");
        } else if path.starts_with("/echo") {
            // As many a server does that is being looked into: all that it was told.
            let shown: Vec<String> =
                posted.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
            ("500 Internal Server Error", format!("{path} {}", shown.join(" ")))
        } else if path.starts_with("/invalid") {
            ("200 OK", format!("invalid_token in {path}"))
        } else if path.starts_with("/notfound") {
            ("200 OK", "OK (not found)".to_owned())
        } else if path.starts_with("/moved") {
            ("302 Found\r\nLocation: /login", String::new())
        } else if path.starts_with("/ping") {
            ("200 OK", "OK".to_owned())
        } else {
            ("200 OK", "ok".to_owned())
        };
        reply(&stream, answer.0, &answer.1);
    }
}

fn reply(mut stream: &TcpStream, head: &str, body: &str) {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + body).as_bytes());
}

fn read(stream: &TcpStream) -> Option<Posted> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Posted { path, headers, body: String::from_utf8(body).unwrap() })
}
