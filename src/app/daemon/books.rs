//! What became of every slot, in the history. A history that cannot be written is told of and keeps no job from running:
//! what was to be written is kept, in order, and written when that works again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::account::{self, Unwatched};
use super::schedule_of;
use crate::blocking::blocking;
use crate::config::values::JobName;
use crate::config::{After, AfterOutcome, JobConfig};
use crate::history::{
    History, HistoryError, MissedSlots, Renewed, RunReport, Standing, Wait, WaitingRun, Watched,
};
use crate::jobs::Outcome;
use crate::runner::{Live, Unwritten};
use crate::schedule::Stretch;
use crate::schedule::driver::Leap;
use crate::words;

/// Keeps the account of slots.
pub(super) struct Books {
    history: Arc<History>,
    /// The zone in which reasons name times.
    zone: TimeZone,
    /// What is still to be written, of each job in its order.
    open: BTreeMap<JobName, VecDeque<Entry>>,
    /// Jobs of which nothing is under way, and how far their slots came: to be written with the next look.
    ended: BTreeMap<JobName, Timestamp>,
    /// The history could not be written last: it is tried again at the next look only, for each try may take long.
    is_failing: bool,
    /// Times that the clock leapt over. It may come back.
    leaps: Vec<Leapt>,
}

/// A time that the clock leapt over, and births since then: they are wrong where the clock was.
#[derive(Debug, Clone)]
pub(super) struct Leapt {
    leap: Leap,
    births: BTreeSet<Timestamp>,
}

/// The births in leaps that a clock which went back to this time has undone.
fn false_births(to: Timestamp, undone: &[Leapt]) -> BTreeSet<Timestamp> {
    let undone = undone.iter().filter(|leapt| leapt.leap.from <= to);
    undone.flat_map(|leapt| leapt.births.iter().copied()).collect()
}

/// A job with its slots that have no record yet, or one that is open.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) job: JobName,
    pub(super) slots: BTreeSet<Timestamp>,
}

/// What is to be written of a job.
struct Page {
    job: JobName,
    waiting: BTreeSet<Timestamp>,
    entries: VecDeque<Entry>,
    /// Slots that are to be run now.
    to_run: Vec<Timestamp>,
}

impl Page {
    /// Writes the entries in their order, as far as that works.
    fn write(&mut self, history: &History, zone: &TimeZone) -> Result<(), HistoryError> {
        while let Some(entry) = self.entries.front().cloned() {
            let account = Account { history, name: &self.job, waiting: &self.waiting, zone };
            let slots = account.write(entry)?;
            self.waiting.extend(&slots);
            self.to_run.extend(slots);
            self.entries.pop_front();
        }
        Ok(())
    }
}

/// Whose slots are settled.
#[derive(Debug, Clone)]
pub(super) enum Whose {
    /// Those of a job, as it is configured.
    Job(Box<JobConfig>),
    /// Those of a job that was disabled or taken out meanwhile: none is made up for.
    Gone,
}

/// Something that is to be written of a job.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// What was missed in a time that nobody watched.
    Settle(Whose, Unwatched),
    /// The job has this schedule from now on.
    InForce(Watched),
    /// Slots that did not run.
    Missed(MissedSlots),
    /// Every slot up to this time is known, but for those that wait.
    Known(Timestamp),
    /// The clock went back to this time, before these leaps that it made.
    Back(Timestamp, Vec<Leapt>),
    /// A slot that was noted as missed comes after all: the clock was put back.
    Came(Timestamp),
    /// The job is no more, and when it comes back it has missed nothing.
    Forget,
}

impl Books {
    pub(super) fn new(history: Arc<History>, zone: TimeZone) -> Self {
        let (open, ended) = (BTreeMap::new(), BTreeMap::new());
        Self { history, zone, open, ended, is_failing: false, leaps: Vec::new() }
    }

