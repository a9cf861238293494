//! Whole files: here the good ones, and what is no configuration at all. The messages are compared word for word: they
//! are what the user works with.

mod doubtful;
mod notifiers;
mod refused;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::values::{Auth, SecretRef, ServiceControl};
use super::*;
use crate::config::values::{Access, Codec, Compression, DEFAULT_LAYOUT, SnapshotLayout};

const NOTHING: &str = "";
const TARGET: &str = "[prometheus.main]\nurl = \"http://h:9090\"\n";
const COMMAND: &str = "[[job]]\nname = \"c\"\nkind = \"command\"\n";
const JOB: &str = "[prometheus.main]\nurl = \"http://h:9090\"\n\
    [[job]]\nname = \"a\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\nkeep = { last = 7 }\n";

fn no_env(_: &str) -> Option<String> {
    None
}

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, Path::new("jobs.toml"), &no_env, TimeZone::UTC, Some(now()))
}

fn good(start: &str, rest: &str) -> Config {
    parse(&format!("{start}{rest}")).unwrap_or_else(|errors| panic!("{errors}"))
}

/// `line:column: message -> hint`
fn short(problem: &Problem) -> String {
    let Problem { line, column, message, hint, .. } = problem;
    let hint = hint.as_ref().map_or(String::new(), |hint| format!(" -> {hint}"));
    format!("{line}:{column}: {message}{hint}")
}

