//! Walks a parsed file and collects everything that is wrong with it.
//!
//! A getter that finds something wrong reports it and gives `None`, and its caller goes on reading the other keys:
//! that is how one look at the file reports all its problems. Nothing that was built on a `None` is ever used,
//! because a report with problems ends in an error.

use std::cell::RefCell;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration;
use super::problem::Problem;
use super::values::Name;

type Value<'i> = Spanned<DeValue<'i>>;

/// So many problems of a file are told; whoever made more has to start anew.
const MOST_PROBLEMS: usize = 500;

/// What was found in a file so far.
pub(super) struct Report<'t> {
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, problems: RefCell::default(), warnings: RefCell::default() }
    }

    pub(super) fn error(&self, span: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.note(&self.problems, span, message, hint);
    }

    /// As [`Self::error`], but the line is shown only up to the span: what follows may be a secret.
    pub(super) fn error_hiding(&self, span: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.problems.borrow_mut().push(Problem::at(self.text, span, message, hint).cut());
    }

    pub(super) fn warn(&self, span: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.note(&self.warnings, span, message, hint);
    }

    /// Finding the line of a problem reads the text from its start: of more than anybody reads, that is not done.
    fn note(
        &self,
        list: &RefCell<Vec<Problem>>,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let mut list = list.borrow_mut();
        if list.len() < MOST_PROBLEMS {
            list.push(Problem::at(self.text, span, message, hint));
        }
    }

    /// The problems and the warnings, each in the order of the file.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        let sorted = |list: RefCell<Vec<Problem>>| {
            let mut list = list.into_inner();
            list.sort_by_key(|problem| (problem.line, problem.column));
            list
        };
        (sorted(self.problems), sorted(self.warnings))
    }
}

/// A table of the file.
pub(super) struct Section<'a, 't> {
    pub(super) report: &'a Report<'t>,
    /// Where the table, or its header, is.
    pub(super) span: Range<usize>,
    /// The table in messages: `[prometheus.main]`, `job "nightly"`.
    pub(super) name: String,
    table: &'a DeTable<'t>,
    known: Vec<&'static str>,
    holds_a_secret: bool,
}

impl<'a, 't> Section<'a, 't> {
    pub(super) fn new(
        report: &'a Report<'t>,
        table: &'a DeTable<'t>,
        span: Range<usize>,
        name: String,
    ) -> Self {
        Self { report, span, name, table, known: Vec::new(), holds_a_secret: false }
    }

    /// Lines of this table are shown only up to what is wrong: the rest may be a secret.
    pub(super) fn hide_values(mut self) -> Self {
        self.holds_a_secret = true;
        self
    }

    /// The value of a key; asking makes the key a known one.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Item<'a, 't>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let value = self.table.get(key)?;
        Some(Item { report: self.report, what: format!("\"{key}\""), value })
    }

    /// As [`Self::get`], but a missing key is a problem.
    pub(super) fn require(&mut self, key: &'static str, example: &str) -> Option<Item<'a, 't>> {
        let found = self.get(key);
        if found.is_none() {
            self.error(format!("{} has no \"{key}\"", self.name), Some(format!("add {key} = {example}")));
        }
        found
    }

    /// Whether the key is there, without knowing it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where a key is, or the table if it is not there.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.table.get_key_value(key).map_or_else(|| self.span.clone(), |(key, _)| key.span())
    }

    /// A problem of the table as a whole.
    pub(super) fn error(&self, message: impl Into<String>, hint: Option<String>) {
        self.report.error(&self.span, message, hint);
    }

    /// All entries of a table whose keys are free, such as the names of targets.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Range<usize>, Item<'a, 't>)> {
        let report = self.report;
        self.table.iter().map(move |(key, value)| {
            let item = Item { report, what: format!("{:?}", key.get_ref()), value };
            (key.get_ref().as_ref(), key.span(), item)
        })
    }

    /// Reports every key nobody asked for. `later` are keys of the design that come with a later version.
    pub(super) fn finish(self, later: &[&str]) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let hint = if later.contains(&name) {
                "not in this version yet".to_owned()
            } else {
                match nearest(name, self.known.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known here: {}", self.known.join(", ")),
                }
            };
            let problem =
                Problem::at(self.report.text, &key.span(), format!("unknown key {name:?}"), Some(hint));
            let problem = if self.holds_a_secret { problem.cut() } else { problem };
            self.report.problems.borrow_mut().push(problem);
        }
    }
}

