//! Rule files: where one belongs, what is in it, and what promtool lets pass although it is a mistake.

use std::collections::BTreeMap;

use globset::GlobBuilder;

use super::yaml::{Document, Node, What, YamlError};
use crate::prometheus::client::RuleGroup;
use crate::prometheus::folder::absolute;

/// What rules are told apart by: the alert's name, or that of what is recorded, and the labels.
type Identity = (String, BTreeMap<String, String>);

/// A file of rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RuleFile {
    pub(super) groups: Vec<Group>,
}

/// A group of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) rules: Vec<Identity>,
}

impl RuleFile {
    pub(super) fn of(text: &str) -> Result<Self, YamlError> {
        let document = Document::read(text)?;
        let text = |map: &Node, key: &str| document.get(map, key)?.text().map(str::to_owned);
        let rule = |node: &Node| {
            let name = text(node, "alert").or_else(|| text(node, "record"))?;
            let labels = match document.get(node, "labels").map(|labels| &labels.what) {
                Some(What::Map(pairs)) => {
                    let pair = |(key, value): &(Node, Node)| {
                        Some((key.text()?.to_owned(), document.real(value).text()?.to_owned()))
                    };
                    pairs.iter().filter_map(pair).collect()
                }
                _ => BTreeMap::new(),
            };
            Some((name, labels))
        };
        let group = |node: &Node| {
            let rules = document.elements(document.get(node, "rules")).iter().filter_map(rule).collect();
            Some(Group { name: text(node, "name")?, rules })
        };
        let groups = document.elements(document.get(&document.root, "groups"));
        Ok(Self { groups: groups.iter().filter_map(group).collect() })
    }

    /// What is in it twice, or is in another file that the server has loaded, each in words.
    pub(super) fn duplicates(&self, own: &str, loaded: &[RuleGroup]) -> Vec<String> {
        let mut found = Vec::new();
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for group in &self.groups {
            *names.entry(&group.name).or_default() += 1;
        }
        let twice = names.iter().filter(|(_, times)| **times > 1);
        found.extend(twice.map(|(name, times)| format!("the group {name:?} is in it {times} times")));
        let mut seen: BTreeMap<&Identity, &str> = BTreeMap::new();
        for group in &self.groups {
            for rule in &group.rules {
                if let Some(before) = seen.insert(rule, &group.name) {
                    found.push(format!("{} is in the groups {before:?} and {:?}", named(rule), group.name));
                }
            }
        }
        for other in loaded.iter().filter(|other| other.file != own) {
            for rule in &other.rules {
                let identity = (rule.name.clone(), rule.labels.clone());
                if seen.contains_key(&identity) {
                    found.push(format!(
                        "{} is in {}, too (group {:?})",
                        named(&identity),
                        other.file,
                        other.name
                    ));
                }
            }
        }
        found
    }

    /// So many rules.
    pub(super) fn count(&self) -> usize {
        self.groups.iter().map(|group| group.rules.len()).sum()
    }

    /// Where the server has something else loaded than this, in words.
    pub(super) fn lacks(&self, own: &str, loaded: &[RuleGroup]) -> Option<String> {
        let there: Vec<&RuleGroup> = loaded.iter().filter(|group| group.file == own).collect();
        for group in &self.groups {
            let Some(found) = there.iter().find(|there| there.name == group.name) else {
                return Some(format!("it has no group {:?} of {own}", group.name));
            };
            let names = |rules: Vec<&str>| rules.join(", ");
            let wanted = names(group.rules.iter().map(|(name, _)| name.as_str()).collect());
            let loaded = names(found.rules.iter().map(|rule| rule.name.as_str()).collect());
            if wanted != loaded {
                return Some(format!(
                    "the group {:?} of {own} has the rules {loaded}, and not {wanted}",
                    group.name
                ));
            }
        }
        (there.len() != self.groups.len())
            .then(|| format!("it has {} groups of {own}, and not {}", there.len(), self.groups.len()))
    }
}

/// `alert A {severity="page"}`
fn named((name, labels): &Identity) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    if labels.is_empty() { name.clone() } else { format!("{name}{{{}}}", labels.join(", ")) }
}

/// The path that a file of this name gets, as the server sees it: in the folder of the first of `rule_files` that would
/// load it there, where one is already by this name before others. `folder` is that of the configuration.
pub(super) fn destinations(patterns: &[String], folder: &str, name: &str) -> Vec<String> {
    let place = |pattern: &String| {
        let pattern = joined(folder, pattern)?;
        let (above, last) = pattern.rsplit_once('/')?;
        // Into which of many folders cannot be told.
        let is_plain = !above.contains(['*', '?', '[']);
        (is_plain && fits(last, name)).then(|| format!("{above}/{name}"))
    };
    patterns.iter().filter_map(place).collect()
}

