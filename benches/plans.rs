//! What is decided in memory: which of many backups to keep, and when each of many jobs is due.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros write no docs, and a benchmark that cannot go on stops"
)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use watchkeeper::config::values::{Keep, KeepRules};
use watchkeeper::retention::{Item, plan};
use watchkeeper::schedule::Schedule;

const BACKUPS: i64 = 100_000;
const SCHEDULES: u64 = 1000;

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

fn start() -> Timestamp {
    "2026-11-23T02:00:00Z".parse().unwrap()
}

/// A backup each quarter of an hour, for almost three years; every hundredth is damaged, every thousandth pinned.
fn items() -> Vec<Item> {
    let item = |n: i64| {
        let created = start() + SignedDuration::from_mins(15 * n);
        let id = created.strftime("%Y%m%dT%H%M%SZ").to_string().parse().unwrap();
        Item {
            id,
            created,
            good: n % 100 != 7,
            unread: false,
            pinned: n % 1000 == 3,
            accepted: false,
            lacks: Vec::new(),
        }
    };
    (0..BACKUPS).map(item).collect()
}

fn retention(criterion: &mut Criterion) {
    let items = items();
    let some = NonZeroU32::new;
    let (last, hourly, daily) = (some(7), some(48), some(30));
    let (weekly, monthly, yearly) = (some(26), some(36), some(10));
    let within = Some(Duration::from_hours(14 * 24));
    let keep = Keep::new(KeepRules { last, hourly, daily, weekly, monthly, yearly, within }).unwrap();
    let zone = berlin();
    let mut group = criterion.benchmark_group("retention");
    group.sample_size(20).throughput(Throughput::Elements(BACKUPS.unsigned_abs()));
    group.bench_function("plan of 100,000 backups", |bencher| {
        bencher.iter(|| plan(black_box(&items), &keep, &zone));
    });
    group.finish();
}

/// Every few minutes, daily, on weekdays, monthly, and the rarest there is.
fn schedules() -> Vec<Schedule> {
    let zones = [berlin(), TimeZone::UTC, TimeZone::get("America/New_York").unwrap()];
    let pattern = |n: u64| match n % 5 {
        0 => format!("*/{} * * * *", 1 + n % 30),
        1 => format!("{} {} * * *", n % 60, n % 24),
        2 => format!("{} {} * * MON-FRI", n % 60, n % 24),
        3 => format!("{} {} {} * *", n % 60, n % 24, 1 + n % 28),
        _ => format!("{} {} 29 2 *", n % 60, n % 24),
    };
    let schedule = |n: u64| Schedule::parse(&pattern(n), &zones[(n % 3) as usize], "job").unwrap();
    (0..SCHEDULES).map(schedule).collect()
}

fn next_slot(criterion: &mut Criterion) {
    let schedules = schedules();
    let now = start();
    let mut group = criterion.benchmark_group("schedule");
    group.throughput(Throughput::Elements(SCHEDULES));
    group.bench_function("next slot of 1,000 schedules", |bencher| {
        bencher.iter(|| schedules.iter().filter_map(|schedule| schedule.next_after(black_box(now))).min());
    });
    group.finish();
}

criterion_group!(benches, retention, next_slot);
criterion_main!(benches);
