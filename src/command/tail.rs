//! The end of what a program says: bounded, however much it is.

use std::collections::VecDeque;

use crate::config::values::{Veil, VeilStream};

/// So many lines are kept.
const LINES: usize = 200;
/// Of a line that does not end so many bytes are taken at once.
const LONGEST: usize = 4096;

/// Puts lines together, hands each on, and keeps the last ones; secrets are hidden in all of it before it is cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Tail {
    veil: VeilStream,
    begun: Vec<u8>,
    lines: VecDeque<String>,
    dropped: usize,
}

impl Tail {
    /// Hides what is under this veil.
    pub(super) fn under(veil: &Veil) -> Self {
        Self { veil: veil.stream(), ..Self::default() }
    }

    /// Takes a piece of output, cut anywhere.
    pub(super) fn take(&mut self, piece: &[u8], say: &mut (dyn FnMut(&str) + Send)) {
        let shown = self.veil.take(piece);
        self.lines(&shown, say);
    }

    fn lines(&mut self, shown: &[u8], say: &mut (dyn FnMut(&str) + Send)) {
        for byte in shown {
            if *byte != b'\n' {
                self.begun.push(*byte);
            }
            if *byte == b'\n' || self.begun.len() >= LONGEST {
                self.end_line(say);
            }
        }
    }

    /// What was kept; nothing more comes.
    pub(super) fn finish(mut self, say: &mut (dyn FnMut(&str) + Send)) -> Vec<String> {
        let held = self.veil.finish();
        self.lines(&held, say);
        if !self.begun.is_empty() {
            self.end_line(say);
        }
        let dropped = (self.dropped > 0).then(|| format!("({} earlier lines are not kept)", self.dropped));
        dropped.into_iter().chain(self.lines).collect()
    }

    fn end_line(&mut self, say: &mut (dyn FnMut(&str) + Send)) {
        let line = plain(&String::from_utf8_lossy(&self.begun));
        self.begun.clear();
        say(&line);
        if self.lines.len() == LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }
}

/// Without what would move a terminal's cursor or change its colours.
fn plain(line: &str) -> String {
    let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    line.trim_end().chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_wherever_they_were_cut_and_the_last_needs_no_end() {
        let mut said = Vec::new();
        let mut say = |line: &str| said.push(line.to_owned());
        let mut tail = Tail::default();
        for piece in ["on", "e\r\ntw", "o\n\nthree\u{1b}[0m"] {
            tail.take(piece.as_bytes(), &mut say);
        }
        let kept = tail.finish(&mut say);
        assert_eq!(kept, ["one", "two", "", "three\u{fffd}[0m"]);
        assert_eq!(said, kept);
    }

    #[test]
    fn much_output_is_kept_at_its_end_and_a_line_without_end_is_cut() {
        let mut tail = Tail::default();
        for number in 0..LINES + 5 {
            tail.take(format!("{number}\n").as_bytes(), &mut |_| {});
        }
        let kept = tail.finish(&mut |_| {});
        assert_eq!(
            (kept[0].as_str(), kept[1].as_str(), kept.len()),
            ("(5 earlier lines are not kept)", "5", LINES + 1)
        );
        let mut tail = Tail::default();
        tail.take(&vec![b'x'; 3 * LONGEST / 2], &mut |_| {});
        assert_eq!(
            tail.finish(&mut |_| {}).iter().map(String::len).collect::<Vec<_>>(),
            [LONGEST, LONGEST / 2]
        );
    }

    #[test]
    fn a_secret_is_hidden_across_the_end_of_a_line_that_is_cut() {
        let secret = crate::config::values::Secret::new("SuperSecretPass99");
        let mut tail = Tail::under(&Veil::new([secret]));
        tail.take(&[vec![b'x'; LONGEST - 10], b"SuperSecretPass99\n".to_vec()].concat(), &mut |_| {});
        let kept = tail.finish(&mut |_| {}).concat();
        assert_eq!(kept.trim_start_matches('x'), "[redacted]");
    }
}