/// A value of the file.
pub(super) struct Item<'a, 't> {
    pub(super) report: &'a Report<'t>,
    /// The value in messages: its key in quotes.
    pub(super) what: String,
    value: &'a Value<'t>,
}

impl<'a, 't> Item<'a, 't> {
    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// Reports that the value is wrong.
    pub(super) fn error(&self, message: impl Into<String>, hint: Option<String>) {
        self.report.error(&self.span(), message, hint);
    }

    /// Reports that the value is wrong, and does not show it.
    pub(super) fn error_hiding(&self, message: impl Into<String>, hint: Option<String>) {
        let start = self.span().start;
        self.report.error_hiding(&(start..start), message, hint);
    }

    pub(super) fn warn(&self, message: impl Into<String>, hint: Option<String>) {
        self.report.warn(&self.span(), message, hint);
    }

    fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        let article = match self.value.get_ref() {
            DeValue::Integer(_) | DeValue::Array(_) => "an",
            _ => "a",
        };
        self.error(format!("{} must be {wanted}, not {article} {}", self.what, self.type_name()), None);
        None
    }

    fn type_name(&self) -> &'static str {
        self.value.get_ref().type_str()
    }

    /// Whether the value is a single one, as opposed to a table or an array.
    pub(super) fn is_plain(&self) -> bool {
        !self.is_table() && !self.value.get_ref().is_array()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// The keys of a table; nothing is reported where it is none.
    pub(super) fn keys(&self) -> Option<Vec<String>> {
        let table = self.value.get_ref().as_table()?;
        Some(table.iter().map(|(key, _)| key.get_ref().to_string()).collect())
    }

    /// A text that may be empty.
    pub(super) fn any_text(&self) -> Option<&'a str> {
        self.value.get_ref().as_str().or_else(|| self.wrong_type("a string"))
    }

    /// A text that is not empty; `wanted` names it for a message.
    fn text_as(&self, wanted: &str) -> Option<&'a str> {
        let Some(text) = self.value.get_ref().as_str() else {
            return self.wrong_type(wanted);
        };
        if text.trim().is_empty() {
            self.error(format!("{} is empty", self.what), None);
            return None;
        }
        Some(text)
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.text_as("a string")
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.value.get_ref().as_bool().or_else(|| self.wrong_type("true or false"))
    }

    /// A whole number within `limits`.
    pub(super) fn number(&self, limits: Range<u32>) -> Option<u32> {
        let last = limits.end - 1;
        let wanted = format!("a whole number from {} to {last}", limits.start);
        let Some(integer) = self.value.get_ref().as_integer() else {
            return self.wrong_type(&wanted);
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| limits.contains(number));
        if number.is_none() {
            self.error(format!("{} must be {wanted}", self.what), None);
        }
        number
    }

    /// A number of bytes: `"16MiB"`, or `"0"`.
    pub(super) fn bytes(&self) -> Option<u64> {
        let text = self.text()?;
        let bytes = if text == "0" { Some(0) } else { bytes(text) };
        if bytes.is_none() {
            let hint = "such as \"16MiB\" or \"1GiB\"; \"0\" for none".to_owned();
            self.error(format!("{} is no size: {text:?}", self.what), Some(hint));
        }
        bytes
    }

    /// A finite number, with or without a fraction.
    pub(super) fn float(&self) -> Option<f64> {
        let text = match self.value.get_ref() {
            DeValue::Integer(number) => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return self.wrong_type("a number"),
        };
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        if number.is_none() {
            self.error(format!("{} must be a number", self.what), None);
        }
        number
    }

    /// A single value, as JSON has it.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text.as_ref().into()),
            DeValue::Boolean(yes) => Some((*yes).into()),
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
                number.map(Into::into).or_else(|| self.wrong_type("a number of 64 bits"))
            }
            DeValue::Float(_) => self.float().map(Into::into),
            _ => self.wrong_type("a string, a number, true or false"),
        }
    }

    /// Of an array of tables: the text of `key` in each, and whether it has `other` too. Nothing is reported.
    pub(super) fn texts_of_all(&self, key: &str, other: &str) -> Vec<(String, bool)> {
        let tables = self.value.get_ref().as_array().into_iter().flat_map(|array| array.iter());
        let text = |value: &Value<'_>| {
            let table = value.get_ref().as_table()?;
            Some((table.get(key)?.get_ref().as_str()?.to_owned(), table.contains_key(other)))
        };
        tables.filter_map(text).collect()
    }

    /// Of an array of tables: the texts of some keys in each. Nothing is reported.
    pub(super) fn rows<const N: usize>(&self, keys: [&str; N]) -> Vec<[Option<String>; N]> {
        let tables = self.value.get_ref().as_array().into_iter().flat_map(|array| array.iter());
        let tables = tables.filter_map(|value| value.get_ref().as_table());
        tables.map(|table| keys.map(|key| table.get(key)?.get_ref().as_str().map(str::to_owned))).collect()
    }

    /// Whether the value is true or false.
    pub(super) fn is_boolean(&self) -> bool {
        self.value.get_ref().is_bool()
    }

    /// A length of time.
    pub(super) fn duration(&self) -> Option<Duration> {
        let text = self.text_as("a length of time such as \"90s\", \"1h\" or \"14d\"")?;
        let parsed = duration::parse(text);
        parsed
            .inspect_err(|error| {
                self.error(
                    format!("{} is not a length of time: {text:?}", self.what),
                    Some(error.to_string()),
                );
            })
            .ok()
    }

    /// A length of time that is more than none.
    pub(super) fn some_duration(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            self.error(format!("{} must be more than 0", self.what), None);
            return None;
        }
        Some(duration)
    }

    /// A path that means the same from every folder.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let path = PathBuf::from(self.text_as("a path")?);
        if !path.is_absolute() {
            self.error(format!("{} must be an absolute path", self.what), Some("start it with /".to_owned()));
            return None;
        }
        if path.components().any(|part| part == std::path::Component::ParentDir) {
            self.error(format!("{} must not have \"..\" in it", self.what), None);
            return None;
        }
        Some(path)
    }

    pub(super) fn name(&self) -> Option<Name> {
        read_name(self.report, &self.span(), self.text_as("a name")?)
    }

    /// A table, named `name` in messages.
    pub(super) fn section(&self, name: String) -> Option<Section<'a, 't>> {
        let Some(table) = self.value.get_ref().as_table() else {
            return self.wrong_type("a table");
        };
        Some(Section::new(self.report, table, self.span(), name))
    }

    /// The elements of an array, each called like the array in messages.
    pub(super) fn elements(&self, wanted: &str) -> Option<Vec<Item<'a, 't>>> {
        let Some(array) = self.value.get_ref().as_array() else {
            return self.wrong_type(wanted);
        };
        let item = |value| Item { report: self.report, what: format!("each of {}", self.what), value };
        Some(array.iter().map(item).collect())
    }
}

