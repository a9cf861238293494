//! The options of a `command`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::read::{Item, Section};
use crate::config::values::Program;

/// The options of a `command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandConfig {
    /// What is run.
    pub program: Program,
    /// Variables of its environment beside those of this program.
    pub env: BTreeMap<String, String>,
    /// The folder it runs in; inside the container where there is one.
    pub directory: Option<PathBuf>,
    /// The user it runs as: a name, or numbers as `UID` or `UID:GID`.
    pub user: Option<String>,
    /// The container it runs in.
    pub container: Option<String>,
    /// Exit codes that are no failure, but need a look. Never 0.
    pub warning_codes: Vec<u8>,
}

pub(super) fn command(mut section: Section<'_, '_>) -> Option<CommandConfig> {
    let is_shell = section.get("shell").and_then(|item| item.boolean()).unwrap_or_default();
    let program = section.require("command", "[\"program\", \"argument\"]");
    let program = program.and_then(|item| program_of(&item, is_shell));
    let env = section.get("env").map(|item| environment(&item));
    let directory = section.get("directory").and_then(|item| item.path());
    let user = section.get("user").and_then(|item| user(&item));
    let container = section.get("container").and_then(|item| item.text().map(str::to_owned));
    let codes = section.get("warning_codes").and_then(|item| warning_codes(&item));
    section.finish(&[]);
    Some(CommandConfig {
        program: program?,
        env: env.unwrap_or_default(),
        directory,
        user,
        container,
        warning_codes: codes.unwrap_or_default(),
    })
}

/// What is run, as a list of a program and its arguments, or as a text for the shell.
pub(in crate::config) fn program_of(item: &Item<'_, '_>, is_shell: bool) -> Option<Program> {
    if item.is_plain() {
        let text = item.text()?;
        if !is_shell {
            let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
            let hint = format!("write [{}], or add shell = true", words.join(", "));
            item.error(format!("{} must be a list of a program and its arguments", item.what), Some(hint));
            return None;
        }
        return no_nul(item, text).map(Program::Shell);
    }
    let elements = item.elements("a list of a program and its arguments")?;
    let Some((program, arguments)) = elements.split_first() else {
        item.error(format!("{} is empty: it needs at least a program", item.what), None);
        return None;
    };
    // Only the program must not be empty; an empty argument is an argument.
    let words = std::iter::once(program.text()).chain(arguments.iter().map(Item::any_text));
    let words: Vec<Option<String>> = words.map(|word| no_nul(item, word?)).collect();
    let mut words: Vec<String> = words.into_iter().collect::<Option<_>>()?;
    if !is_shell {
        return Some(Program::Argv(words));
    }
    if words.len() > 1 {
        let hint = "write it as one text".to_owned();
        item.error("with shell = true, \"command\" is one text for the shell", Some(hint));
        return None;
    }
    words.pop().map(Program::Shell)
}

fn no_nul(item: &Item<'_, '_>, text: &str) -> Option<String> {
    if text.contains('\0') {
        item.error(format!("{} must not have a NUL in it", item.what), None);
        return None;
    }
    Some(text.to_owned())
}

fn environment(item: &Item<'_, '_>) -> BTreeMap<String, String> {
    let Some(section) = item.section("\"env\"".to_owned()) else { return BTreeMap::new() };
    let mut variables = BTreeMap::new();
    for (name, span, value) in section.entries() {
        if name.is_empty() || name.contains(['=', '\0', ' ', '$']) {
            section.report.error(&span, format!("{name:?} is not a name of a variable"), None);
            continue;
        }
        if let Some(text) = value.any_text().and_then(|text| no_nul(&value, text)) {
            variables.insert(name.to_owned(), text);
        }
    }
    variables
}

fn user(item: &Item<'_, '_>) -> Option<String> {
    let text = item.text()?;
    if text.contains(char::is_whitespace) || text.starts_with(['-', ':']) || text.ends_with(':') {
        let hint = "write a name such as \"nobody\", or numbers as \"1000\" or \"1000:1000\"".to_owned();
        item.error(format!("{text:?} is no user"), Some(hint));
        return None;
    }
    Some(text.to_owned())
}

fn warning_codes(item: &Item<'_, '_>) -> Option<Vec<u8>> {
    let elements = item.elements("a list of exit codes, such as [1]")?;
    let code = |item: &Item<'_, '_>| item.number(1..256).and_then(|code| u8::try_from(code).ok());
    elements.iter().map(code).collect::<Vec<_>>().into_iter().collect()
}
