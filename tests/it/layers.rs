//! The house keeps its layers: what uses what goes one way, and each foreign crate has one room.
//!
//! A new room gets a row in [`ROOMS`]; a row may name only rows above it, so that a circle cannot be written
//! down. What a `#[cfg(test)]` module uses is its own affair.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::scratch::files_below;

/// Every room and the rooms it may use beside itself, lowest first. A part of a room that others may use
/// without using the rest (`config::values`) has a row of its own.
const ROOMS: &[(&str, &[&str])] = &[
    ("config::values", &[]),
    // Words sizes, times and errors; uses nothing.
    ("words", &[]),
    // What this process may do; uses nothing.
    ("rights", &[]),
    // What programs do not inherit; uses nothing.
    ("inherited", &[]),
    // How much a disk can take.
    ("room", &["words"]),
    // Puts work on a thread of its own; uses nothing.
    ("blocking", &[]),
    // Opens only regular files; uses nothing.
    ("regular", &[]),
    // What a `verify-deployment` looks at, as pure values.
    ("config::checks", &["config::values"]),
    // Which sessions are stale, as pure values.
    ("config::sessions", &[]),
    // Whom to tell, as pure values.
    ("config::notify", &["config::values"]),
    // Who is told of an incident that lasts, as pure values.
    ("config::escalation", &["config::values"]),
    // What becomes of an alert: pure.
    ("incident", &["config::escalation", "config::values", "words"]),
    // What is looked at where an alert fires, as pure values.
    ("config::response", &["config::values", "config::checks", "config::sessions"]),
    ("http", &["regular", "config::values"]),
    ("progress", &["config::values"]),
    ("config::secret", &["regular", "rights", "config::values"]),
    // Lengths of time as people write them; uses nothing.
    ("config::duration", &[]),
    ("schedule", &["config::duration", "config::values", "words"]),
    ("state_dir", &["regular", "rights", "room", "config::values", "words"]),
    ("store", &["regular", "rights", "room", "config::values", "progress", "words"]),
    ("retention", &["config::values", "store", "words"]),
    ("upkeep", &["config::values", "progress", "words", "store", "retention"]),
    ("docker", &["rights", "config::values", "progress", "words"]),
    ("service", &["rights", "inherited", "config::values", "progress", "words", "docker"]),
    // What every kind of job is given and gives back. The kinds themselves live with their domain.
    ("jobs", &["blocking", "config::values", "progress", "store"]),
    (
        "recovery",
        &[
            "regular",
            "state_dir",
            "blocking",
            "config::values",
            "progress",
            "words",
            "http",
            "jobs",
            "docker",
            "service",
            "store",
        ],
    ),
    (
        "prometheus",
        &[
            "regular",
            "room",
            "state_dir",
            "rights",
            "blocking",
            "config::values",
            "config::secret",
            "progress",
            "words",
            "http",
            "jobs",
            "docker",
            "service",
            "store",
            "retention",
        ],
    ),
    (
        "deployment",
        &[
            "room",
            "rights",
            "config::values",
            "config::checks",
            "words",
            "http",
            "jobs",
            "docker",
            "store",
            "prometheus",
        ],
    ),
    (
        "command",
        &[
            "regular",
            "rights",
            "inherited",
            "config::values",
            "progress",
            "words",
            "jobs",
            "docker",
            "state_dir",
        ],
    ),
    (
        "files",
        &[
            "regular",
            "room",
            "rights",
            "blocking",
            "config::values",
            "progress",
            "words",
            "jobs",
            "docker",
            "store",
        ],
    ),
    // What there is in a Grafana, as pure values; a configuration names its types.
    ("grafana::object", &["store", "words"]),
    (
        "grafana",
        &[
            "regular",
            "blocking",
            "config::values",
            "grafana::object",
            "progress",
            "words",
            "http",
            "jobs",
            "state_dir",
            "store",
        ],
    ),
    (
        "sqlite",
        &[
            "regular",
            "room",
            "rights",
            "blocking",
            "config::values",
            "config::sessions",
            "progress",
            "words",
            "http",
            "jobs",
            "docker",
            "service",
            "command",
            "state_dir",
            "store",
            "retention",
        ],
    ),
    // Looks at what an alert is about, and changes nothing.
    (
        "response",
        &[
            "room",
            "blocking",
            "config::values",
            "config::checks",
            "config::sessions",
            "config::response",
            "words",
            "http",
            "jobs",
            "docker",
            "command",
            "prometheus",
            "deployment",
            "sqlite",
        ],
    ),
    (
        "config",
        &[
            "regular",
            "rights",
            "config::values",
            "config::checks",
            "config::sessions",
            "config::notify",
            "config::escalation",
            "config::response",
            "config::secret",
            "words",
            "config::duration",
            "schedule",
            "grafana::object",
        ],
    ),
    (
        "history",
        &[
            "regular",
            "room",
            "rights",
            "config::values",
            "incident",
            "progress",
            "words",
            "jobs",
            "state_dir",
            "store",
        ],
    ),
    // Whether the store is the one that backups were made in.
    ("identity", &["regular", "rights", "config", "words", "store", "history"]),
    ("report", &["config::values", "progress", "words", "jobs", "store", "retention", "history"]),
    (
        "runner",
        &[
            "regular",
            "blocking",
            "config::values",
            "progress",
            "words",
            "jobs",
            "state_dir",
            "store",
            // The hooks of a run are programs.
            "command",
            "history",
            "report",
        ],
    ),
    ("telemetry", &["history", "runner", "words"]),
    (
        "standing",
        &[
            // What is open: incidents, and changes that were cut.
            "incident",
            "prometheus",
            "identity",
            "state_dir",
            "config::values",
            "config",
            "words",
            "upkeep",
            "retention",
            "jobs",
            "schedule",
            "store",
            "history",
            "runner",
        ],
    ),
    // How everything stands, as metrics: what the rest of `report` words is below the runner, this is above.
    // How urgent something is, its rules say as the messages do.
    ("report::metrics", &["config::values", "config::notify", "config", "schedule", "standing"]),
    // Serves what it is handed; knows no jobs.
    ("web", &["config::values", "words"]),
    // Words and delivers what is to be told, of how every job stands.
    (
        "report::notify",
        &[
            "regular",
            "config::values",
            "config::notify",
            // An escalation is a message.
            "config::escalation",
            "incident",
            "config::secret",
            "words",
            "http",
            "jobs",
            "history",
            "report",
            "runner",
            "standing",
        ],
    ),
    (
        "app",
        &[
            "regular",
            "identity",
            "response",
            "config::response",
            "room",
            "config::notify",
            "config::escalation",
            "incident",
            "report::notify",
            "rights",
            "blocking",
            "upkeep",
            "config::values",
            "config::checks",
            "http",
            "deployment",
            "command",
            "config::secret",
            "config",
            "progress",
            "words",
            "report",
            "report::metrics",
            "standing",
            "web",
            "schedule",
            "state_dir",
            "store",
            "retention",
            "docker",
            "files",
            "grafana",
            "grafana::object",
            "sqlite",
            "config::sessions",
            "service",
            "recovery",
            "jobs",
            "prometheus",
            "history",
            "runner",
        ],
    ),
    (
        "cli",
        &[
            "identity",
            "response",
            "config::response",
            "regular",
            "config::notify",
            "incident",
            // A core would hold the secrets.
            "rights",
            "blocking",
            "upkeep",
            "config::values",
            "config::duration",
            "config::secret",
            "config",
            "progress",
            "words",
            "report",
            "report::metrics",
            "telemetry",
            "standing",
            "schedule",
            "state_dir",
            "store",
            "retention",
            "docker",
            "files",
            "grafana",
            "grafana::object",
            "sqlite",
            "config::sessions",
            "jobs",
            "prometheus",
            "history",
            "runner",
            "app",
        ],
    ),
    ("main", &["cli", "telemetry"]),
];