    /// Writes an entry of each of these jobs, and returns the slots that are to be run now. Where it cannot be written,
    /// [`Books::again`] does it later.
    pub(super) async fn write(&mut self, entries: Vec<(Waiting, Entry)>) -> Vec<(JobName, Vec<Timestamp>)> {
        let mut jobs = Vec::new();
        for (waiting, entry) in entries {
            if let Some(reached) = self.ended.remove(&waiting.job) {
                self.push(&waiting.job, Entry::Known(reached));
            }
            self.push(&waiting.job, entry);
            jobs.push(waiting);
        }
        if self.is_failing { Vec::new() } else { self.again(jobs).await }
    }

    /// The jobs of which something is still to be written. The next try is a real one.
    pub(super) fn open(&mut self) -> Vec<JobName> {
        self.is_failing = false;
        self.open.keys().cloned().collect()
    }

    /// Nothing of a job is under way, and its slots came so far. That is written with the next look: a daemon that is killed
    /// before leaves no more than what the next one finds by itself.
    pub(super) fn ended(&mut self, job: JobName, reached: Timestamp) {
        self.ended.insert(job, reached);
    }

    /// What is to be written with the next look.
    pub(super) fn take_ended(&mut self) -> Vec<(JobName, Timestamp)> {
        std::mem::take(&mut self.ended).into_iter().collect()
    }

    /// Writes which slots of jobs are known, and says what is known of slots that come; nothing where that cannot be read.
    pub(super) async fn look(
        &mut self,
        ends: Vec<(Waiting, Timestamp)>,
        slots: Vec<(JobName, Timestamp)>,
    ) -> Vec<Standing> {
        let is_behind = |end: &(Waiting, Timestamp)| self.is_failing || self.open.contains_key(&end.0.job);
        let (later, now): (Vec<_>, Vec<_>) = ends.into_iter().partition(is_behind);
        self.keep(later);
        let (history, nothing) = (Arc::clone(&self.history), vec![Standing::default(); slots.len()]);
        let looked = blocking(move || {
            let known = if now.is_empty() { Ok(()) } else { know(&history, &now) };
            let standing = if slots.is_empty() { Ok(Vec::new()) } else { history.standing(&slots) };
            (known.map_err(|error| (error, now)), standing)
        });
        let (known, standing) = looked.await;
        if let Err((error, now)) = known {
            tell(&error);
            self.is_failing = true;
            self.keep(now);
        }
        standing.inspect_err(tell).unwrap_or(nothing)
    }

    /// To be written when that works again.
    fn keep(&mut self, ends: Vec<(Waiting, Timestamp)>) {
        for (waiting, reached) in ends {
            self.push(&waiting.job, Entry::Known(reached));
        }
    }

    fn push(&mut self, job: &JobName, entry: Entry) {
        let entries = self.open.entry(job.clone()).or_default();
        // The later of two says all.
        if matches!((entries.back(), &entry), (Some(Entry::Known(_)), Entry::Known(_))) {
            entries.pop_back();
        }
        entries.push_back(entry);
    }

    /// Tries once more to write what is open of these jobs, and returns the slots that are to be run now.
    pub(super) async fn again(&mut self, jobs: Vec<Waiting>) -> Vec<(JobName, Vec<Timestamp>)> {
        if jobs.is_empty() {
            return Vec::new();
        }
        let with_entries = |waiting: Waiting| {
            let entries = self.open.get(&waiting.job).cloned().unwrap_or_default();
            Page { job: waiting.job, waiting: waiting.slots, entries, to_run: Vec::new() }
        };
        let mut pages: Vec<Page> = jobs.into_iter().map(with_entries).collect();
        let (history, zone) = (Arc::clone(&self.history), self.zone.clone());
        let (pages, written) = blocking(move || {
            let written = pages.iter_mut().try_for_each(|page| page.write(&history, &zone));
            (pages, written)
        })
        .await;
        if let Err(error) = written {
            tell(&error);
            self.is_failing = true;
        }
        let slots = |page: Page| {
            // What is left of them.
            if page.entries.is_empty() {
                self.open.remove(&page.job);
            } else {
                self.open.insert(page.job.clone(), page.entries);
            }
            (page.job, page.to_run)
        };
        pages.into_iter().map(slots).collect()
    }

