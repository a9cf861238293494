//! The restore of an export: compare first, write only what differs, and look afterwards.
//!
//! A Grafana answers 200 and does something else: it ignores a parent, a folder, an organisation, or overwrites the
//! dashboard that only has the same title. So nothing is believed. What is there is exported first, and kept, so that the
//! restore can be taken back; every object is compared with that; and when all is written, what is there then is exported
//! again and compared with the backup. A restore that was cut is finished by the next one, which finds less to do.
//!
//! | part | what it does |
//! |---|---|
//! | [`plan`] | compares a backup with what is there, object by object, with reasons |
//! | [`apply`](mod@apply) | carries a plan out, and proves it |
//! | [`undo`](mod@undo) | brings back what was there before |
//! | [`shelf`] | what was there before restores, and where it is kept |
//! | `note` | what a restore that was cut leaves, so that the one that finishes it is known |
//! | `found` | what was found right after a restore, where a Grafana has changed it itself |
//! | `door` | one organisation of the server: questions, writes, and what an answer means for one object |
//! | `write` | the rules of each type |
//! | `ledger` | users whom a restore has made with a password that nobody knows |
//! | `meanwhile` | what somebody changes while it is restored, and is left alone |
//! | `said` | what an export says of an object, also by not having it |
//! | `portable`, `compare` | when two objects are the same |
//! | [`secrets`] | what no export holds, from a file |

pub mod apply;
pub(super) mod compare;
pub(super) mod door;
mod error;
mod found;
mod ledger;
mod live;
mod meanwhile;
mod note;
pub mod plan;
mod portable;
mod run;
mod said;
pub mod secrets;
pub mod shelf;
pub mod source;
pub mod undo;
pub(super) mod write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::contents::Secret;
use super::object::{Object, ObjectId};
use crate::store::BackupId;

pub use error::{RestoreError, undo_command};
pub use live::Site;

/// What a backup is for that was made before a restore: to take it back. A part of its manifest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BeforeRestore {
    /// The backup that was restored then: `JOB/ID`.
    pub of: String,
    /// What was not there, and what the restore was about to create.
    pub created: Vec<ObjectId>,
    /// What was there, and what the restore was about to change.
    pub changed: Vec<ObjectId>,
    /// What the restore was about to write to new organisations, of that of which each has only one: only its content
    /// tells whether people have made something else of it since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alone: Vec<Object>,
    /// A hash of each object that the restore was about to write: what is another one later, people have changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<Written>,
    /// Secrets that the restore was about to enter over others, which nobody can bring back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// The restore before it was cut, and this one has finished it: what was there before both is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<BackupId>,
    /// Who restored, by which another server at the same URL is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// A restore was taken back: this is what that replaced, to look at, and nothing to take back.
    #[serde(default)]
    pub by_undo: bool,
}

/// Who asks a Grafana. No Grafana tells who it is itself; but another one, or the same with a new database, has made its
/// users at another time. A token belongs to no user, and tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The login.
    pub login: String,
    /// When that user was made, as Grafana writes times.
    pub created: String,
}

impl Account {
    /// The server of one is certainly not that of the other. An upgrade may write the same time in another way.
    fn is_elsewhere(&self, other: &Self) -> bool {
        let second = |account: &Self| account.created.parse::<Timestamp>().ok().map(Timestamp::as_second);
        let differ = second(self).zip(second(other)).is_some_and(|(a, b)| a != b);
        self.login == other.login && differ
    }
}

/// Two restores were certainly of different servers, whatever their URLs.
fn of_two_servers(a: Option<&Account>, b: Option<&Account>) -> bool {
    a.zip(b).is_some_and(|(a, b)| a.is_elsewhere(b))
}

/// An object as a restore was about to write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// What it is called.
    #[serde(flatten)]
    pub id: ObjectId,
    /// Hexadecimal digits of a hash of what counts of it.
    pub hash: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_server_is_one_where_the_same_login_was_made_at_another_time() {
        let account =
            |login: &str, created: &str| Account { login: login.to_owned(), created: created.to_owned() };
        let here = account("admin", "2026-11-23T23:17:03Z");
        for (login, created, elsewhere) in [
            ("admin", "2026-11-23T23:17:03.000Z", false),
            ("admin", "2026-11-24T00:17:03+01:00", false),
            ("admin", "2026-11-23T23:17:04Z", true),
            ("admin", "yesterday", false),
            ("ann", "2026-11-24T00:00:00Z", false),
        ] {
            let other = account(login, created);
            assert_eq!(of_two_servers(Some(&here), Some(&other)), elsewhere, "{other:?}");
        }
        assert!(!of_two_servers(Some(&here), None), "a token tells nothing");
    }
}
