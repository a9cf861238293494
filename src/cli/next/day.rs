//! The plan of the coming day, with the jobs that run after others under those.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::{Known, Pauses, after_words, local, scheduled, slots, warning};
use crate::cli::output::table;
use crate::cli::session::Session;
use crate::config::values::JobName;
use crate::config::{Config, JobConfig};

/// How far the plan looks.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// A job with more slots in the plan has one line for all of them.
const EACH: usize = 6;

/// A line of the plan: one slot, or all of a job that has many.
#[derive(Serialize)]
struct Planned {
    job: String,
    kind: &'static str,
    first: Timestamp,
    last: Timestamp,
    times: usize,
    paused: bool,
    /// The jobs after which it runs; the times are their slots then.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// The line it stands under.
    #[serde(skip)]
    under: Option<(String, Timestamp)>,
    #[serde(skip)]
    depth: usize,
    #[serde(skip)]
    local: [String; 2],
}

/// A job without a slot in the plan.
#[derive(Serialize)]
struct Later {
    job: String,
    /// Nothing where it has no schedule or is disabled, which `why` says.
    next: Option<Timestamp>,
    why: String,
}

pub(super) fn show(session: &Session, known: &Known) {
    let Known { pauses, standing, .. } = known;
    let from = session.now;
    let until = from.saturating_add(DAY).unwrap_or(Timestamp::MAX);
    let mut day =
        Day { config: &session.config, pauses, from, until, walks: HashMap::new(), due: BTreeMap::new() };
    let jobs = &session.config.jobs;
    for job in jobs {
        day.due(job);
    }
    let plan = in_order(jobs.iter().flat_map(|job| day.planned(session, job)).collect());
    let later: Vec<Later> = jobs.iter().filter_map(|job| day.later(session, known, job)).collect();
    let document = json!({ "from": from, "until": until, "plan": plan, "later": later, "daemon": standing });
    session.out.result(&document, || {
        let rows =
            plan.iter().map(|line| vec![line.when(), line.job.clone(), line.kind.into(), line.again()]);
        let mut text = format!("Until {}:\n", session.time(until));
        if plan.is_empty() {
            text.push_str("nothing is due\n");
        } else {
            text += &table(&["due", "job", "kind", ""], rows);
        }
        if !later.is_empty() {
            text.push_str("\nAfter that:\n");
            text +=
                &table(&["job", "due"], later.iter().map(|later| vec![later.job.clone(), later.why.clone()]));
        }
        text + &warning(session, standing)
    });
}

impl Planned {
    fn when(&self) -> String {
        match &self.after {
            Some(after) => format!("{}{after}", "  ".repeat(self.depth)),
            None => self.local[0].clone(),
        }
    }

    fn again(&self) -> String {
        let paused = self.paused.then(|| "PAUSED".to_owned());
        let again = (self.times > 1).then(|| format!("{} times, the last {}", self.times, self.local[1]));
        paused.into_iter().chain(again).collect::<Vec<_>>().join("; ")
    }
}

/// When a job is due, and for one that runs after others, which of them it waits for longest then.
type Due = Rc<Vec<(Timestamp, Option<JobName>)>>;

/// When everything is due in the time that the plan looks at.
struct Day<'a> {
    config: &'a Config,
    pauses: &'a Pauses,
    from: Timestamp,
    until: Timestamp,
    /// Jobs with the same slots need one walk through the calendar.
    walks: HashMap<String, Due>,
    due: BTreeMap<JobName, Due>,
}

