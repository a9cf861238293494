use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::values::KeepRules;

fn id(n: usize) -> BackupId {
    serde_json::from_value(serde_json::json!(format!("20261123T{n:06}Z"))).unwrap()
}

fn item(n: usize, created: &str) -> Item {
    Item {
        id: id(n),
        created: created.parse().unwrap(),
        good: true,
        unread: false,
        pinned: false,
        accepted: false,
        lacks: Vec::new(),
    }
}

fn kept(items: &[Item], rules: KeepRules, zone: &str) -> Vec<usize> {
    let zone = TimeZone::get(zone).unwrap();
    let decisions = plan(items, &Keep::new(rules).unwrap(), &zone);
    (0..items.len()).filter(|&i| decisions[i].keep).collect()
}

fn last(n: u32) -> KeepRules {
    KeepRules { last: NonZeroU32::new(n), ..KeepRules::default() }
}

#[test]
fn the_last_two_are_the_newest_two() {
    let items =
        [item(0, "2026-11-20T00:00:00Z"), item(1, "2026-11-21T00:00:00Z"), item(2, "2026-11-22T00:00:00Z")];
    assert_eq!(kept(&items, last(2), "UTC"), [1, 2]);
}

#[test]
fn a_day_is_a_day_of_the_jobs_zone() {
    let items =
        [item(0, "2026-11-20T22:30:00Z"), item(1, "2026-11-20T23:30:00Z"), item(2, "2026-11-21T10:00:00Z")];
    let daily = KeepRules { daily: NonZeroU32::new(9), ..KeepRules::default() };
    assert_eq!(kept(&items, daily, "UTC"), [1, 2]);
    assert_eq!(kept(&items, daily, "Europe/Berlin"), [0, 2]);
}

#[test]
fn the_hour_that_the_clocks_repeat_is_two_hours() {
    let items = [item(0, "2026-10-25T00:30:00Z"), item(1, "2026-10-25T01:30:00Z")];
    let hourly = KeepRules { hourly: NonZeroU32::new(9), ..KeepRules::default() };
    assert_eq!(kept(&items, hourly, "Europe/Berlin"), [0, 1]);
}

#[test]
fn a_week_that_spans_the_new_year_is_one_week() {
    let items =
        [item(0, "2026-12-28T12:00:00Z"), item(1, "2027-01-03T12:00:00Z"), item(2, "2027-01-04T12:00:00Z")];
    let weekly = KeepRules { weekly: NonZeroU32::new(9), ..KeepRules::default() };
    assert_eq!(kept(&items, weekly, "UTC"), [1, 2]);
}

#[test]
fn a_damaged_backup_takes_no_place_and_the_newest_good_one_always_stays() {
    let mut items =
        [item(0, "2026-11-20T00:00:00Z"), item(1, "2026-11-21T00:00:00Z"), item(2, "2026-11-22T00:00:00Z")];
    items[0].good = false;
    items[2].good = false;
    let zone = TimeZone::UTC;
    let decisions = plan(&items, &Keep::new(last(1)).unwrap(), &zone);
    assert_eq!((decisions[0].keep, &decisions[0].reasons[..]), (false, &[Reason::NotGood][..]));
    assert_eq!(decisions[1].reasons, [Reason::Last, Reason::NewestGood]);
    assert_eq!((decisions[2].keep, &decisions[2].reasons[..]), (true, &[Reason::NothingBetter][..]));
}

#[test]
fn backups_that_one_bad_file_makes_bad_at_once_go_no_sooner_than_if_they_were_good() {
    let mut items: Vec<Item> = (0..8).map(|n| item(n, &format!("2026-11-2{n}T00:00:00Z"))).collect();
    items[..7].iter_mut().for_each(|item| item.good = false);
    assert_eq!(kept(&items, last(7), "UTC"), [1, 2, 3, 4, 5, 6, 7]);
    let decisions = plan(&items, &Keep::new(last(7)).unwrap(), &TimeZone::UTC);
    assert_eq!(decisions[1].reasons, [Reason::IfItWereGood]);
}

