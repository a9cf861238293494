//! One look: what is seen and what was told become messages.

use std::time::Duration;

use super::{NoteError, Teller, is_repeated};
use crate::app::{App, Sight, task};
use crate::config::JobConfig;
use crate::config::notify::{Channel, Event, Notifier};
use crate::config::values::{JobName, Name, Veil};
use crate::history::{About, Notes, NotesChange};
use crate::report::notify::{
    Draft, Entry, Ground, Known, Limits, Look, Notice, Ping, Say, View, notice, plan, plan_removed,
};
use crate::runner::Limit;
use crate::standing::{JobStanding, RecoveryStanding, Standing};
use crate::words;

/// Notes what there is to tell of a sight.
pub(super) fn note(sight: &Sight, teller: &Teller) -> Result<(), NoteError> {
    let Ok(standing) = &sight.standing else { return Ok(()) };
    let history = &sight.app.runner.history;
    let notes = history.notes()?;
    let mut desk =
        Desk { app: &sight.app, sight, teller, notes: &notes, veil: None, change: NotesChange::default() };
    desk.change.at = sight.at;
    desk.all(standing);
    let change = desk.change;
    let is_same = NotesChange { at: sight.at, ..NotesChange::default() } == change;
    if is_same { Ok(()) } else { history.note(&change) }
}

struct Desk<'a> {
    app: &'a App,
    sight: &'a Sight,
    teller: &'a Teller,
    notes: &'a Notes,
    /// Made when it is first needed: some secrets take a program to read.
    veil: Option<Veil>,
    change: NotesChange,
}

