//! Users whom a restore has made with a password that nobody knows. Where the file of secrets comes later, also after a
//! restore that was cut, it is theirs: of anybody else the password stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RestoreError, Site};
use crate::grafana::GrafanaError;
use crate::grafana::client::List;
use crate::jobs::RunContext;
use crate::store::atomic;

/// A file on this host, of one Grafana.
pub(super) struct Ledger {
    path: PathBuf,
    url: String,
    now: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Made {
    url: String,
    /// By login, when.
    users: BTreeMap<String, Timestamp>,
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
        made.users.extend(logins.iter().map(|login| ((*login).to_owned(), self.now)));
        self.replace(&made)
    }

    /// They have one that somebody knows, or are gone.
    pub(super) fn remove<'a>(&self, logins: impl Iterator<Item = &'a str>) -> Result<(), RestoreError> {
        let mut made = self.read();
        let known = made.users.len();
        for login in logins {
            made.users.remove(login);
        }
        if made.users.len() == known { Ok(()) } else { self.replace(&made) }
    }

    /// Those of them who are there and have not been seen since: who logs in has a password, from whomever.
    pub(super) async fn unset(&self, site: &Site) -> Result<BTreeSet<String>, RestoreError> {
        let made = self.read();
        if made.users.is_empty() || site.client.has_token() {
            return Ok(BTreeSet::new());
        }
        let list = List::whole("list the users", "/api/users").in_pages("perpage", 1000).by(&["login"]);
        let rows = match site.client.list(&list).await {
            // Who does not administer the server sets no passwords either.
            Err(GrafanaError::Refused { status: 403, .. }) => return Ok(BTreeSet::new()),
            listed => listed?.rows,
        };
        let unseen = rows.iter().filter_map(|row| {
            let login = row.get("login").and_then(Value::as_str)?;
            let since = made.users.get(login)?;
            let seen = row.get("lastSeenAt").and_then(Value::as_str)?.parse::<Timestamp>().ok();
            seen.is_none_or(|seen| seen < *since).then(|| login.to_owned())
        });
        Ok(unseen.collect())
    }

    fn read(&self) -> Made {
        let read = fs::read(&self.path).ok().and_then(|bytes| serde_json::from_slice::<Made>(&bytes).ok());
        let made = read.filter(|made| made.url == self.url).unwrap_or_default();
        Made { url: self.url.clone(), ..made }
    }

    fn replace(&self, made: &Made) -> Result<(), RestoreError> {
        let failed = |source| RestoreError::Place { doing: "write", path: self.path.clone(), source };
        if made.users.is_empty() {
            return atomic::remove_if_there(&self.path).map(drop).map_err(failed);
        }
        let bytes = serde_json::to_vec(made).unwrap_or_default();
        atomic::replace(&self.path, &bytes, 0o640).map_err(failed)
    }
}
