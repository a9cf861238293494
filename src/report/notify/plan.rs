//! Which messages there are to be, from what is seen and what was told: pure.
//!
//! - One message when something changes, one line when it is well again, a reminder while it stays bad.
//! - At most one message for each job and notifier within the cool-down. What comes meanwhile is not lost: it is told when
//!   the cool-down is over, in one message that counts what it stands for.
//! - A job that is paused or disabled is quiet; one that is no longer configured is closed.
//! - A notifier that is new, or whose notes were lost, tells nothing of what was before: no storm.
//! - An Alertmanager and healthchecks.io remember by themselves: they are told each change at once.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::condition::{self, Condition, View};
use crate::config::notify::{Channel, Event, Healthchecks, Notifier};
use crate::config::values::JobName;
use crate::history::MissedSlots;
use crate::standing::{JobStanding, PastRun};

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Say {
    /// Something is wrong.
    Bad(Event),
    /// It is still.
    Still(Event),
    /// Slots did not run.
    Missed,
    /// It is well again.
    Recovered,
    /// It was bad, and is not configured any more.
    Closed,
    /// A run began or ended.
    Ping(Ping),
    /// Nothing: it is tried whether messages arrive.
    Test,
}

/// What healthchecks.io is told of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ping {
    /// It began.
    Start,
    /// It was done, with warnings or without.
    Success,
    /// It failed or was interrupted.
    Fail,
    /// It was done, but another job of the same check is not well: that stays down.
    OthersFail,
}

impl Say {
    /// What happened.
    pub fn event(self) -> Event {
        match self {
            Self::Bad(event) | Self::Still(event) => event,
            Self::Missed => Event::Missed,
            Self::Ping(Ping::Fail | Ping::OthersFail) => Event::Failed,
            Self::Recovered | Self::Closed | Self::Test | Self::Ping(Ping::Start | Ping::Success) => {
                Event::Recovered
            }
        }
    }

    /// One word, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Test => "test",
            Self::Ping(Ping::Start) => "start",
            Self::Ping(Ping::Success) => "success",
            Self::Ping(Ping::Fail | Ping::OthersFail)
            | Self::Bad(_)
            | Self::Still(_)
            | Self::Missed
            | Self::Recovered => self.event().name(),
        }
    }
}

/// What was told to be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What.
    pub event: Event,
    /// Since when.
    pub since: Timestamp,
    /// The run, where it is about one.
    pub run: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When it was last told.
    pub at: Timestamp,
}

/// What a notifier told of a job, and what it has seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What its reader takes for wrong.
    pub told: Option<Told>,
    /// When the last message was sent, whatever it said.
    last: Option<Timestamp>,
    /// The newest run that is accounted for, by when it began.
    seen: Timestamp,
    /// The newest missed slot that is.
    missed_until: Timestamp,
    /// What was wrong when it was last looked.
    state: Option<Event>,
    /// How often that changed since the last message.
    held: u32,
    /// Bad runs that no message told of.
    untold: u32,
    /// Bad runs since it was last well.
    bad_runs: u32,
    /// Missed slots that no message told of.
    missed: Option<MissedSlots>,
    /// The run whose beginning was told.
    started: Option<String>,
    kind: String,
    target: Option<String>,
}

/// A message before it is worded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it says.
    pub say: Say,
    /// Of which job.
    pub job: JobName,
    /// Its kind.
    pub kind: String,
    /// Its target.
    pub target: Option<String>,
    /// Since when it is so; of what is well again, since when it was not.
    pub since: Timestamp,
    /// The run that tells more.
    pub run: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// How many runs have failed.
    pub failures: usize,
    /// How many changes had no message of their own.
    pub held: u32,
    /// Slots that did not run.
    pub missed: Option<MissedSlots>,
    /// What is not wrong any more.
    pub ends: Option<Told>,
}

/// What is seen of a job.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// How it stands.
    pub job: &'a JobStanding,
    /// What is wrong with it, as far as this notifier tells.
    pub view: &'a View,
    /// Another job that shares its check is bad.
    pub others_are_bad: bool,
    /// Nobody looks again for long: what is to hold until then is told now.
    pub is_last: bool,
    /// When.
    pub now: Timestamp,
}

