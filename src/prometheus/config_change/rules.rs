//! Rule files: what is in them, what the server has loaded instead, and what promtool lets pass although it is a mistake.

mod patterns;

use std::collections::BTreeMap;

pub(super) use patterns::{destinations, fits, folders, is_covered};

use super::interval::Interval;
use super::yaml::{Document, Node, What, YamlError};
use crate::prometheus::client::{Rule, RuleGroup};

/// Of what is compared by its values alone.
type Pairs = BTreeMap<String, String>;
/// What rules are told apart by: the alert's name, or that of what is recorded, and the labels.
type Identity = (String, Pairs);

/// A file of rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RuleFile {
    pub(super) groups: Vec<Group>,
}

/// A group of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) rules: Vec<Written>,
    interval: Option<Interval>,
    limit: Option<u64>,
}

/// A rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    name: String,
    labels: Pairs,
    expression: String,
    waits: Option<Interval>,
    keeps_firing: Option<Interval>,
    annotations: Pairs,
}

/// An expression of a file, and what the server has in its place, which may be the same in its own writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// Of which rule.
    pub(super) rule: String,
    pub(super) written: String,
    pub(super) loaded: String,
}

impl RuleFile {
    pub(super) fn of(text: &str) -> Result<Self, YamlError> {
        let document = Document::read(text)?;
        let groups = document.elements(document.get(&document.root, "groups"));
        Ok(Self { groups: groups.iter().filter_map(|node| Group::of(&document, node)).collect() })
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
        let mut seen: BTreeMap<Identity, &str> = BTreeMap::new();
        for group in &self.groups {
            for rule in &group.rules {
                let identity = (rule.name.clone(), rule.labels.clone());
                if let Some(before) = seen.insert(identity.clone(), &group.name) {
                    let twice = named(&identity);
                    found.push(format!("{twice} is in the groups {before:?} and {:?}", group.name));
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

    /// Where the server has something else loaded than this, in words; else the expressions that it writes in another way.
    pub(super) fn compare(&self, own: &str, loaded: &[RuleGroup]) -> Result<Vec<Rewritten>, String> {
        let there: Vec<&RuleGroup> = loaded.iter().filter(|group| group.file == own).collect();
        let mut rewritten = Vec::new();
        for group in &self.groups {
            let found = there.iter().find(|there| there.name == group.name);
            let found = found.ok_or_else(|| format!("it has no group {:?} of {own}", group.name))?;
            let lacks = |what: String| format!("the group {:?} of {own} has {what}", group.name);
            rewritten.extend(group.compare(found).map_err(lacks)?);
        }
        if there.len() != self.groups.len() {
            return Err(format!("it has {} groups of {own}, and not {}", there.len(), self.groups.len()));
        }
        Ok(rewritten)
    }
}

impl Group {
    fn of(document: &Document, node: &Node) -> Option<Self> {
        let text = |key: &str| document.get(node, key)?.text();
        let common = pairs(document, document.get(node, "labels"));
        let rules = document.elements(document.get(node, "rules")).iter();
        Some(Self {
            name: text("name")?.to_owned(),
            rules: rules.filter_map(|rule| Written::of(document, rule, &common)).collect(),
            interval: text("interval")
                .and_then(|text| text.parse().ok())
                .filter(|at: &Interval| !at.is_zero()),
            limit: text("limit").and_then(|text| text.parse().ok()),
        })
    }

    /// What the server has in its place, in words; else the expressions that it writes in another way.
    fn compare(&self, loaded: &RuleGroup) -> Result<Vec<Rewritten>, String> {
        let names = |rules: Vec<&str>| rules.join(", ");
        let wanted = names(self.rules.iter().map(|rule| rule.name.as_str()).collect());
        let there = names(loaded.rules.iter().map(|rule| rule.name.as_str()).collect());
        if wanted != there {
            return Err(format!("the rules {there}, and not {wanted}"));
        }
        if let Some(interval) = &self.interval
            && interval.millis() != millis(loaded.interval)
        {
            return Err(format!("the interval {} s, and not {interval}", loaded.interval));
        }
        if let Some(limit) = self.limit
            && limit != loaded.limit
        {
            return Err(format!("the limit {}, and not {limit}", loaded.limit));
        }
        let mut rewritten = Vec::new();
        for (rule, there) in self.rules.iter().zip(&loaded.rules) {
            rewritten.extend(rule.compare(there).map_err(|what| format!("{what} of {}", rule.name))?);
        }
        Ok(rewritten)
    }
}

impl Written {
    fn of(document: &Document, node: &Node, common: &Pairs) -> Option<Self> {
        let text = |key: &str| document.get(node, key)?.text().map(str::to_owned);
        let length = |key: &str| text(key)?.parse().ok();
        let mut labels = common.clone();
        labels.extend(pairs(document, document.get(node, "labels")));
        // To Prometheus one that is empty is none.
        labels.retain(|_, value| !value.is_empty());
        Some(Self {
            name: text("alert").or_else(|| text("record"))?,
            labels,
            expression: text("expr").unwrap_or_default(),
            waits: length("for"),
            keeps_firing: length("keep_firing_for"),
            annotations: pairs(document, document.get(node, "annotations")),
        })
    }

    /// What the server has in its place, in words; else its expression, where it is written in another way.
    fn compare(&self, loaded: &Rule) -> Result<Option<Rewritten>, String> {
        let differs = |key: &str, wanted: Option<&Interval>, seconds: f64| {
            let millis = millis(seconds);
            (wanted.map_or(0, Interval::millis) != millis).then(|| format!("another `{key}`"))
        };
        let length = differs("for", self.waits.as_ref(), loaded.duration)
            .or_else(|| differs("keep_firing_for", self.keeps_firing.as_ref(), loaded.keep_firing_for));
        if let Some(what) = length {
            return Err(what);
        }
        if self.labels != loaded.labels {
            return Err("other labels".to_owned());
        }
        if self.annotations != loaded.annotations {
            return Err("other annotations".to_owned());
        }
        Ok((dense(&self.expression) != dense(&loaded.query)).then(|| Rewritten {
            rule: self.name.clone(),
            written: self.expression.clone(),
            loaded: loaded.query.clone(),
        }))
    }
}

/// The pairs of a map of texts.
fn pairs(document: &Document, map: Option<&Node>) -> Pairs {
    let pair = |(key, value): &(Node, Node)| {
        let value = document.real(value);
        let text = if value.is_null() { "" } else { value.text()? };
        Some((key.text()?.to_owned(), text.to_owned()))
    };
    match map.map(|map| &map.what) {
        Some(What::Map(pairs)) => pairs.iter().filter_map(pair).collect(),
        _ => Pairs::new(),
    }
}

/// An expression without the spaces between its words.
fn dense(expression: &str) -> String {
    let mut quote = None;
    let mut escaped = false;
    let mut kept = String::new();
    for c in expression.chars() {
        match quote {
            None if c.is_whitespace() => continue,
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            Some(end) if c == end && !escaped => quote = None,
            _ => {}
        }
        escaped = quote.is_some_and(|quote| quote != '`') && c == '\\' && !escaped;
        kept.push(c);
    }
    kept
}

/// Of seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no length of time is so long, or negative"
)]
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

/// `A{severity="page"}`
fn named((name, labels): &Identity) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    if labels.is_empty() { name.clone() } else { format!("{name}{{{}}}", labels.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "groups:\n- name: a\n  interval: 1m\n  rules:\n  - alert: X\n    expr: up  ==0\n    for: 5m\n    \
                        labels: {severity: page, none: ''}\n    annotations: {summary: \"a b\"}\n  - {record: r, expr: 'up{a=\"b c\"}'}\n";

    fn rule(name: &str, query: &str) -> Rule {
        Rule { name: name.to_owned(), query: query.to_owned(), ..Rule::default() }
    }

    fn one(key: &str, value: &str) -> Pairs {
        Pairs::from([(key.to_owned(), value.to_owned())])
    }

    /// What a server says of `FILE`.
    fn loaded(file: &str) -> RuleGroup {
        let (labels, annotations) = (one("severity", "page"), one("summary", "a b"));
        let alert = Rule { duration: 300.0, labels, annotations, ..rule("X", "up == 0") };
        let rules = vec![alert, rule("r", "up{a=\"b c\"}")];
        RuleGroup { name: "a".to_owned(), file: file.to_owned(), rules, interval: 60.0, limit: 0 }
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
        assert_eq!(file.duplicates("/a", &[loaded("/a")]), Vec::<String>::new());
        let other = RuleGroup { rules: vec![rule("X", "")], ..loaded("/b") };
        assert_eq!(file.duplicates("/a", &[other]), Vec::<String>::new());
        assert!(file.duplicates("/a", &[loaded("/b")])[0].contains("/b, too"));
    }

    #[test]
    fn what_the_server_has_loaded_is_compared_as_a_whole() {
        let file = RuleFile::of(FILE).unwrap();
        let compare = |change: fn(&mut RuleGroup)| {
            let mut group = loaded("/a");
            change(&mut group);
            file.compare("/a", &[group])
        };
        assert_eq!(compare(|_| ()), Ok(vec![]));
        for (change, what) in [
            ((|group| group.file = "/b".to_owned()) as fn(&mut RuleGroup), "no group"),
            (|group| drop(group.rules.pop()), "not X, r"),
            (|group| group.interval = 30.0, "interval 30 s"),
            (|group| group.rules[0].duration = 60.0, "another `for`"),
            (|group| group.rules[0].keep_firing_for = 60.0, "keep_firing_for"),
            (|group| group.rules[0].labels.clear(), "other labels"),
            (|group| group.rules[0].annotations.clear(), "other annotations"),
        ] {
            let told = compare(change).unwrap_err();
            assert!(told.contains(what), "{told}");
        }
        // Whether it is the same in another writing, only the server can say.
        let other = compare(|group| group.rules[1].query = "up{a=\"bc\"}".to_owned()).unwrap();
        assert_eq!((other[0].rule.as_str(), other[0].loaded.as_str()), ("r", "up{a=\"bc\"}"));
    }

    #[test]
    fn labels_of_a_group_are_those_of_its_rules() {
        let text = "groups:\n- name: a\n  labels: {team: x, severity: info}\n  rules:\n  - {alert: X, expr: up, labels: {severity: page}}\n";
        let file = RuleFile::of(text).unwrap();
        let labels =
            Pairs::from([("team", "x"), ("severity", "page")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(file.groups[0].rules[0].labels, labels);
    }
}
