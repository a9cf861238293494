//! The stand-in for Grafana is held to the record: every exchange that was recorded with a running 7.5.5 is sent to
//! it again, in the same order, and has to be answered alike. What it does as a later version nobody has seen.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::grafana::{Grafana, Version, basic};
use crate::support::http::{self, Answer};

/// Exchanges that are not compared.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "110-frontend-settings",
    "settings for the browser: neither export nor restore asks for them, and the stand-in has no such route",
)];

/// Sent with the viewer's key; the record says only `<token>`.
const BY_VIEWER: [&str; 2] = ["012-", "078-"];
const WITH_BAD_PASSWORD: &str = "003-";
const WITH_BAD_TOKEN: &str = "004-";
/// The first one after the 300 dashboards of CONCURRENCY.txt.
const AFTER_CONCURRENCY: &str = "201-";

/// One recorded exchange.
struct Exchange {
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    status: u16,
    head: Vec<String>,
    answer: String,
}

impl Exchange {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let (request, response) = text.split_once("\n\n").unwrap();
        let (response, answer) = response.split_once("\n<\n").unwrap();
        let (request, body) = request.split_once("\n>\n> ").unwrap_or((request, ""));
        let mut lines = request.lines().map(|line| line.strip_prefix("> ").unwrap());
        let mut first = lines.next().unwrap().split(' ');
        let pair = |line: &str| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
        let header = |name: &str| response.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            method: first.next().unwrap().to_owned(),
            target: first.next().unwrap().to_owned(),
            headers: lines.map(pair).collect(),
            body: body.to_owned(),
            status: header("< HTTP/1.1 ").split(' ').next().unwrap().parse().unwrap(),
            head: lasting(response.lines().skip(1).filter_map(|line| line.strip_prefix("< "))),
            answer: answer.trim_end_matches('\n').to_owned(),
        }
    }

    fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/grafana-7.5.5");
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "http")).collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// Sends it again; of the header `Authorization` the record keeps only the kind.
    fn send(&self, grafana: &Grafana, keys: &[String]) -> Answer {
        let authorization = |recorded: &str| match recorded {
            _ if self.name.starts_with(WITH_BAD_PASSWORD) => basic("admin", "wrong"),
            _ if self.name.starts_with(WITH_BAD_TOKEN) => "Bearer nobodys".to_owned(),
            "Basic <admin:admin>" => basic("admin", "admin"),
            "Bearer <token>" => {
                let viewer = BY_VIEWER.iter().any(|name| self.name.starts_with(name));
                format!("Bearer {}", keys[usize::from(viewer)])
            }
            other => panic!("{}: {other}", self.name),
        };
        let headers = self.headers.iter().map(|(name, value)| {
            (name.as_str(), if name == "Authorization" { authorization(value) } else { value.clone() })
        });
        let headers: Vec<_> = headers.collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        http::send(grafana.port(), &self.method, &self.target, &headers, &self.body).unwrap()
    }
}

/// The headers without those of the one exchange: when it was, how long it was, and how the connection goes on.
fn lasting<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<String> {
    const OF_THE_EXCHANGE: [&str; 4] = ["Date:", "Content-Length:", "Transfer-Encoding:", "Connection:"];
    let lasting = headers.filter(|header| !OF_THE_EXCHANGE.iter().any(|name| header.starts_with(name)));
    let mut lasting: Vec<_> = lasting.map(str::to_owned).collect();
    lasting.sort();
    lasting
}

/// What no two servers have in common is made alike, and nothing else.
fn alike(mut body: Value, at: &str) -> Value {
    match &mut body {
        Value::Array(all) => all.iter_mut().for_each(|one| *one = alike(one.take(), at)),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                *value = field(name, value.take(), at);
            }
        }
        _ => {}
    }
    body
}