    /// The job is no more: what is still to be settled of it is not made up for.
    pub(super) fn give_up(&mut self, job: &JobName) {
        for entry in self.open.get_mut(job).into_iter().flatten() {
            if let Entry::Settle(whose, _) = entry {
                *whose = Whose::Gone;
            }
        }
    }

    /// A daemon begins. The time that none watched is a leap like others: a clock that is ahead now may come back.
    pub(super) async fn begin(&mut self, now: Timestamp) {
        if let Some(Some(from)) = self.with_history(History::known_until).await
            && from < now
        {
            self.leapt(Leap { from, to: now });
        }
        self.born(now);
    }

    /// Schedules may be new since this time.
    pub(super) fn born(&mut self, at: Timestamp) {
        for leapt in self.leaps.iter_mut().filter(|leapt| leapt.leap.to <= at) {
            leapt.births.insert(at);
        }
    }

    /// Remembers a leap.
    pub(super) fn leapt(&mut self, leap: Leap) {
        self.leaps.push(Leapt { leap, births: BTreeSet::new() });
        // A clock that leaps and leaps: the newest will do.
        let many = self.leaps.len().saturating_sub(100);
        self.leaps.drain(..many);
    }

    /// The leaps that a clock which shows `to` has taken back.
    pub(super) fn taken_back(&mut self, to: Timestamp) -> Vec<Leapt> {
        let (undone, kept) =
            std::mem::take(&mut self.leaps).into_iter().partition(|leapt| leapt.leap.to > to);
        self.leaps = kept;
        undone
    }

    /// The jobs whose slots were watched and that are not among these; nothing where that cannot be read now.
    pub(super) async fn others(&self, jobs: &[JobConfig]) -> Option<Vec<JobName>> {
        let mut watched = self.with_history(History::watched_jobs).await?;
        watched.retain(|name| !jobs.iter().any(|job| job.name == *name));
        Some(watched)
    }

    /// Notes what waits, in place of what was noted before.
    pub(super) async fn note_waits(&self, waits: Vec<Wait>) -> bool {
        self.with_history(move |history| history.set_waits(&waits)).await.is_some()
    }

    /// Nothing is left to be written.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// The slot of a job that runs after others, where all of them have ended since the last one: when the last of them
    /// did. With why it is to be skipped, if it is.
    pub(super) async fn due_after(&self, job: &JobConfig) -> Option<(Timestamp, Option<String>)> {
        let (name, after) = (job.name.clone(), job.after.clone()?);
        self.with_history(move |history| due_after(history, &name, &after)).await?
    }

    /// Why a job is not to run now, where it is paused.
    pub(super) async fn pause(&self, job: &JobName) -> Option<String> {
        let name = job.clone();
        let pause = self.with_history(move |history| history.pause_of(&name)).await??;
        Some(pause.words(&self.zone))
    }

    /// Makes the history anew where its file is gone or damaged; says whether it did. What was in it is lost: how far
    /// slots were known, pauses, and runs that wait.
    pub(super) async fn renew(&self, now: Timestamp) -> bool {
        let history = Arc::clone(&self.history);
        match blocking(move || history.renew(now)).await {
            Ok(None) => false,
            Ok(Some(renewed)) => {
                tell_renewed(&renewed);
                matches!(renewed, Renewed::Gone | Renewed::Replaced | Renewed::Damaged(_))
            }
            Err(error) => {
                tracing::error!(
                    error = words::chain(&error),
                    "the history cannot be opened: jobs run, and what they did is kept in memory until it can"
                );
                false
            }
        }
    }