#[test]
fn a_pinned_backup_is_kept_beside_the_rules() {
    let mut items =
        [item(0, "2026-11-20T00:00:00Z"), item(1, "2026-11-21T00:00:00Z"), item(2, "2026-11-22T00:00:00Z")];
    items[2].pinned = true;
    assert_eq!(kept(&items, last(1), "UTC"), [1, 2]);
}

#[test]
fn within_counts_from_the_newest_good_backup_and_not_from_now() {
    let items =
        [item(0, "2020-01-01T00:00:00Z"), item(1, "2020-01-09T00:00:00Z"), item(2, "2020-01-10T00:00:00Z")];
    let within = KeepRules { within: Some(Duration::from_hours(24)), ..KeepRules::default() };
    assert_eq!(kept(&items, within, "UTC"), [1, 2]);
}

/// A second implementation, as slow and as literal as the words of the rules.
fn model(items: &[Item], rules: &KeepRules, zone: &TimeZone) -> Vec<bool> {
    let newest_good = items.iter().filter(|i| i.good).map(|i| i.id.clone()).next_back();
    // One that is not good is looked at as if all were good.
    let newer_than = |item: &Item| {
        let counts = |i: &&Item| !i.pinned && (i.good || !item.good);
        items.iter().skip_while(|i| i.id != item.id).skip(1).filter(counts).collect::<Vec<_>>()
    };
    let label =
        |item: &Item, format: &str| item.created.to_zoned_datetime(zone.clone()).strftime(format).to_string();
    let by_label = |item: &Item, n: Option<NonZeroU32>, format: &str| {
        let Some(n) = n else { return false };
        let newer: Vec<String> = newer_than(item).iter().map(|i| label(i, format)).collect();
        let distinct: BTreeSet<&String> = newer.iter().collect();
        !newer.contains(&label(item, format)) && distinct.len() < n.get() as usize
    };
    let keep = |item: &Item| {
        let rule = !item.pinned
            && (rules.last.is_some_and(|n| newer_than(item).len() < n.get() as usize)
                || by_label(item, rules.hourly, "%Y-%m-%d %H %z")
                || by_label(item, rules.daily, "%Y-%m-%d")
                || by_label(item, rules.weekly, "%G-%V")
                || by_label(item, rules.monthly, "%Y-%m")
                || by_label(item, rules.yearly, "%Y")
                || rules.within.is_some_and(|within| {
                    items.iter().rfind(|i| i.good).is_some_and(|newest| {
                        let within = i64::try_from(within.as_secs()).unwrap();
                        item.created.as_second() >= newest.created.as_second() - within
                    })
                }));
        let newer_good = items.iter().skip_while(|i| i.id != item.id).skip(1).any(|i| i.good);
        rule || item.pinned || Some(&item.id) == newest_good.as_ref() || (!item.good && !newer_good)
    };
    items.iter().map(keep).collect()
}

fn rules() -> impl Strategy<Value = KeepRules> {
    let n = || proptest::option::of(1_u32..5).prop_map(|n| n.and_then(NonZeroU32::new));
    let within = proptest::option::of((1_u64..2_000_000).prop_map(Duration::from_secs));
    (n(), n(), n(), n(), n(), n(), within)
        .prop_map(|(last, hourly, daily, weekly, monthly, yearly, within)| KeepRules {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            within,
        })
        .prop_filter("a policy is not empty", |rules| *rules != KeepRules::default())
}

/// Steps between backups from minutes to months, around a change of the clocks; the clock may go back.
fn items() -> impl Strategy<Value = Vec<Item>> {
    let step = prop_oneof![-5000_i64..20_000, 20_000_i64..400_000, 400_000_i64..9_000_000,];
    proptest::collection::vec((step, proptest::bool::weighted(0.8), proptest::bool::weighted(0.1)), 0..25)
        .prop_map(|steps| {
            let mut at = "2026-10-24T20:00:00Z".parse::<Timestamp>().unwrap().as_second();
            let mut next = |(n, (step, good, pinned)): (usize, (i64, bool, bool))| {
                at += step;
                Item {
                    id: id(n),
                    created: Timestamp::from_second(at).unwrap(),
                    good,
                    unread: false,
                    pinned,
                    accepted: false,
                    lacks: Vec::new(),
                }
            };
            steps.into_iter().enumerate().map(&mut next).collect()
        })
}