fn field(name: &str, value: Value, at: &str) -> Value {
    match (name, &value) {
        // When it happened; how precisely it is told is compared, and so are the times that mean "never" and
        // "with the installation".
        (
            "created" | "updated" | "createdAt" | "updatedAt" | "lastSeenAt" | "expiration" | "expires",
            Value::String(time),
        ) if is_of_the_run(time) => {
            json!(if time.contains('.') { "<time with fraction>" } else { "<time>" })
        }
        // The same of annotations, in milliseconds.
        ("created" | "updated", Value::Number(_)) if at.contains("/annotations") => json!("<milliseconds>"),
        // What the server makes up: the key of an API key, and the UID of a library panel that was sent none.
        ("key", Value::String(_)) if at.contains("/auth/keys") => json!("<key>"),
        ("uid", Value::String(_)) if at.contains("/library-panels") => json!("<uid>"),
        _ => alike(value, at),
    }
}

fn is_of_the_run(time: &str) -> bool {
    time.parse::<jiff::Timestamp>().is_ok() && !time.starts_with("0001-") && !time.starts_with("2017-06-20")
}

fn compare(exchange: &Exchange, answer: &Answer) -> Result<(), String> {
    let parsed = |body: &str| match serde_json::from_str(body) {
        Ok(json) => alike(json, &exchange.target),
        Err(_) => json!(body),
    };
    let was = (exchange.status, exchange.head.clone(), parsed(&exchange.answer));
    let is = (answer.status, lasting(answer.headers()), parsed(&answer.body));
    if was == is {
        Ok(())
    } else {
        Err(format!("{}\n  recorded: {was:?}\n  answered: {is:?}", exchange.name))
    }
}

/// What CONCURRENCY.txt says: 300 dashboards by 16 writers at once, 600 reads, and a login that gets locked.
fn repeat_concurrency(grafana: &Grafana) {
    let admin = basic("admin", "admin");
    let send = |method: &str, target: &str, authorization: &str, body: &Value| {
        let headers = [("Authorization", authorization)];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = http::send(grafana.port(), method, target, &headers, &body).unwrap();
        (answer.status, answer.body)
    };
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let (send, admin) = (&send, &admin);
            scope.spawn(move || {
                for number in (writer..300).step_by(16) {
                    let dashboard =
                        json!({ "title": format!("Parallel {number}"), "uid": format!("p{number}") });
                    let body = json!({ "dashboard": dashboard });
                    assert_eq!(send("POST", "/api/dashboards/db", admin, &body).0, 200);
                    for _ in 0..2 {
                        let target = format!("/api/dashboards/uid/p{number}");
                        assert_eq!(send("GET", &target, admin, &Value::Null).0, 200);
                    }
                }
            });
        }
    });
    let denied = (401, r#"{"message":"invalid username or password"}"#.to_owned());
    let right = basic("ann", "pw12345678");
    for _ in 0..7 {
        assert_eq!(send("GET", "/api/org", &basic("ann", "wrong"), &Value::Null), denied);
    }
    assert_eq!(
        send("GET", "/api/org", &right, &Value::Null),
        denied,
        "the right password after seven bad ones"
    );
    grafana.forgive_logins();
    assert_eq!(send("GET", "/api/org", &right, &Value::Null).0, 200, "after the time of the lock");
}

#[test]
fn it_answers_every_recorded_request_as_the_real_one_did() {
    let grafana = Grafana::start(Version::V7_5);
    let mut keys = Vec::new();
    let mut differences = Vec::new();
    let exchanges = Exchange::all();
    assert_eq!(exchanges.len(), 136, "all of the record");
    for exchange in &exchanges {
        if exchange.name.starts_with(AFTER_CONCURRENCY) {
            repeat_concurrency(&grafana);
        }
        let answer = exchange.send(&grafana, &keys);
        if exchange.target == "/api/auth/keys" && exchange.method == "POST" && answer.status == 200 {
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            keys.push(body["key"].as_str().unwrap().to_owned());
        }
        if EXCEPTIONS.iter().any(|(name, _)| *name == exchange.name) {
            continue;
        }
        differences.extend(compare(exchange, &answer).err());
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
