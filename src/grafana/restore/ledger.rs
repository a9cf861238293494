//! Users whom a restore has made with a password that nobody knows. Where the file of secrets comes later, also after a
//! restore that was cut, it is theirs: of anybody else the password stays, also of who was made anew with the same login.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RestoreError, Site};
use crate::grafana::GrafanaError;
use crate::grafana::client::List;
use crate::jobs::RunContext;
use crate::regular;
use crate::store::{atomic, owner};
use crate::words;

/// A file on this host, of one Grafana.
pub(super) struct Ledger {
    path: PathBuf,
    url: String,
    now: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Made {
    url: String,
    /// By login.
    users: BTreeMap<String, User>,
}

/// A user who was made.
#[derive(Debug, Serialize, Deserialize)]
struct User {
    /// When the restore began.
    since: Timestamp,
    /// The number that Grafana has given; `None` until it is known. Whoever has the login and another number is somebody
    /// else.
    id: Option<i64>,
}

/// Everybody on a server.
struct Row {
    login: String,
    id: Option<i64>,
    seen: Option<Timestamp>,
}

impl Ledger {
    pub(super) fn at(site: &Site, context: &RunContext) -> Self {
        // No name has a dot in it.
        let path = context.state_dir.join(format!("grafana-passwords.{}.json", site.target));
        Self { path, url: site.client.url(), now: context.now }
    }

    /// Those who are about to be made. Said before, so that a kill loses nobody.
    pub(super) fn add(&self, logins: &[&str]) -> Result<(), RestoreError> {
        if logins.is_empty() {
            return Ok(());
        }
        let mut made = self.read();
        made.users
            .extend(logins.iter().map(|login| ((*login).to_owned(), User { since: self.now, id: None })));
        self.replace(&made)
    }

    /// They have one that somebody knows, are gone, or are of somebody else.
    pub(super) fn remove<'a>(&self, logins: impl Iterator<Item = &'a str>) -> Result<(), RestoreError> {
        let mut made = self.read();
        let known = made.users.len();
        for login in logins {
            made.users.remove(login);
        }
        if made.users.len() == known { Ok(()) } else { self.replace(&made) }
    }

    /// Keeps the numbers of those who were made. What cannot be asked now is asked by the next restore.
    pub(super) async fn learn(&self, site: &Site) -> Result<(), RestoreError> {
        let is_known = self.read().users.values().all(|user| user.id.is_some());
        if is_known || site.client.has_token() {
            return Ok(());
        }
        match self.everybody(site).await {
            Ok(rows) => self.pin(&rows),
            Err(error) => {
                tracing::info!(error = words::chain(&error), "the numbers of new users could not be asked");
                Ok(())
            }
        }
    }

    /// Those of them who are there and have not been seen since: who logs in has a password, from whomever.
    pub(super) async fn unset(&self, site: &Site) -> Result<BTreeSet<String>, RestoreError> {
        let made = self.read();
        if made.users.is_empty() || site.client.has_token() {
            return Ok(BTreeSet::new());
        }
        let rows = match self.everybody(site).await {
            // Who does not administer the server sets no passwords either.
            Err(GrafanaError::Refused { status: 403, .. }) => return Ok(BTreeSet::new()),
            listed => listed?,
        };
        let unseen = rows.into_iter().filter(|row| {
            made.users.get(&row.login).is_some_and(|user| {
                let is_same = user.id.is_none() || user.id == row.id;
                is_same && row.seen.is_none_or(|seen| seen < user.since)
            })
        });
        Ok(unseen.map(|row| row.login).collect())
    }

    async fn everybody(&self, site: &Site) -> Result<Vec<Row>, GrafanaError> {
        let list = List::whole("list the users", "/api/users").in_pages("perpage", 1000).by(&["login"]);
        let rows = site.client.list(&list).await?.rows;
        let row = |row: &Value| {
            let login = row.get("login").and_then(Value::as_str)?.to_owned();
            let seen = row.get("lastSeenAt").and_then(Value::as_str).and_then(|seen| seen.parse().ok());
            Some(Row { login, id: row.get("id").and_then(Value::as_i64), seen })
        };
        Ok(rows.iter().filter_map(row).collect())
    }

    fn pin(&self, rows: &[Row]) -> Result<(), RestoreError> {
        let mut made = self.read();
        for (login, user) in made.users.iter_mut().filter(|(_, user)| user.id.is_none()) {
            user.id = rows.iter().find(|row| row.login == *login).and_then(|row| row.id);
        }
        self.replace(&made)
    }

    fn read(&self) -> Made {
        let read = regular::read(&self.path, regular::NOTE)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Made>(&bytes).ok());
        let made = read.filter(|made| made.url == self.url).unwrap_or_default();
        Made { url: self.url.clone(), ..made }
    }

    fn replace(&self, made: &Made) -> Result<(), RestoreError> {
        let failed = |source| RestoreError::Place { doing: "write", path: self.path.clone(), source };
        if made.users.is_empty() {
            return atomic::remove_if_there(&self.path).map(drop).map_err(failed);
        }
        let bytes = serde_json::to_vec(made).unwrap_or_default();
        atomic::replace(&self.path, &bytes, owner::FILE_MODE).map_err(failed)
    }
}