#[test]
fn what_may_be_good_and_may_be_bad_is_kept_and_takes_nobodys_place() {
    let days = ["2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"];
    let mut items: Vec<Item> = days.iter().enumerate().map(|(n, day)| item(n, day)).collect();
    assert_eq!(kept(&items, last(1), "UTC"), [2]);
    items[2].unread = true;
    assert_eq!(kept(&items, last(1), "UTC"), [1, 2]);
    items[0].unread = true;
    assert_eq!(kept(&items, last(1), "UTC"), [0, 1, 2]);
    items[0].good = false;
    assert_eq!(kept(&items, last(1), "UTC"), [1, 2]);
}

#[test]
fn doubts_about_a_backup_whose_clock_was_behind_make_no_other_go() {
    let mut items =
        [item(0, "2026-11-20T00:00:00Z"), item(1, "2026-11-21T00:00:01Z"), item(2, "2026-11-21T00:00:00Z")];
    let within = KeepRules { within: Some(Duration::from_hours(24)), ..KeepRules::default() };
    items[0].good = false;
    assert_eq!(kept(&items, within, "UTC"), [0, 1, 2]);
    items[2].unread = true;
    assert_eq!(kept(&items, within, "UTC"), [0, 1, 2]);
}

proptest! {
    #[test]
    fn not_knowing_whether_some_are_good_deletes_nothing_more(
        items in items(), rules in rules(), unread in proptest::collection::vec(any::<bool>(), 25),
    ) {
        let of = |items: &[Item]| plan(items, &Keep::new(rules).unwrap(), &TimeZone::UTC);
        let before = of(&items);
        let doubtful: Vec<Item> =
            items.iter().zip(unread).map(|(item, unread)| Item { unread, ..item.clone() }).collect();
        for (before, after) in before.iter().zip(of(&doubtful)) {
            prop_assert!(after.keep || !before.keep, "{:?}", after);
        }
    }

    #[test]
    fn the_plan_is_what_the_words_of_the_rules_say(items in items(), rules in rules(), zone in prop_oneof![
        Just("UTC"), Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"),
    ]) {
        let zone = TimeZone::get(zone).unwrap();
        let decisions = plan(&items, &Keep::new(rules).unwrap(), &zone);
        let kept: Vec<bool> = decisions.iter().map(|d| d.keep).collect();
        prop_assert_eq!(kept, model(&items, &rules, &zone));
        prop_assert!(decisions.iter().all(|d| !d.reasons.is_empty()));
    }

    #[test]
    fn the_newest_good_backup_and_every_pinned_one_stay_whatever_the_rules(items in items(), rules in rules()) {
        let decisions = plan(&items, &Keep::new(rules).unwrap(), &TimeZone::UTC);
        if let Some(newest) = items.iter().rposition(|i| i.good) {
            prop_assert!(decisions[newest].keep);
        }
        prop_assert!(items.iter().zip(&decisions).all(|(item, d)| !item.pinned || d.keep));
    }

    #[test]
    fn a_plan_that_was_applied_has_nothing_more_to_delete(items in items(), rules in rules()) {
        let keep = Keep::new(rules).unwrap();
        let decisions = plan(&items, &keep, &TimeZone::UTC);
        let left: Vec<Item> = items.into_iter().zip(&decisions).filter(|(_, d)| d.keep).map(|(i, _)| i).collect();
        prop_assert!(plan(&left, &keep, &TimeZone::UTC).iter().all(|d| d.keep));
    }
}

fn lacking(n: usize, created: &str, lacks: &[&str]) -> Item {
    Item { lacks: lacks.iter().map(|path| (*path).to_owned()).collect(), ..item(n, created) }
}

/// Which of them, made one a day, `last = 1` keeps.
fn kept_of(lacks: &[&[&str]]) -> Vec<usize> {
    let items = lacks.iter().enumerate();
    let items: Vec<Item> =
        items.map(|(n, lacks)| lacking(n, &format!("2026-11-{:02}T02:00:00Z", n + 1), lacks)).collect();
    kept(&items, last(1), "UTC")
}

