//! `H` in a field: a value that depends on the name of the job alone, so that many jobs with one pattern are spread over
//! the hour or the day, and each keeps its time. The forms are those of Jenkins: `H`, `H/15`, `H(0-29)`, `H(0-29)/10`.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::pattern::BOUNDS;

/// What `H` alone may be, in the order of a pattern with seconds. A day of the month every month has.
const RANGES: [RangeInclusive<u64>; 6] = [0..=59, 0..=59, 0..=23, 1..=28, 1..=12, 0..=6];

/// The field with every `H` filled in, or what is wrong with one. `position` is that of a pattern with seconds.
pub(super) fn fill(field: &str, position: usize, job: &str) -> Result<String, &'static str> {
    let parts: Result<Vec<String>, _> = field.split(',').map(|part| part_of(part, position, job)).collect();
    parts.map(|parts| parts.join(","))
}

fn part_of(part: &str, position: usize, job: &str) -> Result<String, &'static str> {
    const FORMS: &str = "write H, H/15, H(0-29) or H(0-29)/10";
    let Some(form) = part.strip_prefix('H') else { return Ok(part.to_owned()) };
    let (range, step) = match form.split_once('/') {
        Some((range, step)) => (range, Some(step.parse::<u64>().ok().filter(|step| *step > 0).ok_or(FORMS)?)),
        None => (form, None),
    };
    let range =
        if range.is_empty() { RANGES[position].clone() } else { within(range, position).ok_or(FORMS)? };
    let (low, high) = (*range.start(), *range.end());
    let hash = hash(job, position);
    match step {
        None => Ok((low + hash % (high - low + 1)).to_string()),
        Some(step) if step > high - low + 1 => Err("the step is longer than the field"),
        Some(step) => Ok(format!("{}-{high}/{step}", low + hash % step)),
    }
}

/// `(0-29)`
fn within(text: &str, position: usize) -> Option<RangeInclusive<u64>> {
    let (low, high) = text.strip_prefix('(')?.strip_suffix(')')?.split_once('-')?;
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    let (least, most) = BOUNDS[position];
    (u64::from(least) <= low && low <= high && high <= u64::from(most)).then_some(low..=high)
}

/// How much later than its slot a run begins: less than `most`, and always the same for the same slot.
pub(super) fn jitter(job: &str, slot: Timestamp, most: Duration) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    match millis {
        0 => Duration::ZERO,
        millis => Duration::from_millis(number(&format!("{slot} {job}")) % millis),
    }
}

/// Another one for each field: else all jobs of one minute would share their hour.
fn hash(job: &str, position: usize) -> u64 {
    number(&format!("{position} {job}"))
}

fn number(text: &str) -> u64 {
    let digest = Sha256::digest(text);
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn filled(field: &str, position: usize, job: &str) -> String {
        fill(field, position, job).unwrap()
    }

    #[test]
    fn a_value_depends_on_the_job_and_the_field_alone() {
        assert_eq!(filled("H", 1, "nightly"), filled("H", 1, "nightly"));
        let minutes: BTreeSet<String> = (0..100).map(|n| filled("H", 1, &format!("job-{n}"))).collect();
        assert!(minutes.len() > 40, "{minutes:?}");
        // Written down once, so that no later version moves the jobs of its users.
        assert_eq!(
            (filled("H", 1, "nightly"), filled("H", 2, "nightly")),
            ("39".to_owned(), "21".to_owned())
        );
    }

    #[test]
    fn a_jitter_is_the_same_for_the_same_slot_and_spread_over_slots() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let most = Duration::from_mins(5);
        assert_eq!(jitter("a", at(0), most), jitter("a", at(0), most));
        let all: BTreeSet<Duration> = (0..100).map(|second| jitter("a", at(second), most)).collect();
        assert!(all.len() > 90 && all.iter().all(|jitter| *jitter < most), "{all:?}");
        assert_eq!(jitter("a", at(0), Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_step_a_range_and_a_list_are_kept() {
        for job in ["a", "b", "nightly"] {
            let (start, rest) =
                filled("H/15", 1, job).split_once('-').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            assert!(start.parse::<u64>().unwrap() < 15 && rest == "59/15");
            assert!((10..=19).contains(&filled("H(10-19)", 1, job).parse::<u64>().unwrap()));
            assert!((1..=28).contains(&filled("H", 3, job).parse::<u64>().unwrap()));
            assert!(filled("5,H(30-39)", 1, job).starts_with("5,3"));
        }
        for field in ["5", "*/5", "MON-FRI", "15W", "THU"] {
            assert_eq!(filled(field, 1, "a"), field);
        }
    }

    #[test]
    fn a_step_is_at_most_as_long_as_its_range_and_never_nothing() {
        for (field, start) in [("H/60", 59), ("H(10-19)/10", 19), ("H(7-7)/1", 7)] {
            let text = filled(field, 1, "a");
            let first = text.split('-').next().unwrap().parse::<u64>().unwrap();
            assert!(first <= start, "{text}");
        }
        for field in ["H/61", "H/0", "H(10-19)/11", "H(7-7)/2"] {
            assert!(fill(field, 1, "a").is_err(), "{field}");
        }
    }
}