    /// The runs that wait for their next attempt; nothing where they cannot be read now.
    pub(super) async fn waiting(&self) -> Option<Vec<WaitingRun>> {
        self.with_history(History::waiting).await
    }

    /// Closes a run that waited for its next attempt, which is not made. Says whether that could be written.
    pub(super) async fn cut(&self, mut report: RunReport, why: &str, now: Timestamp) -> bool {
        report.cut_between_attempts(why);
        report.finished = Some(now.max(report.started));
        tracing::warn!(job = %report.job, run = %report.run, reason = report.reason, "a run does not go on");
        self.with_history(move |history| history.finish(&report)).await.is_some()
    }

    /// Tells a history that is new of what is under way.
    pub(super) async fn write_live(&self, live: &Live) {
        let (history, live) = (Arc::clone(&self.history), live.clone());
        blocking(move || live.write(&history)).await;
    }

    /// Writes the runs that could not be written.
    pub(super) async fn write_runs(&self, unwritten: &Unwritten) {
        let (history, unwritten) = (Arc::clone(&self.history), unwritten.clone());
        blocking(move || unwritten.write(&history)).await;
    }

    async fn with_history<T: Send + 'static>(
        &self,
        work: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
    ) -> Option<T> {
        let history = Arc::clone(&self.history);
        let result = blocking(move || work(&history)).await;
        result.inspect_err(tell).ok()
    }
}

fn tell(error: &HistoryError) {
    tracing::error!(error = words::chain(error), "what became of slots cannot be written; it is tried again");
}

/// Of each of these jobs every slot is known as far as they came, but for those that wait.
fn know(history: &History, ends: &[(Waiting, Timestamp)]) -> Result<(), HistoryError> {
    let each = ends
        .iter()
        .map(|(waiting, reached)| (&waiting.job, |notes| account::known(notes, *reached, &waiting.slots)));
    history.watch_on(each)
}

/// Tells what became of the history.
pub(in crate::app) fn tell_renewed(renewed: &Renewed) {
    let lost = "a new one begins, which knows of runs before as far as backups tell of them, and of no slot or pause";
    match renewed {
        Renewed::Gone => tracing::error!("the file of the history was taken away: {lost}"),
        Renewed::Replaced => tracing::warn!(
            "another file stands in the place of the history, such as one that was moved back: it is used from now on, and \
             what was noted in the other one is not in it"
        ),
        Renewed::Damaged(aside) => {
            tracing::error!(aside = %aside.display(), "the history is damaged, and was set aside: {lost}");
        }
        Renewed::Beside => tracing::error!(
            "the -wal or -shm of the history was taken away while it was open: it was opened anew. What other commands have \
             noted meanwhile, such as a pause, may be lost: look with `watchkeeper status`"
        ),
        Renewed::Opened => {
            tracing::warn!("the history could be opened: what was kept in memory is written now");
        }
    }
}

/// The note that a job is watched from `at` on.
pub(super) fn in_force(job: &JobConfig, at: Timestamp) -> Option<Watched> {
    match (schedule_of(job), &job.after) {
        (Some(schedule), _) => Some(account::born(schedule, at)),
        (None, Some(after)) => {
            let names: Vec<&str> = after.jobs.iter().map(JobName::as_str).collect();
            Some(account::born_after(&names, at))
        }
        (None, None) => None,
    }
}

/// The account of one job.
pub(super) struct Account<'a> {
    pub(super) history: &'a History,
    pub(super) name: &'a JobName,
    pub(super) waiting: &'a BTreeSet<Timestamp>,
    pub(super) zone: &'a TimeZone,
}

