//! One value is changed, and every other byte stays.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::facts::Facts;
use super::*;

fn set(text: &str, job: Option<&str>) -> Result<String, EditError> {
    let scope = job.map_or(Scope::Global, |job| Scope::Job(job.to_owned()));
    scrape_interval(text, &scope, "30s").map(|edited| edited.text)
}

#[track_caller]
fn becomes(old: &str, job: Option<&str>, new: &str) {
    assert_eq!(set(old, job).unwrap(), new);
}

#[test]
fn the_value_is_changed_where_it_stands_with_its_quotes_and_comments() {
    becomes(
        "# a\nglobal:\n  scrape_interval: 15s   # often\n  x: 1\n",
        None,
        "# a\nglobal:\n  scrape_interval: 30s   # often\n  x: 1\n",
    );
    becomes(
        "global: { scrape_interval: '15s', x: \"15s\" } # c\r\n",
        None,
        "global: { scrape_interval: '30s', x: \"15s\" } # c\r\n",
    );
    becomes("global: {\"scrape_interval\":\"1m\"}", None, "global: {\"scrape_interval\":\"30s\"}");
    becomes("global:\n  scrape_interval: # none\n", None, "global:\n  scrape_interval: 30s # none\n");
    becomes("global:\n  scrape_interval: ~\n", None, "global:\n  scrape_interval: 30s\n");
    becomes("global:\n  scrape_interval: &unused 1m\n", None, "global:\n  scrape_interval: &unused 30s\n");
}

#[test]
fn what_is_not_there_is_added() {
    becomes("", None, "global:\n  scrape_interval: 30s\n");
    becomes("# only a comment", None, "# only a comment\nglobal:\n  scrape_interval: 30s\n");
    becomes(
        "---\n# jobs\nscrape_configs: []\n",
        None,
        "---\n# jobs\nglobal:\n  scrape_interval: 30s\nscrape_configs: []\n",
    );
    becomes("global: {}\n", None, "global: {scrape_interval: 30s}\n");
    becomes("global: { a: b }\n", None, "global: { scrape_interval: 30s, a: b }\n");
    becomes("{scrape_configs: []}\n", None, "{global: {scrape_interval: 30s}, scrape_configs: []}\n");
    becomes("global: # later\nx: 1\n", None, "global: # later\n  scrape_interval: 30s\nx: 1\n");
    becomes("global: ~\n", None, "global: {scrape_interval: 30s}\n");
    becomes(
        "global:\r\n    evaluation_interval: 1m # e\r\n    external_labels:\r\n        a: b\r\n",
        None,
        "global:\r\n    evaluation_interval: 1m # e\r\n    scrape_interval: 30s\r\n    external_labels:\r\n        a: b\r\n",
    );
    becomes(
        "global:\n  external_labels:\n    a: b\n",
        None,
        "global:\n  scrape_interval: 30s\n  external_labels:\n    a: b\n",
    );
}

#[test]
fn a_job_gets_its_own_interval_and_no_other_does() {
    let text = "global:\n  scrape_interval: 1m\nscrape_configs:\n  # first\n  - job_name: a # A\n    static_configs: []\n  - job_name: 'b'";
    becomes(
        text,
        Some("a"),
        "global:\n  scrape_interval: 1m\nscrape_configs:\n  # first\n  - job_name: a # A\n    scrape_interval: 30s\n    static_configs: []\n  - job_name: 'b'",
    );
    becomes(text, Some("b"), &format!("{text}\n    scrape_interval: 30s"));
    becomes(
        "scrape_configs: [{job_name: a}, {job_name: b}]",
        Some("b"),
        "scrape_configs: [{job_name: a}, {scrape_interval: 30s, job_name: b}]",
    );
    let error = set(text, Some("c")).unwrap_err();
    assert!(error.to_string().contains("\"c\"") && error.hint().unwrap().contains("a, b"), "{error}");
}

#[test]
fn what_stands_for_several_places_is_not_changed_for_one() {
    let shared = "global:\n  scrape_interval: &i 15s\n  evaluation_interval: *i\n";
    assert_eq!(set(shared, None), Err(EditError::Shared { line: 2 }));
    becomes(
        "global:\n  evaluation_interval: &i 15s\n  scrape_interval: *i\n",
        None,
        "global:\n  evaluation_interval: &i 15s\n  scrape_interval: 30s\n",
    );
    let merged = "scrape_configs:\n- &base\n  job_name: a\n- <<: *base\n  job_name: b\n";
    assert_eq!(set(merged, Some("a")), Err(EditError::Shared { line: 2 }));
    becomes(merged, Some("b"), &merged.replace("job_name: b\n", "job_name: b\n  scrape_interval: 30s\n"));
    assert!(matches!(set("x: &g {a: 1}\nglobal: *g\n", None), Err(EditError::Shared { .. })));
}

