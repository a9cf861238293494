//! A change of one dashboard: what is there is kept, the new one is written over it under the same UID, read back and
//! compared, and the old one is written back where that fails.

mod error;
mod file;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use similar::TextDiff;

pub use error::DashboardError;
use file::DashboardFile;

use super::client::{GrafanaClient, List, major_and_minor};
use super::object::ObjectType;
use super::restore::compare::{differences, named};
use super::restore::door::{Door, flag, text};
use super::restore::write::dashboards::{path, remove, write};
use crate::jobs::RunContext;
use crate::state_dir;
use crate::store::{atomic, owner};

/// The folder of what is kept, in the `state_dir`.
const FOLDER: &str = "changes";
/// What the folder is called that is none.
const GENERAL: &str = "General";

/// What a change will do, as data: made before anything is touched, shown to a person, then applied as it is.
#[derive(Debug, Clone, Serialize)]
pub struct DashboardPlan {
    /// What it does, in words.
    pub what: String,
    /// The UID.
    pub uid: String,
    /// The title of the folder that it is in then.
    pub folder: String,
    /// It is not there yet.
    pub is_new: bool,
    /// What differs, as `diff -u` shows it; empty where nothing does.
    pub diff: String,
    #[serde(skip)]
    wanted: Value,
    #[serde(skip)]
    into: String,
    #[serde(skip)]
    old: Option<Old>,
}

/// A dashboard that is there.
#[derive(Debug, Clone, PartialEq)]
struct Old {
    dashboard: Value,
    folder: String,
}

impl DashboardPlan {
    /// There is nothing to do.
    pub fn is_done(&self) -> bool {
        self.diff.is_empty() && self.old.as_ref().is_some_and(|old| old.folder == self.into)
    }
}

/// A dashboard that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DashboardChanged {
    /// The old one; nothing where there was none.
    pub backup: Option<PathBuf>,
}

/// A Grafana whose dashboards can be changed.
pub struct DashboardSite {
    target: String,
    door: Door,
}

impl DashboardSite {
    /// Asks which version it is.
    pub async fn open(client: GrafanaClient, target: &str) -> Result<Self, DashboardError> {
        let told = client.version().await?;
        let version = told.as_deref().and_then(major_and_minor).unwrap_or((u32::MAX, 0));
        Ok(Self { target: target.to_owned(), door: Door { client, version, wrote: Arc::default() } })
    }

    /// What a file, read at `from`, comes to here. `folder` is the title or UID of one. Nothing is written.
    pub async fn plan(
        &self,
        bytes: &[u8],
        from: &Path,
        folder: Option<&str>,
    ) -> Result<DashboardPlan, DashboardError> {
        let DashboardFile { uid, title, dashboard } = DashboardFile::of(bytes, from)?;
        let old = self.find(&uid).await?;
        let named = match folder {
            Some(name) => Some(self.folder(name).await?),
            None => None,
        };
        let into = named.map(|(uid, _)| uid).or_else(|| old.as_ref().map(|old| old.folder.clone()));
        let into = into.unwrap_or_default();
        let folder = self.title(&into).await?;
        let before = old.as_ref().map(|old| old.dashboard.clone());
        let moves = old.as_ref().is_some_and(|old| old.folder != into);
        let verb = if old.is_some() { "over the one that is there" } else { "as a new one" };
        let what = format!(
            "dashboard {title:?} ({uid}) into the folder {folder:?} of Grafana {}, {verb}",
            self.target
        );
        let what = if moves { format!("{what}, which moves") } else { what };
        let diff = diff(&uid, before.as_ref(), &dashboard);
        Ok(DashboardPlan { what, uid, folder, is_new: old.is_none(), diff, wanted: dashboard, into, old })
    }

    /// What is there under a UID.
    async fn find(&self, uid: &str) -> Result<Option<Old>, DashboardError> {
        let Some(there) = self.door.find("look at the dashboard", &path(uid)).await? else { return Ok(None) };
        if flag(&there["meta"], "provisioned") {
            return Err(DashboardError::Provisioned { uid: uid.to_owned() });
        }
        let meta = &there["meta"];
        let folder = match meta.get("folderUid").and_then(Value::as_str) {
            Some(folder) => folder.to_owned(),
            // 7.5 tells only its address: `/dashboards/f/UID/title`.
            None => text(meta, "folderUrl")
                .split("/f/")
                .nth(1)
                .and_then(|rest| rest.split('/').next())
                .unwrap_or_default()
                .to_owned(),
        };
        Ok(Some(Old { dashboard: plain(&there["dashboard"]), folder }))
    }

    /// UID and title of the folder that somebody calls so.
    async fn folder(&self, name: &str) -> Result<(String, String), DashboardError> {
        if name == GENERAL {
            return Ok((String::new(), GENERAL.to_owned()));
        }
        let folders = self.folders().await?;
        let fits: Vec<&(String, String)> = match folders.iter().find(|(uid, _)| uid == name) {
            Some(found) => vec![found],
            None => folders.iter().filter(|(_, title)| title == name).collect(),
        };
        match fits.as_slice() {
            [found] => Ok((*found).clone()),
            [] => Err(DashboardError::NoFolder {
                name: name.to_owned(),
                folders: folders.into_iter().map(|(_, title)| title).collect(),
            }),
            several => Err(DashboardError::Ambiguous {
                name: name.to_owned(),
                uids: several.iter().map(|(uid, _)| uid.clone()).collect(),
            }),
        }
    }

