//! The lines of a progress bar, as wide as the terminal: one that wraps cannot be drawn over, and is left behind.

use crate::cli::screen::width;

/// The longest bar.
const LONGEST: usize = 30;
/// The shortest that still shows something.
const SHORTEST: usize = 6;
/// So much is left for the name of what a step is at.
const CURRENT: usize = 14;

/// A part of a line, with the columns that it takes at most, and how it is written as a template.
struct Part(usize, &'static str);

/// The template of a step that counts things: how many of how many, and the latest of them (the message). Its name is
/// the prefix. What does not fit is left out: the name of the step first, then the time that is left, then the bar.
pub(super) fn of_things(columns: usize, name: &str, total: u64) -> String {
    let digits = total.to_string().len();
    let mut free = columns.saturating_sub(2 + 2 * digits + " of : ".len() + CURRENT);
    let bar = take_bar(&mut free);
    let eta = take(&mut free, &Part(10, ", {eta} left"));
    let step = take(&mut free, &Part(width(name) + 2, "{prefix}  "));
    let bar = bar.map_or_else(String::new, |bar| format!("[{{bar:{}}}] ", (bar + free).min(LONGEST)));
    format!("  {step}{bar}{{pos}} of {{len}}{eta}: {{wide_msg}}")
}

/// The template of a step that counts bytes. Its name is the message.
pub(super) fn of_bytes(columns: usize, name: &str) -> String {
    let wanted = 2 + width(name) + 2 + "1023.99 KiB of 1023.99 KiB".len();
    let Some(mut free) = columns.checked_sub(wanted) else {
        return "  {wide_msg} {percent:>3}%".to_owned();
    };
    let bar = take_bar(&mut free);
    let eta = take(&mut free, &Part(10, ", {eta} left"));
    let rate = take(&mut free, &Part(15, ", {binary_bytes_per_sec}"));
    let bar = bar.map_or_else(String::new, |bar| format!("[{{bar:{}}}] ", (bar + free).min(LONGEST)));
    format!("  {{msg}}  {bar}{{binary_bytes}} of {{binary_total_bytes}}{rate}{eta}")
}

fn take(free: &mut usize, part: &Part) -> &'static str {
    let Some(left) = free.checked_sub(part.0) else { return "" };
    *free = left;
    part.1
}

/// The shortest bar, with its brackets and the space behind it.
fn take_bar(free: &mut usize) -> Option<usize> {
    *free = free.checked_sub(SHORTEST + 3)?;
    Some(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_the_current_name_stays() {
        let of = |columns| of_things(columns, "read the objects", 2500);
        assert_eq!(of(100), "  {prefix}  [{bar:30}] {pos} of {len}, {eta} left: {wide_msg}");
        assert_eq!(of(80), "  {prefix}  [{bar:19}] {pos} of {len}, {eta} left: {wide_msg}");
        assert_eq!(of(60), "  [{bar:17}] {pos} of {len}, {eta} left: {wide_msg}");
        assert_eq!(of(40), "  [{bar:7}] {pos} of {len}: {wide_msg}");
        assert_eq!(of(30), "  {pos} of {len}: {wide_msg}");
    }

    #[test]
    fn a_step_in_bytes_is_at_least_its_name_and_a_percentage() {
        assert_eq!(
            of_bytes(120, "verify the backup"),
            "  {msg}  [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left"
        );
        assert_eq!(
            of_bytes(80, "verify the backup"),
            "  {msg}  [{bar:20}] {binary_bytes} of {binary_total_bytes}, {eta} left"
        );
        assert_eq!(of_bytes(40, "verify the backup"), "  {wide_msg} {percent:>3}%");
    }
}
