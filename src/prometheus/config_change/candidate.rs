//! What is to be written, in a file of its own that promtool looks at before the server is given it.
//!
//! It lies where no pattern of rules has the server load it, and where it can be taken away again. It is noted before it is
//! written, so that one that a killed check has left goes with the next change.

use std::time::Duration;

use super::error::ChangeError;
use super::journal::Candidate;
use super::place::Place;
use super::plan::ChangePlan;
use super::reach::Reach;
use super::rules::is_covered;
use super::site::Site;
use crate::docker::{DockerError, ExecCommand};
use crate::progress::Progress;
use crate::service::{self, ServiceError};
use crate::words;

/// How long it may take: it reads every file of rules.
const LIMIT: Duration = Duration::from_mins(1);
/// Its names, of which the first is taken that no pattern of rules fits.
const NAMES: [&str; 3] = [".watchkeeper-check.tmp", ".watchkeeper-check", "watchkeeper-check.candidate"];

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Config,
    Rules,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Rules => "rules",
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is good, says this promtool.
    Good(Promtool),
    /// Nobody has looked at it, and why.
    Nobody(String),
}

/// Whose promtool looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promtool {
    /// That of the container that the server runs in.
    Container,
    /// That of this host, where the server runs, too.
    Host,
    /// That of this host, which does not see the files of the container: of a configuration it says less.
    HostForContainer,
}

impl Promtool {
    /// As a person names it.
    pub(super) const fn whose(self) -> &'static str {
        match self {
            Self::Container => "of the container",
            Self::Host | Self::HostForContainer => "of this host",
        }
    }

    /// What it does not look at, in words.
    pub(super) fn leaves_out(self, kind: Kind) -> Option<&'static str> {
        let is_less = self == Self::HostForContainer && kind == Kind::Config;
        is_less.then_some(
            "the files that the configuration names: this host's promtool looks at its syntax only",
        )
    }

    async fn of(site: &Site) -> Self {
        let Some((docker, name)) = site.reach.container() else { return Self::Host };
        let argv = ["promtool", "--version"].map(str::to_owned).to_vec();
        let command = ExecCommand { argv, ..ExecCommand::default() };
        match docker.exec_to_end(name, &command, LIMIT).await {
            Ok(ran) if ran.exit_code == Some(0) => Self::Container,
            _ => Self::HostForContainer,
        }
    }
}

/// Has promtool look at what is planned.
pub(super) async fn checked(
    site: &Site,
    plan: &ChangePlan,
    progress: &Progress,
) -> Result<Checked, ChangeError> {
    let step = progress.step("check it with promtool", None);
    let checked = look(site, plan, progress).await?;
    step.finish(match &checked {
        Checked::Good(_) => "it finds nothing wrong".to_owned(),
        Checked::Nobody(why) => format!("not done: {why}"),
    });
    Ok(checked)
}

async fn look(site: &Site, plan: &ChangePlan, progress: &Progress) -> Result<Checked, ChangeError> {
    let mut promtool = Promtool::of(site).await;
    let mut beside = beside_config(site, plan, promtool).await?;
    if promtool == Promtool::Container
        && let Some(place) = &beside
        && !place.is_removable().await
    {
        (promtool, beside) = (Promtool::HostForContainer, None);
    }
    let is_with_server = match (promtool, plan.kind) {
        (Promtool::Container, _) | (Promtool::Host, Kind::Config) => true,
        // Rules name no other files.
        (Promtool::Host, Kind::Rules) | (Promtool::HostForContainer, _) => false,
    };
    let place = match (is_with_server, beside) {
        (true, Some(place)) => place,
        (true, None) => {
            return Ok(Checked::Nobody(
                "a pattern of rule_files fits every name beside the configuration".to_owned(),
            ));
        }
        (false, _) => Place::on_host(&site.reach.journal.checked_file()?.display().to_string()),
    };
    site.reach.journal.note_candidate(&Candidate { path: place.seen.clone(), is_with_server })?;
    let owner = plan.old.as_ref().filter(|_| is_with_server).map(|old| old.owner);
    let checked = match place.write(&plan.new, owner).await {
        Ok(()) => match promtool {
            Promtool::Container => in_container(site, plan.kind, &place).await,
            Promtool::Host => on_host(plan.kind, &place, &[]).await,
            Promtool::HostForContainer => for_container(site, plan.kind, &place).await,
        },
        Err(error) => Ok(Checked::Nobody(words::chain(&error))),
    };
    sweep(&site.reach, progress).await;
    let checked = checked?;
    if let (Checked::Good(promtool), Kind::Rules, true) = (&checked, plan.kind, plan.is_edited) {
        whole(site, *promtool, plan).await?;
    }
    Ok(checked)
}

/// What somebody has edited since it was loaded is loaded with it, and one mistake in it has the server refuse all. One in
/// the file that is replaced is mended by that.
async fn whole(site: &Site, promtool: Promtool, plan: &ChangePlan) -> Result<(), ChangeError> {
    let checked = match promtool {
        Promtool::Container => in_container(site, Kind::Config, &site.config).await,
        Promtool::Host => on_host(Kind::Config, &site.config, &[]).await,
        Promtool::HostForContainer => return Ok(()),
    };
    match checked {
        Err(ChangeError::Promtool { said }) if !said.contains(&plan.file) => {
            Err(ChangeError::StandsBroken { said })
        }
        _ => Ok(()),
    }
}

