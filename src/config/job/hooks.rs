//! The key `hooks`, of a job and of `[defaults]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::program_of;
use crate::config::read::{Item, Section};
use crate::config::secret::Env;
use crate::config::values::{Hook, Hooks, Moment, Program};
use crate::rights;

/// How long a hook may take where nobody says otherwise.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Reads `hooks`. What it does not name is as in `otherwise`; `false` is none.
pub(super) fn hooks(section: &mut Section<'_, '_>, otherwise: &Hooks, env: Env<'_>) -> Hooks {
    let item = section.get("hooks");
    let Some(mut section) = item.and_then(|item| item.section("\"hooks\"".to_owned())) else {
        return otherwise.clone();
    };
    let timeout = section.get("timeout").and_then(|item| item.some_duration());
    let mut read = |moment: Moment| match section.get(moment.word()) {
        None => {
            let inherited = otherwise.at(moment).cloned();
            inherited.map(|hook| Hook { timeout: timeout.unwrap_or(hook.timeout), ..hook })
        }
        Some(item) => hook(&item, timeout.unwrap_or(TIMEOUT), env),
    };
    let hooks = Hooks {
        before: read(Moment::Before),
        after: read(Moment::After),
        on_failure: read(Moment::OnFailure),
        finally: read(Moment::Finally),
    };
    section.finish(&[]);
    hooks
}

/// A list of a program and its arguments, a table with more, or `false`.
fn hook(item: &Item<'_, '_>, timeout: Duration, env: Env<'_>) -> Option<Hook> {
    if item.is_boolean() {
        if item.boolean()? {
            let hint = "write [\"program\", \"argument\"], or false for none".to_owned();
            item.error(format!("{} cannot be true", item.what), Some(hint));
        }
        return None;
    }
    let (program, timeout) = if item.is_table() {
        let mut section = item.section(item.what.clone())?;
        let is_shell = section.get("shell").and_then(|item| item.boolean()).unwrap_or_default();
        let own = section.get("timeout").and_then(|item| item.some_duration());
        let command = section.require("command", "[\"program\", \"argument\"]");
        let program = command.and_then(|item| program_of(&item, is_shell));
        section.finish(&[]);
        (program?, own.unwrap_or(timeout))
    } else {
        (program_of(item, false)?, timeout)
    };
    if let Program::Argv(argv) = &program
        && let Some(lack) = argv.first().and_then(|name| lack(name, env))
    {
        let hint = "a run whose hook cannot be run fails, or ends with a warning".to_owned();
        item.warn(lack, Some(hint));
    }
    Some(Hook { program, timeout })
}

/// Why a program of this name cannot be run, as the system looks for it.
fn lack(program: &str, env: Env<'_>) -> Option<String> {
    let places: Vec<PathBuf> = if program.contains('/') {
        vec![program.into()]
    } else {
        let path = env("PATH").unwrap_or_else(|| "/usr/bin:/bin".to_owned());
        path.split(':').map(|folder| Path::new(folder).join(program)).collect()
    };
    let there: Vec<&PathBuf> = places.iter().filter(|path| path.is_file()).collect();
    match there.first() {
        _ if there.iter().any(|path| rights::may_run(path).is_ok()) => None,
        Some(path) => Some(format!("the program {} is not executable, for this user", path.display())),
        None => Some(format!("there is no program {program:?} on this host, for this user")),
    }
}
