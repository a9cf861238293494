//! The options of a `files-backup`.

use std::time::Duration;

use super::{DAY, keep};
use crate::config::read::{Item, Section};
use crate::config::values::{Compression, Keep};

/// The options of a `files-backup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesConfig {
    /// Absolute paths of files and folders, inside the container where there is one. Never empty.
    pub paths: Vec<String>,
    /// Patterns of absolute paths that are left out; each is a right one.
    pub exclude: Vec<String>,
    /// The container that the paths are in.
    pub container: Option<String>,
    /// What backups to keep.
    pub keep: Keep,
    /// How they are compressed.
    pub compression: Compression,
    /// Every backup is verified again within this time. Never zero.
    pub verify_within: Duration,
}

pub(super) fn files(mut section: Section<'_, '_>) -> Option<FilesConfig> {
    let paths = section.require("paths", "[\"/etc/prometheus\"]").and_then(|item| paths(&item));
    let exclude = section.get("exclude").and_then(|item| patterns(&item));
    let container = section.get("container").and_then(|item| item.text().map(str::to_owned));
    let keep = section.require("keep", "{ last = 7 }").and_then(|item| keep(&item));
    let compression = super::compression(&mut section);
    let verify_within = section.get("verify_within").and_then(|item| item.some_duration());
    section.finish(&[]);
    Some(FilesConfig {
        paths: paths?,
        exclude: exclude.unwrap_or_default(),
        container,
        keep: keep?,
        compression,
        verify_within: verify_within.unwrap_or(30 * DAY),
    })
}

fn paths(item: &Item<'_, '_>) -> Option<Vec<String>> {
    let elements = item.elements("a list of paths, such as [\"/etc/prometheus\"]")?;
    if elements.is_empty() {
        item.error("\"paths\" is empty: there would be nothing to back up", None);
        return None;
    }
    let path = |item: &Item<'_, '_>| {
        let path = item.path()?.to_str()?.trim_end_matches('/').to_owned();
        if path.is_empty() {
            item.error(
                "the whole file system is no configuration",
                Some("name the folders in it".to_owned()),
            );
            return None;
        }
        Some(path)
    };
    // All of them are looked at, so that all problems are told.
    elements.iter().map(path).collect::<Vec<_>>().into_iter().collect()
}

fn patterns(item: &Item<'_, '_>) -> Option<Vec<String>> {
    let elements = item.elements("a list of patterns, such as [\"**/*.tmp\"]")?;
    let pattern = |item: &Item<'_, '_>| {
        let text = item.text()?;
        let parsed = globset::Glob::new(text);
        let told = |error: &globset::Error| {
            item.error(
                format!("{text:?} is no pattern: {}", error.kind()),
                Some("such as \"**/*.tmp\", matched against the whole path".to_owned()),
            );
        };
        parsed.inspect_err(told).ok().map(|glob| glob.glob().to_owned())
    };
    elements.iter().map(pattern).collect::<Vec<_>>().into_iter().collect()
}
