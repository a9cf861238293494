//! Carries a plan out, object after object, and looks at the server afterwards.
//!
//! Every organisation is entered, and has said that it is the one that is meant, before the first object is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;

use super::compare::{differences, named};
use super::door::{Door, WriteError};
use super::meanwhile::Meanwhile;
use super::plan::is_born;
use super::plan::{Action, Item, RestorePlan};
use super::portable::{hide, portable, present, without_strangers};
use super::said::{find, said};
use super::write::{Numbers, Scene};
use super::{RestoreError, Site};
use crate::grafana::GrafanaError;
use crate::grafana::bundle::{Bundle, BundleError};
use crate::grafana::client::GrafanaClient;
use crate::grafana::export::Again;
use crate::grafana::object::{Object, ObjectId, ObjectType};
use crate::jobs::RunContext;
use crate::words;

/// How long a server that did not answer is left alone before it is looked at what came of it.
const BREATH: Duration = Duration::from_secs(1);

/// A step is called by so much of the name of an organisation: those of all steps make up a column.
const LONGEST_NAME: usize = 30;

/// What came of a plan.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What was written, and is not found to be another one than it was to be.
    pub(super) written: BTreeSet<ObjectId>,
    /// Those that were not, and why.
    pub(super) failed: Vec<(ObjectId, String)>,
    /// What a person should know although it is no failure.
    pub(super) warnings: Vec<String>,
}

/// What is restored, to where, and what was there.
pub(super) struct Run<'a> {
    pub(super) site: &'a Site,
    pub(super) source: &'a Bundle,
    pub(super) live: &'a Bundle,
    pub(super) plan: &'a RestorePlan,
    pub(super) context: &'a RunContext,
    /// What somebody changes while it is restored.
    pub(super) meanwhile: Meanwhile<'a>,
    /// Of each object whose turn came: something was sent that the server has not turned away.
    pub(super) sent: Mutex<Vec<(ObjectId, Arc<AtomicBool>)>>,
}

/// The organisations that were entered.
#[derive(Default)]
struct Doors {
    numbers: BTreeMap<String, i64>,
    entered: BTreeMap<String, GrafanaClient>,
    /// By name, and the server as a whole, where objects are looked at again.
    again: BTreeMap<Option<String>, Arc<Again>>,
}

