//! What a notifier told of a job, and what it has seen of it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Draft, Look, Say};
use crate::config::notify::Event;
use crate::config::values::JobName;
use crate::history::MissedSlots;
use crate::report::notify::condition::{self, Condition, Subject, View};
use crate::standing::{JobStanding, PastRun};

/// What was told to be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What.
    #[serde(flatten)]
    pub what: Condition,
    /// When it was last told.
    pub at: Timestamp,
}

/// Since when a notifier tells of a job of which it has told nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The notifier is new since then: it tells nothing of what was before.
    NotifierSince(Timestamp),
    /// The notifier was there, and the job is new to it: how that stands is told, and nothing that is over.
    JobIsNew,
}

/// What a notifier told of a job, and what it has seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What its reader takes for wrong, the gravest first; of each subject one at most.
    pub told: Vec<Told>,
    /// When the last message was sent, whatever it said.
    pub(super) last: Option<Timestamp>,
    /// The runs that are accounted for, as far as one could take them for new.
    seen: BTreeSet<String>,
    /// The newest missed slot that is.
    missed_until: Timestamp,
    /// What was wrong when it was last looked.
    state: BTreeSet<(Subject, Event)>,
    /// How often that changed since the last message.
    pub(super) held: u32,
    /// Runs that failed, and no message told of them.
    pub(super) failed: u32,
    /// Runs that were done with warnings, and no message told of them.
    pub(super) warned: u32,
    /// How many of these two came after a run that was good.
    anew: u32,
    /// A run was good since the last message.
    was_well: bool,
    /// Bad runs since it was last well.
    pub(super) bad_runs: u32,
    /// Missed slots that no message told of.
    pub(super) missed: Option<MissedSlots>,
    /// The run whose beginning was told.
    pub(super) started: Option<(Timestamp, String)>,
    pub(super) kind: String,
    pub(super) target: Option<String>,
}

/// What is different from what a reader believes.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// What is wrong now, as far as it is told, the gravest first.
    pub(super) holds: Vec<Condition>,
    /// What of it is news.
    pub(super) begins: Vec<Condition>,
    /// What is over, or has become something else.
    pub(super) ends: Vec<Told>,
    /// What has become something else is no recovery.
    pub(super) is_well_in_part: bool,
    /// The newest run does not fail any more, but has warned, of which this reader does not want to hear.
    pub(super) warns: bool,
}

impl Entry {
    /// Of a job that nothing was told of.
    pub(super) fn new(known: Known, look: Look<'_>) -> Self {
        let job = look.job;
        let (told, seen, missed_until) = match known {
            Known::NotifierSince(born) => {
                let old = |what: &&Condition| what.since <= born || what.subject == Subject::Backups;
                let old = look.view.troubles.iter().filter(old).cloned();
                let seen = known_runs(job).filter(|run| run.started <= born);
                (old.map(|what| Told { what, at: born }).collect(), ids(seen), born)
            }
            Known::JobIsNew => {
                let missed = job.last_missed.as_ref().map_or(Timestamp::MIN, |missed| missed.last);
                (Vec::new(), ids(known_runs(job)), missed)
            }
        };
        let state = told.iter().map(|told: &Told| (told.what.subject, told.what.event)).collect();
        Self {
            told,
            last: None,
            seen,
            missed_until,
            state,
            held: 0,
            failed: 0,
            warned: 0,
            anew: 0,
            was_well: false,
            bad_runs: 0,
            missed: None,
            started: None,
            kind: job.kind.to_owned(),
            target: job.target.clone(),
        }
    }

    /// Its job is not there any more. What it has seen is kept for when that comes back.
    #[must_use]
    pub fn closed(self) -> Self {
        let mut closed = Self { told: Vec::new(), state: BTreeSet::new(), ..self };
        closed.settle();
        closed
    }

    /// Takes in what has happened since it was last looked.
    pub(super) fn account(&mut self, look: Look<'_>, on: &BTreeSet<Event>) {
        let is_new = |run: &&PastRun| run.has_ended() && !self.seen.contains(&run.run);
        let new: Vec<&PastRun> = look.job.past.iter().filter(is_new).collect();
        let event_of = |run: &PastRun| condition::event_of(run.outcome).filter(|event| on.contains(event));
        // What runs while nobody is to be told is told to nobody; what ran before is.
        let counts = |run: &&PastRun| look.quiet_since().is_none_or(|since| run.started < since);
        let bad = look.job.bad.iter().filter(|run| !self.seen.contains(&run.run));
        let bad = bad.filter(counts).filter_map(event_of);
        let (failed, warned): (Vec<_>, Vec<_>) = bad.partition(|event| *event == Event::Failed);
        let counted = |events: &[Event]| u32::try_from(events.len()).unwrap_or(u32::MAX);
        let (failed, warned) = (counted(&failed), counted(&warned));
        self.failed += failed;
        self.warned += warned;
        self.bad_runs += failed + warned;
        for (index, run) in new.iter().enumerate() {
            let event = event_of(run);
            self.anew += u32::from(event.is_some() && self.was_well && counts(run));
            self.was_well |= event.is_none();
            // Of the newest the view knows.
            if index + 1 < new.len() {
                let others = self.state.iter().copied().filter(|(subject, _)| *subject != Subject::Run);
                let run = event.map(|event| (Subject::Run, event));
                self.changes_to(others.chain(run).collect());
            }
        }
        self.see(look);
        let wanted = look.view.troubles.iter().filter(|trouble| on.contains(&trouble.event));
        self.changes_to(wanted.map(|trouble| (trouble.subject, trouble.event)).collect());
        if let Some(missed) = look.job.last_missed.as_ref().filter(|missed| missed.last > self.missed_until) {
            self.missed_until = missed.last;
            // What somebody wanted not to run is not missed.
            if on.contains(&Event::Missed) && !missed.are_of_a_pause() {
                self.missed = Some(missed.clone());
            }
        }
    }

