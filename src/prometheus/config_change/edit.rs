//! Changes one value in the text of a configuration, and nothing else of it: comments, order, quotes and line ends stay.
//!
//! The parser says where to write. What was written is read again, and must be the old configuration with that one value
//! changed; where it is not, nothing is changed and a person is asked to do it.

use super::yaml::{Document, Node, Style, What, YamlError, canonical};

const KEY: &str = "scrape_interval";

/// Whose `scrape_interval`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// That of every job without its own.
    Global,
    /// That of this scrape job alone.
    Job(String),
}

/// A text with one value changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edited {
    pub(super) text: String,
    /// The value before; nothing where none was written there.
    pub(super) before: Option<String>,
}

/// A value cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no YAML.
    #[error("it is no YAML: {0}")]
    Yaml(#[from] YamlError),
    /// There is no such scrape job.
    #[error("it has no scrape job {job:?}")]
    NoJob {
        /// The job that was named.
        job: String,
        /// Those that there are.
        jobs: Vec<String>,
    },
    /// What would be changed stands for something else, too.
    #[error("line {line}: this is used in other places by an alias, and would change there, too")]
    Shared {
        /// From 1 on.
        line: usize,
    },
    /// It is written in a way that this program does not change.
    #[error("line {line}: it is written in a way that this program does not change")]
    Odd {
        /// From 1 on.
        line: usize,
    },
}

impl EditError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Yaml(_) => return None,
            Self::NoJob { jobs, .. } if jobs.is_empty() => "it has no scrape jobs at all".to_owned(),
            Self::NoJob { jobs, .. } => format!("the scrape jobs are: {}", jobs.join(", ")),
            Self::Shared { .. } | Self::Odd { .. } => {
                "change a copy of the file by hand, and have it loaded with `watchkeeper change prometheus-config FILE`"
                    .to_owned()
            }
        })
    }
}

/// Sets the `scrape_interval` of `scope` to `value`, a length of time.
pub(super) fn scrape_interval(text: &str, scope: &Scope, value: &str) -> Result<Edited, EditError> {
    let old = Document::read(text)?;
    let steps = path(&old, scope)?;
    let holder = steps.last().copied().filter(|_| steps.iter().all(Option::is_some)).flatten();
    for node in steps.iter().copied().flatten() {
        if old.is_shared(node) || matches!(node.what, What::Alias(_)) {
            return Err(EditError::Shared { line: node.line });
        }
    }
    let (edit, before) = match holder {
        Some(map) if matches!(map.what, What::Map(_)) => in_map(text, &old, map, value)?,
        Some(null) if null.is_null() => (in_null_global(text, &old, null, value)?, None),
        Some(other) => return Err(EditError::Odd { line: other.line }),
        None => (global(text, &old, value)?, None),
    };
    let line = text[..edit.at].lines().count().max(1);
    let text = edit.apply(text);
    let odd = |_| EditError::Odd { line };
    let new = Document::read(&text).map_err(odd)?;
    let found = path(&new, scope).ok().and_then(|steps| steps.last().copied().flatten());
    let written = found.and_then(|map| map.pair(KEY)).and_then(|(_, written)| written.text());
    let same =
        canonical(&with_value(&old.root, scope, value)) == canonical(&with_value(&new.root, scope, value));
    if written != Some(value) || !same {
        return Err(EditError::Odd { line });
    }
    Ok(Edited { text, before })
}

/// The values on the way to the map that holds the interval, the map last. Where there is no `global`, nothing is last.
fn path<'a>(document: &'a Document, scope: &Scope) -> Result<Vec<Option<&'a Node>>, EditError> {
    let root = &document.root;
    let Scope::Job(wanted) = scope else {
        let global = root.pair("global").map(|(_, global)| global);
        return Ok(vec![Some(root), global]);
    };
    let list = document.get(root, "scrape_configs");
    let name = |job: &Node| document.get(job, "job_name").and_then(Node::text).map(str::to_owned);
    let jobs = document.elements(list);
    let found = jobs.iter().find(|job| name(job).as_ref() == Some(wanted));
    let none = || EditError::NoJob { job: wanted.clone(), jobs: jobs.iter().filter_map(name).collect() };
    let found = found.ok_or_else(none)?;
    let list = root.pair("scrape_configs").map(|(_, list)| list);
    Ok(vec![Some(root), list, Some(found)])
}

