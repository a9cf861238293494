//! The progress bar of an export and of a restore on a terminal: no line is wider than it, what is under way is named, and
//! nothing of the bar is left at the end.

use std::process::Command;

use crate::support::grafana::{Builder, Grafana, Version};
use crate::support::grafana_keeper::{ADMIN, JOB, keeper_of};
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{installed, missing};

const DASHBOARDS: usize = 200;

/// What a terminal of so many columns is sent, without the plan and the report, which are no part of the bar.
fn on_terminal(keeper: &Watchkeeper, columns: usize, arguments: &str) -> String {
    let config = keeper.folder().join("jobs.toml");
    let program = crate::support::program();
    let command = format!(
        "stty cols {columns} rows 50; {program} --config {} {arguments} >/dev/null",
        config.display()
    );
    let output = Command::new("script").args(["-qec", &command, "/dev/null"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// Each line as it was drawn: what stands between two returns, without what moves the cursor.
fn drawn(sent: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut rest = sent.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // `ESC [ … LETTER`
            rest.find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain.split(['\r', '\n']).map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[track_caller]
fn assert_fits(sent: &str, columns: usize, names: &[&str]) {
    let lines = drawn(sent);
    let plan = ["Restore ", "  made from ", "  create ", "  to  "];
    let of_plan = |line: &&String| plan.iter().any(|begin| line.starts_with(begin));
    for line in lines.iter().filter(|line| !of_plan(line)) {
        assert!(line.chars().count() <= columns, "{columns}: {line:?}");
    }
    for name in names {
        let is_told = |line: &String| line.contains(" of ") && line.contains(&format!(": {name}"));
        assert!(lines.iter().any(is_told), "{columns}: {name} is not shown\n{}", lines.join("\n"));
    }
    // Each drawing is taken away before the next line, and the last line is none of them.
    let last = lines.last().unwrap();
    assert!(!last.contains('█') && !last.contains('░') && sent.ends_with('\n'), "{columns}: {last:?}");
}

fn empty() -> Grafana {
    Builder::default().version(Version::V11_2).ids_from(900).start()
}

#[test]
fn no_line_of_the_progress_is_wider_than_the_terminal_and_each_names_what_it_is_at() {
    if !installed("script") {
        return missing("script");
    }
    let here = Builder::default().version(Version::V11_2).start();
    here.seed().dashboards(DASHBOARDS, None);
    for columns in [80, 40] {
        let there = empty();
        let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
        let exported = on_terminal(&keeper, columns, &format!("run-now {JOB}"));
        assert_fits(&exported, columns, &["Bulk"]);
        let restored = on_terminal(&keeper, columns, &format!("restore {JOB} --grafana other --yes"));
        assert_fits(&restored, columns, &["bulk-", "Bulk"]);
    }
}