#[test]
fn what_is_odd_or_broken_is_left_to_a_person() {
    assert!(matches!(set("global: [a]\n", None), Err(EditError::Odd { line: 1 })));
    assert!(matches!(set("- a\n", None), Err(EditError::Odd { .. })));
    assert!(matches!(set("global:\n  scrape_interval: |\n    15s\n", None), Err(EditError::Odd { .. })));
    assert!(matches!(set("global: {\n", None), Err(EditError::Yaml(_))));
}

/// A piece of a configuration, as people write them.
fn entry() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("evaluation_interval: 1m  # é".to_owned()),
        Just("external_labels: {a: 'b # c', \"d\": \"e: f\"}".to_owned()),
        Just("# Größe: scrape_interval: 1s".to_owned()),
        Just("external_labels:\n  région: \"scrape_interval: 1s\"".to_owned()),
        Just("query_log_file: >\n  scrape_interval:\n  1s".to_owned()),
        Just(String::new()),
    ]
}

fn interval() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        Just(Some("scrape_interval: 15s".to_owned())),
        Just(Some("scrape_interval:   '15s' # '".to_owned())),
        Just(Some("\"scrape_interval\": \"1m30s\"".to_owned())),
    ]
}

/// Lines of a map, each as deep as `indent`; keys are made to differ.
fn block(entries: &[String], own: Option<&String>, at: usize, indent: &str) -> String {
    let mut entries: Vec<String> = entries
        .iter()
        .enumerate()
        .map(|(number, entry)| match entry.split_once(':') {
            Some((key, rest)) if !key.starts_with('#') => format!("{key}{number}:{rest}"),
            _ => entry.clone(),
        })
        .collect();
    if let Some(own) = own {
        entries.insert(at.min(entries.len()), own.clone());
    }
    let lines = entries.iter().flat_map(|entry| entry.split('\n'));
    lines.map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") }).collect()
}

prop_compose! {
    fn config()(
        head in prop_oneof![Just(""), Just("# header\n\n"), Just("---\n")],
        global in proptest::option::of((proptest::collection::vec(entry(), 0..4), interval(), 0_usize..4)),
        jobs in proptest::collection::vec((proptest::collection::vec(entry(), 0..3), interval(), 0_usize..3), 0..4),
        crlf in any::<bool>(),
        open_end in any::<bool>(),
    ) -> (String, usize) {
        let mut text = head.to_owned();
        if let Some((entries, own, at)) = &global {
            text.push_str("global: # all\n");
            text.push_str(&block(entries, own.as_ref(), *at, "  "));
        }
        text.push_str("scrape_configs:\n");
        for (number, (entries, own, at)) in jobs.iter().enumerate() {
            writeln!(text, "- job_name: 'job {number}' # {number}").unwrap();
            text.push_str(&block(entries, own.as_ref(), *at, "  "));
        }
        text.push_str("rule_files: [a.yml]\n");
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        if open_end {
            text = text.trim_end().to_owned();
        }
        (text, jobs.len())
    }
}

proptest! {
    #[test]
    fn just_one_value_changes_and_every_other_line_stays_as_it_was((text, jobs) in config(), whose in 0_usize..5) {
        let job = whose.checked_sub(1).filter(|job| *job < jobs).map(|job| format!("job {job}"));
        let new = set(&text, job.as_deref()).unwrap();
        let (before, after) = (Facts::of(&text).unwrap(), Facts::of(&new).unwrap());
        // What is meant.
        let mut expected = before.clone();
        let thirty = "30s".parse().ok();
        match &job {
            None => expected.interval = thirty,
            Some(name) => expected.jobs.iter_mut().find(|job| job.name == *name).unwrap().interval = thirty,
        }
        prop_assert_eq!(after, expected);
        // And nothing else, byte for byte.
        let (old, new): (Vec<&str>, Vec<&str>) =
            (text.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
        let first = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let last = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        let last = last.min(old.len() - first).min(new.len() - first);
        let (gone, come) = (old.len() - first - last, new.len() - first - last);
        prop_assert!(gone <= 1 && come <= 2, "{gone} {come}\n{}", text);
        let crlf = text.contains("\r\n");
        prop_assert!(new.iter().all(|line| line.ends_with("\r\n") == (crlf && line.ends_with('\n'))));
        // The same again changes nothing.
        prop_assert_eq!(set(&new.concat(), job.as_deref()).unwrap(), new.concat());
    }
}