/// A piece of text in place of another.
struct Edit {
    at: usize,
    until: usize,
    with: String,
}

impl Edit {
    fn insert(at: usize, with: String) -> Self {
        Self { at, until: at, with }
    }

    fn apply(&self, text: &str) -> String {
        [&text[..self.at], &self.with, &text[self.until..]].concat()
    }
}

/// Changes the value of a map, or adds it.
fn in_map(
    text: &str,
    document: &Document,
    map: &Node,
    value: &str,
) -> Result<(Edit, Option<String>), EditError> {
    let Some((key, old)) = map.pair(KEY) else { return Ok((added(text, map, value)?, None)) };
    if document.is_shared(old) {
        return Err(EditError::Shared { line: old.line });
    }
    let before = document.real(old).text().map(str::to_owned);
    if old.is_null() && old.text() == Some("") {
        return Ok((Edit::insert(after_colon(text, key)?, format!(" {value}")), None));
    }
    let (place, quote) = written(text, old).ok_or(EditError::Odd { line: key.line })?;
    let edit = Edit { at: place.start, until: place.end, with: format!("{quote}{value}{quote}") };
    Ok((edit, before.filter(|_| !old.is_null())))
}

/// Where a value is written, without its anchor and tag, and its quote.
fn written(text: &str, node: &Node) -> Option<(std::ops::Range<usize>, &'static str)> {
    let whole = text.get(node.place.clone())?;
    let (plain, quote) = match &node.what {
        What::Alias(_) => return whole.starts_with('*').then(|| (node.place.clone(), "")),
        What::Scalar(plain, Style::Plain) => (plain, ""),
        What::Scalar(plain, Style::Single) => (plain, "'"),
        What::Scalar(plain, Style::Double) => (plain, "\""),
        _ => return None,
    };
    // One with an escape in it is no length of time anyway.
    let shown = format!("{quote}{plain}{quote}");
    let start = node.place.end.checked_sub(shown.len())?;
    (whole.ends_with(&shown) && start >= node.place.start).then_some((start..node.place.end, quote))
}

/// Adds the value to a map that does not have it: on a line of its own behind the first that ends where it begins, or
/// before the first.
fn added(text: &str, map: &Node, value: &str) -> Result<Edit, EditError> {
    let odd = EditError::Odd { line: map.line };
    let What::Map(pairs) = &map.what else { return Err(odd) };
    if let Some(inside) = inside(text, map) {
        let more = if pairs.is_empty() { "" } else { ", " };
        let at = pairs.first().map_or(inside, |(key, _)| key.place.start);
        return Ok(Edit::insert(at, format!("{KEY}: {value}{more}")));
    }
    let (first, _) = pairs.first().ok_or(odd)?;
    let (indent, eol) = (indent(text, first), eol(text));
    let single = pairs.iter().find(|(key, value)| {
        matches!(&value.what, What::Scalar(_, style) if *style != Style::Block)
            && !value.is_null()
            && !text[key.place.start..value.place.end.max(key.place.start)].contains(['\n', '\r'])
    });
    Ok(match single {
        Some((_, last)) => {
            Edit::insert(end_of_line(text, last.place.end), format!("{eol}{indent}{KEY}: {value}"))
        }
        None => Edit::insert(first.place.start, format!("{KEY}: {value}{eol}{indent}")),
    })
}

/// `global:` with nothing behind it.
fn in_null_global(text: &str, document: &Document, null: &Node, value: &str) -> Result<Edit, EditError> {
    let odd = EditError::Odd { line: null.line };
    if null.text() != Some("") {
        let (place, _) = written(text, null).ok_or(odd)?;
        return Ok(Edit { at: place.start, until: place.end, with: format!("{{{KEY}: {value}}}") });
    }
    let (key, _) = document.root.pair("global").ok_or(odd)?;
    let colon = after_colon(text, key)?;
    if inside(text, &document.root).is_some() {
        return Ok(Edit::insert(colon, format!(" {{{KEY}: {value}}}")));
    }
    let line = format!("{}{}  {KEY}: {value}", eol(text), indent(text, key));
    Ok(Edit::insert(end_of_line(text, colon), line))
}