/// Where it lies beside the configuration: paths in it begin there. Nothing where the server would load it from there by
/// every name.
async fn beside_config(
    site: &Site,
    plan: &ChangePlan,
    promtool: Promtool,
) -> Result<Option<Place>, ChangeError> {
    let path = |name: &&str| format!("{}/{name}", site.folder().trim_end_matches('/'));
    let is_free = |path: &String| !is_covered(&plan.patterns, site.folder(), path);
    let free = NAMES.iter().map(path).find(is_free);
    match free.filter(|_| promtool != Promtool::HostForContainer) {
        Some(path) => Ok(Some(site.reach.locate(&path).await?)),
        None => Ok(None),
    }
}

/// Takes away what was only looked at, also by a change that was killed.
pub(super) async fn sweep(reach: &Reach, progress: &Progress) {
    let Some(candidate) = reach.journal.candidate() else { return };
    let removed = async {
        let place = if candidate.is_with_server {
            reach.locate(&candidate.path).await?
        } else {
            Place::on_host(&candidate.path)
        };
        place.remove().await?;
        reach.sweep(place.temporary()).await;
        reach.journal.forget_candidate()
    };
    if let Err(error) = removed.await {
        let (path, why) = (&candidate.path, words::chain(&error));
        progress.warn(format!(
            "{path}, which promtool has looked at, was left, and goes with the next change: {why}"
        ));
    }
}

async fn in_container(site: &Site, kind: Kind, file: &Place) -> Result<Checked, ChangeError> {
    let Some((docker, name)) = site.reach.container() else { return on_host(kind, file, &[]).await };
    let argv = ["promtool", "check", kind.word(), &file.seen].map(str::to_owned).to_vec();
    let command = ExecCommand { argv, ..ExecCommand::default() };
    match docker.exec_to_end(name, &command, LIMIT).await {
        Ok(ran) if ran.exit_code == Some(0) => Ok(Checked::Good(Promtool::Container)),
        Ok(ran) if ran.exit_code.is_some() => Err(refused(&ran.said, &file.seen)),
        Ok(_) | Err(DockerError::Refused { .. }) => {
            Ok(Checked::Nobody("the container's promtool did not end as a program does".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

async fn on_host(kind: Kind, file: &Place, more: &[&str]) -> Result<Checked, ChangeError> {
    let argv = [&["promtool", "check", kind.word()], more, &[file.seen.as_str()]].concat();
    let argv: Vec<String> = argv.into_iter().map(str::to_owned).collect();
    match service::run_to_end(&argv, LIMIT).await {
        Ok((true, _)) => Ok(Checked::Good(Promtool::Host)),
        Ok((false, said)) if said.contains("unknown long flag") => {
            Ok(Checked::Nobody("the promtool of this host is too old for that".to_owned()))
        }
        Ok((false, said)) => Err(refused(&said, &file.seen)),
        Err(ServiceError::NotRun { .. }) => Ok(Checked::Nobody("this host has no promtool".to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// By the promtool of this host, for a server in a container: one that is older than the server does not know what is right.
async fn for_container(site: &Site, kind: Kind, file: &Place) -> Result<Checked, ChangeError> {
    let more: &[&str] = if kind == Kind::Config { &["--syntax-only"] } else { &[] };
    match on_host(kind, file, more).await {
        Ok(Checked::Good(_)) => Ok(Checked::Good(Promtool::HostForContainer)),
        Ok(Checked::Nobody(why)) => {
            Ok(Checked::Nobody(format!("the container has no promtool that could be used, and {why}")))
        }
        Err(ChangeError::Promtool { said }) => match older_than_server(site).await {
            Some(versions) => Ok(Checked::Nobody(format!(
                "the promtool of this host is older than Prometheus ({versions}), and refuses it: {said}"
            ))),
            None => Err(ChangeError::Promtool { said }),
        },
        Err(error) => Err(error),
    }
}

/// The versions of this host's promtool and of the server, where the first is the older one.
async fn older_than_server(site: &Site) -> Option<String> {
    let argv = ["promtool", "--version"].map(str::to_owned);
    let (_, said) = service::run_to_end(&argv, LIMIT).await.ok()?;
    let own = said.split_once("version ")?.1.split_whitespace().next()?.to_owned();
    let server = site.reach.client.build_info().await.ok()?.version;
    (version(&own)? < version(&server)?).then(|| format!("{own}, {server}"))
}

/// `2.42.0+ds`, by its first two numbers.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim_start_matches('v').split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Its words in one line, without the name of what was only looked at.
fn refused(said: &str, path: &str) -> ChangeError {
    let told = said.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !line.starts_with("Checking ") && !line.contains("SUCCESS:") && *line != "FAILED:"
    });
    let told: Vec<&str> = told.map(|line| line.trim_start_matches("FAILED:").trim()).collect();
    let said = told.join(" ").replace(&format!("parsing YAML file {path}: "), "");
    ChangeError::Promtool { said: said.replace(&format!("{path}: "), "").replace(path, "it") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_promtool_says_is_told_without_the_file_that_nobody_knows() {
        let told = |said: &str| refused(said, "/e/.x.tmp").to_string();
        let config = "Checking /e/.x.tmp\n  FAILED: parsing YAML file /e/.x.tmp: yaml: unmarshal errors:\n  line 3: field bogus not found\n";
        assert_eq!(
            told(config),
            "promtool refuses it: yaml: unmarshal errors: line 3: field bogus not found"
        );
        let rules = "Checking /e/.x.tmp\n  FAILED:\n/e/.x.tmp: 5:11: group \"a\", rule 1: could not parse\n";
        assert_eq!(told(rules), "promtool refuses it: 5:11: group \"a\", rule 1: could not parse");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(version("2.42.0+ds") < version("v2.100.0") && version("2.100") < version("3.0.1"));
        assert_eq!(version("unknown"), None);
    }
}
