//! Takes a change back, and finds out whether the server runs with the old configuration.
//!
//! What is loaded anew from the old file proves it. Where that cannot be had, because nobody hears the server or it refuses
//! the old file as it did before, it is still proven where the server says that it has loaded nothing since the change began.

use super::error::ChangeError;
use super::facts::Facts;
use super::journal::{Content, Cut, Found, NO_RULES, Note, take_back};
use super::place::{Owner, Place};
use super::plan::Expected;
use super::reach::{Reach, Standing};
use super::rules::RuleFile;
use super::site::{Comparison, Site};
use super::{candidate, words_of_old};
use crate::jobs::RunContext;
use crate::words;

/// What is needed to take a change back.
pub(super) struct Back<'a> {
    pub(super) reach: &'a Reach,
    pub(super) place: Place,
    pub(super) owner: Option<Owner>,
    pub(super) note: Note,
}

/// Why it is not known that the old configuration is in force.
struct Unproven {
    why: ChangeError,
    /// The server does not say what it has: it may be in force.
    is_silent: bool,
}

impl Unproven {
    fn silent(why: ChangeError) -> Self {
        Self { why, is_silent: true }
    }

    fn other(why: ChangeError) -> Self {
        Self { why, is_silent: false }
    }
}

impl Back<'_> {
    /// The write itself has failed: where the file is as it was, there is nothing to take back, and nothing to load.
    pub(super) async fn after_write(
        self,
        site: &Site,
        cause: ChangeError,
        context: &RunContext,
    ) -> ChangeError {
        let now = self.place.read().await.map(|held| held.map(|held| held.bytes));
        if !now.is_ok_and(|now| self.note.judge(now.as_deref()) == Found::Old) {
            return self.after(site, cause, context).await;
        }
        self.reach.sweep(self.place.temporary()).await;
        // One that stays says of the next change only that this one had written nothing.
        let _ = self.reach.journal.remove();
        ChangeError::Untouched { cause: Box::new(cause) }
    }

    /// Takes it back, and says what came of both.
    pub(super) async fn after(
        mut self,
        site: &Site,
        cause: ChangeError,
        context: &RunContext,
    ) -> ChangeError {
        let never_loaded = matches!(cause, ChangeError::NotReloaded { .. });
        let proven = match self.put(context).await {
            Ok(()) => self.proven(site, never_loaded, context).await,
            Err(why) => Err(Unproven::other(why)),
        };
        match proven {
            Ok(how) => ChangeError::TakenBack { cause: Box::new(cause), how },
            Err(unproven) => self.failed(cause, unproven),
        }
    }

    fn failed(&mut self, cause: ChangeError, unproven: Unproven) -> ChangeError {
        let (cause, undo) = (Box::new(cause), Box::new(unproven.why));
        let old = words_of_old(&self.place.shown(), self.note.backup.as_deref());
        let out = take_back(&self.reach.target, "tries it again");
        if unproven.is_silent {
            self.note.is_back = true;
            // Without this it is only told in other words.
            let _ = self.reach.journal.write(&self.note);
            return ChangeError::Unproven { cause, undo, old, out };
        }
        ChangeError::NotBack { cause, undo, old, out }
    }

    /// Puts the old file back, where it is not there.
    async fn put(&self, context: &RunContext) -> Result<(), ChangeError> {
        let step = context.progress.step("put the old file back", None);
        self.reach.sweep(self.note.temporary.clone()).await;
        let now = self.place.read().await?.map(|held| held.bytes);
        if self.note.judge(now.as_deref()) == Found::Old {
            step.finish("it is there");
            return Ok(());
        }
        match &self.note.old {
            Some(Content(old)) => self.place.write(old, self.owner).await?,
            None => self.take_away(context).await?,
        }
        step.finish(self.place.shown());
        Ok(())
    }

    /// What was new goes; where nothing can remove it, the rules in it do.
    async fn take_away(&self, context: &RunContext) -> Result<(), ChangeError> {
        let Err(error) = self.place.remove().await else { return Ok(()) };
        if self.place.write(NO_RULES, self.owner).await.is_err() {
            return Err(error);
        }
        let (shown, why) = (self.place.shown(), words::chain(&error));
        context.progress.warn(format!("{shown} could not be removed, and stays without any rules: {why}"));
        Ok(())
    }

    /// Has the old file loaded, and sees that the server runs with it: how that was seen, in words. `never_loaded`: the
    /// server has let a reload pass, and another would be waited for in vain.
    async fn proven(
        &self,
        site: &Site,
        never_loaded: bool,
        context: &RunContext,
    ) -> Result<String, Unproven> {
        let step = context.progress.step("see that Prometheus runs with it", None);
        let now = self.reach.standing().await.map_err(Unproven::silent)?;
        let how = if never_loaded && now.well && self.is_as_before(&now) {
            "Prometheus has loaded nothing since".to_owned()
        } else {
            self.loaded(site, &now).await?
        };
        step.finish(how.clone());
        self.reach.journal.remove().map_err(Unproven::other)?;
        Ok(how)
    }

    async fn loaded(&self, site: &Site, now: &Standing) -> Result<String, Unproven> {
        let is_heard = match self.reach.reload(now).await {
            Ok(loaded) => loaded.is_heard,
            Err(error) => {
                let now = self.reach.standing().await.map_err(Unproven::silent)?;
                return match (self.is_as_before(&now), error) {
                    (true, ChangeError::Refused { said }) => Ok(format!(
                        "Prometheus goes on with what it had loaded before; its last reload failed: {said}"
                    )),
                    (true, _) => Ok("Prometheus has loaded nothing since".to_owned()),
                    (false, error) => Err(Unproven::other(error)),
                };
            }
        };
        let loaded =
            self.reach.client.loaded_config().await.map_err(|error| Unproven::silent(error.into()))?;
        let not = |what: &str| Unproven::other(ChangeError::NotProven { what: what.to_owned() });
        if !is_heard && loaded != self.note.loaded {
            return Err(not("its configuration is not the one of before the change"));
        }
        if let Some(old) = self.expected(site)
            && let Comparison::Other(what) = site.compare(&old).await.map_err(Unproven::silent)?
        {
            return Err(not(&what));
        }
        Ok("Prometheus has loaded it".to_owned())
    }

    /// The server has loaded nothing since the change began.
    fn is_as_before(&self, now: &Standing) -> bool {
        let is_same_time = self.note.loaded_at <= 0.0 || (now.at - self.note.loaded_at).abs() < 1e-3;
        now.loaded == self.note.loaded && is_same_time
    }

    /// What it has to have loaded; nothing where that cannot be read, which the server can.
    fn expected(&self, site: &Site) -> Option<Expected> {
        let old = self.note.old.as_ref().map_or(NO_RULES, |old| &old.0);
        let old = String::from_utf8_lossy(old);
        if self.place.seen == site.config.seen {
            return Some(Expected::Config(Facts::of(&old).ok()?));
        }
        Some(Expected::Rules { path: self.place.seen.clone(), file: RuleFile::of(&old).ok()? })
    }
}