impl Draft {
    /// Says nothing.
    pub fn test(job: JobName, now: Timestamp) -> Self {
        Self {
            say: Say::Test,
            job,
            kind: "test".to_owned(),
            target: None,
            since: now,
            run: None,
            reason: None,
            failures: 0,
            held: 0,
            missed: None,
            ends: None,
        }
    }
}

impl Entry {
    /// Of a job that nothing was told of: what was bad when the notifier was new is known.
    fn new(born: Timestamp, look: Look<'_>) -> Self {
        let known = look.view.bad().filter(|condition| condition.since <= born);
        Self {
            told: known.map(|condition| told(condition, born)),
            last: None,
            seen: born,
            missed_until: born,
            state: known.map(|condition| condition.event),
            held: 0,
            untold: 0,
            bad_runs: 0,
            missed: None,
            started: None,
            kind: look.job.kind.to_owned(),
            target: look.job.target.clone(),
        }
    }

    /// Takes in what has happened since it was last looked, and gives what is wrong now.
    fn account(&mut self, look: Look<'_>, on: &BTreeSet<Event>) -> View {
        let ended: Vec<&PastRun> =
            look.job.past.iter().filter(|run| run.started > self.seen && run.millis.is_some()).collect();
        let bad = |run: &PastRun| of_past(run).filter(|condition| on.contains(&condition.event));
        let view = match (look.view, ended.last()) {
            (View::Unknown, Some(newest)) => bad(newest).map_or(View::Well, View::Bad),
            (view, _) => view.clone(),
        };
        for (index, run) in ended.iter().enumerate() {
            let condition = bad(run);
            if condition.is_some() {
                self.untold += 1;
                self.bad_runs += 1;
            }
            // Of the newest more is known.
            if index + 1 < ended.len() {
                self.changes_to(condition.map(|condition| condition.event));
            }
        }
        if let Some(newest) = ended.last() {
            self.seen = newest.started;
        }
        match &view {
            View::Unknown => {}
            View::Well => self.changes_to(None),
            View::Bad(condition) => self.changes_to(Some(condition.event)),
        }
        if let Some(missed) = look.job.last_missed.as_ref().filter(|missed| missed.last > self.missed_until) {
            self.missed_until = missed.last;
            // What somebody wanted not to run is not missed.
            if on.contains(&Event::Missed) && !missed.are_of_a_pause() {
                self.missed = Some(missed.clone());
            }
        }
        view
    }

    fn changes_to(&mut self, state: Option<Event>) {
        if state != self.state {
            self.held += 1;
            self.state = state;
        }
    }

    /// Notes that a message was sent.
    fn sent(&mut self, current: Option<&Condition>, now: Timestamp) {
        let since = self.told.as_ref().map(|old| (old.event, old.since));
        self.told = current.map(|condition| {
            let old = since.filter(|(event, _)| *event == condition.event).map(|(_, since)| since);
            Told { since: old.unwrap_or(condition.since), ..told(condition, now) }
        });
        if self.told.is_none() {
            self.bad_runs = 0;
        }
        (self.last, self.held, self.untold, self.missed) = (Some(now), 0, 0, None);
    }

    fn draft(&self, job: &JobName, say: Say) -> Draft {
        Draft {
            say,
            job: job.clone(),
            kind: self.kind.clone(),
            target: self.target.clone(),
            since: self.told.as_ref().map_or(self.seen, |told| told.since),
            run: None,
            reason: None,
            failures: self.bad_runs as usize,
            held: self.held,
            missed: None,
            ends: None,
        }
    }
}

fn told(condition: &Condition, at: Timestamp) -> Told {
    let Condition { event, since, run, reason } = condition.clone();
    Told { event, since, run, reason, at }
}

/// What a run that is over was, of which less is known.
fn of_past(run: &PastRun) -> Option<Condition> {
    let event = condition::event_of(run.outcome, None)?;
    Some(Condition { event, since: run.started, run: None, reason: None })
}

