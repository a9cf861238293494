//! A change of one dashboard: what is there is kept, the new one is written over it under the same UID, read back and
//! compared, and the old one is written back where that fails. A note tells the next change of one that was killed.

mod error;
mod file;
mod note;
mod settle;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use similar::TextDiff;

pub use error::DashboardError;
use file::DashboardFile;
pub use note::{Cut, cut};
use note::{Journal, Note};
pub use settle::Settled;

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

/// A dashboard that is there, and the UID of its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    state_dir: PathBuf,
}

impl DashboardSite {
    /// Asks which version it is.
    pub async fn open(client: GrafanaClient, target: &str, state_dir: &Path) -> Result<Self, DashboardError> {
        let told = client.version().await?;
        let version = told.as_deref().and_then(major_and_minor).unwrap_or((u32::MAX, 0));
        let door = Door { client, version, wrote: Arc::default() };
        Ok(Self { target: target.to_owned(), door, state_dir: state_dir.to_owned() })
    }

    fn journal(&self) -> Journal {
        Journal::of(&self.state_dir, &self.target)
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

    /// Changes as planned. No change that was cut may be there: [`DashboardSite::settle`].
    pub async fn apply(
        &self,
        plan: &DashboardPlan,
        context: &RunContext,
    ) -> Result<DashboardChanged, DashboardError> {
        if let Some(cut) = self.cut()? {
            return Err(DashboardError::Unsettled { what: cut.what });
        }
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
        let (journal, mut note) = (self.journal(), Note::of(plan, backup.clone(), context));
        journal.write(&note)?;
        let written = self.written(plan, context).await;
        // A note that stays would have the next change look at this one again.
        let Err(cause) = written.and_then(|()| journal.remove()) else {
            return Ok(DashboardChanged { backup });
        };
        let step = context.progress.step("bring the old one back", None);
        note.goes_back = true;
        // Where that cannot be written it is the note of before: one whose change was not failed yet.
        let noted = journal.write(&note);
        let undone = self.taken_back(&plan.uid, plan.old.as_ref()).await;
        let cause = Box::new(cause);
        match undone.and(noted).and_then(|()| journal.remove()) {
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
        self.compared(&plan.uid, &plan.wanted, &plan.into).await?;
        step.finish("it is what was written");
        Ok(())
    }

    async fn compared(&self, uid: &str, wanted: &Value, folder: &str) -> Result<(), DashboardError> {
        let there = self.find(uid).await?;
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

    /// What was there is there again, and as it was. Whatever is answered to the write, what is read back counts.
    async fn taken_back(&self, uid: &str, old: Option<&Old>) -> Result<(), DashboardError> {
        if self.find(uid).await?.as_ref() == old {
            return Ok(());
        }
        let written = match old {
            Some(old) => {
                write(&self.door, uid, &old.dashboard, &old.folder, "watchkeeper took a change back").await
            }
            None => remove(&self.door, uid).await,
        };
        let is_back = match old {
            Some(old) => self.compared(uid, &old.dashboard, &old.folder).await,
            None => self.is_gone(uid).await,
        };
        // Why it was not written says more than that it is not there.
        is_back.map_err(|found| written.err().map_or(found, DashboardError::from))
    }

    async fn is_gone(&self, uid: &str) -> Result<(), DashboardError> {
        match self.find(uid).await? {
            None => Ok(()),
            Some(_) => Err(DashboardError::NotProven { what: "it is still there".to_owned() }),
        }
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
        let failed = |source: io::Error| DashboardError::File { doing: "write", path: path.clone(), source };
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

/// The same dashboard, in the same folder.
fn is_like(there: &Old, wanted: &Old) -> bool {
    there.folder == wanted.folder && differing(&wanted.dashboard, &there.dashboard).is_empty()
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