    /// The newest run that has ended and was not accounted for, and how many before it failed. From now on all of them are.
    pub(super) fn newest_new_run<'a>(&mut self, look: Look<'a>) -> Option<(&'a PastRun, u32)> {
        let is_new = |run: &&PastRun| run.has_ended() && !self.seen.contains(&run.run);
        let newest = look.job.past.iter().rfind(is_new)?;
        let failed = look.job.bad.iter().filter(|run| run.run != newest.run && !self.seen.contains(&run.run));
        let failed = failed.filter(|run| condition::event_of(run.outcome) == Some(Event::Failed)).count();
        self.see(look);
        Some((newest, u32::try_from(failed).unwrap_or(u32::MAX)))
    }

    fn see(&mut self, look: Look<'_>) {
        self.seen = ids(known_runs(look.job));
    }

    fn changes_to(&mut self, state: BTreeSet<(Subject, Event)>) {
        if state != self.state {
            self.held += 1;
            self.state = state;
        }
    }

    /// Forgets what no message told of.
    pub(super) fn settle(&mut self) {
        (self.held, self.failed, self.warned, self.missed) = (0, 0, 0, None);
        (self.anew, self.was_well) = (0, false);
        if self.told.is_empty() {
            self.bad_runs = 0;
        }
    }

    /// What is different from what its reader believes. Trouble of which he does not want to hear is told to nobody, and still
    /// is no end of what he was told, unless it is a warning after a failure.
    pub(super) fn compare(&self, view: &View, on: &BTreeSet<Event>) -> Change {
        let mut change = Change::default();
        for subject in Subject::OF_A_JOB {
            let old = self.told.iter().find(|told| told.what.subject == subject);
            let now = view.about(subject);
            match (now, old) {
                (None, Some(old)) if subject == Subject::Run && !view.run_is_known => {
                    change.holds.push(old.what.clone());
                }
                // It is not well: the reader only does not want to hear of what it is.
                (None, Some(old)) if on.contains(&Event::Recovered) && view.is_worse_than(on) => {
                    change.holds.push(old.what.clone());
                }
                (None, Some(old)) => {
                    change.is_well_in_part = true;
                    change.ends.push(old.clone());
                }
                (Some(now), old) if on.contains(&now.event) => change.told_now(now, old),
                (_, None) => {}
                (Some(now), Some(old)) if now.event == Event::Warned && old.what.event != Event::Warned => {
                    (change.is_well_in_part, change.warns) = (true, true);
                    change.ends.push(old.clone());
                }
                (Some(_), Some(old)) => change.holds.push(old.what.clone()),
            }
        }
        change.holds.sort_by_key(Condition::gravity);
        change.begins.sort_by_key(Condition::gravity);
        change.ends.sort_by_key(|told| told.what.gravity());
        change
    }

    /// Takes what is over for told: nobody wants to hear of it.
    pub(super) fn drop_ends(&mut self, change: &mut Change) {
        if !std::mem::take(&mut change.is_well_in_part) {
            return;
        }
        let failures_were_told = change.ends.iter().any(|told| told.what.is_failed_run());
        self.told.retain(|told| change.holds.iter().any(|what| what.subject == told.what.subject));
        change.ends.retain(|told| self.told.contains(told));
        if self.told.is_empty() && change.begins.is_empty() {
            // Those that came at once after what was told were told with it.
            if failures_were_told {
                self.failed = self.failed.min(self.anew);
            }
            self.warned = self.warned.min(self.anew.saturating_sub(self.failed));
            (self.held, self.bad_runs) = (0, self.failed + self.warned);
        }
    }

    /// Notes that a message was sent that told this.
    pub(super) fn sent(&mut self, holds: &[Condition], now: Timestamp) {
        self.told = holds.iter().map(|what| Told { what: what.clone(), at: now }).collect();
        self.last = Some(now);
        self.settle();
    }

    pub(super) fn draft(&self, job: &JobName, say: Say, now: Timestamp) -> Draft {
        Draft {
            kind: self.kind.clone(),
            target: self.target.clone(),
            since: self.told.first().map_or(now, |told| told.what.since),
            failures: self.bad_runs as usize,
            held: self.held,
            meanwhile: self.failed,
            ..Draft::new(say, job.clone(), now)
        }
    }
}

impl Change {
    /// Somebody wants to hear of this.
    fn told_now(&mut self, now: &Condition, old: Option<&Told>) {
        let same = old.filter(|old| old.what.event == now.event);
        let since = same.map_or(now.since, |old| old.what.since);
        let now = Condition { since, ..now.clone() };
        if old.is_none_or(|old| !old.what.is_like(&now)) {
            self.begins.push(now.clone());
        }
        if let Some(old) = old.filter(|_| same.is_none()) {
            self.ends.push(old.clone());
        }
        self.holds.push(now);
    }
}

/// The runs of which something is known: the newest, and the newest bad ones.
fn known_runs(job: &JobStanding) -> impl Iterator<Item = &PastRun> {
    job.past.iter().filter(|run| run.has_ended()).chain(&job.bad)
}

fn ids<'a>(runs: impl Iterator<Item = &'a PastRun>) -> BTreeSet<String> {
    runs.map(|run| run.run.clone()).collect()
}
