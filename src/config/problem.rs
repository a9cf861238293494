//! What is wrong with a file, where, and what to do about it.
//!
//! The offending line is shown to whoever reads the message, and messages end up in logs. So a line is shown
//! only with its secrets masked, also where the file cannot be parsed at all.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Lines longer than this are shown in part.
const SHOWN: usize = 160;

/// One thing that is wrong (or, as a warning, doubtful) in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// The character in the line, from 1; 0 where the whole file is meant.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line itself, with secrets masked.
    pub source_line: String,
    /// Where in `source_line` the offending text is, in characters.
    #[serde(skip)]
    pub caret: Range<usize>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of the whole file.
    pub(super) fn of_file(message: impl Into<String>, hint: Option<String>) -> Self {
        let message = message.into();
        Self { line: 0, column: 0, message, source_line: String::new(), caret: 0..0, hint }
    }

    /// A problem of the bytes `span` of `text`.
    pub(super) fn at(
        text: &str,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor(text, span.end).clamp(start, line_end);
        let before = text[line_start..start].chars().count();
        let length = text[start..end].trim_end().chars().count().max(1);
        let (source_line, caret) = window(&mask(&text[line_start..line_end]), before..before + length);
        Self {
            line: text[..start].matches('\n').count() + 1,
            column: before + 1,
            message: message.into(),
            source_line,
            caret,
            hint,
        }
    }

    /// Shows nothing of the line after the offending text: what follows may be a secret.
    pub(super) fn cut(mut self) -> Self {
        if self.source_line.chars().count() > self.caret.end {
            self.source_line = self.source_line.chars().take(self.caret.end).chain(" …".chars()).collect();
        }
        self
    }

    /// The problem as shown to a person, naming the file as `path`.
    pub fn show<'a>(&'a self, path: &'a Path) -> impl fmt::Display + 'a {
        Shown { problem: self, path }
    }
}

struct Shown<'a> {
    problem: &'a Problem,
    path: &'a Path,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { line, column, message, source_line, caret, hint } = self.problem;
        let path = self.path.display();
        if *line == 0 {
            write!(f, "{path}: {message}")?;
            return hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n      = {hint}"));
        }
        writeln!(f, "{path}:{line}:{column}: {message}")?;
        writeln!(f, "{line:5} | {source_line}")?;
        write!(f, "      | {:indent$}{}", "", "^".repeat(caret.len()), indent = caret.start)?;
        hint.as_ref().map_or(Ok(()), |hint| write!(f, " {hint}"))
    }
}

/// Everything that is wrong with a configuration file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigErrors {
    /// The file, as it was named.
    #[serde(rename = "config")]
    pub path: PathBuf,
    /// Its problems; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", problem.show(&self.path))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The part of a line around `caret`, without characters that would confuse a terminal.
fn window(line: &str, caret: Range<usize>) -> (String, Range<usize>) {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if line.chars().count() <= SHOWN {
        return (line.chars().map(clean).collect::<String>().trim_end().to_owned(), caret);
    }
    let skipped = caret.start.saturating_sub(SHOWN / 2);
    let part = line.chars().skip(skipped).take(SHOWN).map(clean).collect();
    (part, caret.start - skipped..(caret.end - skipped).min(SHOWN))
}

/// The line with every secret in it as asterisks, one for each character, so that columns stay.
fn mask(line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    mask_user_information(&mut chars);
    let mut at = 0;
    while let Some(equals) = chars[at..].iter().position(|c| *c == '=').map(|found| at + found) {
        at = equals + 1;
        let key = key_before(&chars, equals);
        if is_secret_key(&key) {
            mask_value(&mut chars, at);
        } else if key.ends_with("url") {
            mask_before_at(&mut chars, at);
        }
    }
    chars.into_iter().collect()
}

/// `scheme://user:password@host`
fn mask_user_information(chars: &mut [char]) {
    let mut at = 0;
    while at + 3 <= chars.len() {
        if chars[at..at + 3] != [':', '/', '/'] {
            at += 1;
            continue;
        }
        at += 3;
        let end = chars[at..].iter().position(|c| matches!(c, '/' | '"' | '\'' | '?' | '#' | ' '));
        let end = end.map_or(chars.len(), |found| at + found);
        if let Some(sign) = chars[at..end].iter().rposition(|c| *c == '@') {
            chars[at..at + sign].fill('*');
        }
    }
}

/// `"user:password@host"`, a URL without its scheme.
fn mask_before_at(chars: &mut [char], from: usize) {
    let is_open = |c: &char| matches!(c, '"' | '\'');
    let Some(start) = chars[from..].iter().position(is_open).map(|found| from + found) else { return };
    let end = string_end(chars, start);
    let scheme = chars[start..end].windows(3).position(|part| part == [':', '/', '/']);
    let start = scheme.map_or(start + 1, |found| start + found + 3);
    if let Some(sign) = chars[start..end].iter().rposition(|c| *c == '@') {
        chars[start..start + sign].fill('*');
    }
}

/// The last part of the key that ends before the `=` at `equals`.
fn key_before(chars: &[char], equals: usize) -> String {
    let end = chars[..equals].iter().rposition(|c| !c.is_whitespace() && !matches!(c, '"' | '\''));
    let key = end.map_or(&[][..], |end| &chars[..=end]);
    let is_part = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let start = key.iter().rposition(|c| !is_part(c)).map_or(0, |at| at + 1);
    key[start..].iter().collect::<String>().to_lowercase()
}

fn is_secret_key(key: &str) -> bool {
    let words = ["pass", "pwd", "token", "secret", "plain"];
    words.iter().any(|word| key.contains(word))
        || ["password", "token", "plain"].iter().any(|known| strsim::damerau_levenshtein(key, known) <= 2)
}

