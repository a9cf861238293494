//! `[[response]]`: the good ones, the shipped ones, and what is wrong with others.

use super::*;
use crate::config::response::{Cap, ExecPlace, Matcher, StepKind};

const APP: &str = "[application.app]\nurl = \"http://h:8080\"\ncontainer = \"app\"\ndatabase = \"/app/memory.db\"\n\
    [[job]]\nname = \"restart-app\"\nkind = \"command\"\ncommand = [\"true\"]\n";
const RESPONSE: &str = "[application.app]\nurl = \"http://h:8080\"\n[[response]]\nalert = \"ServiceDown\"\n";

fn steps(response: &Response) -> Vec<&str> {
    response.steps.iter().map(|step| step.name.as_str()).collect()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_shortest_response_has_the_shipped_steps_and_allows_nothing() {
    let config = good(APP, "[[response]]\nalert = \"ServiceDown\"\n");
    let response = &config.responses[0];
    let wanted = ["container", "probe", "port", "memory-kills", "errors", "logs", "stats", "disk"];
    assert_eq!(steps(response), wanted);
    assert_eq!(response.application.as_ref().unwrap().as_str(), "app");
    assert_eq!((response.allow.len(), response.cooldown), (0, Duration::from_mins(10)));
    assert_eq!(response.cap, Cap { runs: 2, within: Duration::from_hours(1) });
}

#[test]
fn a_response_says_which_alerts_it_is_for_what_it_looks_at_and_what_it_allows() {
    let config = good(
        APP,
        "[[response]]\nalert = \"Slow\"\nmatch = { severity = \"critical\", job = { regex = \"app-.*\" } }\n\
         steps = [\"container\", \"stats\"]\nallow = [\"restart-app\"]\ncooldown = \"5m\"\n\
         cap = { runs = 1, within = \"2h\" }\n\
         [[response.step]]\nkind = \"exec\"\nname = \"vector store\"\ncommand = [\"python\", \"-c\", \"x\"]\ntimeout = \"90s\"\n\
         [[response.step]]\nkind = \"logs\"\nmatch = { event = \"done\", n = 1 }\nfield = \"seconds\"\n\
         [[response.step]]\nkind = \"exec\"\nname = \"ping\"\ncommand = [\"ping\", \"-c1\", \"h\"]\nin = \"host\"\n",
    );
    let response = &config.responses[0];
    assert_eq!(steps(response), ["container", "stats", "vector store", "logs", "ping"]);
    let StepKind::Exec { argv, place } = &response.steps[2].kind else { panic!() };
    assert_eq!((argv.len(), *place, response.steps[2].timeout.as_secs()), (3, ExecPlace::Container, 90));
    let StepKind::Logs(logs) = &response.steps[3].kind else { panic!() };
    assert_eq!(logs.matchers, [Matcher::exact("event", "done"), Matcher::exact("n", "1")]);
    assert!(matches!(response.steps[4].kind, StepKind::Exec { place: ExecPlace::Host, .. }));
    let alert = labels(&[("severity", "critical"), ("job", "app-1")]);
    assert_eq!(config.response_for("Slow", &alert).unwrap().allow[0].as_str(), "restart-app");
    assert!(config.response_for("Slow", &labels(&[("severity", "critical"), ("job", "my-app-1")])).is_none());
    // A person need not say the labels.
    assert!(config.response_named("Slow", None).is_some());
}

#[test]
fn a_response_says_which_alerts_it_is_not_for() {
    let config = good(
        APP,
        "[[response]]\nalert = \"Slow\"\nmatch = { env = { not = \"test\" }, team = { not_regex = \"a|b\" } }\nsteps = [\"logs\"]\n",
    );
    let is_for = |pairs: &[(&str, &str)]| config.response_for("Slow", &labels(pairs)).is_some();
    assert!(is_for(&[("env", "prod"), ("team", "c")]) && is_for(&[]));
    assert!(!is_for(&[("env", "test"), ("team", "c")]) && !is_for(&[("env", "prod"), ("team", "b")]));
    let said = |matched: &str| {
        let text = format!(
            "{APP}[[response]]\nalert = \"Slow\"\nmatch = {{ env = {matched} }}\nsteps = [\"logs\"]\n"
        );
        problems(&text)
    };
    assert!(said("{ not = \"a\", regex = \"b\" }")[0].contains("says more than one -> write one of { regex"));
    assert!(said("{ }")[0].contains("says nothing -> write one of"));
    assert!(said("{ not_regex = \"(a\" }")[0].contains("is no regular expression: unclosed group"));
    assert!(
        said("{ nott = \"a\" }")
            .iter()
            .any(|said| said.contains("unknown key \"nott\" -> did you mean \"not\"?"))
    );
}

#[test]
fn the_first_response_that_fits_is_taken_and_the_shipped_one_allows_nothing() {
    let config = good(
        APP,
        "[[response]]\nalert = \"ServiceDown\"\nmatch = { severity = \"critical\" }\nallow = [\"restart-app\"]\n\
         [[response]]\nalert = \"ServiceDown\"\nmatch = { severity = \"warning\" }\nsteps = [\"logs\"]\n",
    );
    let allowed = |severity: &str| {
        let response = config.response_for("ServiceDown", &labels(&[("severity", severity)])).unwrap();
        (response.allow.len(), response.steps.len())
    };
    assert_eq!((allowed("critical"), allowed("warning"), allowed("info")), ((1, 8), (0, 1), (0, 8)));
}

#[test]
fn the_responses_of_the_runbook_need_no_more_than_targets() {
    let config = good(TARGET, APP);
    for alert in shipped::NAMES {
        let response = config.response_for(alert, &Labels::new()).unwrap();
        assert!(response.steps.len() >= 4 && response.allow.is_empty(), "{alert}");
    }
    for written in ["high-cpu", "HighCPU", "HighCpuUsage", "servicedown"] {
        assert!(config.response_named(written, None).is_some(), "{written}");
    }
    assert!(config.response_named("Other", None).is_none());
    // What the configuration does not have is not looked at.
    let bare = good("[application.app]\nurl = \"http://h\"\n", "");
    assert_eq!(steps(&bare.response_named("ServiceDown", None).unwrap()), ["probe", "port", "disk"]);
    // Of two applications nobody can tell which one is meant.
    let two = good("[application.a]\nurl = \"http://a\"\n[application.b]\nurl = \"http://b\"\n", "");
    assert!(two.response_named("ServiceDown", None).unwrap().application.is_none());
    assert!(two.response_named("ServiceDown", Some(&name("b"))).unwrap().application.is_some());
}

#[test]
fn sessions_are_looked_at_as_the_job_says_that_closes_them() {
    let job = "[[job]]\nname = \"s\"\nkind = \"close-stale-sessions\"\napplication = \"app\"\nkeep = { last = 1 }\n\
               table = \"talks\"\nolder_than = \"2h\"\n";
    let config = good(APP, job);
    let response = config.response_named("TooManyActiveSessions", None).unwrap();
    let sessions = response.steps.iter().find_map(|step| match &step.kind {
        StepKind::Sessions(sessions) => Some(sessions),
        _ => None,
    });
    let sessions = sessions.unwrap();
    assert_eq!((sessions.columns.table.as_str(), sessions.older_than), ("talks", Duration::from_hours(2)));
}

/// What the shipped file says in comments.
#[test]
fn the_responses_of_the_shipped_file_are_right() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.toml")).unwrap();
    let (_, after) = text.split_once("── When an alert fires").unwrap();
    let lines: Vec<&str> = after.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    let config = good(&text, &lines.join("\n"));
    assert_eq!(config.responses.len(), 4);
    let kinds: std::collections::BTreeSet<&str> = config
        .responses
        .iter()
        .flat_map(|response| &response.steps)
        .map(|step| step.kind.kind_name())
        .collect();
    // Every kind is shown.
    assert_eq!(kinds, StepKind::NAMES.into());
}

