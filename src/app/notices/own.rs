//! What the daemon has to tell of itself: that it cannot note what runs, or that its history was lost. What is noted with the
//! history would not be told then, so it is kept in memory and sent at once: on the beginning, as a reminder, and on the end.
//! A daemon that is started anew tells what is still so once more.
//!
//! healthchecks.io is told nothing: its checks miss the pings, and say so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::{Teller, doubled};
use crate::app::{App, Sight};
use crate::blocking::blocking;
use crate::config::notify::{Channel, Event, Notifier};
use crate::config::values::Name;
use crate::history::Founded;
use crate::report::notify::{Condition, Notice, Say, Subject, Told, is_over};
use crate::standing::SetAside;
use crate::words;

/// The job of these messages, which none of the configuration need have.
const JOB: &str = "watchkeeper";
/// Their kind.
const KIND: &str = "daemon";
/// The wait after the first try; doubled after each further one.
const FIRST: Duration = Duration::from_secs(15);

/// A new history is founded so soon after the damaged one was set aside.
const SAME_LOSS: SignedDuration = SignedDuration::from_mins(1);

/// What is told to whom.
#[derive(Default)]
pub(super) struct Own {
    tasks: JoinSet<Said>,
    busy: BTreeSet<Name>,
    /// Since when nothing can be noted, and why.
    trouble: Option<(Timestamp, String)>,
    /// The history that was lost last: who else is to tell it has not heard of it when the first has told it.
    lost: Option<Lost>,
    told: BTreeMap<Name, Heard>,
}

/// What a notifier has told.
#[derive(Debug, Default)]
struct Heard {
    /// That nothing can be noted: since when that is, and when it was told last.
    trouble: Option<(Timestamp, Timestamp)>,
    /// Which history was lost, and when it was told last.
    lost: Option<(Lost, Timestamp)>,
    /// When anything was told last.
    last: Option<Timestamp>,
    /// How often in a row it did not work, and when it was tried last.
    tries: u32,
    tried: Option<Timestamp>,
}

/// What came of telling something.
struct Said {
    notifier: Name,
    word: Word,
    was_taken: bool,
    at: Timestamp,
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// Nothing can be noted since then.
    Begins(Timestamp, String),
    /// It still cannot.
    Still(Timestamp, String),
    /// It can again; it could not since then.
    Ends(Timestamp),
    /// A history was lost.
    Lost(Lost),
}

/// A history that was damaged or taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lost {
    /// When that was found.
    at: Timestamp,
    /// What is said of it.
    why: String,
}

impl Lost {
    /// What this process has set aside, or nobody was told of yet; nothing where no history was lost.
    fn seen(sight: &Sight) -> Option<Self> {
        let zone = &sight.app.config().timezone;
        let aside = sight.app.runner.history.set_aside().and_then(SetAside::of);
        let founded = sight.state.founded.as_ref().filter(|founded| founded.lasts && !founded.told);
        // One that is begun in the place of a damaged one is no second loss.
        let is_of =
            |aside: &SetAside| founded.is_none_or(|founded| founded.at.duration_since(aside.at) <= SAME_LOSS);
        let of_aside = |aside: SetAside| Self { at: aside.at, why: aside.words(zone) };
        let of_founded = |founded: &Founded| Self { at: founded.at, why: founded.words(zone) };
        aside.filter(is_of).map(of_aside).or_else(|| founded.map(of_founded))
    }
}

/// What is so now.
struct Now<'a> {
    trouble: Option<&'a (Timestamp, String)>,
    lost: Option<&'a Lost>,
    at: Timestamp,
}