fn problems(text: &str) -> Vec<String> {
    parse(text).map_or_else(|errors| errors.problems.iter().map(short).collect(), |_| Vec::new())
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn the_smallest_file_has_the_documented_defaults() {
    let config = good(JOB, "");
    assert_eq!(config.state_dir, Path::new("/var/lib/watchkeeper"));
    assert_eq!(config.backup_dir, Path::new("/var/backups/watchkeeper"));
    assert_eq!((config.max_concurrent, config.reserve), (2, 16 << 20));
    assert_eq!(config.timezone, TimeZone::UTC);
    assert_eq!(config.warnings, []);
    let job = &config.jobs[0];
    assert_eq!((job.name.as_str(), job.kind.kind_name(), job.enabled), ("a", "prometheus-snapshot", true));
    assert_eq!((job.timeout, job.retries.max), (Duration::from_hours(1), 2));
    assert_eq!((job.retries.backoff, &job.schedule), (Duration::from_secs(30), &None));
    let snapshot = job.kind.snapshot().unwrap();
    assert_eq!((snapshot.skip_head, snapshot.access), (false, Access::Auto));
    assert_eq!((snapshot.layout, snapshot.compression), (DEFAULT_LAYOUT, Codec::Gzip.into()));
    assert_eq!(snapshot.verify_within, Duration::from_hours(720));
    assert_eq!(snapshot.idle_timeout, Duration::from_mins(5));
    assert_eq!(snapshot.keep.rules().last.map(u32::from), Some(7));
    assert_eq!(good(NOTHING, "").jobs, []);
}

#[test]
fn every_key_reaches_the_configuration() {
    let text = r#"
timezone = "Europe/Berlin"
state_dir = "/s"
backup_dir = "/b"
max_concurrent = 5
reserve = "3MiB"
[prometheus.host]
url = "https://h/prefix/"
user = "u"
password = { file = "/p" }
data_dir = "/data"
service = { stop = ["stop", ""], start = ["start"] }
ca_file = "/ca"
cert_file = "/c"
key_file = "/k"
[prometheus.unit]
url = "http://h"
token = { env = "T" }
service = { unit = "prometheus.service" }
[defaults]
timeout = "2h"
retries = { max = 0 }
[[job]]
name = "one"
kind = "prometheus-snapshot"
prometheus = "host"
schedule = "@daily"
timezone = "America/New_York"
enabled = false
timeout = "90s"
retries = { backoff = "1s" }
keep = { last = 1, hourly = 2, daily = 3, weekly = 4, monthly = 5, yearly = 6, within = "14d" }
layout = "blocks"
skip_head = true
access = "host"
compression = "zstd"
level = 19
verify_within = "1w"
idle_timeout = "30s"
"#;
    let config = good(NOTHING, text);
    assert_eq!(config.timezone.iana_name(), Some("Europe/Berlin"));
    assert_eq!((config.state_dir.to_str(), config.backup_dir.to_str()), (Some("/s"), Some("/b")));
    assert_eq!((config.max_concurrent, config.reserve), (5, 3 << 20));
    let host = &config.prometheus[&name("host")];
    assert_eq!(host.endpoint.url.as_str(), "https://h/prefix/");
    let password = SecretRef::File("/p".into());
    assert_eq!(host.endpoint.auth, Auth::Basic { user: "u".into(), password });
    assert_eq!(host.endpoint.ca_file, Some("/ca".into()));
    assert_eq!(host.endpoint.client_certificate.as_ref().unwrap().key_file, Path::new("/k"));
    let service =
        ServiceControl::Commands { stop: vec!["stop".into(), String::new()], start: vec!["start".into()] };
    assert_eq!(host.place, Place::Host { data_dir: Some("/data".into()), service: Some(service) });
    let unit = &config.prometheus[&name("unit")];
    assert_eq!(unit.endpoint.auth, Auth::Token(SecretRef::Env("T".into())));
    let service = Some(ServiceControl::Unit("prometheus.service".into()));
    assert_eq!(unit.place, Place::Host { data_dir: None, service });
    let job = config.job("one").unwrap();
    assert_eq!(job.schedule.as_ref().unwrap().zone().iana_name(), Some("America/New_York"));
    assert_eq!((job.enabled, job.timeout), (false, Duration::from_secs(90)));
    assert_eq!((job.retries.max, job.retries.backoff), (0, Duration::from_secs(1)));
    let snapshot = job.kind.snapshot().unwrap();
    let rules = snapshot.keep.rules();
    let counts = [rules.last, rules.hourly, rules.daily, rules.weekly, rules.monthly, rules.yearly];
    assert_eq!(counts.map(|count| count.map_or(0, u32::from)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(rules.within, Some(Duration::from_hours(336)));
    assert_eq!((snapshot.skip_head, snapshot.access), (true, Access::Host));
    let zstd = Compression { codec: Codec::Zstd, level: 19 };
    assert_eq!((snapshot.layout, snapshot.compression), (SnapshotLayout::Blocks, zstd));
    assert_eq!(snapshot.verify_within, Duration::from_hours(168));
    assert_eq!(snapshot.idle_timeout, Duration::from_secs(30));
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| {
        let errors = Config::load(path, &no_env, TimeZone::UTC).unwrap_err();
        errors.to_string().replace(&format!("{}: ", path.display()), "")
    };
    let with = |content: &[u8]| {
        let path = folder.path().join("jobs.toml");
        File::create(&path).unwrap().write_all(content).unwrap();
        path
    };
    let absent = message(&folder.path().join("absent.toml"));
    assert!(absent.starts_with("there is no such file\n      = looked for: --config FILE"), "{absent}");
    assert!(message(folder.path()).starts_with("this is a folder, not a file"));
    assert!(message(&with(&vec![b'#'; 1024 * 1024 + 1])).starts_with("the file is longer than 1 MiB"));
    let wanted = "the file is not UTF-8 text: line 2 has a byte that cannot be\n      = save it as UTF-8";
    assert_eq!(message(&with(b"# x\n\xff")), wanted);
    let path = with(b"");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
    // Root may read it all the same.
    if File::open(&path).is_err() {
        assert!(message(&path).starts_with("the file must not be read by this user"));
    }
    assert!(Config::load(&with(b"\xef\xbb\xbf# with a byte order mark"), &no_env, TimeZone::UTC).is_ok());
}

#[test]
fn a_command_is_run_again_only_where_its_job_says_so() {
    let retries = |keys: &str| {
        let text = format!("command = [\"true\"]\n{keys}\n[defaults]\nretries = {{ max = 5 }}");
        good(COMMAND, &text).jobs[0].retries.max
    };
    assert_eq!((retries(""), retries("retries = { backoff = \"1s\" }")), (0, 5));
}

#[test]
fn the_shipped_file_is_right_and_lacks_only_its_secret() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.toml");
    let config =
        Config::check(&path, &no_env, TimeZone::UTC, now()).unwrap_or_else(|errors| panic!("{errors}"));
    let messages: Vec<&str> = config.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(messages, ["The environment variable GRAFANA_PASSWORD is not set"]);
    let place = Place::Container { name: "prometheus".into(), data_dir: None };
    assert_eq!(config.prometheus[&name("main")].place, place);
    assert_eq!(config.jobs[0].schedule.as_ref().unwrap().to_string(), "0 4 * * *");
    assert_eq!((config.grafana.len(), config.alertmanager.len(), config.application.len()), (1, 1, 1));
}

/// What the shipped file says in comments is tried too: every option but those that exclude others, which are
/// tried one by one.
#[test]
fn every_commented_option_of_the_shipped_file_is_one() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.toml")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut tried = 0;
    for (at, line) in lines.iter().enumerate() {
        let Some(option) = line.strip_prefix("# ").filter(|option| is_option(option)) else { continue };
        let key = option.split(' ').next().unwrap();
        let extra = match key {
            // That of a command is a user of the host.
            "user" if option.contains("nobody") => "",
            "user" => "\npassword = { env = \"X\" }",
            "password" => "\nuser = \"x\"",
            // Others are those of targets.
            "token" if option.contains("METRICS") => "\nlisten = \"127.0.0.1:9469\"",
            "cert_file" => "\nkey_file = \"/k\"",
            "key_file" => "\ncert_file = \"/c\"",
            _ => "",
        };
        let line = format!("{option}{extra}");
        let mut with: Vec<&str> = lines.clone();
        with[at] = &line;
        if key == "service" {
            // What stands nearest belongs to the same target.
            let before = with[..at].iter().rposition(|line| line.starts_with("container = "));
            with[before.unwrap()] = "";
        }
        assert_eq!(problems(&with.join("\n")), Vec::<String>::new(), "{option}");
        tried += 1;
    }
    assert!(tried > 25, "only {tried}");
}

fn is_option(comment: &str) -> bool {
    let key = comment.split(" = ").next().unwrap_or_default();
    comment.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}
