//! The calendar against a model that walks second by second, or minute by minute, over every change of a zone.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"];
const PATTERNS: [&str; 14] = [
    "0 2 * * *",
    "30 2 * * *",
    "15,45 1-3 * * *",
    "*/10 2 * * *",
    "0 0 * * *",
    "59 23 * * *",
    "*/30 * * * *",
    "7 * * * *",
    "0 */2 * * *",
    "0 0-23 * * *",
    "30 1 * * SUN",
    "0 12 30 12 *",
    "@daily",
    "0 3 29-31 * +FRI",
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn schedule(text: &str, zone_name: &str) -> Schedule {
    Schedule::parse(text, &zone(zone_name), "nightly").unwrap()
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn local(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
    let mut at = instant(from);
    let step = |_| {
        at = schedule.next_after(at).unwrap();
        at.to_zoned_datetime(schedule.zone().clone()).strftime("%m-%d %H:%M:%S %:z").to_string()
    };
    (0..count).map(step).collect()
}

/// What the rules of the module say, by trying every minute. Certain hours: every civil minute of the stretch is
/// mapped; every hour: every instant is looked at.
fn model(schedule: &Schedule, from: Timestamp, to: Timestamp) -> BTreeSet<Timestamp> {
    let Rule::Civil(pattern) = &schedule.rule else { panic!("{schedule} is an interval") };
    let matches = |civil: DateTime| pattern.cron.is_time_matching(&to_chrono(civil).unwrap()).unwrap();
    let mut slots = BTreeSet::new();
    if pattern.follows_real_time {
        for second in (from.as_second() + 1..=to.as_second()).filter(|second| second % 60 == 0) {
            let at = Timestamp::from_second(second).unwrap();
            if matches(schedule.zone.to_datetime(at)) {
                slots.insert(at);
            }
        }
        return slots;
    }
    let margin = SignedDuration::from_hours(50);
    let mut civil = TimeZone::UTC.to_datetime(from - margin).round(jiff::Unit::Minute).unwrap();
    let end = TimeZone::UTC.to_datetime(to + margin);
    while civil < end {
        if matches(civil) {
            slots.insert(model_instant(&schedule.zone, civil));
        }
        civil = civil.checked_add(SignedDuration::from_mins(1)).unwrap();
    }
    slots.retain(|slot| *slot > from && *slot <= to);
    slots
}

/// The first instant whose wall clock shows `civil` or later. That is the rule for gaps and overlaps alike.
fn model_instant(zone: &TimeZone, civil: DateTime) -> Timestamp {
    let utc = TimeZone::UTC.to_timestamp(civil).unwrap();
    let mut low = (utc - SignedDuration::from_hours(30)).as_second();
    let high = (utc + SignedDuration::from_hours(30)).as_second();
    while low < high {
        if zone.to_datetime(Timestamp::from_second(low).unwrap()) >= civil {
            break;
        }
        low += 60;
    }
    Timestamp::from_second(low).unwrap()
}

fn walk(schedule: &Schedule, from: Timestamp, to: Timestamp) -> BTreeSet<Timestamp> {
    let mut slots = BTreeSet::new();
    let mut at = from;
    while let Some(next) = schedule.next_after(at).filter(|next| *next <= to) {
        assert!(next > at, "{schedule}: {next} after {at}");
        slots.insert(next);
        at = next;
    }
    slots
}

#[test]
fn slots_over_every_change_of_a_zone_are_those_of_the_model() {
    for name in ZONES {
        let zone = zone(name);
        let changes: Vec<Timestamp> = zone
            .following(instant("2009-01-01T00:00:00Z"))
            .map(|change| change.timestamp())
            .take(16)
            .collect();
        assert!(changes.len() > 2, "{name}");
        for change in changes {
            let (from, to) =
                (change - SignedDuration::from_hours(30), change + SignedDuration::from_hours(30));
            for text in PATTERNS {
                let schedule = schedule(text, name);
                assert_eq!(
                    walk(&schedule, from, to),
                    model(&schedule, from, to),
                    "{text} in {name} at {change}"
                );
            }
        }
    }
}

#[test]
fn a_fixed_time_in_the_gap_is_due_at_its_end_and_only_once() {
    let daily = schedule("30 2 * * *", "Europe/Berlin");
    let wanted = ["03-27 02:30:00 +01:00", "03-28 03:00:00 +02:00", "03-29 02:30:00 +02:00"];
    assert_eq!(local(&daily, "2027-03-26T12:00:00Z", 3), wanted);
    let often = schedule("*/10 2 * * *", "Europe/Berlin");
    assert_eq!(local(&often, "2027-03-27T12:00:00Z", 2), ["03-28 03:00:00 +02:00", "03-29 02:00:00 +02:00"]);
}

#[test]
fn a_fixed_time_that_comes_twice_is_due_the_first_time() {
    let daily = schedule("30 2 * * *", "Europe/Berlin");
    let wanted = ["10-30 02:30:00 +02:00", "10-31 02:30:00 +02:00", "11-01 02:30:00 +01:00"];
    assert_eq!(local(&daily, "2027-10-29T12:00:00Z", 3), wanted);
    let lord_howe = schedule("45 1 * * *", "Australia/Lord_Howe");
    assert_eq!(
        local(&lord_howe, "2027-04-03T12:00:00Z", 2),
        ["04-04 01:45:00 +11:00", "04-05 01:45:00 +10:30"]
    );
}

#[test]
fn an_interval_follows_real_time_through_both_changes() {
    let half_hours = schedule("*/30 * * * *", "Europe/Berlin");
    let autumn =
        ["02:00:00 +02:00", "02:30:00 +02:00", "02:00:00 +01:00", "02:30:00 +01:00", "03:00:00 +01:00"];
    assert_eq!(local(&half_hours, "2027-10-30T23:45:00Z", 5), autumn.map(|time| format!("10-31 {time}")));
    let spring = ["01:30:00 +01:00", "03:00:00 +02:00", "03:30:00 +02:00"];
    assert_eq!(local(&half_hours, "2027-03-28T00:15:00Z", 3), spring.map(|time| format!("03-28 {time}")));
}

#[test]
fn hours_in_steps_are_times_of_day_and_lose_none_to_a_gap() {
    // Egypt leaves out the first hour of a Friday in April.
    let half_days = schedule("0 */12 * * *", "Africa/Cairo");
    let wanted = ["04-29 12:00:00 +02:00", "04-30 01:00:00 +03:00", "04-30 12:00:00 +03:00"];
    assert_eq!(local(&half_days, "2027-04-29T00:00:00Z", 3), wanted);
    let hours = schedule("0 */2 * * *", "Europe/Berlin");
    let autumn = ["10-31 00:00:00 +02:00", "10-31 02:00:00 +02:00", "10-31 04:00:00 +01:00"];
    assert_eq!(local(&hours, "2027-10-30T21:30:00Z", 3), autumn);
}

#[test]
fn a_day_that_was_skipped_has_its_slot_at_the_start_of_the_next() {
    // Samoa went from 29 December to 31 December 2011.
    let noon = schedule("0 12 * * *", "Pacific/Apia");
    let wanted = ["12-29 12:00:00 -10:00", "12-31 00:00:00 +14:00", "12-31 12:00:00 +14:00"];
    assert_eq!(local(&noon, "2011-12-29T12:00:00Z", 3), wanted);
}

#[test]
fn seconds_are_kept_and_fractions_do_not_confuse() {
    let every_ten = schedule("*/10 * * * * *", "UTC");
    assert_eq!(
        every_ten.next_after(instant("2027-01-01T00:00:09.999Z")),
        Some(instant("2027-01-01T00:00:10Z"))
    );
    assert_eq!(every_ten.next_after(instant("2027-01-01T00:00:10Z")), Some(instant("2027-01-01T00:00:20Z")));
    assert_eq!(
        every_ten.next_after(instant("2027-01-01T00:00:10.001Z")),
        Some(instant("2027-01-01T00:00:20Z"))
    );
}

#[test]
fn both_day_fields_mean_either_day_and_a_plus_means_both() {
    let either = schedule("0 3 1 * MON", "UTC");
    assert_eq!(local(&either, "2027-01-01T12:00:00Z", 2), ["01-04 03:00:00 +00:00", "01-11 03:00:00 +00:00"]);
    let both = schedule("0 3 1 * +MON", "UTC");
    assert_eq!(both.next_after(instant("2027-01-01T12:00:00Z")), Some(instant("2027-02-01T03:00:00Z")));
}

#[test]
fn a_day_field_that_begins_with_a_star_narrows_the_other() {
    // As in Vixie cron: every Monday with an odd date, not every Monday and every odd date.
    let mondays = schedule("0 3 */2 * MON", "UTC");
    let wanted = ["01-11 03:00:00 +00:00", "01-25 03:00:00 +00:00", "02-01 03:00:00 +00:00"];
    assert_eq!(local(&mondays, "2027-01-01T12:00:00Z", 3), wanted);
    let first = schedule("0 3 1 * */3", "UTC");
    // Sundays, Wednesdays and Saturdays that are the first of a month.
    assert_eq!(local(&first, "2027-01-02T12:00:00Z", 2), ["05-01 03:00:00 +00:00", "08-01 03:00:00 +00:00"]);
}

#[test]
fn an_interval_is_counted_from_1970_whatever_the_zone_does() {
    let often = schedule("@every 6h", "Europe/Berlin");
    let wanted = ["10-31 02:00:00 +02:00", "10-31 07:00:00 +01:00", "10-31 13:00:00 +01:00"];
    assert_eq!(local(&often, "2027-10-30T23:00:00Z", 3), wanted);
    assert_eq!(often.next_after(instant("1969-12-31T23:59:59.5Z")), Some(Timestamp::UNIX_EPOCH));
    assert_eq!(often.next_after(Timestamp::MAX), None);
    assert!(often.next_after(Timestamp::MIN).is_some());
    let odd = schedule("@every 7h", "UTC");
    let seconds: Vec<i64> = (0..50)
        .map(|n| odd.next_after(Timestamp::from_second(n * 9_999).unwrap()).unwrap().as_second())
        .collect();
    assert!(seconds.iter().all(|second| second % 25_200 == 0), "{seconds:?}");
    assert_eq!(
        odd.last_between(instant("2027-01-01T00:00:00Z"), instant("2027-06-01T00:00:00Z"))
            .map(|slot| slot.as_second() % 25_200),
        Some(0)
    );
}

#[test]
fn a_schedule_says_what_it_means() {
    let cases = [
        ("0 2 * * *", "At 02:00 (Europe/Berlin)"),
        ("*/15 * * * *", "At every 15 minutes (Europe/Berlin)"),
        (
            "30 0 2 * * MON-FRI",
            "At 02:00:30, on Monday, Tuesday, Wednesday, Thursday, and Friday (Europe/Berlin)",
        ),
        ("0 3 1 * MON", "At 03:00, on day 1 or Monday (Europe/Berlin)"),
        ("0 3 1-7 * +MON", "At 03:00, on day 1-7 (if it is also Monday) (Europe/Berlin)"),
        ("0 0 L * *", "At 00:00, on the last day of the month (Europe/Berlin)"),
        ("0 0 LW * *", "At 00:00, on the last weekday of the month (Europe/Berlin)"),
        ("@daily", "At 00:00 (Europe/Berlin)"),
        ("*/7 * * * *", "At minute 0, 7, 14, 21, 28, 35, 42, 49, and 56 past every hour (Europe/Berlin)"),
        ("0-59/7 3 * * *", "At minute 0, 7, 14, 21, 28, 35, 42, 49, and 56, of hour 3 (Europe/Berlin)"),
        ("0-29/10 * * * *", "At minute 0, 10, and 20 past every hour (Europe/Berlin)"),
        ("*/25 * * * * *", "At second 0, 25, and 50 (Europe/Berlin)"),
        ("0 */5 * * *", "At minute 0, of hour 0, 5, 10, 15, and 20 (Europe/Berlin)"),
        ("0 3 1 */5 *", "At 03:00, on day 1, in January, June, and November (Europe/Berlin)"),
        ("0 */6 * * *", "At minute 0, of every 6 hours (Europe/Berlin)"),
        ("@every 1h 30m", "Every 1h30m, counted from 1970-01-01T00:00:00Z"),
        ("H 2 * * *", "At 02:39 (Europe/Berlin); with its H: 39 2 * * *"),
    ];
    for (text, words) in cases {
        assert_eq!(schedule(text, "Europe/Berlin").describe(), words, "{text}");
    }
}

#[test]
fn the_changes_of_the_clocks_that_touch_a_schedule_are_told() {
    let year = |text: &str| {
        let schedule = schedule(text, "Europe/Berlin");
        let changes =
            schedule.clock_changes(instant("2027-01-01T00:00:00Z"), instant("2028-01-01T00:00:00Z"));
        let told = |change: &ClockChange| {
            format!(
                "{:?} {} {}",
                change.direction(),
                change.civil,
                change.due.to_zoned_datetime(schedule.zone.clone()).strftime("%H:%M%:z")
            )
        };
        changes.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(
        year("30 2 * * *"),
        ["Forward 2027-03-28T02:30:00 03:00+02:00", "Back 2027-10-31T02:30:00 02:30+02:00"]
    );
    assert_eq!(
        year("0 2,3 * * *"),
        ["Forward 2027-03-28T02:00:00 03:00+02:00", "Back 2027-10-31T02:00:00 02:00+02:00"]
    );
    for text in ["0 3 * * *", "59 1 * * *", "30 2 1 * *", "*/5 * * * *", "@every 1h"] {
        assert_eq!(year(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn the_end_of_the_calendar_is_an_end_and_not_a_panic() {
    for text in ["0 2 * * *", "* * * * * *", "0 0 29 2 *"] {
        assert_eq!(schedule(text, "Europe/Berlin").next_after(Timestamp::MAX), None);
        assert!(schedule(text, "Europe/Berlin").next_after(Timestamp::MIN).is_some());
    }
}

#[test]
fn a_schedule_shows_itself_as_it_was_written() {
    assert_eq!(schedule(" @daily ", "UTC").to_string(), "@daily");
    assert_eq!(schedule("0 2 * * *", "UTC").to_string(), "0 2 * * *");
}

#[test]
fn the_last_slot_of_a_stretch_is_found_without_walking_it() {
    let often = schedule("* * * * 1 *", "UTC");
    let last = often.last_between(instant("2020-01-01T00:00:00Z"), instant("2027-06-01T00:00:00Z"));
    assert_eq!(last, Some(instant("2027-01-31T23:59:59Z")));
    let daily = schedule("0 2 * * *", "Europe/Berlin");
    assert_eq!(daily.last_between(instant("2027-06-01T00:00:00Z"), instant("2027-06-01T00:00:00Z")), None);
    let slot = instant("2027-06-01T00:00:00Z");
    assert_eq!(daily.last_between(slot - SignedDuration::from_secs(1), slot), Some(slot));
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        1 => (2..7_u32).prop_map(|step| format!("*/{step}")),
        3 => (low..=high).prop_map(|value| value.to_string()),
        2 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_pattern_near_any_change_agrees_with_the_model(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), week_day in field(0, 6),
        zone_index in 0..ZONES.len(), change in 0..24_usize, offset in -36_i64..36,
    ) {
        let text = format!("{minute} {hour} {day} * {week_day}");
        let schedule = schedule(&text, ZONES[zone_index]);
        let changes: Vec<_> = schedule.zone.following(instant("2009-01-01T00:00:00Z")).take(24).collect();
        let middle = changes[change % changes.len()].timestamp() + SignedDuration::from_mins(offset * 10);
        let (from, to) = (middle - SignedDuration::from_hours(8), middle + SignedDuration::from_hours(8));
        let walked = walk(&schedule, from, to);
        prop_assert_eq!(&walked, &model(&schedule, from, to), "{} in {} at {}", text, ZONES[zone_index], middle);
        prop_assert_eq!(schedule.last_between(from, to), walked.last().copied());
    }
}

#[test]
fn months_without_the_days_of_a_pattern_are_named() {
    let short = |text: &str| schedule(text, "UTC").short_months();
    let named = |first_day, months: &[usize], are_all| {
        Some(ShortMonths { first_day, months: months.to_vec(), are_all })
    };
    assert_eq!(short("0 2 31 * *"), named(31, &[2, 4, 6, 9, 11], false));
    assert_eq!(short("0 2 30,31 * *"), named(30, &[2], false));
    assert_eq!(short("0 2 31 1,4,12 *"), named(31, &[4], false));
    assert_eq!(short("0 2 29 2 *"), named(29, &[2], true));
    assert_eq!(short("0 2 31W 11,12 *"), named(31, &[11], false));
    for every_month_has_one in ["0 2 28 * *", "0 2 31 1,12 *", "0 2 L * *", "0 2 31 * MON", "@every 6h"] {
        assert_eq!(short(every_month_has_one), None, "{every_month_has_one}");
    }
}