impl Heard {
    /// What a notifier is to tell now.
    fn due(&self, notifier: &Notifier, now: &Now<'_>) -> Option<Word> {
        let is_mute =
            matches!(notifier.channel, Channel::Healthchecks(_)) || !notifier.on.contains(&Event::Failed);
        if is_mute || self.waits(now.at) {
            return None;
        }
        let remind = match &notifier.channel {
            // It ends by itself where nobody repeats it.
            Channel::Alertmanager(alerts) => Some(alerts.resend),
            _ => notifier.rhythm.remind,
        };
        let is_to_be_reminded = |last| remind.is_some_and(|remind| is_over(last, remind, now.at));
        let is_cool = self.last.is_none_or(|last| is_over(last, notifier.rhythm.cooldown, now.at));
        match (now.trouble, self.trouble) {
            (Some((since, why)), None) if is_cool => return Some(Word::Begins(*since, why.clone())),
            (Some((since, why)), Some((_, last))) if is_to_be_reminded(last) => {
                return Some(Word::Still(*since, why.clone()));
            }
            (None, Some((since, _))) => return Some(Word::Ends(since)),
            _ => {}
        }
        let is_alert = matches!(notifier.channel, Channel::Alertmanager(_));
        let is_told = |lost: &&Lost| {
            let told = self.lost.as_ref().filter(|(told, _)| told == *lost);
            told.is_some_and(|(_, last)| !is_alert || !is_to_be_reminded(*last))
        };
        now.lost.filter(|lost| !is_told(lost)).cloned().map(Word::Lost)
    }

    /// It did not work, and is not tried again yet.
    fn waits(&self, now: Timestamp) -> bool {
        let wait = doubled(FIRST, self.tries.saturating_sub(1));
        self.tried.is_some_and(|tried| !is_over(tried, wait, now))
    }

    /// What came of telling it.
    fn told(&mut self, word: Word, was_taken: bool, now: Timestamp) {
        if !was_taken {
            (self.tries, self.tried) = (self.tries.saturating_add(1), Some(now));
            return;
        }
        (self.tries, self.tried, self.last) = (0, None, Some(now));
        match word {
            Word::Begins(since, _) | Word::Still(since, _) => self.trouble = Some((since, now)),
            Word::Ends(_) => self.trouble = None,
            Word::Lost(lost) => self.lost = Some((lost, now)),
        }
    }
}

impl Own {
    /// Begins to tell what a sight has shown.
    pub(super) fn look(&mut self, sight: &Sight, teller: &Teller) {
        let trouble = sight.trouble();
        self.trouble = trouble.map(|why| (self.trouble.as_ref().map_or(sight.at, |(since, _)| *since), why));
        self.lost = Lost::seen(sight).or_else(|| self.lost.take());
        // Not the time of the sight: what was told meanwhile would seem to be yet to come.
        let at = (sight.app.runner.clock)();
        let now = Now { trouble: self.trouble.as_ref(), lost: self.lost.as_ref(), at };
        let notifiers = &sight.app.config().notify;
        self.told.retain(|name, _| notifiers.contains_key(name));
        for (name, notifier) in notifiers {
            if self.busy.contains(name) {
                continue;
            }
            let heard = self.told.entry(name.clone()).or_default();
            let Some(word) = heard.due(notifier, &now) else { continue };
            if matches!(word, Word::Ends(_)) && !notifier.on.contains(&Event::Recovered) {
                heard.trouble = None;
                continue;
            }
            self.busy.insert(name.clone());
            let (app, host) = (Arc::clone(&sight.app), Arc::clone(&teller.host));
            self.tasks.spawn(send(app, notifier.clone(), word, (host, sight.at)));
        }
    }

    /// One of them is told, or was not taken; never, where none is under way.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(Said { notifier, word, was_taken, at })) => {
                self.busy.remove(&notifier);
                self.told.entry(notifier).or_default().told(word, was_taken, at);
            }
            Some(Err(_)) => self.busy.clear(),
            None => std::future::pending().await,
        }
    }
}