/// A `global` where there is none: before the first key.
fn global(text: &str, document: &Document, value: &str) -> Result<Edit, EditError> {
    let (root, eol) = (&document.root, eol(text));
    if root.is_null() && root.text() == Some("") {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { eol };
        return Ok(Edit::insert(text.len(), format!("{end}global:{eol}  {KEY}: {value}{eol}")));
    }
    let What::Map(pairs) = &root.what else { return Err(EditError::Odd { line: root.line }) };
    let inside = inside(text, root);
    let at = pairs.first().map_or(inside.unwrap_or(root.place.end), |(key, _)| key.place.start);
    Ok(if inside.is_some() {
        let more = if pairs.is_empty() { "" } else { ", " };
        Edit::insert(at, format!("global: {{{KEY}: {value}}}{more}"))
    } else {
        Edit::insert(at, format!("global:{eol}  {KEY}: {value}{eol}"))
    })
}

/// Behind the brace of a map that is written in braces.
fn inside(text: &str, map: &Node) -> Option<usize> {
    text.get(map.place.clone())?.find('{').map(|brace| map.place.start + brace + 1)
}

/// What a line below `key` begins with.
fn indent(text: &str, key: &Node) -> String {
    let start = text[..key.place.start].rfind('\n').map_or(0, |at| at + 1);
    text[start..key.place.start].chars().map(|_| ' ').collect()
}

/// How the lines end.
fn eol(text: &str) -> &'static str {
    let first = text.find('\n').map(|at| text[..at].ends_with('\r'));
    if first == Some(true) { "\r\n" } else { "\n" }
}

/// The end of the line that `at` is in, before what ends it.
fn end_of_line(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    at + rest.find('\n').map_or(rest.len(), |end| rest[..end].trim_end_matches('\r').len())
}

/// Behind the colon of a key.
fn after_colon(text: &str, key: &Node) -> Result<usize, EditError> {
    let rest = &text[key.place.end..];
    let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    if rest[spaces..].starts_with(':') {
        return Ok(key.place.end + spaces + 1);
    }
    Err(EditError::Odd { line: key.line })
}

/// The same with the value set: for comparison, so the value comes first, and `global` does.
fn with_value(root: &Node, scope: &Scope, value: &str) -> Node {
    let mut root = if root.is_null() { Node::map(Vec::new()) } else { root.clone() };
    match scope {
        Scope::Global => {
            let mut global = take(&mut root, "global").unwrap_or_else(|| Node::map(Vec::new()));
            if global.is_null() {
                global = Node::map(Vec::new());
            }
            set(&mut global, KEY, Node::scalar(value));
            set(&mut root, "global", global);
        }
        Scope::Job(name) => {
            let What::Map(pairs) = &mut root.what else { return root };
            let list = pairs.iter_mut().find(|(key, _)| key.text() == Some("scrape_configs"));
            let Some((_, Node { what: What::List(jobs), .. })) = list else { return root };
            let is_it =
                |job: &&mut Node| job.pair("job_name").is_some_and(|(_, found)| found.text() == Some(name));
            if let Some(job) = jobs.iter_mut().find(is_it) {
                set(job, KEY, Node::scalar(value));
            }
        }
    }
    root
}

fn take(map: &mut Node, key: &str) -> Option<Node> {
    let What::Map(pairs) = &mut map.what else { return None };
    let at = pairs.iter().position(|(name, _)| name.text() == Some(key))?;
    Some(pairs.remove(at).1)
}

fn set(map: &mut Node, key: &str, value: Node) {
    take(map, key);
    if let What::Map(pairs) = &mut map.what {
        pairs.insert(0, (Node::scalar(key), value));
    }
}

#[cfg(test)]
mod tests;
