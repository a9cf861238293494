//! The beginning of a run: what stands against it, and where nothing does its note, in one transaction. Many jobs may be
//! due at once, and each of them asks.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use ulid::Ulid;

use super::{CutRun, History, HistoryError, NewRun, Pause, Sort, cut, pauses, rows};

/// On what terms a run begins.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Not where its job is paused.
    pub heeds_pause: bool,
    /// Runs of its job that were cut off, and of which it is known that they have left nothing running.
    pub cleared: BTreeSet<Ulid>,
}

/// What becomes of the beginning of a run.
#[derive(Debug)]
pub enum Begins {
    /// Its job is paused.
    Paused(Pause),
    /// It has to be looked first what these have left running, the newest runs of its job that were cut off.
    Behind(Vec<CutRun>),
    /// Nothing stands against it.
    Now {
        /// That it begins is noted; an error is why it could not be.
        noted: Result<(), HistoryError>,
        /// As [`History::cut_off_since_done`].
        cut_off: Vec<Ulid>,
    },
}

impl History {
    /// Notes that a run begins, of whose job the caller has the lock, if nothing stands against it. A history that cannot
    /// be read keeps no job from running.
    pub fn begin(&self, new: &NewRun, terms: &Terms) -> Begins {
        match self.begin_once(new, terms) {
            Begins::Now { noted: Err(error), .. } if self.has_freed_for(&error) => {
                self.noted(self.begin_once(new, terms))
            }
            begins => self.noted(begins),
        }
    }

    fn noted(&self, begins: Begins) -> Begins {
        if let Begins::Now { noted, .. } = &begins {
            self.remember(Sort::Runs, noted.as_ref().err());
        }
        begins
    }

    fn begin_once(&self, new: &NewRun, terms: &Terms) -> Begins {
        let connection = self.lock();
        match Transaction::new_unchecked(&connection, TransactionBehavior::Immediate) {
            Ok(transaction) => match self.stands(&transaction, new, terms) {
                Some(stands) => stands,
                None => self.begin_now(transaction, new),
            },
            // It may be that it can be read.
            Err(error) => {
                let error = self.failed("write", error);
                let stands = self.stands(&connection, new, terms);
                stands.unwrap_or_else(|| Begins::Now {
                    cut_off: self.or_none(cut::since_done(&connection, &new.job, new.run)),
                    noted: Err(error),
                })
            }
        }
    }

    fn begin_now(&self, transaction: Transaction<'_>, new: &NewRun) -> Begins {
        let cut_off = self.or_none(cut::since_done(&transaction, &new.job, new.run));
        let noted = rows::insert(&transaction, new).and_then(|_| transaction.commit());
        Begins::Now { noted: noted.map_err(|e| self.not_begun(new, e)), cut_off }
    }

    fn stands(&self, connection: &Connection, new: &NewRun, terms: &Terms) -> Option<Begins> {
        let pause = if terms.heeds_pause { pauses::of(connection, &new.job) } else { Ok(None) };
        if let Some(pause) = self.or_none(pause) {
            return Some(Begins::Paused(pause));
        }
        let behind = self.or_none(cut::of_job(connection, &new.job, new.run));
        let is_open = behind.iter().any(|cut| !terms.cleared.contains(&cut.run));
        is_open.then_some(Begins::Behind(behind))
    }

    fn or_none<T: Default>(&self, read: rusqlite::Result<T>) -> T {
        read.map_err(|e| self.failed("read", e)).unwrap_or_default()
    }
}