/// What may be written only in some files, which start so. Why: to take another crate for it, or to see where
/// the program speaks and looks at its surroundings, one place has to be read.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("bollard", &["docker"]),
    ("tokio_cron_scheduler", &["schedule/driver.rs"]),
    ("croner", &["schedule"]),
    ("chrono", &["schedule"]),
    ("tracing_subscriber", &["telemetry.rs"]),
    ("rusqlite", &["history", "sqlite"]),
    ("reqwest", &["http", "prometheus/client", "grafana/client"]),
    ("axum", &["web"]),
    ("saphyr_parser", &["prometheus/config_change/yaml.rs"]),
    ("prometheus_client", &["report/metrics/text.rs"]),
    ("lettre", &["report/notify"]),
    ("clap", &["cli", "main.rs"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("comfy_table", &["cli"]),
    ("indicatif", &["cli"]),
    ("println!", &["cli", "main.rs"]),
    ("eprintln!", &["cli", "main.rs"]),
    ("print!", &["cli", "main.rs"]),
    ("eprint!", &["cli", "main.rs"]),
    ("process::exit", &["cli", "main.rs"]),
    ("env::var", &["cli", "main.rs"]),
    ("env::var_os", &["cli", "main.rs"]),
];

/// How a file is opened or read by its name. That belongs to `regular.rs`: what it opens is a regular file, and no pipe that is
/// waited for.
const OPENING: &[&str] = &[
    "File::open",
    "fs::read",
    "fs::read_to_string",
    "fs::copy",
    "OpenOptions",
    "File::options",
    "File::create",
];

/// The files that open others themselves, and why. What only tests are built of is no part of it.
const OPENS_ITSELF: &[(&str, &str)] = &[
    ("regular.rs", "the room itself"),
    // The kernel's own files, which end, and the program's own.
    ("rights.rs", "/proc/self/status"),
    ("runner/shutdown.rs", "/proc/self/status"),
    ("sqlite/restore/holders.rs", "/proc/PID/comm"),
    ("prometheus/cleanup/mapped.rs", "/proc/PID/maps"),
    ("docker/mark.rs", "/proc/PID/stat and the boot's ID"),
    ("docker/self_image.rs", "the program itself and its libraries, as the kernel maps them"),
    ("command/marked.rs", "/proc/PID/environ and stat"),
    ("command/noted.rs", "the boot's ID"),
    ("command/user.rs", "/etc/passwd"),
    ("response/memory_kills.rs", "files of a control group"),
    ("response/memory_kills/kernel.rs", "/proc/stat"),
    ("response/port/listeners.rs", "/proc/PID/net and comm"),
    ("response/proc.rs", "/proc/PID/cgroup"),
    ("response/stats.rs", "/proc/loadavg and meminfo"),
    // With O_EXCL: a file of its own that was not there.
    ("grafana/restore/source.rs", "a new file"),
    ("prometheus/folder/unpack.rs", "a new file"),
    ("store/atomic.rs", "a new file"),
    // To a name that a person gave: a pipe may be what he wants.
    ("cli/help.rs", "what is written for a person"),
    ("cli/run_now.rs", "what is written for a person"),
    ("cli/systemd_timers.rs", "what is written for a person"),
];

/// Is the file only built for tests?
fn is_of_tests(file: &str) -> bool {
    let helpers = ["folder_op/live.rs", "folder_op/hazards.rs", "folder_op/random.rs", "store/testing.rs"];
    file.contains("tests") || helpers.iter().any(|helper| file.ends_with(helper))
}

/// The room of a module path, by the longest row that fits.
fn room_of(path: &str) -> Option<&'static str> {
    let fits =
        |room: &str| path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    ROOMS.iter().map(|(room, _)| *room).filter(|room| fits(room)).max_by_key(|room| room.len())
}

