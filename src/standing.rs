//! How everything stands: every job by what history, store and locks say of it, and whether a daemon runs.
//!
//! One look for all who tell it: `status`, the metrics and the notifications. No target is asked, and nothing is written.

mod before;
mod cut;
mod daemon;
mod job;
mod overdue;
mod recovery;
mod state;
mod store;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub use before::PausedBefore;
pub use cut::{CutChange, cut_changes};
pub use daemon::{DaemonStanding, LeftWaiting};
pub use job::{JobStanding, LastRun, PastRun, TooLong};
pub use overdue::Overdue;
pub use recovery::RecoveryStanding;
pub use state::{SetAside, StateStanding, lost};
pub use store::{Listings, NewestBackup, StoreStanding};

use crate::config::Config;
use crate::history::{History, HistoryError, NotifierTrouble};
use crate::identity::Identity;
use crate::incident::{Incident, Number};
use crate::state_dir::reserve::Reserve;
use crate::store::{Store, StoreError};

/// How a run stands that waits for its next attempt where no daemon runs.
pub const WAITING: &str = "waiting";
/// The same in words.
pub const NO_DAEMON: &str = "it waits for its next attempt, and no daemon runs";

/// What is looked at, and when.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The jobs and folders.
    pub config: &'a Config,
    /// Nothing where nothing ran yet.
    pub history: Option<&'a History>,
    /// Nothing where nothing was backed up yet.
    pub store: Option<&'a Store>,
    /// The time by which slots are late.
    pub now: Timestamp,
}

/// It cannot be said how something stands.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    /// The history cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The backups cannot be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An incident that is open, and of whose alert nobody has told for long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SilentIncident {
    /// Which.
    pub number: Number,
    /// Its alert.
    pub alert: String,
    /// When that was last told of.
    pub last_notice: Timestamp,
}

fn silent(view: View<'_>, history: &History) -> Result<Vec<SilentIncident>, HistoryError> {
    let limit = SignedDuration::try_from(view.config.silent_after()).unwrap_or(SignedDuration::MAX);
    let since = view.now.checked_sub(limit).unwrap_or(Timestamp::MIN);
    let of = |incident: Incident| SilentIncident {
        number: incident.number,
        alert: incident.alert,
        last_notice: incident.last_notice,
    };
    Ok(history.silent_incidents(since)?.into_iter().map(of).collect())
}

/// How everything stands.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// The jobs, in the order of the configuration.
    pub jobs: Vec<JobStanding>,
    /// The targets that somebody has had recovered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<RecoveryStanding>,
    /// The changes of configurations that were cut, and that nobody has settled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cut_changes: Vec<CutChange>,
    /// Whether a daemon runs.
    pub daemon: DaemonStanding,
    /// The notifiers that did not deliver.
    pub notifiers: Vec<NotifierTrouble>,
    /// How many incidents are open.
    pub open_incidents: usize,
    /// Why it is not known how the backups stand, where another store, or none, is in the place of the right one; with what to do.
    pub store_away: Option<String>,
    /// The open ones of whose alert nobody has told for long; the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silent_incidents: Vec<SilentIncident>,
    /// Why a full disk would keep runs out of the history, where it would.
    pub no_reserve: Option<String>,
}

impl Standing {
    /// Looks at all of it. Who looks often keeps `listings`.
    pub fn of(view: View<'_>, listings: &mut Listings) -> Result<Self, StandingError> {
        // All of it at one moment: what is said of a job is no mixture of before and after a run.
        let snapshot = view.history.map(History::snapshot).transpose()?.flatten();
        let view = View { history: snapshot.as_ref().or(view.history), ..view };
        let away = Identity::of(view.config, view.history).check().err();
        let view = if away.is_some() { View { store: None, ..view } } else { view };
        let daemon = DaemonStanding::of(view, &view.config.jobs)?;
        let jobs = job::all(view, &daemon, listings)?;
        let mut notifiers = view.history.map(History::notifier_troubles).transpose()?.unwrap_or_default();
        notifiers.retain(|trouble| view.config.notify.contains_key(&trouble.notifier));
        let open_incidents = view.history.map(History::open_incidents).transpose()?.unwrap_or_default();
        let silent_incidents =
            view.history.map(|history| silent(view, history)).transpose()?.unwrap_or_default();
        let no_reserve = Reserve::new(&view.config.state_dir, view.config.reserve).lack();
        let recoveries = recovery::all(view)?;
        let store_away = away.map(|away| away.told());
        let cut_changes = cut::all(view);
        Ok(Self {
            jobs,
            recoveries,
            cut_changes,
            daemon,
            notifiers,
            open_incidents,
            store_away,
            silent_incidents,
            no_reserve,
        })
    }
}