    /// UID and title of each folder.
    async fn folders(&self) -> Result<Vec<(String, String)>, DashboardError> {
        let list = List::whole("list the folders", "/api/search?type=dash-folder").in_pages("limit", 1000);
        let listed = self.door.client.list(&list.by(&["uid"])).await?;
        let named = |row: &Value| (text(row, "uid").to_owned(), text(row, "title").to_owned());
        Ok(listed.rows.iter().map(named).collect())
    }

    async fn title(&self, folder: &str) -> Result<String, DashboardError> {
        if folder.is_empty() {
            return Ok(GENERAL.to_owned());
        }
        let found = self.folders().await?.into_iter().find(|(uid, _)| uid == folder);
        Ok(found.map_or_else(|| folder.to_owned(), |(_, title)| title))
    }

    /// Changes as planned.
    pub async fn apply(
        &self,
        plan: &DashboardPlan,
        context: &RunContext,
    ) -> Result<DashboardChanged, DashboardError> {
        if self.find(&plan.uid).await? != plan.old {
            return Err(DashboardError::Meanwhile { uid: plan.uid.clone() });
        }
        let backup = match &plan.old {
            Some(old) => Some(self.keep(plan, old, context)?),
            None => None,
        };
        if context.cancel.is_cancelled() {
            return Err(DashboardError::Cancelled);
        }
        let Err(cause) = self.written(plan, context).await else {
            return Ok(DashboardChanged { backup });
        };
        let step = context.progress.step("bring the old one back", None);
        let cause = Box::new(cause);
        match self.taken_back(plan).await {
            Ok(()) => {
                step.finish("it is as it was");
                Err(DashboardError::TakenBack { cause })
            }
            Err(undo) => Err(DashboardError::NotBack { cause, undo: Box::new(undo), backup }),
        }
    }

    async fn written(&self, plan: &DashboardPlan, context: &RunContext) -> Result<(), DashboardError> {
        let step = context.progress.step("save the dashboard", None);
        let message = format!("watchkeeper change, run {}", context.run);
        write(&self.door, &plan.uid, &plan.wanted, &plan.into, &message).await?;
        drop(step);
        let step = context.progress.step("read it back", None);
        self.compared(plan, &plan.wanted, &plan.into).await?;
        step.finish("it is what was written");
        Ok(())
    }

    async fn compared(
        &self,
        plan: &DashboardPlan,
        wanted: &Value,
        folder: &str,
    ) -> Result<(), DashboardError> {
        let there = self.find(&plan.uid).await?;
        let Some(there) = there else {
            return Err(DashboardError::NotProven { what: "it is not there".to_owned() });
        };
        let found = differing(wanted, &there.dashboard);
        if !found.is_empty() {
            return Err(DashboardError::NotProven { what: format!("it differs in {}", named(&found)) });
        }
        if there.folder != folder {
            return Err(DashboardError::NotProven {
                what: format!("it is in the folder {:?}", there.folder),
            });
        }
        Ok(())
    }

    /// What was there is there again, and as it was.
    async fn taken_back(&self, plan: &DashboardPlan) -> Result<(), DashboardError> {
        let now = self.find(&plan.uid).await?;
        if now == plan.old {
            return Ok(());
        }
        let Some(old) = &plan.old else {
            remove(&self.door, &plan.uid).await?;
            return match self.find(&plan.uid).await? {
                None => Ok(()),
                Some(_) => Err(DashboardError::NotProven { what: "it is still there".to_owned() }),
            };
        };
        write(&self.door, &plan.uid, &old.dashboard, &old.folder, "watchkeeper took a change back").await?;
        self.compared(plan, &old.dashboard, &old.folder).await
    }

    /// Writes the old one into the `state_dir`, so that a change with that file brings it back.
    fn keep(&self, plan: &DashboardPlan, old: &Old, context: &RunContext) -> Result<PathBuf, DashboardError> {
        let step = context.progress.step("keep the old one", None);
        let folder = context.state_dir.join(FOLDER);
        state_dir::folder(&folder)?;
        let (at, run) = (context.now.strftime("%Y%m%dT%H%M%SZ"), context.run);
        let safe: String = plan
            .uid
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' })
            .collect();
        let path = folder.join(format!("grafana-{}-{safe}.{at}-{run}.json", self.target));
        let body = json!({ "dashboard": old.dashboard, "meta": { "folderUid": old.folder } });
        let text = format!("{body:#}\n");
        let failed = |source: io::Error| DashboardError::File { path: path.clone(), source };
        atomic::replace(&path, text.as_bytes(), owner::FILE_MODE).map_err(failed)?;
        step.finish(path.display().to_string());
        Ok(path)
    }
}

/// Without what belongs to one server only.
fn plain(dashboard: &Value) -> Value {
    let mut plain = dashboard.clone();
    if let Some(fields) = plain.as_object_mut() {
        fields.remove("id");
        fields.remove("version");
    }
    plain
}

/// Where two dashboards say different things.
fn differing(wanted: &Value, there: &Value) -> Vec<String> {
    let object = |dashboard: &Value| json!({ "dashboard": dashboard });
    differences(ObjectType::Dashboards, &object(wanted), &object(there))
}

fn diff(uid: &str, old: Option<&Value>, new: &Value) -> String {
    let shown = |value: &Value| format!("{value:#}\n");
    let before = old.map(shown).unwrap_or_default();
    if old.is_some_and(|old| differing(new, old).is_empty()) {
        return String::new();
    }
    let from = if old.is_some() { uid } else { "/dev/null" };
    let after = shown(new);
    TextDiff::from_lines(&before, &after).unified_diff().context_radius(3).header(from, uid).to_string()
}
