//! The Grafana that is restored to: what it is, what it holds now, and its organisations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::Value;

use super::apply::spool;
use super::plan::Facts;
use super::source::GrafanaBackup;
use super::{Account, BeforeRestore, RestoreError};
use crate::blocking::blocking;
use crate::config::values::{Compression, TargetName};
use crate::grafana::GrafanaError;
use crate::grafana::bundle::Bundle;
use crate::grafana::client::{Call, GrafanaClient, major_and_minor};
use crate::grafana::contents::Organisation;
use crate::grafana::export::{ExportOptions, Origin, back_up, reach};
use crate::grafana::object::ObjectType;
use crate::grafana::spool::Spool;
use crate::jobs::RunContext;
use crate::progress::Progress;
use crate::store::{Backup, JobStore, Store};

/// A Grafana that is to be restored to.
#[derive(Debug)]
pub struct Site {
    /// Its API.
    pub client: GrafanaClient,
    /// Its name in the configuration.
    pub target: TargetName,
    /// Major and minor; what is unknown is taken for new.
    pub(super) version: (u32, u32),
    login: Option<String>,
    /// Nothing where it asks with a token, or where the version does not tell.
    pub(super) account: Option<Account>,
    /// Users whom a restore has made, and who have no password that anybody knows.
    pub(super) unset: OnceLock<BTreeSet<String>>,
}

/// How much of a Grafana is looked at: all that is always exported, and this besides.
#[derive(Debug, Clone, Default)]
pub(super) struct Extent {
    /// Types that are exported only where they are asked for.
    pub(super) include: BTreeSet<ObjectType>,
    /// The secrets of contact points.
    secrets: bool,
}

impl Extent {
    /// What the export has is looked at, and nothing is left out of that.
    pub(super) fn of(like: &Bundle) -> Self {
        let kinds = like.entries().iter().map(|entry| entry.id.kind);
        Self {
            include: kinds.filter(|kind| kind.is_opt_in()).collect(),
            secrets: like.contents().shows_contact_points(),
        }
    }

    /// What another export has, too.
    pub(super) fn and(mut self, other: &Bundle) -> Self {
        self.include.append(&mut Self::of(other).include);
        self
    }
}

impl Site {
    /// Asks who it is, and who asks.
    pub async fn open(target: &TargetName, client: GrafanaClient) -> Result<Self, RestoreError> {
        let told = client.version().await?;
        let version = told.as_deref().and_then(major_and_minor).unwrap_or((u32::MAX, 0));
        let user =
            if client.has_token() { Value::Null } else { client.get("ask who it is", "/api/user").await? };
        let told = |field: &str| user.get(field).and_then(Value::as_str).map(str::to_owned);
        let login = told("login");
        let account = login.clone().zip(told("createdAt"));
        let account = account.map(|(login, created)| Account { login, created });
        Ok(Self { client, target: target.clone(), version, login, account, unset: OnceLock::new() })
    }

    pub(super) fn facts(&self) -> Facts {
        Facts {
            login: self.login.clone(),
            has_token: self.client.has_token(),
            version: self.version,
            unset: self.unset.get().cloned().unwrap_or_default(),
        }
    }

    /// The organisations that can be entered, by name.
    pub(super) async fn organisations(&self) -> Result<BTreeMap<String, i64>, GrafanaError> {
        let all = reach(&self.client).await?.organisations.into_iter();
        Ok(all.filter_map(|organisation| Some((organisation.name, organisation.id?))).collect())
    }

    /// The same server in an organisation, once it says itself that it is there.
    pub(super) async fn enter(&self, name: &str, id: Option<i64>) -> Result<GrafanaClient, GrafanaError> {
        self.client.enter(&Organisation { name: name.to_owned(), id }).await
    }

    /// What it holds now, as far as is asked; nothing of it is kept.
    pub(super) async fn look(&self, extent: &Extent, context: &RunContext) -> Result<Bundle, RestoreError> {
        let made = Spool::make(&spool(context)).map_err(|source| RestoreError::Place {
            doing: "make a folder in",
            path: spool(context),
            source,
        })?;
        let store = Store::open(made.path())?.job(&context.job);
        let (_, bundle) = self.export(extent, None, &store, context).await?;
        Ok(bundle)
    }

    /// The same, and keeps it.
    pub(super) async fn keep(
        &self,
        extent: &Extent,
        before: BeforeRestore,
        kept: &JobStore,
        context: &RunContext,
    ) -> Result<(Backup, Bundle), RestoreError> {
        self.export(extent, Some(before), kept, context).await
    }

    async fn export(
        &self,
        extent: &Extent,
        before: Option<BeforeRestore>,
        store: &JobStore,
        context: &RunContext,
    ) -> Result<(Backup, Bundle), RestoreError> {
        let options = ExportOptions {
            include: extent.include.clone(),
            // Older ones show no secret to anybody, and asking them is an error.
            contact_point_secrets: extent.secrets && self.version >= (10, 1),
            ..ExportOptions::default()
        };
        let origin = Origin { target: self.target.to_string(), url: self.client.url() };
        let (backup, _) =
            back_up(&self.client, &origin, &options, store, Compression::default(), before, context).await?;
        let (owned, context) = (GrafanaBackup::of(backup.clone())?, context.clone());
        let opened = blocking(move || owned.open(&spool(&context), &Progress::silent(), &context.cancel));
        Ok((backup, opened.await?))
    }

    /// It says that it has done something, and has done something else.
    pub(super) fn not_believed(&self, action: &str, problem: &str) -> GrafanaError {
        self.client.not_grafana(&Call::get(action, "/"), problem)
    }
}