#[test]
fn a_backup_that_lacks_something_never_pushes_out_the_last_copy_of_it() {
    let nothing: &[&str] = &[];
    assert_eq!(kept_of(&[nothing, nothing, &["/a"]]), [1, 2]);
    assert_eq!(kept_of(&[nothing, nothing, &["/a"], &["/a"], &["/a"]]), [1, 4]);
    // What was lost one after the other is in different backups.
    assert_eq!(kept_of(&[nothing, &["/a"], &["/a", "/b"], &["/a", "/b"]]), [0, 1, 3]);
    // A folder that is gone takes what is in it along, and `/ab` is not in `/a`.
    assert_eq!(kept_of(&[nothing, &["/a/x"], &["/a"], &["/a"]]), [0, 1, 3]);
    assert_eq!(kept_of(&[nothing, &["/a"], &["/a/x"], &["/a/x"]]), [0, 3]);
    assert_eq!(kept_of(&[nothing, &["/ab"], &["/a"], &["/a"]]), [1, 3]);
}

#[test]
fn the_last_copy_goes_when_a_newer_backup_has_it_or_somebody_accepts_that_it_is_gone() {
    let nothing: &[&str] = &[];
    assert_eq!(kept_of(&[nothing, &["/a"], &["/a"], nothing]), [3]);
    assert_eq!(kept_of(&[&["/a"], &["/a"], &["/a"]]), [2]);
    let days = ["2026-11-01T02:00:00Z", "2026-11-02T02:00:00Z", "2026-11-03T02:00:00Z"];
    let mut items = vec![item(0, days[0]), lacking(1, days[1], &["/a"]), lacking(2, days[2], &["/a"])];
    assert_eq!(kept(&items, last(1), "UTC"), [0, 2]);
    items[1].accepted = true;
    assert_eq!(kept(&items, last(1), "UTC"), [2]);
    // What was accepted does not concern what is lost later.
    items[1].lacks.clear();
    assert_eq!(kept(&items, last(1), "UTC"), [1, 2]);
}

#[test]
fn what_the_newest_good_backup_has_again_is_no_reason_to_keep_anything() {
    let items = [
        item(0, "2026-11-01T02:00:00Z"),
        lacking(1, "2026-11-02T02:00:00Z", &["/a"]),
        item(2, "2026-11-03T02:00:00Z"),
    ];
    let decisions = plan(&items, &Keep::new(last(1)).unwrap(), &TimeZone::UTC);
    let reasons: Vec<&[Reason]> = decisions.iter().map(|decision| &decision.reasons[..]).collect();
    assert_eq!(reasons, [&[Reason::NoRule][..], &[Reason::NoRule], &[Reason::Last, Reason::NewestGood]]);
}

#[test]
fn a_backup_that_a_clock_set_far_ahead_has_made_is_within() {
    // The newest was made last, and its clock says that it is the oldest but one.
    let items =
        [item(0, "2026-11-01T00:00:00Z"), item(1, "2026-12-24T00:00:00Z"), item(2, "2026-11-03T00:00:00Z")];
    let within = KeepRules { within: Some(Duration::from_hours(24)), ..KeepRules::default() };
    assert_eq!(kept(&items, within, "UTC"), [1, 2]);
}

#[test]
fn every_reason_is_told_in_words_of_its_own() {
    let buckets = [Bucket::Hour, Bucket::Day, Bucket::Week, Bucket::Month, Bucket::Year];
    let told = buckets.map(|bucket| Reason::NewestOf(bucket).to_string());
    let newest = ["hour", "day", "week", "month", "year"].map(|word| format!("the newest of its {word}"));
    assert_eq!(told, newest);
    let others = [
        Reason::Last,
        Reason::Within,
        Reason::NewestGood,
        Reason::LastCopy,
        Reason::Pinned,
        Reason::Unread,
        Reason::NothingBetter,
        Reason::IfItWereGood,
        Reason::NoRule,
        Reason::NotGood,
    ];
    let told: BTreeSet<String> = others.iter().map(Reason::to_string).collect();
    assert!(told.len() == others.len() && told.iter().all(|words| words.len() > 5), "{told:?}");
}