async fn send(app: Arc<App>, notifier: Notifier, word: Word, (host, at): (Arc<str>, Timestamp)) -> Said {
    let sender = app.sender(&notifier).await;
    let shared = Arc::clone(&app.shared);
    let veil = blocking(move || shared.veil()).await;
    let notice = notice(&app, &word, &host, at).under(&veil);
    let (name, message) = (notifier.name, &notice.headline);
    let sent = sender.send(&notice, at).await;
    if sent.is_ok() && matches!(word, Word::Lost(_)) {
        note_told(&app).await;
    }
    match &sent {
        Ok(answer) => tracing::info!(notifier = %name, message, answer, "told"),
        Err(error) => {
            let error = sender.words(error);
            tracing::warn!(notifier = %name, message, error, "not told; it is tried again");
        }
    }
    Said { notifier: name, word, was_taken: sent.is_ok(), at: (app.runner.clock)() }
}

/// The next daemon does not tell it again.
async fn note_told(app: &App) {
    let history = Arc::clone(&app.runner.history);
    if let Err(error) = blocking(move || history.founding_is_told()).await {
        tracing::warn!(error = words::chain(&error), "that it was told cannot be noted, and is told again");
    }
}

fn notice(app: &App, word: &Word, host: &str, at: Timestamp) -> Notice {
    let zone = &app.config().timezone;
    let failed = Event::Failed.words();
    let after = "jobs run all the same. Free some space on the disk of state_dir, or make it writable; `watchkeeper status` says \
                 whether it is";
    let (say, since, reason, headline) = match word {
        Word::Begins(since, why) => {
            (Say::Bad(Event::Failed), *since, Some(why.clone()), format!("{failed} {JOB} on {host}: {why}"))
        }
        Word::Still(since, why) => {
            let (told, when) = (Some(why.clone()), words::time(*since, zone));
            let headline = format!("STILL {failed} {JOB} on {host} since {when}: {why}");
            (Say::Still(Event::Failed), *since, told, headline)
        }
        Word::Ends(since) => {
            let (when, recovered) = (words::time(*since, zone), Event::Recovered.words());
            let headline = format!(
                "{recovered} {JOB} on {host}: what runs is noted again; it could not be since {when}"
            );
            (Say::Recovered, *since, None, headline)
        }
        Word::Lost(Lost { at, why }) => {
            let headline = format!("{failed} {JOB} on {host}: {why}");
            (Say::Bad(Event::Failed), *at, Some(why.clone()), headline)
        }
    };
    let is_lost = matches!(word, Word::Lost(_));
    let subject = if is_lost { Subject::Aside } else { Subject::Noting };
    let event = Event::Failed;
    let what = Condition { subject, event, since, run: None, reason: reason.clone() };
    let is_over = say == Say::Recovered;
    let body = if is_over || is_lost { String::new() } else { after.to_owned() };
    Notice {
        say,
        job: JOB.parse().unwrap_or_else(|_| unreachable!("it is a name")),
        kind: KIND.to_owned(),
        // What ends one alert must not end the other.
        target: is_lost.then(|| "history".to_owned()),
        host: host.to_owned(),
        run: None,
        reason,
        since,
        at,
        held: 0,
        failures: 0,
        headline,
        body,
        undelivered: Vec::new(),
        standing: (!is_over).then(|| what.clone()).into_iter().collect(),
        ends: is_over.then_some(Told { what, at }).into_iter().collect(),
        missed: None,
        // Who has died does not repeat it, and an alert of that is another one.
        holds: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::store::{atomic, owner};

    fn notifier(keys: &str) -> Notifier {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.toml");
        let text = format!(
            "state_dir = \"/x\"\nbackup_dir = \"/y\"\n[notify.ops]\ntype = \"webhook\"\nurl = \"http://localhost/\"\n{keys}\n"
        );
        atomic::replace(&path, text.as_bytes(), owner::FILE_MODE).unwrap();
        let config = Config::load(&path, &|_| None, jiff::tz::TimeZone::UTC).unwrap();
        config.notify.values().next().unwrap().clone()
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    fn due(heard: &Heard, notifier: &Notifier, trouble: Option<i64>, now: i64) -> Option<Word> {
        let trouble = trouble.map(|since| (at(since), "full".to_owned()));
        heard.due(notifier, &Now { trouble: trouble.as_ref(), lost: None, at: at(now) })
    }

    #[test]
    fn it_is_told_once_reminded_of_and_told_when_it_is_over() {
        let (notifier, mut heard) = (notifier("remind = \"1h\"\ncooldown = \"30m\""), Heard::default());
        assert_eq!(due(&heard, &notifier, None, 0), None);
        let begins = due(&heard, &notifier, Some(1), 1).unwrap();
        assert_eq!(begins, Word::Begins(at(1), "full".into()));
        heard.told(begins, true, at(1));
        assert_eq!(due(&heard, &notifier, Some(1), 60), None);
        let still = due(&heard, &notifier, Some(1), 61).unwrap();
        assert_eq!(still, Word::Still(at(1), "full".into()));
        heard.told(still, true, at(61));
        assert_eq!(due(&heard, &notifier, Some(1), 62), None);
        let ends = due(&heard, &notifier, None, 63).unwrap();
        assert_eq!(ends, Word::Ends(at(1)));
        heard.told(ends, true, at(63));
        assert_eq!(due(&heard, &notifier, None, 64), None);
        // It cools down for 30 minutes.
        assert_eq!(due(&heard, &notifier, Some(70), 70), None);
        assert_eq!(due(&heard, &notifier, Some(70), 93), Some(Word::Begins(at(70), "full".into())));
    }

    #[test]
    fn what_was_not_taken_is_tried_again_after_a_while_and_who_does_not_want_it_is_not_told() {
        let (ops, mut heard) = (notifier(""), Heard::default());
        let begins = due(&heard, &ops, Some(1), 1).unwrap();
        heard.told(begins.clone(), false, at(1));
        heard.told(begins.clone(), false, at(1));
        heard.told(begins.clone(), false, at(1));
        assert_eq!(due(&heard, &ops, Some(1), 1), None);
        assert_eq!(due(&heard, &ops, Some(1), 2), Some(begins));
        assert_eq!(due(&Heard::default(), &notifier("on = [\"warned\"]"), Some(1), 2), None);
    }

    #[test]
    fn a_clock_that_went_back_keeps_nobody_waiting() {
        let rhythm = "remind = \"1h\"\ncooldown = \"30m\"";
        let (notifier, mut heard) = (notifier(rhythm), Heard::default());
        heard.told(Word::Begins(at(0), "full".into()), true, at(0));
        // The clock was ahead by ten minutes, less than the reminder.
        let still = due(&heard, &notifier, Some(0), -10).expect("a reminder");
        assert_eq!(still, Word::Still(at(0), "full".into()));
        heard.told(still, true, at(-10));
        assert_eq!(due(&heard, &notifier, Some(0), 49), None);
        // It cools down by the clock as it is now.
        heard.told(Word::Ends(at(0)), true, at(-10));
        assert_eq!(due(&heard, &notifier, Some(-11), -9), None);
        let begins = due(&heard, &notifier, Some(-11), -11).expect("a message");
        // And what was not taken is tried again.
        heard.told(begins.clone(), false, at(-11));
        assert_eq!(due(&heard, &notifier, Some(-11), -11), None);
        assert_eq!(due(&heard, &notifier, Some(-11), -20), Some(begins));
    }

    #[test]
    fn a_history_that_was_lost_is_told_of_once() {
        let (ops, mut heard) = (notifier(""), Heard::default());
        let lost = Lost { at: at(0), why: "the history was lost".into() };
        let now = Now { trouble: None, lost: Some(&lost), at: at(1) };
        let word = heard.due(&ops, &now).unwrap();
        assert_eq!(word, Word::Lost(lost.clone()));
        heard.told(word, true, at(1));
        assert_eq!(heard.due(&ops, &now), None);
    }
}