/// Whether one of the patterns would have the server load this path.
pub(super) fn is_covered(patterns: &[String], folder: &str, path: &str) -> bool {
    patterns.iter().filter_map(|pattern| joined(folder, pattern)).any(|pattern| fits(&pattern, path))
}

/// A pattern as the server reads it: from the folder of its configuration on, without `.` and `..`.
fn joined(folder: &str, pattern: &str) -> Option<String> {
    absolute(pattern, Some(folder))
}

/// As Go's `filepath.Match`: a star does not match a slash, two are no more than one, and braces mean nothing.
fn fits(pattern: &str, name: &str) -> bool {
    let mut pattern = pattern.to_owned();
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    let literal: String =
        pattern.chars().flat_map(|c| if matches!(c, '{' | '}') { vec!['\\', c] } else { vec![c] }).collect();
    let glob = GlobBuilder::new(&literal).literal_separator(true).backslash_escape(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::client::Rule;

    const FILE: &str = "groups:\n- name: a\n  rules:\n  - {alert: X, expr: up, labels: {severity: page}}\n  - {record: r, expr: up}\n";

    fn loaded(file: &str, name: &str, rules: &[(&str, &[(&str, &str)])]) -> RuleGroup {
        let rule = |(name, labels): &(&str, &[(&str, &str)])| Rule {
            name: (*name).to_owned(),
            labels: labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            ..Rule::default()
        };
        RuleGroup { name: name.to_owned(), file: file.to_owned(), rules: rules.iter().map(rule).collect() }
    }

    #[test]
    fn what_is_twice_is_found_in_the_file_and_beyond_it() {
        let file = RuleFile::of(FILE).unwrap();
        assert_eq!((file.count(), file.duplicates("/a", &[])), (2, vec![]));
        let twice = RuleFile::of(&format!("{FILE}{}", &FILE["groups:\n".len()..])).unwrap();
        let found = twice.duplicates("/a", &[]).join("\n");
        assert!(
            found.contains("group \"a\" is in it 2 times") && found.contains("X{severity=\"page\"}"),
            "{found}"
        );
        let page: &[(&str, &str)] = &[("severity", "page")];
        assert_eq!(file.duplicates("/a", &[loaded("/a", "a", &[("X", page)])]), Vec::<String>::new());
        assert_eq!(file.duplicates("/a", &[loaded("/b", "b", &[("X", &[])])]), Vec::<String>::new());
        assert!(file.duplicates("/a", &[loaded("/b", "b", &[("X", page)])])[0].contains("/b, too"));
    }

    #[test]
    fn what_the_server_has_loaded_is_compared_by_names() {
        let file = RuleFile::of(FILE).unwrap();
        assert_eq!(file.lacks("/a", &[loaded("/a", "a", &[("X", &[]), ("r", &[])])]), None);
        assert!(file.lacks("/a", &[loaded("/b", "a", &[("X", &[]), ("r", &[])])]).is_some());
        assert!(file.lacks("/a", &[loaded("/a", "a", &[("X", &[])])]).unwrap().contains("not X, r"));
    }

    #[test]
    fn a_file_goes_where_a_pattern_would_load_it() {
        let patterns =
            ["rules/*.yml", "/srv/a?.yaml", "one.yml", "*/x.yml", "./../rules/d*.yaml"].map(str::to_owned);
        let to = |name: &str| destinations(&patterns, "/etc/prometheus", name);
        assert_eq!(to("x.yml"), ["/etc/prometheus/rules/x.yml"]);
        assert_eq!(to("ab.yaml"), ["/srv/ab.yaml"]);
        assert_eq!(to("dots.yaml"), ["/etc/rules/dots.yaml"]);
        assert_eq!(to("one.yml"), ["/etc/prometheus/rules/one.yml", "/etc/prometheus/one.yml"]);
        assert!(to("x.rules").is_empty());
        let covered = |path: &str| is_covered(&patterns, "/etc/prometheus", path);
        assert!(covered("/etc/prometheus/rules/x.yml") && !covered("/etc/prometheus/rules/x.yml.bak"));
        assert!(!covered("/etc/prometheus/rules/deep/x.yml") && covered("/etc/rules/dots.yaml"));
    }
}