/// Masks the value that starts at `from`: a string, a bare word, or all strings of a table or array but those
/// that only say where the secret is.
fn mask_value(chars: &mut [char], from: usize) {
    let Some(start) = chars[from..].iter().position(|c| !c.is_whitespace()).map(|found| from + found) else {
        return;
    };
    match chars[start] {
        '"' | '\'' => drop(mask_string(chars, start)),
        '{' | '[' => mask_strings(chars, start),
        _ => {
            let end = chars[start..].iter().position(|c| matches!(c, ',' | '}' | '#'));
            let end = end.map_or(chars.len(), |found| start + found);
            chars[start..end].iter_mut().filter(|c| !c.is_whitespace()).for_each(|c| *c = '*');
        }
    }
}

fn mask_strings(chars: &mut [char], from: usize) {
    let mut at = from;
    while let Some(start) = chars[at..].iter().position(|c| matches!(c, '"' | '\'')).map(|found| at + found) {
        let before: String = chars[from..start].iter().filter(|c| !c.is_whitespace()).collect();
        let only_says_where = ["env=", "file=", "credential="].iter().any(|key| before.ends_with(key));
        at = if only_says_where { string_end(chars, start) } else { mask_string(chars, start) };
    }
}

/// Masks the string whose opening quote is at `start`, and says where it ends.
fn mask_string(chars: &mut [char], start: usize) -> usize {
    let end = string_end(chars, start);
    let inside = (start + 1).min(end)..end.saturating_sub(1).max(start + 1).min(end);
    chars[inside].fill('*');
    let is_closed = end > start + 1 && chars[end - 1] == chars[start];
    if end == chars.len() && !is_closed {
        chars[end - 1] = '*';
    }
    end
}

/// Where the string that opens at `start` ends: after its closing quote, or at the end of the line. Three quotes
/// in a row are not told from one: then more than the string is taken, never less.
fn string_end(chars: &[char], start: usize) -> usize {
    let quote = chars[start];
    if chars[start..].starts_with(&[quote; 3]) {
        return chars.len();
    }
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' if quote == '"' => at += 1,
            c if c == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    chars.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_with_a_caret_under_the_text_and_the_hint_beside_it() {
        let text = "a = 1\nshedule = \"0 2 * * *\"\n";
        let hint = Some("did you mean \"schedule\"?".to_owned());
        let problem = Problem::at(text, &(6..13), "unknown key \"shedule\"", hint);
        let wanted = "jobs.toml:2:1: unknown key \"shedule\"\n    2 | shedule = \"0 2 * * *\"\n      | ^^^^^^^ did you mean \"schedule\"?";
        assert_eq!(problem.show(Path::new("jobs.toml")).to_string(), wanted);
    }

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let text = "größe = 1";
        let start = text.find("= 1").unwrap();
        let problem = Problem::at(text, &(start..start + 1), "x", None);
        assert_eq!((problem.line, problem.column, problem.caret), (1, 7, 6..7));
    }

    #[test]
    fn a_span_over_several_lines_is_marked_on_its_first_and_odd_spans_do_no_harm() {
        let text = "key = [\n1\n]\nü";
        assert_eq!(Problem::at(text, &(6..11), "x", None).caret, 6..7);
        for start in 0..text.len() + 3 {
            for end in 0..text.len() + 3 {
                let problem = Problem::at(text, &(start..end), "x", None);
                assert!(!problem.show(Path::new("f")).to_string().is_empty());
            }
        }
    }

    #[test]
    fn a_long_line_is_shown_around_the_caret() {
        let text = format!("{}bad{}", "x".repeat(500), "y".repeat(500));
        let problem = Problem::at(&text, &(500..503), "m", None);
        let shown: Vec<char> = problem.source_line.chars().collect();
        assert_eq!(shown[problem.caret].iter().collect::<String>(), "bad");
        assert_eq!(shown.len(), SHOWN);
    }

    #[test]
    fn no_secret_is_left_in_a_shown_line() {
        let cases = [
            (r#"password = "hunter2""#, r#"password = "*******""#),
            ("token='hunter2' # why", "token='*******' # why"),
            ("password = hunter2", "password = *******"),
            ("password = \"hunter2", "password = \"*******"),
            (r#"pasword = "a\"hunter2" "#, r#"pasword = "**********""#),
            (r#"password = { plain = "hunter2" }"#, r#"password = { plain = "*******" }"#),
            (r#"password = { value = "hunter2" }"#, r#"password = { value = "*******" }"#),
            (r#"password = { env = "NAME" }"#, r#"password = { env = "NAME" }"#),
            (
                r#"x.token = { file = "/p", plain = "hunter2" }"#,
                r#"x.token = { file = "/p", plain = "*******" }"#,
            ),
            (r#""password" = "hunter2""#, r#""password" = "*******""#),
            (r#"url = "http://admin:hunter2@host/p""#, r#"url = "http://*************@host/p""#),
            (r#"url = "http://admin:hun@ter2@host""#, r#"url = "http://**************@host""#),
            (r#"url = "admin:hunter2@host:9090""#, r#"url = "*************@host:9090""#),
            (r#"url = "http://admin:hun/ter2@host""#, r#"url = "http://**************@host""#),
            (r#"password = """hunter2"""#, r#"password = "**********""#),
            ("password =", "password ="),
            ("key_file = \"/k\"", "key_file = \"/k\""),
        ];
        for (line, wanted) in cases {
            assert_eq!(Problem::at(line, &(0..1), "x", None).source_line, wanted, "{line}");
        }
    }

    #[test]
    fn terminal_control_characters_of_the_file_are_not_passed_on() {
        let problem = Problem::at("a\x1b[31m\tb", &(0..1), "x", None);
        assert_eq!(problem.source_line, "a [31m b");
    }
}
