//! Numbers, times and errors as a person reads them, the same everywhere.
//!
//! Sizes are binary (`12.1 MiB`), rates per second, durations as `1 m 03 s`, and times stand in the configured
//! zone with their offset.

mod sparkline;

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use sparkline::{sparkline, sparkline_of};

/// `0 B`, `999 B`, `1.5 KiB`, `12.1 MiB`, `340 GiB`
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 99.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// `23.6 MiB/s`; nothing where there is nothing to divide.
pub fn rate(bytes: u64, millis: u64) -> Option<String> {
    let per_second = bytes.saturating_mul(1000).checked_div(millis).filter(|_| bytes > 0)?;
    Some(format!("{}/s", size(per_second)))
}

/// `1 block`, `8 blocks`, `12 000 blocks`
pub fn count(number: usize, what: &str) -> String {
    let shown = grouped(u64::try_from(number).unwrap_or(u64::MAX));
    format!("{shown} {what}{}", if number == 1 { "" } else { "s" })
}

/// A number of what has a plural of its own: `1 file or folder`, `2 files and folders`.
pub fn counted(number: usize, one: &str, several: &str) -> String {
    let shown = grouped(u64::try_from(number).unwrap_or(u64::MAX));
    format!("{shown} {}", if number == 1 { one } else { several })
}

/// Files, folders and links together: `1 file, folder or link`.
pub fn entries(number: usize) -> String {
    counted(number, "file, folder or link", "files, folders and links")
}

/// `4711` stays as it is; from five digits on they stand in groups: `12 000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(String::from_utf8_lossy);
    let head = (!head.is_empty()).then(|| head.into());
    head.into_iter().chain(groups).collect::<Vec<_>>().join(" ")
}

/// `12 ms`, `0.4 s`, `52 s`, `1 m 03 s`, `2 h 05 m`, `3 d 04 h`
pub fn duration(duration: Duration) -> String {
    if duration.as_millis() < 100 {
        return format!("{} ms", duration.as_millis());
    }
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 100 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = (duration.as_millis() + 500) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// `2026-11-24 02:00:00 +01:00`
pub fn time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// The first few of many: `a, b, c and 4 more`.
pub fn some(all: &[String], shown: usize) -> String {
    let first = all[..shown.min(all.len())].join(", ");
    match all.len().saturating_sub(shown) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The beginning of a name that is longer than this, in characters: `A very long na…`.
pub fn clipped(name: &str, longest: usize) -> Cow<'_, str> {
    match name.char_indices().nth(longest) {
        None => Cow::Borrowed(name),
        Some(_) => Cow::Owned(name.chars().take(longest.saturating_sub(1)).chain(['…']).collect()),
    }
}

/// Text from outside, as it may go to a terminal: what would move the cursor, colour, ring, or turn the direction of
/// writing is shown as `\u{1b}`. Line ends and tabs stay.
pub fn terminal(text: &str) -> Cow<'_, str> {
    let acts = |c: char| {
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        turns || (c.is_control() && !matches!(c, '\n' | '\t'))
    };
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if acts(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// A hint whose commands name the job by the word `JOB`, as they do where nobody knows whose run it is, with what stands
/// for the job in its place.
pub fn for_job(hint: &str, job: &str) -> String {
    hint.replace(" JOB ", &format!(" {job} ")).replace(" JOB`", &format!(" {job}`"))
}

/// An error and its causes in one line. A cause that repeats what was said before is left out.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(millis: u64) -> String {
        duration(Duration::from_millis(millis))
    }

    #[test]
    fn sizes_keep_three_digits_and_never_reach_1024() {
        let shown = |bytes| size(bytes);
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(1023), "1023 B");
        assert_eq!(shown(1024), "1.0 KiB");
        assert_eq!(shown(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(shown(104_804_000), "99.9 MiB");
        assert_eq!(shown(365_072_220_160), "340 GiB");
        assert_eq!(shown(u64::MAX), "16384 PiB");
    }

    #[test]
    fn long_numbers_stand_in_groups_and_one_thing_is_no_plural() {
        let shown = |number: usize| count(number, "sample");
        assert_eq!(shown(1), "1 sample");
        assert_eq!(shown(9_999), "9999 samples");
        assert_eq!(shown(12_000), "12 000 samples");
        assert_eq!(shown(384_000), "384 000 samples");
        assert_eq!(shown(1_731_034), "1 731 034 samples");
    }

    #[test]
    fn durations_round_to_what_is_shown() {
        let shown = |millis| milliseconds(millis);
        assert_eq!(shown(0), "0 ms");
        assert_eq!(shown(99), "99 ms");
        assert_eq!(shown(100), "0.1 s");
        assert_eq!(shown(9_949), "9.9 s");
        assert_eq!(shown(9_950), "10 s");
        assert_eq!(shown(59_499), "59 s");
        assert_eq!(shown(59_500), "1 m 00 s");
        assert_eq!(shown(3_599_999), "1 h 00 m");
        assert_eq!(shown(7_500_000), "2 h 05 m");
        assert_eq!(shown(273_600_000), "3 d 04 h");
    }

    #[test]
    fn of_many_the_first_are_named_and_the_others_counted() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!((some(&names, 3), some(&names, 2)), ("a, b, c".to_owned(), "a, b and 1 more".to_owned()));
    }

    #[test]
    fn nothing_from_outside_acts_on_a_terminal() {
        assert_eq!(terminal("a\u{1b}[2Jb\r\u{7f}\u{9b}"), "a\\u{1b}[2Jb\\u{d}\\u{7f}\\u{9b}");
        assert_eq!(terminal("gpj.\u{202e}exe\u{2066}"), "gpj.\\u{202e}exe\\u{2066}");
        assert_eq!(terminal("é: 1\n\t2 日"), "é: 1\n\t2 日");
    }

    #[test]
    fn a_hint_names_the_job_in_its_commands_and_nowhere_else() {
        let hint = "`restore JOB --undo`, or `watchkeeper restore JOB`; JOB/ID is a backup";
        let told = "`restore conf --undo`, or `watchkeeper restore conf`; JOB/ID is a backup";
        assert_eq!(for_job(hint, "conf"), told);
    }

    #[test]
    fn a_chain_leaves_out_what_it_has_said() {
        #[derive(Debug, thiserror::Error)]
        #[error("Cannot open /a")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "Cannot open /a: disk on fire");
    }
}
