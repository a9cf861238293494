//! What fits on the terminal.

use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Where nobody knows how wide the terminal is.
const USUAL: usize = 80;

/// How many columns a terminal has.
pub(super) fn columns(terminal: impl AsFd) -> usize {
    let size = rustix::termios::tcgetwinsize(terminal);
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(USUAL)
}

/// What a text is written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Lines are not folded where whoever reads them is no terminal.
    columns: Option<usize>,
    /// The lines that are seen at once.
    lines: usize,
}

impl Screen {
    /// Lines on a screen where nobody knows.
    const LINES: usize = 24;
    /// The rest is not looked at otherwise.
    const LEAST: usize = 5;
    /// So many lines of others below a table of any length are looked at.
    const MOST: usize = 20;

    pub(super) fn of(out: impl AsFd + IsTerminal) -> Self {
        if !out.is_terminal() {
            return Self { columns: None, lines: usize::MAX };
        }
        let lines = rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_row));
        let lines = lines.filter(|lines| *lines > 0).unwrap_or(Self::LINES);
        Self { columns: Some(columns(out)), lines }
    }

    /// A line as it fits.
    pub(super) fn fold(self, line: &str) -> String {
        self.columns.map_or_else(|| line.to_owned(), |columns| folded(line, columns))
    }

    /// The first of these lines, as many as fit beside so many others; `rest` says in words what was left out.
    pub(super) fn fit(self, lines: &[String], others: usize, rest: impl Fn(usize) -> String) -> Vec<String> {
        let room = self.lines.saturating_sub(others).clamp(Self::LEAST, Self::MOST);
        let folded: Vec<String> = lines.iter().map(|line| self.fold(line)).collect();
        let takes = |lines: &[String]| lines.iter().map(|line| line.lines().count()).sum::<usize>();
        if takes(&folded) <= room {
            return folded;
        }
        let with_rest = |shown: usize| {
            let rest = self.fold(&rest(lines.len() - shown));
            folded[..shown].iter().cloned().chain([rest]).collect::<Vec<_>>()
        };
        let shown = (1..lines.len()).rev().find(|shown| takes(&with_rest(*shown)) <= room);
        with_rest(shown.unwrap_or(1))
    }
}

/// The text in lines of at most so many columns, broken between words, and what follows the first one indented.
pub(super) fn folded(text: &str, columns: usize) -> String {
    const INDENT: &str = "    ";
    let (mut lines, mut line) = (Vec::new(), String::new());
    // What the first line begins with is no gap between words.
    let begins = text.len() - text.trim_start().len();
    line.push_str(&text[..begins]);
    let mut is_new = true;
    for word in text.split_whitespace() {
        if !is_new && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::replace(&mut line, INDENT.to_owned()));
            is_new = true;
        }
        if !is_new {
            line.push(' ');
        }
        line.push_str(word);
        is_new = false;
    }
    lines.push(line);
    lines.join("\n")
}

/// Columns, rather too many than too few: what is not of the scripts of Europe may take two.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| if c < '\u{1100}' { 1 } else { 2 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_broken_between_words() {
        let text = "  verify the backup: 1.1 s, its hash is the one in its manifest";
        assert_eq!(folded(text, 80), text);
        let folded = folded(text, 40);
        assert_eq!(folded, "  verify the backup: 1.1 s, its hash is\n    the one in its manifest");
        assert_eq!(super::folded("  a-word-that-is-too-long b", 10), "  a-word-that-is-too-long\n    b");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_no_line_is_wider_than_the_screen() {
        let lines: Vec<String> = (0..30).map(|nth| format!("job-{nth}: it failed because of that")).collect();
        let rest = |left: usize| format!("and {left} more");
        let wide = Screen { columns: Some(80), lines: 24 };
        assert_eq!(wide.fit(&lines[..10], 12, rest), lines[..10]);
        assert_eq!(wide.fit(&lines[..13], 12, rest), [&lines[..11], &["and 2 more".to_owned()]].concat());
        let narrow = Screen { columns: Some(20), lines: 24 }.fit(&lines, 40, rest);
        assert_eq!(
            narrow,
            ["job-0: it failed\n    because of that", "job-1: it failed\n    because of that", "and 28 more"]
        );
        let all = Screen { columns: None, lines: usize::MAX }.fit(&lines, 40, rest);
        assert_eq!((all.len(), all[19].as_str()), (20, "and 11 more"));
    }
}