impl Day<'_> {
    /// Jobs run after one another in no circle: the configuration sees to that.
    fn due(&mut self, job: &JobConfig) -> Due {
        if let Some(due) = self.due.get(&job.name) {
            return Rc::clone(due);
        }
        let due = match (scheduled(job), &job.after) {
            (Some(schedule), _) => {
                let (from, until) = (self.from, self.until);
                let walk = || {
                    let slots = slots(schedule, from).take_while(|slot| *slot <= until);
                    Rc::new(slots.map(|slot| (slot, None)).collect())
                };
                Rc::clone(self.walks.entry(schedule.rhythm()).or_insert_with(walk))
            }
            (None, Some(after)) if job.enabled => self.due_after(&after.jobs),
            (None, _) => Rc::default(),
        };
        self.due.insert(job.name.clone(), Rc::clone(&due));
        due
    }

    /// Whenever all of them have run since the last time.
    fn due_after(&mut self, jobs: &[JobName]) -> Due {
        let mut ends: Vec<(Timestamp, &JobName)> = Vec::new();
        let config = self.config;
        for name in jobs.iter().filter(|name| !self.pauses.contains_key(*name)) {
            let due = config.job(name.as_str()).map(|job| self.due(job)).unwrap_or_default();
            ends.extend(due.iter().map(|(slot, _)| (*slot, name)));
        }
        ends.sort_unstable();
        let mut ended: BTreeSet<&JobName> = BTreeSet::new();
        let mut due = Vec::new();
        for (slot, name) in ends {
            ended.insert(name);
            if ended.len() == jobs.len() {
                due.push((slot, Some(name.clone())));
                ended.clear();
            }
        }
        Rc::new(due)
    }

    fn planned(&self, session: &Session, job: &JobConfig) -> Vec<Planned> {
        let due = self.due.get(&job.name).cloned().unwrap_or_default();
        let local = |slot: Timestamp| match &job.schedule {
            Some(schedule) => local(slot, schedule.zone()),
            None => local(slot, session.zone()),
        };
        let line = |(first, under): &(Timestamp, Option<JobName>), last: Timestamp, times: usize| Planned {
            job: job.name.to_string(),
            kind: job.kind.kind_name(),
            first: *first,
            last,
            times,
            paused: self.pauses.contains_key(&job.name),
            after: under.is_some().then(|| after_words(job)),
            under: under.as_ref().map(|name| (name.to_string(), *first)),
            depth: 0,
            local: [local(*first), local(last)],
        };
        match &due[..] {
            [first, .., last] if due.len() > EACH => vec![line(first, last.0, due.len())],
            all => all.iter().map(|slot| line(slot, slot.0, 1)).collect(),
        }
    }

    fn later(&self, session: &Session, known: &Known, job: &JobConfig) -> Option<Later> {
        if self.due.get(&job.name).is_some_and(|due| !due.is_empty()) {
            return None;
        }
        let by_hand = |why: &str| (None, format!("{why}, it runs only by `watchkeeper run-now`"));
        let (next, why) = match (&job.schedule, &job.after) {
            (Some(_), _) | (_, Some(_)) if !job.enabled => by_hand("disabled"),
            (None, Some(_)) => {
                let waits = known.waits(session, &job.name);
                (None, after_words(job) + &waits.map(|waits| format!("; {waits}")).unwrap_or_default())
            }
            (None, None) => by_hand("no schedule"),
            (Some(schedule), _) => match schedule.next_after(self.from) {
                Some(slot) => (Some(slot), local(slot, schedule.zone())),
                None => (None, "never again".to_owned()),
            },
        };
        Some(Later { job: job.name.to_string(), next, why })
    }
}

/// By time, and what runs after a job under that.
fn in_order(mut plan: Vec<Planned>) -> Vec<Planned> {
    plan.sort_by(|a, b| (a.first, &a.job).cmp(&(b.first, &b.job)));
    let lines: BTreeSet<(String, Timestamp)> =
        plan.iter().map(|line| (line.job.clone(), line.first)).collect();
    let mut below: BTreeMap<(String, Timestamp), Vec<Planned>> = BTreeMap::new();
    let mut top = Vec::new();
    for line in plan {
        match line.under.clone().filter(|under| lines.contains(under)) {
            Some(under) => below.entry(under).or_default().push(line),
            None => top.push(line),
        }
    }
    // The last is the next.
    top.reverse();
    let mut ordered = Vec::new();
    while let Some(line) = top.pop() {
        let under = below.remove(&(line.job.clone(), line.first)).unwrap_or_default();
        let depth = line.depth + 1;
        top.extend(under.into_iter().rev().map(|below| Planned { depth, ..below }));
        ordered.push(line);
    }
    ordered
}