/// Reads a name, which is also a folder and a label.
pub(super) fn read_name(report: &Report<'_>, span: &Range<usize>, text: &str) -> Option<Name> {
    let name = Name::from_str(text);
    let lower = text.to_lowercase().replace(['_', ' ', '.'], "-");
    let better = Name::from_str(&lower).ok().map(|name| format!("write \"{name}\""));
    name.inspect_err(|error| report.error(span, error.to_string(), better)).ok()
}

/// The most similar of `known`, if it is similar enough to have been meant.
pub(super) fn nearest<'k>(text: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let lower = text.to_lowercase();
    let rated = known.filter_map(|known| {
        let other = known.to_lowercase();
        let distance = strsim::damerau_levenshtein(&lower, &other);
        let continues = lower.len() >= 3 && (other.starts_with(&lower) || lower.starts_with(&other));
        let allowed = (other.chars().count() / 3).clamp(1, 3);
        (distance <= allowed || continues).then_some((distance, known))
    });
    rated.min().map(|(_, known)| known)
}

/// So many bytes, at least one: `500MiB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)].into_iter().find_map(|(unit, shift)| {
        let number: u32 = text.strip_suffix(unit)?.trim().parse().ok()?;
        (number > 0).then_some(u64::from(number) << shift)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_only_when_it_may_have_been_meant() {
        let known = ["schedule", "name", "keep", "url", "verify_within"];
        let cases = [
            ("shedule", Some("schedule")),
            ("Schedule", Some("schedule")),
            ("nmae", Some("name")),
            ("kepe", Some("keep")),
            ("uri", Some("url")),
            ("verify", Some("verify_within")),
            ("colour", None),
            ("x", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(nearest(text, known.into_iter()), wanted, "{text}");
        }
    }
}