impl Desk<'_> {
    fn all(&mut self, standing: &Standing) {
        let notifiers = &self.app.config().notify;
        for notifier in notifiers.values() {
            let known = self.notes.born.get(&notifier.name).copied();
            if known.is_none() {
                self.change.born.push((notifier.name.clone(), self.teller.since));
            }
            for job in standing.jobs.iter().filter(|job| notifier.is_for(&job.job)) {
                let others_are_bad = standing.jobs.iter().any(|other| {
                    other.job != job.job && notifier.is_for(&other.job) && is_bad_for_check(notifier, other)
                });
                self.job(notifier, job, others_are_bad);
            }
            for recovery in &standing.recoveries {
                if self.is_responsible(notifier, recovery) {
                    self.job(notifier, &recovery.stands, false);
                }
            }
            self.removed(notifier, standing);
        }
        let gone = self.notes.born.keys().filter(|name| !notifiers.contains_key(name));
        self.change.gone = gone.cloned().collect();
    }

    /// Whether who is told by this is told of the recoveries of a target: of all jobs, or of one about the target. A check
    /// of healthchecks.io is one of schedules, and a recovery has none.
    fn is_responsible(&self, notifier: &Notifier, recovery: &RecoveryStanding) -> bool {
        let mut about = self.app.config().jobs_about(&recovery.target);
        let is_for = notifier.jobs.is_none() || about.any(|job| notifier.is_for(&job.name));
        is_for && !matches!(notifier.channel, Channel::Healthchecks(_))
    }

    fn job(&mut self, notifier: &Notifier, job: &JobStanding, others_are_bad: bool) {
        let now = self.sight.at;
        let about = (notifier.name.clone(), job.job.clone());
        // What cannot be read was written by another version: it is begun anew.
        let entry: Option<Entry> =
            self.notes.notes.get(&about).and_then(|note| serde_json::from_str(note).ok());
        let is_new = !self.notes.born.contains_key(&notifier.name);
        let known = if is_new { Known::NotifierSince(self.teller.since) } else { Known::JobIsNew };
        let view = View::of(job, self.limits(&job.job), now);
        let look = Look { job, view: &view, others_are_bad, is_last: self.teller.holds, now };
        let (new, draft) = plan(entry.as_ref(), notifier, known, look);
        if let Some(draft) = draft {
            self.post(notifier, self.said_first(&about, &new, draft));
        }
        if entry.as_ref() != Some(&new)
            && let Ok(note) = serde_json::to_string(&new)
        {
            self.change.notes.push((about, Some(note)));
        }
    }

    /// Of what is still so, and nobody has heard of yet, it is not said that it is so still.
    fn said_first(&self, about: &About, entry: &Entry, draft: Draft) -> Draft {
        let event = entry.told.first().map(|told| told.what.event);
        let is_first = |old: &Notice| event.is_some_and(|event| old.say == Say::Bad(event));
        let is_repeated = matches!(draft.say, Say::Still(_) | Say::Missed);
        match event.filter(|_| is_repeated && self.waiting(about).is_some_and(|old| is_first(&old))) {
            Some(event) => Draft { say: Say::Bad(event), ..draft },
            None => draft,
        }
    }

    /// What is still to be told.
    fn waiting(&self, about: &About) -> Option<Notice> {
        serde_json::from_str(&self.notes.posts.get(about)?.message).ok()
    }

    /// What was told of and is not there any more.
    fn removed(&mut self, notifier: &Notifier, standing: &Standing) {
        let is_recovery = |job: &JobName| {
            let of_job = standing.recoveries.iter().find(|recovery| recovery.stands.job == *job);
            of_job.is_some_and(|recovery| self.is_responsible(notifier, recovery))
        };
        let is_job =
            |job: &JobName| notifier.is_for(job) && standing.jobs.iter().any(|known| known.job == *job);
        let is_there = |job: &JobName| is_job(job) || is_recovery(job);
        let of_it = |about: &&About| about.0 == notifier.name && !is_there(&about.1);
        let gone: Vec<About> = self.notes.notes.keys().filter(of_it).cloned().collect();
        for about in gone {
            let note = self.notes.notes.get(&about);
            let Some(entry) = note.and_then(|note| serde_json::from_str::<Entry>(note).ok()) else {
                self.change.notes.push((about, None));
                continue;
            };
            if let Some(draft) = plan_removed(&entry, notifier, &about.1, self.sight.at) {
                self.post(notifier, draft);
            }
            // It may come back, as when somebody has a job commented out for a while.
            let closed = entry.clone().closed();
            if closed != entry
                && let Ok(note) = serde_json::to_string(&closed)
            {
                self.change.notes.push((about, Some(note)));
            }
        }
    }

    fn post(&mut self, notifier: &Notifier, draft: Draft) {
        let about = (notifier.name.clone(), draft.job.clone());
        let undelivered = match notifier.channel {
            // It is told how it is now.
            Channel::Alertmanager(_) => Vec::new(),
            Channel::Healthchecks(_) => self.fails(&about, &draft),
            _ => self.undelivered(&about),
        };
        let draft = match notifier.channel {
            Channel::Alertmanager(_) => match self.waiting(&about) {
                Some(before) => draft.ending(before),
                None => draft,
            },
            _ => draft,
        };
        let run = draft.run.clone();
        let report = run.and_then(|run| self.app.runner.history.show(&run).ok());
        let ground = Ground {
            host: &self.teller.host,
            zone: &self.app.config().timezone,
            now: self.sight.at,
            holds: self.teller.holds,
        };
        let message = notice(draft, report.as_ref(), &undelivered, ground).under(self.veil());
        if let Ok(message) = serde_json::to_string(&message) {
            self.change.posts.push((about, message));
        }
    }

    /// The first lines of messages in whose place another one is told.
    fn undelivered(&self, about: &About) -> Vec<String> {
        let Some(old) = self.waiting(about) else { return Vec::new() };
        let mut all = old.undelivered;
        if !is_repeated(old.say) {
            all.push(old.headline);
        }
        all
    }

    /// The last ping that a run failed, or that one did of which there was none, where another one takes its place that does
    /// not say so: a check that was down and is up again tells both.
    fn fails(&self, about: &About, draft: &Draft) -> Vec<String> {
        if draft.say == Say::Ping(Ping::Fail) {
            return Vec::new();
        }
        if draft.meanwhile > 0 {
            let runs = words::count(draft.meanwhile as usize, "run");
            return vec![format!("{} {}: {runs} before this one", Event::Failed.words(), draft.job)];
        }
        let old = self.waiting(about);
        let failed = |old: Notice| match old.say {
            Say::Ping(Ping::Fail) => vec![old.headline],
            _ => old.undelivered,
        };
        old.map(failed).unwrap_or_default()
    }

    fn veil(&mut self) -> &Veil {
        let app = self.app;
        self.veil.get_or_insert_with(|| app.shared.veil())
    }

    fn limits(&self, job: &Name) -> Limits {
        Limits { whole: self.app.config().job(job.as_str()).and_then(whole) }
    }
}

/// One check for several jobs is well when all of them are.
fn is_bad_for_check(notifier: &Notifier, job: &JobStanding) -> bool {
    let Channel::Healthchecks(checks) = &notifier.channel else { return false };
    let shares = checks.one.is_some() && !checks.of_job.contains_key(&job.job);
    shares && job.enabled && job.pause.is_none() && job.is_bad()
}

/// How long all attempts of a job and the waits between them may take; nothing where they are not limited so.
fn whole(job: &JobConfig) -> Option<Duration> {
    let Some(Limit::Total(limit)) = task(job, Vec::new()).limit else { return None };
    let waits = (0..job.retries.max.min(16)).map(|number| job.retries.backoff * 2_u32.pow(number));
    Some(limit * (job.retries.max + 1) + waits.sum::<Duration>())
}
