//! What becomes of a notice, by what is known of the newest incident of its alert.

use jiff::{SignedDuration, Timestamp};

use super::{Ending, Notice, Number};

/// A notice that an alert fires is late, and no news, for so long after the one that it had ended. An Alertmanager that tells
/// the same beside another waits 15 seconds for that.
const LATE: SignedDuration = SignedDuration::from_mins(1);

/// Two Prometheus servers with the same rules see the same begin so far apart, at the most: each looks once a minute.
const APART: SignedDuration = SignedDuration::from_mins(1);

/// What is known of the newest incident of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Which.
    pub number: Number,
    /// The newest time at which the alert is said to have begun.
    pub starts: Timestamp,
    /// When it was last told of.
    pub last_notice: Timestamp,
    /// Where it is closed.
    pub end: Option<End>,
}

/// The end of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When the alert ended.
    pub at: Timestamp,
    /// When that was noted.
    pub noted: Timestamp,
    /// How that is known.
    pub ending: Ending,
}

/// What becomes of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// An incident opens.
    Opens,
    /// One is noted that was over before anybody heard of it.
    WasOver(Timestamp),
    /// The open one goes on.
    GoesOn(Number),
    /// The open one is closed: the alert ended then.
    Closes(Number, Timestamp),
    /// The open one had ended without anybody hearing of it, and another one opens; where a time is given, that was over then.
    Anew(Number, Option<Timestamp>),
    /// It says nothing new, or came too late.
    Nothing,
}

/// What becomes of a notice that comes now. `known`: the newest incident of its alert.
pub fn change(known: Option<&Known>, notice: &Notice, now: Timestamp) -> Change {
    let ended = notice.ended.map(|ended| ended.min(now));
    let Some(known) = known else { return ended.map_or(Change::Opens, Change::WasOver) };
    match (known.end, ended) {
        (None, ended) if is_anew(known, notice.starts) => Change::Anew(known.number, ended),
        (None, None) => Change::GoesOn(known.number),
        // The end of an earlier time, told late: it fires anew since.
        (None, Some(ended)) if notice.starts < known.starts && ended <= known.starts => Change::Nothing,
        (None, Some(ended)) => Change::Closes(known.number, ended),
        (Some(end), None) if is_late(end, notice.starts, now) => Change::Nothing,
        // Also with the start that is known: where an Alertmanager heard nothing for a while, it ended the alert itself, and
        // what a person has closed fires all the same.
        (Some(_), None) => Change::Opens,
        (Some(end), Some(ended)) if notice.starts >= end.at && notice.starts > known.starts => {
            Change::WasOver(ended)
        }
        (Some(_), Some(_)) => Change::Nothing,
    }
}

/// Whether an alert that is said to have begun then had ended before. An Alertmanager tells the earliest start of what fires
/// without a gap, so a later one is another time, unless both may be the same as two servers see it: a little apart, and
/// before it was last told of.
fn is_anew(known: &Known, starts: Timestamp) -> bool {
    let is_apart = starts.duration_since(known.starts) > APART || starts > known.last_notice;
    starts > known.starts && is_apart
}

/// That an alert fires which began before it ended, told just after its end.
fn is_late(end: End, starts: Timestamp, now: Timestamp) -> bool {
    end.ending == Ending::Told && starts < end.at && now.duration_since(end.noted).abs() < LATE
}