/// Whether so much time is over; a clock that went back makes nobody wait.
fn is_over(since: Timestamp, length: Duration, now: Timestamp) -> bool {
    let passed = now.duration_since(since);
    passed.is_negative() || passed >= SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX)
}

/// What a notifier has to say of a job, and what is noted of it then. `born`: since when the notifier is known.
pub fn plan(
    entry: Option<&Entry>,
    notifier: &Notifier,
    born: Timestamp,
    look: Look<'_>,
) -> (Entry, Option<Draft>) {
    let mut entry = entry.cloned().unwrap_or_else(|| Entry::new(born, look));
    look.job.kind.clone_into(&mut entry.kind);
    entry.target.clone_from(&look.job.target);
    let draft = match &notifier.channel {
        Channel::Healthchecks(checks) => ping(&mut entry, checks, look),
        Channel::Alertmanager(alerts) => alert(&mut entry, notifier, alerts.resend, look),
        Channel::Webhook(_) | Channel::Slack(_) | Channel::Ntfy(_) | Channel::Email(_) => {
            message(&mut entry, notifier, born, look)
        }
    };
    (entry, draft)
}

/// What there is to say of a job that is not configured any more, or not for this notifier.
pub fn plan_removed(entry: &Entry, notifier: &Notifier, job: &JobName) -> Option<Draft> {
    let told = entry.told.clone()?;
    let is_wanted = match notifier.channel {
        Channel::Alertmanager(_) => true,
        Channel::Healthchecks(_) => false,
        _ => notifier.on.contains(&Event::Recovered),
    };
    let run = told.run.clone();
    is_wanted.then(|| Draft { run, ends: Some(told), ..entry.draft(job, Say::Closed) })
}

fn is_quiet(job: &JobStanding) -> bool {
    !job.enabled || job.pause.is_some()
}

fn message(entry: &mut Entry, notifier: &Notifier, born: Timestamp, look: Look<'_>) -> Option<Draft> {
    let view = entry.account(look, &notifier.on);
    if let Some(known) = view.bad().filter(|condition| condition.since <= born && entry.last.is_none()) {
        // It was so before this notifier was there; of that it reminds at most.
        entry.told.get_or_insert_with(|| told(known, born)).event = known.event;
    }
    if is_quiet(look.job) {
        (entry.held, entry.untold, entry.missed) = (0, 0, None);
        return None;
    }
    if view == View::Unknown && entry.missed.is_none() {
        return None;
    }
    let believed = entry.told.as_ref().map(|told| told.event);
    let as_believed = entry.told.as_ref().map(of_told);
    let current = match &view {
        View::Unknown => as_believed.as_ref(),
        view => view.bad(),
    };
    let event = current.map(|condition| condition.event);
    let say = if event != believed {
        Some(event.map_or(Say::Recovered, Say::Bad))
    } else if event.is_none() && entry.untold > 0 {
        Some(Say::Recovered)
    } else if entry.missed.is_some() {
        Some(Say::Missed)
    } else {
        is_to_remind(entry, notifier, look.now).then_some(event.map(Say::Still)).flatten()
    };
    let mut say = say?;
    if say == Say::Recovered && !notifier.on.contains(&Event::Recovered) {
        if believed.is_none() {
            // It failed, and nobody was told before it was well again.
            say = Say::Bad(Event::Failed);
        } else if entry.missed.is_some() {
            say = Say::Missed;
        } else {
            (entry.told, entry.held, entry.untold, entry.bad_runs) = (None, 0, 0, 0);
            return None;
        }
    }
    let may = entry.last.is_none_or(|last| is_over(last, notifier.rhythm.cooldown, look.now));
    may.then(|| tell(entry, say, current.cloned().as_ref(), look))
}

fn is_to_remind(entry: &Entry, notifier: &Notifier, now: Timestamp) -> bool {
    let due = |told: &Told| notifier.rhythm.remind.is_some_and(|remind| is_over(told.at, remind, now));
    entry.told.as_ref().is_some_and(due)
}

fn of_told(told: &Told) -> Condition {
    let Told { event, since, run, reason, .. } = told.clone();
    Condition { event, since, run, reason }
}

