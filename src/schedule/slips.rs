//! What croner takes in silence, or refuses in words that do not help.

use super::pattern::{BOUNDS, DAY_OF_MONTH, DAY_OF_WEEK, MONTH};

/// What is wrong with a field. `position` is that of a pattern with seconds.
pub(super) fn slip(field: &str, position: usize) -> Option<String> {
    if field.split(',').any(str::is_empty) {
        return Some("a comma stands between two values".to_owned());
    }
    field.split(',').find_map(|part| slip_of(part, position))
}

fn slip_of(part: &str, position: usize) -> Option<String> {
    let (low, high) = BOUNDS[position];
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    if step.and_then(|step| step.parse::<u32>().ok()).is_some_and(|step| step > high - low + 1) {
        return Some("the step is longer than the field".to_owned());
    }
    if let Some((from, to)) = range.split_once('-')
        && let (Some(from), Some(to)) = (value(from, position), value(to, position))
        && from > to
    {
        return Some(format!("a range does not go on past the end: write {from}-{high},{low}-{to}"));
    }
    if part.starts_with('h') {
        return Some("the sign for a value that depends on the job's name is a capital H".to_owned());
    }
    misplaced_sign(&part.to_ascii_uppercase(), position).map(str::to_owned)
}

/// `L`, `W` and `#` where they may not stand, or not so.
fn misplaced_sign(part: &str, position: usize) -> Option<&'static str> {
    // JUL is a name that ends so, too.
    let signed = |bound: &str| bound.ends_with(['L', 'W']) && value(bound, position).is_none();
    let is_signed = part.split(['-', '/']).any(signed);
    match position {
        DAY_OF_MONTH if part.starts_with("L-") => Some(
            "days before the last are not known: write L for the last day of the month, LW for its last day from Monday to Friday",
        ),
        DAY_OF_MONTH if part.contains('#') || (part.ends_with('L') && part != "L") => Some(
            "# and a day before L belong in the day of week: 5#2 is the second Friday of the month, 5L the last",
        ),
        DAY_OF_WEEK if part == "L" => Some(
            "L stands behind a day here: 5L is the last Friday of the month; the last day of the month is L in the day of month",
        ),
        DAY_OF_WEEK if is_signed && part.ends_with('W') => Some(
            "W belongs in the day of month: 15W is the day from Monday to Friday that is nearest to the 15th",
        ),
        DAY_OF_WEEK if part.contains('-') && part.ends_with('L') => {
            Some("L stands behind one day: write 1L,2L for the last Monday and the last Tuesday of the month")
        }
        DAY_OF_WEEK => part.split_once('#').and_then(|(_, nth)| {
            let is_known = nth == "L" || nth.parse::<u8>().is_ok_and(|nth| (1..=5).contains(&nth));
            (!is_known).then_some("behind # stands 1 to 5, or L: 5#2 is the second Friday of the month")
        }),
        DAY_OF_MONTH => None,
        _ => (is_signed || part.contains('#'))
            .then_some("L, W and # belong in the day of month or the day of week"),
    }
}

/// A number, or the name of a month or day.
fn value(text: &str, position: usize) -> Option<u32> {
    let names: &[&str] = match position {
        MONTH => &["", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
        DAY_OF_WEEK => &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        _ => &[],
    };
    let place = names.iter().position(|name| !name.is_empty() && name.eq_ignore_ascii_case(text));
    text.parse().ok().or_else(|| u32::try_from(place?).ok())
}
