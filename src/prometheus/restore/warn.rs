//! What a person should know before a restore, and why one cannot be done.

use jiff::Timestamp;
use serde::Serialize;

use super::source::Damaged;
use crate::words::size;

/// The restore can be done, but not everything will be as one may expect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "warning", rename_all = "kebab-case")]
pub enum Warning {
    /// Damaged blocks.
    #[error(
        "{} of the backup {} damaged and left out: {}. Samples of these times are missing: {}",
        count(blocks),
        are(blocks),
        list(blocks),
        times(gaps)
    )]
    LeftOut {
        /// Which.
        blocks: Vec<String>,
        /// The times of these, Unix milliseconds, oldest first; the ends are exclusive. Not there of a block whose time
        /// nobody knows.
        gaps: Vec<(i64, i64)>,
    },
    /// The retention deletes blocks at the start.
    #[error(
        "Prometheus's retention ({retention}) deletes {} as soon as it starts: {}. To keep {}, raise --storage.tsdb.retention.time or --storage.tsdb.retention.size first",
        count(blocks),
        list(blocks),
        them(blocks)
    )]
    RetentionAtStart {
        /// As Prometheus words it.
        retention: String,
        /// Which.
        blocks: Vec<String>,
    },
    /// The retention deletes blocks some hours later.
    #[error(
        "Prometheus's retention ({retention}) deletes {} when it makes its first block of new samples, about 3 h after the start: {}. To keep {}, raise --storage.tsdb.retention.time first",
        count(blocks),
        list(blocks),
        them(blocks)
    )]
    RetentionSoon {
        /// As Prometheus words it.
        retention: String,
        /// Which.
        blocks: Vec<String>,
    },
    /// Nobody knows the retention.
    #[error(
        "Prometheus does not answer, so its retention is taken to be {retention}; blocks older than its real one are deleted after the start"
    )]
    RetentionAssumed {
        /// What is assumed.
        retention: String,
    },
    /// Blocks whose samples are in other blocks of the backup too.
    #[error(
        "Prometheus deletes {} whose samples other restored blocks hold: {}. Nothing is lost by that",
        count(blocks),
        list(blocks)
    )]
    Superseded {
        /// Which.
        blocks: Vec<String>,
    },
    /// Blocks whose samples were all deleted.
    #[error(
        "Prometheus deletes {} whose samples were all deleted before the backup: {}",
        count(blocks),
        list(blocks)
    )]
    Emptied {
        /// Which.
        blocks: Vec<String>,
    },
    /// What is newer than the backup.
    #[error("Samples from {}{} on are not in the backup: they are set aside, not deleted; --undo brings them back", utc(*from), until.map(|t| format!(" to {}", utc(t))).unwrap_or_default())]
    NewerSetAside {
        /// The end of the backup, Unix milliseconds.
        from: i64,
        /// The end of the live blocks, where it is known to be later.
        until: Option<i64>,
    },
    /// The server is older than the one that made the backup.
    #[error("Prometheus {server} is older than {backup}, which wrote the backup; it may not read all of it")]
    OlderServer {
        /// The server's.
        server: String,
        /// The backup's.
        backup: String,
    },
    /// Overlapping blocks and a server that cannot load them.
    #[error(
        "Prometheus {server} does not start on blocks that overlap, and some of the backup do: start it with --storage.tsdb.allow-overlapping-blocks"
    )]
    Overlap {
        /// The server's version.
        server: String,
    },
    /// No way to stop and start it.
    #[error(
        "Nothing in jobs.toml says how to stop and start this Prometheus: start it by hand after the restore, then run restore --resume to prove it"
    )]
    NotControlled,
    /// Something about the source.
    #[error("{text}")]
    Source {
        /// In words.
        text: String,
    },
}

/// The restore cannot be done as things are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "refusal", rename_all = "kebab-case")]
pub enum Refusal {
    /// Another restore is unfinished.
    #[error("A restore of {what} that began at {began} is not finished")]
    Unfinished {
        /// What it restores.
        what: String,
        /// When it began.
        began: Timestamp,
        /// It had begun to touch the live data.
        touched: bool,
    },
    /// There is no good block.
    #[error("There is no undamaged block in it to restore")]
    Empty,
    /// Stored files are damaged.
    #[error("{0}")]
    Damaged(Damaged),
    /// Not enough space.
    #[error("The data folder has {} free, and the restore needs {}", size(*free), size(*needed))]
    NoSpace {
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// It runs and cannot be stopped.
    #[error("Prometheus {target:?} runs, and nothing in jobs.toml says how to stop it")]
    CannotStop {
        /// The target.
        target: String,
    },
}

impl Refusal {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unfinished { touched: true, .. } => {
                "finish it with restore --resume, or take it back with restore --undo".into()
            }
            Self::Unfinished { touched: false, .. } => {
                "the live data are untouched: drop what it had staged with restore --undo, then run restore again"
                    .into()
            }
            Self::NoSpace { .. } => {
                "the old data stay beside the new until they are proven: make room on the data volume; \
                 `watchkeeper restore JOB --discard-old` removes what an earlier restore set aside"
                    .into()
            }
            Self::CannotStop { target } => format!(
                "add unit = \"…\", or stop and start commands, to [prometheus.{target}]; or stop it by hand, run the restore, \
                 start it, and run restore --resume"
            ),
            Self::Damaged(damaged) => damaged.hint(),
            Self::Empty => return None,
        })
    }
}

/// At most this many block names in a message: the plan lists them all.
const NAMES_SHOWN: usize = 4;

fn list(blocks: &[String]) -> String {
    let shown = blocks.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match blocks.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

pub(super) fn count(blocks: &[String]) -> String {
    crate::words::count(blocks.len(), "block")
}

fn are(blocks: &[String]) -> &'static str {
    if blocks.len() == 1 { "is" } else { "are" }
}

fn them(blocks: &[String]) -> &'static str {
    if blocks.len() == 1 { "it" } else { "them" }
}

fn times(gaps: &[(i64, i64)]) -> String {
    let gaps: Vec<String> = gaps.iter().map(|gap| span(Some(*gap))).collect();
    if gaps.is_empty() { span(None) } else { list(&gaps) }
}

/// The time of a block, Unix milliseconds, as a person reads it.
pub fn span(time: Option<(i64, i64)>) -> String {
    time.map_or_else(
        || "of an unknown time".to_owned(),
        |(from, until)| format!("{} to {}", utc(from), utc(until)),
    )
}

/// Unix milliseconds as a person reads them, to the second.
pub(super) fn utc(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| format!("{millis} ms"), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
