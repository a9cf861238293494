//! What is from outside, made fit to be shown: one line, bounded, without secrets and without what acts on a terminal.

use std::sync::LazyLock;

use regex::Regex;

use crate::config::values::Veil;
use crate::words;

/// So many characters of a line are shown.
const LONGEST: usize = 300;

/// Secrets that nobody has told us: by how they are written.
static WRITTEN: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        // `Authorization: Bearer …`
        (r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}", "$1 [redacted]"),
        // `Cookie: name=value; name=value`, `"set-cookie": "name=value"`, also within a text in JSON: all of the rest.
        (r#"(?i)\b(cookie(?:\\?["'])?\s*:\s*(?:\\?["'])?)[^\s"'\\][^"'\\\r\n]*"#, "$1[redacted]"),
        (r#"(?i)\b(cookie=)[^\s"';,\\]+"#, "$1[redacted]"),
        // `scheme://user:password@host`
        (r"(://[^/\s:@]*):[^/\s@]+@", "$1:[redacted]@"),
        // `password=…`, `"api_key": "…"`, also within a text in JSON.
        (
            r#"(?i)([\w.-]*(?:passw|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\w.-]*(?:\\?["'])?\s*[:=]\s*)(?:\[redacted\]|\\"[^"\\]*\\"|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"',;&}\])\\]+)"#,
            "$1[redacted]",
        ),
        // `--password hunter3`, `--api-key "a b"`, `-token x`: as options of a command line, the next word is the value.
        (
            r#"(?i)((?:^|[\s"',\[(`])--?[\w-]*(?:passw|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\w-]*(?:\\?["'])?(?:\s+|\s*,\s*))(?:\[redacted\]|\\"[^"\\]*\\"|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'`,;&}\])\\-][^\s"'`,;&}\])\\]*)"#,
            "$1[redacted]",
        ),
    ];
    rules.into_iter().filter_map(|(rule, with)| Some((Regex::new(rule).ok()?, with))).collect()
});

/// Makes text from outside fit to be shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    veil: &'a Veil,
}

impl<'a> Shown<'a> {
    pub(super) fn under(veil: &'a Veil) -> Self {
        Self { veil }
    }

    /// One line. Secrets are hidden before it is shortened: of one that is cut nobody could tell the rest from other words.
    pub(super) fn line(self, text: &str) -> String {
        let mut text = self.veil.over(text);
        for (rule, with) in WRITTEN.iter() {
            text = rule.replace_all(&text, *with).into_owned();
        }
        // Line ends would make one line into several, which would look like ours.
        let text = words::terminal(text.trim_end()).replace('\n', "\\n").replace('\t', " ");
        words::clipped(&text, LONGEST).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::Secret;

    fn line(text: &str) -> String {
        Shown::under(&Veil::new([Secret::new("hunter22")])).line(text)
    }

    #[test]
    fn a_line_stays_one_line_and_moves_no_cursor() {
        assert_eq!(line("a\nBAD  all is lost\r\u{1b}[2J\tb"), "a\\nBAD  all is lost\\u{d}\\u{1b}[2J b");
        assert_eq!(line(&"x".repeat(1000)).chars().count(), LONGEST);
    }

    #[test]
    fn secrets_are_hidden_by_what_they_are_and_by_how_they_are_written() {
        assert_eq!(line("it is hunter22!"), "it is [redacted]!");
        for (text, wanted) in [
            ("password=abc def", "password=[redacted] def"),
            (r#"{"api_key": "a b\" c", "n": 1}"#, r#"{"api_key": [redacted], "n": 1}"#),
            (r#"{"m":"{\"db_password\":\"abc\"}"}"#, r#"{"m":"{\"db_password\":[redacted]}"}"#),
            ("GET /?token=abc&n=1", "GET /?token=[redacted]&n=1"),
            ("Authorization: Bearer abcdefgh", "Authorization: Bearer [redacted]"),
            ("connect to postgres://u:p4ss@db/x", "connect to postgres://u:[redacted]@db/x"),
            ("the password is wrong", "the password is wrong"),
            ("run: pg_dump --password hunter3 -h db", "run: pg_dump --password [redacted] -h db"),
            ("app --token x", "app --token [redacted]"),
            ("app --api-key 'a b' --n 1", "app --api-key [redacted] --n 1"),
            (r#"["app", "--auth-token", "abc", "-v"]"#, r#"["app", "--auth-token", [redacted], "-v"]"#),
            (r#"{"m":"app --secret \"abc\""}"#, r#"{"m":"app --secret [redacted]"}"#),
            ("app --password --verbose", "app --password --verbose"),
            ("app --token-file=/run/t -x", "app --token-file=[redacted] -x"),
            ("the password-reset works", "the password-reset works"),
            ("Cookie: session=abc; theme=dark", "Cookie: [redacted]"),
            ("set-cookie: id=abc; Path=/", "set-cookie: [redacted]"),
            (r#"{"Cookie": "a=b; c", "n": 1}"#, r#"{"Cookie": "[redacted]", "n": 1}"#),
            ("curl -H 'Cookie: a=b' http://h/", "curl -H 'Cookie: [redacted]' http://h/"),
            ("the cookie is stale", "the cookie is stale"),
            ("cookie=abc n=1", "cookie=[redacted] n=1"),
            ("app --token hunter22 -v", "app --token [redacted] -v"),
            ("token=hunter22 n=1", "token=[redacted] n=1"),
        ] {
            assert_eq!(line(text), wanted);
        }
    }

    #[test]
    fn a_secret_across_the_end_of_what_is_shown_is_hidden() {
        let text = format!("{}hunter22", "x".repeat(LONGEST - 5));
        assert!(!line(&text).contains("hunt"));
    }
}
