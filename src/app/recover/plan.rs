//! What a recovery will do, found out without changing anything.

mod back;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::chosen::{Chosen, Site, choose};
use super::onlookers::Onlooker;
use super::{RecoverError, Recovery, RecoveryOptions, lock_of};
use crate::app::{Shared, TargetError};
use crate::config::values::{JobName, RunsAs};
use crate::config::{JobConfig, Target, TargetKind};
use crate::docker::{ContainerInfo, ContainerState};
use crate::recovery::{After, Member, Part, Question, Until, order, project_of};
use crate::runner::Lock;
use crate::service::{Service, ServiceState};
use crate::standing::{CutChange, cut_changes};
use crate::words;

/// What a recovery will do.
#[derive(Debug, Clone, Serialize)]
pub struct RecoveryPlan {
    /// What is down: `application/app`.
    pub target: Target,
    /// The compose project of which all is restarted, where that is so.
    pub project: Option<String>,
    /// The jobs that are run first.
    pub backups: Vec<JobName>,
    /// What is restarted, in the order in which it is started; it is stopped in the reverse order.
    pub parts: Vec<PlannedPart>,
    /// How long each of them may take to be ready, in seconds.
    pub limit_seconds: u64,
    /// The jobs that look at it then; none: what the runbook looks at is looked at.
    pub checks: Vec<JobName>,
    /// What is doubtful.
    pub warnings: Vec<String>,
    /// Why it cannot be done.
    pub refusals: Vec<String>,
}

/// One thing that is restarted.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedPart {
    /// `application/app`, or `container db`
    pub name: String,
    /// `container app`, `unit app.service`, or the command that stops it
    pub runs_as: String,
    /// What it is doing now.
    pub state: String,
    /// Where it is asked whether it is ready. None: its container's health check, or that it goes on running.
    pub asks: Vec<String>,
    /// What is waited for before it is started.
    pub after: Vec<PlannedAfter>,
}

/// What is waited for.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedAfter {
    /// Which part.
    pub part: String,
    /// `started`, `healthy` or `completed`
    pub until: Until,
}

/// What is gathered for a plan.
struct Draft<'a> {
    shared: &'a Shared,
    options: RecoveryOptions,
    parts: Vec<Part>,
    planned: Vec<PlannedPart>,
    /// The targets that are restarted.
    targets: BTreeSet<Target>,
    target_part: usize,
    /// What each part is.
    sites: Vec<Site>,
    onlookers: Vec<Onlooker>,
    /// What an earlier recovery has left stopped and is none of the parts.
    left: Vec<Part>,
    warnings: Vec<String>,
    refusals: Vec<String>,
}

pub(super) async fn plan(
    shared: &Shared,
    options: RecoveryOptions,
    now: Timestamp,
) -> Result<Recovery, RecoverError> {
    let job = options.target.recoveries();
    if shared.config.job(job.as_str()).is_some() {
        return Err(RecoverError::JobHasName { job });
    }
    let mut draft = Draft {
        shared,
        options,
        parts: Vec::new(),
        planned: Vec::new(),
        targets: BTreeSet::new(),
        target_part: 0,
        sites: Vec::new(),
        onlookers: Vec::new(),
        left: Vec::new(),
        warnings: Vec::new(),
        refusals: Vec::new(),
    };
    let project = draft.gather().await?;
    if !draft.targets.contains(&draft.options.target) {
        let target = &draft.options.target;
        draft
            .refusals
            .push(format!("{target} is no service of its compose project: recover it without --full"));
    }
    draft.look_back(now).await;
    draft.look_around().await;
    Ok(draft.finish(job, project))
}