/// The code of a file: without comments, and without its test module.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = before_tests.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path below the crate that the code names: `config::values::Name`. A list in braces is several.
fn paths_used(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "use watchkeeper::"] {
        for (at, _) in code.match_indices(root) {
            let starts_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if starts_word {
                expand("", &code[at + root.len()..], &mut found);
            }
        }
    }
    found
}

/// Reads one path, or a list of paths in braces, and gives what is left of the text after it.
fn expand<'a>(prefix: &str, text: &'a str, found: &mut Vec<String>) -> &'a str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (path, rest) = (format!("{prefix}{}", &text[..end]), &text[end..]);
    let Some(mut list) = rest.strip_prefix('{') else {
        found.push(path.trim_end_matches(':').to_owned());
        return rest;
    };
    loop {
        list = list.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if list.is_empty() || list.starts_with('}') {
            return list.get(1..).unwrap_or_default();
        }
        let before = list.len();
        list = expand(&path, list, found);
        if list.len() == before {
            return "";
        }
        // `as Other`
        list = &list[list.find([',', '}']).unwrap_or(list.len())..];
    }
}

/// `prometheus/block/meta.rs` is `prometheus::block::meta`.
fn module_of(file: &Path) -> String {
    file.with_extension("").display().to_string().replace('/', "::")
}

