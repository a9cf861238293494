//! What a pattern means, in words. The words are croner's, but for what they get wrong.

use croner::{Cron, CronComponent, CronPattern};

use super::pattern::parser;

/// Where the fields with steps are in a pattern with seconds.
const SECOND: usize = 0;
const MINUTE: usize = 1;
const HOUR: usize = 2;
const MONTH: usize = 4;
/// Croner's words for `L`, which it also takes for those of `LW`.
const LAST_DAY: &str = "the last day of the month";
const LAST_WEEKDAY: &str = "the last weekday of the month";

/// `At 02:00, on Monday`
pub(super) fn words(cron: &Cron, ends_on_a_weekday: bool) -> String {
    let words = match listed(&cron.pattern) {
        Some(listed) => listed.describe(),
        None => cron.describe(),
    };
    let words = words.trim_end_matches('.');
    if ends_on_a_weekday { words.replace(LAST_DAY, LAST_WEEKDAY) } else { words.to_owned() }
}

/// The same pattern with every value of uneven steps: croner calls each step "every 7 minutes", also where the last of
/// an hour is followed by the first of the next after 4. Nothing where all steps are even.
fn listed(pattern: &CronPattern) -> Option<Cron> {
    let mut fields: Vec<String> = pattern.as_str().split_whitespace().map(str::to_owned).collect();
    let skipped = 6_usize.checked_sub(fields.len())?;
    let stepped = [
        (SECOND, &pattern.seconds),
        (MINUTE, &pattern.minutes),
        (HOUR, &pattern.hours),
        (MONTH, &pattern.months),
    ];
    let mut is_uneven = false;
    for (position, component) in stepped {
        let field = position.checked_sub(skipped).and_then(|index| fields.get_mut(index));
        if let Some(field) = field.filter(|_| !is_even(component)) {
            *field = component.values().iter().map(u16::to_string).collect::<Vec<_>>().join(",");
            is_uneven = true;
        }
    }
    if is_uneven { parser().parse(&fields.join(" ")).ok() } else { None }
}

/// Without a step, or with one that goes on from one round to the next.
fn is_even(component: &CronComponent) -> bool {
    let CronComponent { min, max, step, .. } = *component;
    let all = (min..=max).step_by(step.max(1).into());
    step <= 1 || ((max - min + 1).is_multiple_of(step) && all.eq(component.values()))
}