impl Account<'_> {
    /// Writes an entry, and returns the slots to run.
    fn write(&self, entry: Entry) -> Result<Vec<Timestamp>, HistoryError> {
        let notes = self.history.watched(self.name)?;
        let (notes, missed) = match entry {
            Entry::Settle(whose, time) => return self.settle(notes, &whose, &time),
            Entry::InForce(note) => {
                // What came before was all told.
                let at = note.born;
                (account::known(account::in_force(notes, note), at, self.waiting), Vec::new())
            }
            Entry::Missed(missed) => (notes, vec![missed]),
            Entry::Known(to) => (account::known(notes, to, self.waiting), Vec::new()),
            Entry::Back(to, leaps) => {
                self.take_back(&notes, to, &leaps)?;
                (account::back(notes, to, &false_births(to, &leaps)), Vec::new())
            }
            Entry::Came(slot) => {
                self.came(&notes, slot)?;
                return Ok(Vec::new());
            }
            Entry::Forget => (Vec::new(), Vec::new()),
        };
        self.history.watch(self.name, &notes, &missed)?;
        Ok(Vec::new())
    }

    /// Takes back what was noted as missed in leaps that were none, for slots that have not come yet.
    fn take_back(&self, notes: &[Watched], to: Timestamp, leaps: &[Leapt]) -> Result<(), HistoryError> {
        for Leapt { leap, .. } in leaps {
            let now = to.max(leap.from);
            let mut wrong = self.history.missed_after(self.name, now)?;
            wrong.retain(|missed| missed.first > leap.from && missed.last <= leap.to);
            let cut = |missed: &MissedSlots| self.cut(notes, missed, missed.first, now).transpose();
            let right = wrong.iter().filter_map(cut).collect::<Result<Vec<_>, _>>()?;
            if !wrong.is_empty() {
                self.history.correct_missed(self.name, &wrong, &right)?;
            }
        }
        Ok(())
    }

    /// Takes a slot out of what was missed.
    fn came(&self, notes: &[Watched], slot: Timestamp) -> Result<(), HistoryError> {
        let Some(missed) = self.history.missed_at(self.name, slot)? else { return Ok(()) };
        let left = self.cut(notes, &missed, missed.first, account::before(slot))?;
        let right = self.cut(notes, &missed, account::after(slot), missed.last)?;
        let parts: Vec<MissedSlots> = left.into_iter().chain(right).collect();
        self.history.correct_missed(self.name, &[missed], &parts)
    }

    /// What of a stretch lies between these times.
    fn cut(
        &self,
        notes: &[Watched],
        missed: &MissedSlots,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Option<MissedSlots>, HistoryError> {
        let note = notes.iter().rev().find(|note| note.born < missed.first).or(notes.last());
        let Some(schedule) = note.and_then(|note| account::schedule_of(note, self.name.as_str(), self.zone))
        else {
            return Ok(None);
        };
        let ran = self.history.slots_after(self.name, account::before(from))?;
        let reason = || missed.reason.clone();
        let slots = |cut: Stretch| MissedSlots {
            first: cut.first,
            last: cut.last,
            count: cut.count,
            at_least: cut.at_least,
            reason: reason(),
        };
        Ok(schedule.cut(from, until, ran).map(slots))
    }
}

fn due_after(
    history: &History,
    job: &JobName,
    after: &After,
) -> Result<Option<(Timestamp, Option<String>)>, HistoryError> {
    let Some(watched) = history.watched(job)?.pop() else { return Ok(None) };
    let since = history.last_after(job)?.map_or(watched.until, |slot| slot.max(watched.until));
    let (mut slot, mut failed) = (since, None);
    for before in &after.jobs {
        let Some(end) = history.ends(before, since, Timestamp::MAX)?.pop() else { return Ok(None) };
        slot = slot.max(end.at);
        let is_well = matches!(end.outcome, Outcome::Done | Outcome::Warned);
        if !is_well && after.outcome == AfterOutcome::Success {
            // The reason of a skip says where a chain ends; that of a failure is told by its own run.
            let why = end.reason.filter(|_| end.outcome == Outcome::Skipped);
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            let word = end.outcome.word();
            failed = Some(format!("the run of {before} that it runs after was {word}{why}"));
        }
    }
    Ok(Some((slot, failed)))
}