/// Every source file, relative to `src`, with its code.
fn sources() -> BTreeMap<String, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = files_below(&src).into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs"));
    files
        .map(|file| (file.display().to_string(), code(&fs::read_to_string(src.join(&file)).unwrap())))
        .collect()
}

fn problems_of(file: &str, code: &str) -> Vec<String> {
    let module = module_of(Path::new(file));
    let Some(room) = room_of(&module) else {
        return vec![format!("src/{file}: a room without a row: add it to ROOMS in tests/it/layers.rs")];
    };
    let allowed = ROOMS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, allowed)| allowed);
    let judge = |path: String| match room_of(&path) {
        Some(other) if other == room || allowed.contains(&other) => None,
        // A room may use its parts; a part that others use without the rest may not use the rest.
        Some(other) if other.split("::").next() == Some(room) => None,
        Some(other) => Some(format!(
            "src/{file}: `{room}` may not use `{other}` (`crate::{path}`): turn the dependency round, pass a \
             value or a closure, or change the row of `{room}` in tests/it/layers.rs and say why"
        )),
        None => Some(format!("src/{file}: `crate::{path}`: no such room in ROOMS of tests/it/layers.rs")),
    };
    paths_used(code).into_iter().filter_map(judge).collect()
}

/// Does the code name this crate or macro as a whole word?
fn names(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

#[test]
fn dependencies_between_the_rooms_go_one_way() {
    let sources = sources();
    let inside = sources.iter().filter(|(file, _)| *file != "lib.rs");
    let problems: Vec<String> = inside.flat_map(|(file, code)| problems_of(file, code)).collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn each_foreign_crate_and_each_way_to_the_outside_has_one_room() {
    let mut problems = Vec::new();
    for (file, code) in sources() {
        for (word, places) in ONLY_IN {
            let at_home = places.iter().any(|place| {
                file.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
            });
            if !at_home && names(&code, word) {
                problems.push(format!("src/{file}: `{word}` belongs to src/{} alone", places.join(", src/")));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn files_are_opened_in_one_room_where_nothing_but_a_regular_file_is() {
    let mut problems = Vec::new();
    for (file, code) in sources().into_iter().filter(|(file, _)| !is_of_tests(file)) {
        let is_known = OPENS_ITSELF.iter().any(|(known, _)| *known == file);
        // Nothing is opened that was there before.
        let code = code.replace("File::create_new", "");
        let found = OPENING.iter().find(|word| names(&code, word));
        match found {
            Some(word) if !is_known => problems.push(format!(
                "src/{file}: `{word}`: read it with `regular`, or say in OPENS_ITSELF why nothing can hang there"
            )),
            None if is_known && file != "regular.rs" => problems.push(format!("src/{file} opens nothing itself")),
            _ => {}
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn the_table_of_rooms_has_no_circle() {
    for (at, (room, allowed)) in ROOMS.iter().enumerate() {
        for other in *allowed {
            let above = ROOMS[..at].iter().any(|(name, _)| name == other);
            assert!(above, "`{room}` uses `{other}`, which does not stand above it");
        }
    }
}

#[test]
fn paths_are_found_in_lists_and_in_the_middle_of_code() {
    let text = "use crate::{config::values::{Name, Keep as K}, store};\nlet x = crate::docker::Docker::new();\n\
                // crate::cli is a comment\n#[cfg(test)]\nmod tests { use crate::app; }";
    let expected = ["config::values::Name", "config::values::Keep", "store", "docker::Docker::new"];
    assert_eq!(paths_used(&code(text)), expected);
}

#[test]
fn a_dependency_upwards_an_unknown_room_and_a_stranger_are_told() {
    assert!(problems_of("store/atomic.rs", "use crate::runner::Runner;")[0].contains("may not use `runner`"));
    assert!(problems_of("kitchen.rs", "")[0].contains("without a row"));
    assert!(problems_of("store.rs", "use crate::kitchen::Sink;")[0].contains("no such room"));
    assert!(problems_of("config/check.rs", "use crate::config::values::Name;").is_empty());
    assert!(
        problems_of("config/values.rs", "use crate::config::Config;")[0].contains("may not use `config`")
    );
    assert!(problems_of("store.rs", "use crate::config::Config;")[0].contains("may not use `config`"));
}