fn tell(entry: &mut Entry, say: Say, current: Option<&Condition>, look: Look<'_>) -> Draft {
    let job = look.job;
    let draft = entry.draft(&job.job, say);
    let before = entry.told.clone();
    // The change that is told is not one that was held back.
    let held =
        if matches!(say, Say::Bad(_) | Say::Recovered) { draft.held.saturating_sub(1) } else { draft.held };
    let missed = entry.missed.clone();
    entry.sent(current, look.now);
    let since = entry.told.as_ref().map(|told| told.since).or(before.as_ref().map(|told| told.since));
    let last = job.last.as_ref().map(|last| last.run.clone());
    let failures = match say {
        Say::Bad(_) | Say::Still(_) => job.failures,
        _ => draft.failures,
    };
    Draft {
        since: since.unwrap_or(draft.since),
        run: current.map_or(last, |condition| condition.run.clone()),
        reason: current.and_then(|condition| condition.reason.clone()),
        failures,
        held,
        missed,
        ends: before.filter(|before| current.is_none_or(|current| current.event != before.event)),
        ..draft
    }
}

/// An alert is told when it begins and ends, and meanwhile again and again, for it ends by itself where nobody does.
fn alert(entry: &mut Entry, notifier: &Notifier, resend: Duration, look: Look<'_>) -> Option<Draft> {
    let view = if is_quiet(look.job) {
        entry.account(look, &notifier.on);
        (entry.untold, entry.missed) = (0, None);
        View::Well
    } else {
        entry.account(look, &notifier.on)
    };
    let believed = entry.told.as_ref().map(of_told);
    let is_due = entry.told.as_ref().is_some_and(|told| look.is_last || is_over(told.at, resend, look.now));
    match (&view, &believed) {
        (View::Bad(current), Some(old)) if current.event == old.event => {
            is_due.then(|| tell(entry, Say::Bad(current.event), Some(current), look))
        }
        (View::Bad(current), _) => Some(tell(entry, Say::Bad(current.event), Some(current), look)),
        (View::Unknown, Some(old)) if is_due => Some(tell(entry, Say::Bad(old.event), Some(old), look)),
        (View::Well, Some(_)) => Some(tell(entry, Say::Recovered, None, look)),
        // It failed and was well again before anybody looked: it fires once, and ends at the next look.
        (View::Well, None) if entry.untold > 0 => {
            let condition = Condition { event: Event::Failed, since: entry.seen, run: None, reason: None };
            Some(tell(entry, Say::Bad(Event::Failed), Some(&condition), look))
        }
        _ if entry.missed.is_some() => Some(tell(entry, Say::Missed, believed.as_ref(), look)),
        _ => None,
    }
}

fn ping(entry: &mut Entry, checks: &Healthchecks, look: Look<'_>) -> Option<Draft> {
    let job = look.job;
    checks.of(&job.job)?;
    let newest = job.past.iter().rfind(|run| run.started > entry.seen && run.millis.is_some());
    if let Some(newest) = newest {
        entry.seen = newest.started;
        let is_bad = condition::event_of(newest.outcome, None) == Some(Event::Failed);
        let last = job.last.as_ref().filter(|last| last.started == newest.started);
        let say = Say::Ping(match (is_bad, look.others_are_bad) {
            (true, _) => Ping::Fail,
            (false, true) => Ping::OthersFail,
            (false, false) => Ping::Success,
        });
        let reason = last.and_then(|last| last.reason.clone());
        let run = last.map(|last| last.run.clone());
        return Some(Draft { run, reason, since: newest.started, ..entry.draft(&job.job, say) });
    }
    // Runs of several jobs would take each other for their own.
    let last =
        job.last.as_ref().filter(|last| last.finished.is_none() && checks.of_job.contains_key(&job.job))?;
    if last.started <= entry.seen || entry.started.as_ref() == Some(&last.run) {
        return None;
    }
    entry.started = Some(last.run.clone());
    let run = Some(last.run.clone());
    Some(Draft { run, since: last.started, ..entry.draft(&job.job, Say::Ping(Ping::Start)) })
}

#[cfg(test)]
mod tests;