impl Run<'_> {
    /// Writes what is planned. An object that is refused does not stop the others. `outcome` is told as far as it got.
    pub(super) async fn carry_out(&self, outcome: &mut Outcome) -> Result<(), RestoreError> {
        let mut doors = self.enter_all().await?;
        let writes: Vec<&Item> = self.plan.writes().collect();
        let alike = |a: &&Item, b: &&Item| {
            (&a.id.organisation, a.id.kind, a.action == Action::Remove)
                == (&b.id.organisation, b.id.kind, b.action == Action::Remove)
        };
        for group in writes.chunk_by(|a, b| alike(a, b)) {
            let written = self.write_group(group, &mut doors, outcome).await;
            let entered = match written {
                // Before anything else is written: a proxy may take away the header that chooses the organisation.
                Ok(()) if group[0].id.kind == ObjectType::Organisations => self.enter_there(&mut doors).await,
                written => written,
            };
            entered.map_err(|error| stopped(error, outcome.written.len(), self.has_sent()))?;
        }
        Ok(())
    }

    /// Something may be another one on the server.
    pub(super) fn has_sent(&self) -> bool {
        !self.touched().is_empty()
    }

    fn touched(&self) -> BTreeSet<ObjectId> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let touched = sent.iter().filter(|(_, wrote)| wrote.load(Ordering::Relaxed));
        touched.map(|(id, _)| id.clone()).collect()
    }

    /// What was planned, and is as it was or as somebody else has made it: no undo has anything to do with it.
    pub(super) fn untouched(&self, outcome: &Outcome) -> Vec<ObjectId> {
        let touched = self.touched();
        let is_left = |item: &&Item| {
            // What comes with something that was written is of this restore.
            !touched.contains(&item.id)
                && !outcome.written.contains(&item.id)
                && self.meanwhile.can_tell(item)
        };
        self.plan.writes().filter(is_left).map(|item| item.id.clone()).collect()
    }

    /// One that is there has to say itself that it is the one that is meant, before anything is written.
    async fn enter_all(&self) -> Result<Doors, RestoreError> {
        let mut doors = Doors { numbers: self.site.organisations().await?, ..Doors::default() };
        self.enter_there(&mut doors).await?;
        Ok(doors)
    }

    /// Those that something is written to, as far as they are there.
    async fn enter_there(&self, doors: &mut Doors) -> Result<(), GrafanaError> {
        let names = self.plan.writes().filter_map(|item| item.id.organisation.as_ref());
        for name in names {
            if doors.numbers.contains_key(name) {
                doors.enter(self.site, name).await?;
            }
        }
        Ok(())
    }

    async fn write_group(
        &self,
        group: &[&Item],
        doors: &mut Doors,
        outcome: &mut Outcome,
    ) -> Result<(), GrafanaError> {
        let Some(first) = group.first() else { return Ok(()) };
        let (kind, organisation) = (first.id.kind, first.id.organisation.as_deref());
        let verb = if first.action == Action::Remove { "remove" } else { "write" };
        let place = organisation
            .map(|name| format!(" of {}", words::clipped(name, LONGEST_NAME)))
            .unwrap_or_default();
        let step = self.context.progress.step(&format!("{verb} {kind}{place}"), None);
        let scene = self.scene(organisation, doors).await?;
        let again = self.again(organisation, doors, &scene).await?;
        // Those that nothing hangs on are written side by side; the client keeps the limit.
        let abreast = match kind {
            ObjectType::Dashboards | ObjectType::DashboardPermissions if first.action != Action::Remove => 16,
            _ => 1,
        };
        let mut writes = Vec::with_capacity(group.len());
        for item in group {
            writes.push(self.one(item, &scene, &again));
        }
        let mut results = futures_util::stream::iter(writes).buffered(abreast);
        let (mut ended, mut done, mut told) = (None, 0, 0);
        while let Some((id, result)) = results.next().await {
            told += 1;
            step.tell(told, group.len() as u64, &id.key);
            match result {
                Ok(()) => {
                    outcome.written.insert(id.clone());
                    done += 1;
                }
                Err(WriteError::Refused(why)) => outcome.failed.push((id.clone(), why)),
                Err(error) => {
                    ended = Some((id, error));
                    break;
                }
            }
            if self.context.cancel.is_cancelled() {
                ended = Some((id, GrafanaError::Cancelled.into()));
                break;
            }
        }
        drop(results);
        step.finish(words::count(done, "object"));
        match ended {
            None => {}
            Some((_, WriteError::Server(error))) => return Err(error),
            Some((id, error)) => {
                return Err(self
                    .site
                    .not_believed(&format!("restore {}", self.plan.name(id)), &error.to_string()));
            }
        }
        if kind == ObjectType::Organisations {
            doors.numbers = self.site.organisations().await?;
        }
        Ok(())
    }

    /// Where the next objects are written. Who is there is asked anew: the objects before may have made them.
    async fn scene(&self, organisation: Option<&str>, doors: &mut Doors) -> Result<Scene, GrafanaError> {
        let client = match organisation {
            None => self.site.client.clone(),
            Some(name) => doors.enter(self.site, name).await?,
        };
        let door = Door { client, version: self.site.version, wrote: Arc::default() };
        let numbers = match organisation {
            None => Numbers::default(),
            Some(_) => Numbers::read(&door).await?,
        };
        Ok(Scene {
            door,
            numbers,
            organisations: doors.numbers.clone(),
            homes: self.homes(&doors.numbers),
            message: format!("restored from {}", self.plan.source),
            now: self.context.now,
        })
    }

    /// An organisation of each user that is there already: who is made gets into one of them.
    fn homes(&self, numbers: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
        let members = self.source.entries().iter().filter(|entry| entry.id.kind == ObjectType::Members);
        let homes = members.filter_map(|entry| {
            let id = numbers.get(entry.id.organisation.as_deref()?)?;
            Some((entry.id.key.clone(), *id))
        });
        homes.collect()
    }

    async fn one<'i>(
        &self,
        item: &'i Item,
        scene: &Scene,
        again: &Again,
    ) -> (&'i ObjectId, Result<(), WriteError>) {
        if self.context.cancel.is_cancelled() {
            return (&item.id, Err(GrafanaError::Cancelled.into()));
        }
        match self.meanwhile.check(item, again).await {
            Ok(()) => {
                let mut scene = scene.clone();
                scene.door.wrote = Arc::default();
                let sent = (item.id.clone(), Arc::clone(&scene.door.wrote));
                self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
                (&item.id, self.write_one(item, &scene).await)
            }
            Err(error) => (&item.id, Err(error)),
        }
    }

    /// Where the objects of an organisation are looked at again: what it knows by number does not change meanwhile.
    async fn again(
        &self,
        organisation: Option<&str>,
        doors: &mut Doors,
        scene: &Scene,
    ) -> Result<Arc<Again>, GrafanaError> {
        let place = organisation.map(str::to_owned);
        if let Some(again) = doors.again.get(&place) {
            return Ok(Arc::clone(again));
        }
        let (client, numbered) = (&scene.door.client, !scene.door.is(9, 0));
        let shows = self.live.contents().shows_contact_points();
        let again = Arc::new(Again::enter(client, organisation, numbered, shows).await?);
        doors.again.insert(place, Arc::clone(&again));
        Ok(again)
    }

    async fn write_one(&self, item: &Item, scene: &Scene) -> Result<(), WriteError> {
        if item.action == Action::Remove {
            return match find(self.live, &item.id) {
                Some(entry) => scene.remove(&self.live.load(entry).map_err(GrafanaError::from)?).await,
                None => Ok(()),
            };
        }
        let wanted = said(self.source, &item.id, &self.plan.target).map_err(GrafanaError::from)?;
        let Some(mut object) = wanted else { return Ok(()) };
        let organisation = object.organisation.as_ref();
        object.body = without_strangers(object.kind, organisation, &object.body, &self.plan.target).0;
        let entered = self.plan.entered.get(&item.id).cloned().unwrap_or_default();
        match scene.write(&object, &entered).await {
            // Each POST of an annotation adds one: whether it was done is seen by the next restore.
            Err(error) if error.is_undecided() && object.kind != ObjectType::Annotations => {
                tokio::time::sleep(BREATH).await;
                // A second one would be told that its name is taken.
                if object.kind == ObjectType::Organisations
                    && self.site.organisations().await?.contains_key(&object.key)
                {
                    return Ok(());
                }
                let mut scene = scene.clone();
                if object.organisation.is_some() {
                    scene.numbers = Numbers::read(&scene.door).await?;
                }
                scene.write(&object, &entered).await
            }
            written => written,
        }
    }

    /// Compares what was written with what is there now: 200 was no proof.
    pub(super) fn prove(&self, after: &Bundle, outcome: &mut Outcome) -> Result<usize, BundleError> {
        let mut proven = 0;
        for item in self.plan.writes() {
            match self.problem(item, after)? {
                None => proven += 1,
                // What was refused is told already.
                Some(_) if outcome.failed.iter().any(|(id, _)| *id == item.id) => {}
                Some(Problem::Changed(where_)) => outcome.warnings.push(format!(
                    "{}: it is there, but Grafana, or somebody, has changed it since it was written: {where_}",
                    self.plan.name(&item.id)
                )),
                Some(Problem::Wrong(problem)) => {
                    outcome.written.remove(&item.id);
                    let problem = format!("Grafana says that it is written, but {problem}");
                    outcome.failed.push((item.id.clone(), problem));
                }
            }
        }
        Ok(proven)
    }

    fn problem(&self, item: &Item, after: &Bundle) -> Result<Option<Problem>, BundleError> {
        if item.action == Action::Remove {
            let there = find(after, &item.id).map(|there| after.load(there)).transpose()?;
            // Some can only be set back to what everybody has.
            let stays = there.filter(|there| !is_born(there, None));
            return Ok(stays.map(|_| Problem::Wrong("it is still there".to_owned())));
        }
        let of = |bundle| said(bundle, &item.id, &self.plan.target);
        let (Some(there), Some(mut wanted)) = (of(after)?, of(self.source)?) else {
            return Ok(Some(Problem::Wrong("it is not there".to_owned())));
        };
        if let Some(entered) = self.plan.entered.get(&item.id) {
            hide(&mut wanted, entered);
        }
        let of = |object: &Object| {
            portable(object.kind, object.organisation.as_ref(), &object.body, &self.plan.target)
        };
        let differences = differences(item.id.kind, &of(&wanted), &of(&there));
        if !differences.is_empty() {
            let is_content = |path: &String| path.starts_with("dashboard");
            let own = item.id.kind == ObjectType::Dashboards && differences.iter().all(is_content);
            let where_ = named(&differences);
            return Ok(Some(if own {
                Problem::Changed(where_)
            } else {
                Problem::Wrong(format!("differs there in {where_}"))
            }));
        }
        Ok(self.lost_secret(item, &there).map(Problem::Wrong))
    }

    /// A secret that was sent is one that the server says it has.
    fn lost_secret(&self, item: &Item, there: &Object) -> Option<String> {
        // Of a user no server says that he has a password.
        let entered = self.plan.entered.get(&item.id).filter(|_| item.id.kind != ObjectType::Users)?;
        let has = present(there.kind, &there.body);
        let lost = entered.keys().find(|name| !has.contains(*name))?;
        Some(format!("it has no {lost}"))
    }
}

/// How an object is not as it was written.
enum Problem {
    /// In what it is about, and not in what it is or where it lies: a later version writes dashboards anew.
    Changed(String),
    Wrong(String),
}

impl Doors {
    async fn enter(&mut self, site: &Site, name: &str) -> Result<GrafanaClient, GrafanaError> {
        if let Some(client) = self.entered.get(name) {
            return Ok(client.clone());
        }
        let client = site.enter(name, self.numbers.get(name).copied()).await?;
        self.entered.insert(name.to_owned(), client.clone());
        Ok(client)
    }
}

pub(super) fn stopped(error: GrafanaError, written: usize, touched: bool) -> RestoreError {
    match error {
        GrafanaError::Cancelled => RestoreError::Cut { written, touched },
        error => RestoreError::Stopped { written, touched, source: Box::new(error) },
    }
}