#[rustfmt::skip]
const BAD: &[(&str, &str, &[&str])] = &[
    (NOTHING, "[[response]]", &[r#"1:1: response 1 has no "alert" -> add alert = "ServiceDown""#]),
    (NOTHING, "[[response]]\nalert = \"Other\"", &[r#"1:1: response "Other" has nothing to look at -> steps are shipped for ServiceDown, HighSessionFailureRate, TooManyActiveSessions, SlowReflectionGeneration, HighCpu, HighMemory; for another alert write steps = ["container", "probe", "logs"], or [[response.step]]"#]),
    (RESPONSE, "allow = [\"restart\"]", &[r#"5:10: there is no job "restart" -> the file has no job"#]),
    (APP, "[[response]]\nalert = \"ServiceDown\"\nallow = [\"restart-ap\"]", &[r#"11:10: there is no job "restart-ap" -> did you mean "restart-app"?"#]),
    (RESPONSE, "application = \"apps\"", &[r#"5:15: there is no [application.apps] -> did you mean "app"?"#]),
    (RESPONSE, "prometheus = \"main\"", &[r"5:14: there is no [prometheus.main] -> add a [prometheus.main] with its url"]),
    (RESPONSE, "match = { severity = { regex = \"(a\" } }", &[r#"5:32: "(a" is no regular expression: unclosed group -> it is anchored at both ends, as in Prometheus"#]),
    (RESPONSE, "steps = [\"probes\"]", &[r#"5:10: unknown kind of a step "probes" -> did you mean "probe"?"#]),
    (RESPONSE, "steps = [\"exec\"]", &[r#"5:10: a step "exec" needs more than its name -> write [[response.step]] with kind = "exec" and its keys"#]),
    (RESPONSE, "steps = [\"stats\"]", &[r#"5:10: a step "stats" needs a container -> add "container" to [application.app], or to a [[response.step]]"#]),
    (RESPONSE, "steps = [\"sessions\"]", &[r#"5:10: a step "sessions" needs an application with a database -> add "database" to [application.app]"#]),
    (RESPONSE, "steps = []", &[r#"3:1: response "ServiceDown" has nothing to look at -> write steps = ["container", "probe", "logs"], or [[response.step]]"#]),
    (RESPONSE, "[[response.step]]\nkind = \"probe\"", &[r#"3:1: response "ServiceDown" has two steps "probe" -> give each [[response.step]] its own "name", or leave out those of the runbook with steps = []"#]),
    (RESPONSE, "[[response.step]]\nkind = \"query\"\nquery = \"up\"", &[r#"5:1: a step "query" needs a Prometheus -> name one with prometheus = "NAME" in the response"#]),
    (RESPONSE, "[[response.step]]\nkind = \"exec\"\ncommand = \"ls -l\"", &[r#"7:11: "command" must be a list of a program and its arguments -> write ["ls", "-l"]: it is run without a shell"#]),
    (RESPONSE, "[[response.step]]\nkind = \"disk\"\nshell = true", &[r#"3:1: response "ServiceDown" has two steps "disk" -> give each [[response.step]] its own "name", or leave out those of the runbook with steps = []"#, r#"7:1: unknown key "shell" -> known here: name, timeout, kind, container, paths, free"#]),
    (RESPONSE, "cap = { runs = 0 }", &[r#"5:16: "runs" must be a whole number from 1 to 1000"#]),
    (RESPONSE, "[[response]]\nalert = \"ServiceDown\"\nmatch = { severity = \"critical\" }", &[r#"5:1: the response to "ServiceDown" is never reached: one before it takes all its alerts -> the first that fits is taken: put it before that one, or give that one a "match""#]),
];

#[test]
fn what_is_wrong_with_a_response_is_told_with_where_and_what_to_do() {
    for (start, rest, wanted) in BAD {
        assert_eq!(problems(&format!("{start}{rest}")), *wanted, "{start}{rest}");
    }
}