/// Takes back the change that was cut, also where the server does not answer, and says what was done; nothing where there is
/// none. Where the server does not answer it is proven by the next that does this.
pub async fn take_back_cut(reach: &Reach, context: &RunContext) -> Result<Option<String>, ChangeError> {
    let Some(note) = reach.journal.read()? else { return Ok(None) };
    candidate::sweep(reach, &context.progress).await;
    let place = reach.locate(&note.seen).await?;
    let now = place.read().await?;
    let found = note.judge(now.as_ref().map(|now| now.bytes.as_slice()));
    let (what, shown) = (note.what.clone(), place.shown());
    let old = words_of_old(&shown, note.backup.as_deref());
    if found == Found::Other {
        let out = take_back(&reach.target, "looks again");
        return Err(ChangeError::Edited { path: shown, what, old, out });
    }
    let owner = now.map_or(Owner::PUBLIC, |now| now.owner);
    let mut back = Back { reach, place, owner: note.old.as_ref().map(|_| owner), note };
    let unproven = match back.put(context).await {
        Ok(()) => match reach.open().await {
            Ok(site) => back.proven(&site, false, context).await.err(),
            Err(error) => Some(Unproven::silent(error)),
        },
        Err(why) => Some(Unproven::other(why)),
    };
    let done = match found {
        Found::Old => format!("the change that was cut, {what}, had not written {shown} or had put it back"),
        _ => format!("the change that was cut, {what}, was taken back: {shown} is as it was before"),
    };
    match unproven {
        None => Ok(Some(done)),
        Some(unproven) if unproven.is_silent => {
            back.note.is_back = true;
            reach.journal.write(&back.note)?;
            let why = words::chain(&unproven.why);
            let out = take_back(&reach.target, "proves it then");
            context
                .progress
                .warn(format!("that Prometheus runs with it nobody has seen: {why}; start it, and {out}"));
            Ok(Some(done))
        }
        Some(unproven) => Err(back.failed(ChangeError::Cancelled, unproven)),
    }
}

/// Leaves the file as it is, and forgets the change that was cut: what it was to do, in words.
pub async fn keep_cut(reach: &Reach, context: &RunContext) -> Result<Option<String>, ChangeError> {
    let cut: Option<Cut> = match reach.cut() {
        // Nobody can read it anyway.
        Err(ChangeError::BadNote { .. }) => None,
        cut => cut?,
    };
    candidate::sweep(reach, &context.progress).await;
    reach.journal.remove()?;
    Ok(cut.map(|cut| {
        format!("{} stays as it is; the change that was cut, {}, is forgotten", cut.file, cut.what)
    }))
}
