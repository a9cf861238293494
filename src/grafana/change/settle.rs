//! Settles a change that was cut: what is there now says how far it had come.

use super::error::DashboardError;
use super::note::{Cut, Note};
use super::{DashboardSite, Old, is_like};
use crate::jobs::RunContext;

/// How a change that was cut is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It had not changed anything, or what it had changed is taken back.
    AsBefore(Cut),
    /// It was done: what was read back is what it was to write.
    Done(Cut),
    /// Somebody else has changed the dashboard since, and it is left as it is.
    Left(Cut),
}

impl DashboardSite {
    /// The change that was cut, where one was.
    pub fn cut(&self) -> Result<Option<Cut>, DashboardError> {
        super::note::cut(&self.state_dir, &self.target)
    }

    /// Settles the change that was cut: a dashboard that is the new one was written whole, and reading it back is the proof.
    /// One whose change had failed is the old one again after this. Nothing where there is none to settle.
    pub async fn settle(&self, context: &RunContext) -> Result<Option<Settled>, DashboardError> {
        let journal = self.journal();
        let (Some(note), Some(cut)) = (journal.read()?, self.cut()?) else { return Ok(None) };
        let step = context.progress.step("look how far it had come", None);
        let there = self.find(&note.uid).await?;
        let settled = if is_same(there.as_ref(), note.old.as_ref()) {
            Settled::AsBefore(cut)
        } else if !there.as_ref().is_some_and(|there| is_like(there, &note.new)) {
            Settled::Left(cut)
        } else if note.goes_back {
            self.back(&note).await?;
            Settled::AsBefore(cut)
        } else {
            Settled::Done(cut)
        };
        step.finish(settled.word());
        journal.remove()?;
        Ok(Some(settled))
    }

    async fn back(&self, note: &Note) -> Result<(), DashboardError> {
        let undone = self.taken_back(&note.uid, note.old.as_ref()).await;
        undone.map_err(|undo| DashboardError::StillNotBack {
            what: note.what.clone(),
            undo: Box::new(undo),
            backup: note.backup.clone(),
        })
    }
}

impl Settled {
    const fn word(&self) -> &'static str {
        match self {
            Self::AsBefore(_) => "the dashboard is as it was before",
            Self::Done(_) => "it was done",
            Self::Left(_) => "somebody has changed the dashboard since",
        }
    }
}

fn is_same(there: Option<&Old>, old: Option<&Old>) -> bool {
    match (there, old) {
        (Some(there), Some(old)) => is_like(there, old),
        (there, old) => there.is_none() && old.is_none(),
    }
}