impl Draft<'_> {
    /// Finds the parts; says of which project all is restarted.
    async fn gather(&mut self) -> Result<Option<String>, RecoverError> {
        let target = self.options.target.clone();
        let own = self.container_of(&target).await?;
        let project = own.as_ref().and_then(project_of);
        if !self.options.full {
            self.add_target(&target).await?;
            self.add_siblings(own.as_ref()).await?;
            return Ok(None);
        }
        let Some((label, value)) = project else {
            for other in self.shared.config.targets() {
                match self.add_target(&other).await {
                    // What is wrong with the others keeps nobody from bringing this one back.
                    Err(error) if other != target => {
                        self.warnings.push(format!("{other} is left alone: {}", words::chain(&error)));
                    }
                    added => added?,
                }
            }
            return Ok(None);
        };
        let all = self.shared.docker().await.map_err(TargetError::from)?.labelled(label, value).await;
        let members = order(all.map_err(TargetError::from)?)?;
        self.warn_without_order(&members);
        for member in members {
            self.add_member(member).await?;
        }
        Ok(Some(value.to_owned()))
    }

    /// The container of a target as it is now; nothing where it runs in none, or that is not there.
    async fn container_of(&mut self, target: &Target) -> Result<Option<ContainerInfo>, RecoverError> {
        let Some(RunsAs::Container(name)) = self.shared.config.runs_as(target) else { return Ok(None) };
        let docker = self.shared.docker().await.map_err(TargetError::from)?;
        let container = docker.container(&name).await.map_err(TargetError::from)?;
        Ok(Some(container.info().clone()))
    }

    /// A target by itself. What two targets share is one part.
    async fn add_target(&mut self, target: &Target) -> Result<(), RecoverError> {
        let Some(service) = self.shared.service_of_target(target).await? else { return Ok(()) };
        let is_wanted = *target == self.options.target;
        if !service.is_controlled() && !is_wanted {
            self.warnings.push(format!("{target} is left alone: nothing says what it runs as"));
            return Ok(());
        }
        let (info, question) = (self.container_of(target).await?, self.shared.question_of(target)?);
        let same = info.as_ref().and_then(|info| {
            self.parts.iter().position(
                |part| matches!(&part.service, Service::Container { name, .. } if *name == info.name),
            )
        });
        let place = same.unwrap_or(self.parts.len());
        self.note_target(target, place);
        if let Some(place) = same {
            self.sites[place].targets.push(target.clone());
            self.ask_too(place, question);
            return Ok(());
        }
        let state = self.state(&target.to_string(), &service, info.as_ref()).await;
        // By its own name, whatever it is called in the configuration.
        let container = info.clone();
        let service = match (service, info) {
            (Service::Container { docker, .. }, Some(info)) => Service::Container { docker, name: info.name },
            (service, _) => service,
        };
        self.push(target.to_string(), service, state, Vec::new());
        self.sites.push(Site { targets: vec![target.clone()], container });
        self.ask_too(place, question);
        Ok(())
    }

    /// A container of the project, with all targets that it is.
    async fn add_member(&mut self, member: Member) -> Result<(), RecoverError> {
        let Member { container, after, lacks } = member;
        let place = self.parts.len();
        let mut names = Vec::new();
        for target in self.shared.config.targets() {
            // What stands in the configuration and is not there is no member.
            if let Ok(Some(info)) = self.container_of(&target).await
                && info.id == container.id
            {
                names.push(target);
            }
        }
        let name = names.first().map_or_else(|| format!("container {}", container.name), ToString::to_string);
        for lacking in lacks {
            self.warnings.push(format!(
                "{name} depends on service {lacking}, of which there is no container: `docker compose up -d {lacking}` makes one"
            ));
        }
        let docker = self.shared.docker().await.map_err(TargetError::from)?.clone();
        let service = Service::Container { docker, name: container.name.clone() };
        let state = self.state(&name, &service, Some(&container)).await;
        self.push(name, service, state, after);
        self.sites.push(Site { targets: names.clone(), container: Some(container) });
        for target in &names {
            self.note_target(target, place);
            match self.shared.question_of(target) {
                Err(error) if *target != self.options.target => {
                    self.warnings.push(format!(
                        "{target} cannot be asked whether it is ready: {}",
                        words::chain(&error)
                    ));
                }
                question => self.ask_too(place, question?),
            }
        }
        Ok(())
    }

    fn note_target(&mut self, target: &Target, place: usize) {
        if *target == self.options.target {
            self.target_part = place;
        }
        self.targets.insert(target.clone());
    }

    fn ask_too(&mut self, place: usize, question: Option<Question>) {
        let Some(question) = question else { return };
        if let (Some(part), Some(planned)) = (self.parts.get_mut(place), self.planned.get_mut(place)) {
            planned.asks.push(question.client.url(&question.path));
            part.questions.push(question);
        }
    }

    fn push(&mut self, name: String, service: Service, (state, ran): (String, bool), after: Vec<After>) {
        let of = |after: &After| PlannedAfter {
            part: self.planned.get(after.part).map_or_else(String::new, |part| part.name.clone()),
            until: after.until,
        };
        let planned = PlannedPart {
            name: name.clone(),
            runs_as: service.to_string(),
            state,
            asks: Vec::new(),
            after: after.iter().map(of).collect(),
        };
        self.planned.push(planned);
        self.parts.push(Part { name, service, questions: Vec::new(), after, ran });
    }

    /// What a part is doing, and whether it runs or is about to. What cannot be restarted as it is, is refused.
    async fn state(&mut self, name: &str, service: &Service, info: Option<&ContainerInfo>) -> (String, bool) {
        if let Some(info) = info {
            self.refusals.extend(refusal(info));
            let policy = match info.restart_policy.as_str() {
                "no" => String::new(),
                policy => format!(", restart policy {policy}"),
            };
            let runs = !info.state.is_stopped();
            return (format!("{}{policy}", info.state), runs);
        }
        if !service.is_controlled() {
            self.refusals.push(format!(
                "nothing says how {name} is stopped and started: add container = \"NAME\", service = {{ unit = \"UNIT\" }} or \
                 service = {{ stop = […], start = […] }} to [{}]",
                name.replace('/', ".")
            ));
        }
        match service.state().await {
            Ok(ServiceState::Running) => ("runs".to_owned(), true),
            Ok(ServiceState::Stopped) => ("does not run".to_owned(), false),
            Ok(ServiceState::Restarting) => ("is being started".to_owned(), true),
            Ok(ServiceState::Unknown) => ("is in a state that cannot be told".to_owned(), true),
            Err(error) => {
                self.warnings.push(format!("what {name} is doing cannot be told: {}", words::chain(&error)));
                ("is in a state that cannot be told".to_owned(), true)
            }
        }
    }

    fn warn_without_order(&mut self, members: &[Member]) {
        if members.len() > 1 && members.iter().all(|member| member.after.is_empty()) {
            self.warnings.push(
                "the containers do not say what they depend on: they are started in the order of their names"
                    .to_owned(),
            );
        }
    }

    /// What belongs to the project of the target, and is not restarted with it.
    async fn add_siblings(&mut self, own: Option<&ContainerInfo>) -> Result<(), RecoverError> {
        let Some((own, (label, value))) = own.and_then(|own| project_of(own).map(|project| (own, project)))
        else {
            return Ok(());
        };
        let docker = self.shared.docker().await.map_err(TargetError::from)?;
        for info in docker.labelled(label, value).await.map_err(TargetError::from)? {
            if info.id != own.id {
                let service = Service::Container { docker: docker.clone(), name: info.name.clone() };
                self.onlookers.push(Onlooker { name: format!("container {}", info.name), service });
            }
        }
        Ok(())
    }

    /// What else is configured, where it can be looked at.
    async fn look_around(&mut self) {
        for target in self.shared.config.targets() {
            if self.targets.contains(&target) {
                continue;
            }
            if let Ok(Some(service)) = self.shared.service_of_target(&target).await {
                let shown = service.to_string();
                let is_known = self.onlookers.iter().any(|onlooker| onlooker.service.to_string() == shown);
                if service.is_controlled() && !is_known {
                    self.onlookers.push(Onlooker { name: target.to_string(), service });
                }
            }
        }
    }

    fn finish(mut self, job: JobName, project: Option<String>) -> Recovery {
        let config = &self.shared.config;
        let mut chosen = if self.options.backup { choose(config, &self.sites) } else { Chosen::default() };
        self.warnings.append(&mut chosen.warnings);
        self.warnings.extend(chosen.unsaved.iter().cloned());
        // What a change has left half way may be why it does not start.
        let is_here = |cut: &CutChange| {
            let place = format!("{}/{}", TargetKind::Prometheus.word(), cut.target);
            self.targets.iter().any(|target| target.to_string() == place)
        };
        self.warnings.extend(cut_changes(config).iter().filter(|cut| is_here(cut)).map(CutChange::words));
        let mut checks = names(self.targets.iter().flat_map(|target| config.checks_of(target)));
        checks.sort();
        checks.dedup();
        let locks = [Lock::Recovery, Lock::Job(job.clone())].into_iter();
        let locks = locks.chain(self.targets.iter().map(lock_of)).collect();
        let plan = RecoveryPlan {
            target: self.options.target.clone(),
            project,
            backups: chosen.backups,
            parts: self.planned,
            limit_seconds: self.options.limit.as_secs(),
            checks,
            warnings: self.warnings,
            refusals: self.refusals,
        };
        let Self { options, parts, target_part, targets, onlookers, left, .. } = self;
        let unsaved = chosen.unsaved;
        Recovery { plan, options, parts, target_part, targets, onlookers, left, unsaved, job, locks }
    }
}

fn names<'a>(jobs: impl Iterator<Item = &'a JobConfig>) -> Vec<JobName> {
    jobs.map(|job| job.name.clone()).collect()
}

/// Why a container cannot be stopped and started as it is.
fn refusal(info: &ContainerInfo) -> Option<String> {
    let name = &info.name;
    if info.removed_at_end {
        return Some(format!(
            "container {name} was run with --rm: it would be removed as soon as it is stopped, with all that is in its own \
             layer; make it without"
        ));
    }
    match info.state {
        ContainerState::Paused => Some(format!(
            "container {name} is paused, which somebody did on purpose: `docker unpause {name}` lets it go on, and then it \
             can be recovered"
        )),
        ContainerState::Removing => Some(format!("container {name} is being removed")),
        ContainerState::Dead => Some(format!(
            "container {name} is dead, the engine could not remove it: `docker rm {name}`, and make it anew"
        )),
        _ => None,
    }
}
