//! Reads an export: all of the archive is read and checked first, and its objects lie in a folder until they are used.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{ABOUT, BundleError, LONGEST};
use crate::grafana::contents::{FORMAT, GrafanaContents};
use crate::grafana::object::{Object, ObjectId};
use crate::grafana::spool::Spool;
use crate::regular;
use crate::store::archive::open_archive;
use crate::store::{ArchiveError, EntryKind};

/// What an export has of one object, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is called.
    pub id: ObjectId,
    /// What people call it.
    pub title: String,
    file: PathBuf,
}

/// An export that was read, and found to be whole. Its bodies are on disk until this is dropped.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    contents: GrafanaContents,
    entries: Vec<Entry>,
    _spool: Spool,
}

impl Bundle {
    /// Reads an archive into a new folder in `spool`. `Ok` means that all of it is there.
    pub fn open(path: &Path, spool: &Path, cancel: &CancellationToken) -> Result<Self, BundleError> {
        let made = Spool::make(spool).map_err(|source| BundleError::Spool {
            doing: "make a folder in",
            path: spool.to_owned(),
            source,
        })?;
        let mut reading =
            Reading { path, folder: made.path(), about: None, entries: Vec::new(), wrong: None };
        let read = open_archive(path, cancel, &mut |entry, content| {
            if entry.kind == EntryKind::File && reading.wrong.is_none() {
                reading.take(&entry.path, content)?;
            }
            Ok(())
        });
        read.map_err(|source| BundleError::Archive { path: path.to_owned(), source })?;
        let (contents, entries) = reading.done()?;
        Ok(Self { path: path.to_owned(), contents, entries, _spool: made })
    }

    /// What it says about itself; without the numbers of organisations.
    pub fn contents(&self) -> &GrafanaContents {
        &self.contents
    }

    /// Every object, in the order of [`ObjectId`].
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One object with its body.
    pub fn load(&self, entry: &Entry) -> Result<Object, BundleError> {
        let bytes = regular::read(&entry.file, regular::LARGE).map_err(|source| BundleError::Spool {
            doing: "read",
            path: entry.file.clone(),
            source,
        })?;
        Object::from_bytes(&bytes).map_err(|error| BundleError::Damaged {
            path: self.path.clone(),
            entry: entry.id.path(),
            problem: error.to_string(),
        })
    }
}

/// An archive while it is read. What is wrong with it is told when it was read to its end: where the archive itself
/// is cut, that matters more.
struct Reading<'a> {
    path: &'a Path,
    folder: &'a Path,
    about: Option<Value>,
    entries: Vec<Entry>,
    wrong: Option<BundleError>,
}

impl Reading<'_> {
    fn take(&mut self, name: &str, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let mut bytes = Vec::new();
        let input = |source| ArchiveError::Input { path: name.to_owned(), source };
        content.take(LONGEST + 1).read_to_end(&mut bytes).map_err(input)?;
        let taken = if bytes.len() as u64 > LONGEST {
            Err(self.not_ours(format!("{name} is too long")))
        } else if name == ABOUT {
            self.take_about(&bytes)
        } else {
            self.take_object(name, &bytes)
        };
        self.wrong = taken.err();
        Ok(())
    }

    fn take_about(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        let json: Value =
            serde_json::from_slice(bytes).map_err(|error| self.damaged(ABOUT, error.to_string()))?;
        match json.get("format").and_then(Value::as_u64) {
            Some(format) if format > u64::from(FORMAT) => {
                Err(BundleError::NewerFormat { path: self.path.to_owned(), format })
            }
            Some(_) => {
                self.about = Some(json);
                Ok(())
            }
            None => Err(self.not_ours(format!("{ABOUT} says no format"))),
        }
    }

    fn take_object(&mut self, name: &str, bytes: &[u8]) -> Result<(), BundleError> {
        let object = match Object::from_bytes(bytes) {
            Ok(object) => object,
            Err(error) => return Err(self.not_ours(format!("{name} is not one of its objects: {error}"))),
        };
        let id = object.id();
        if let Some(above) = name.strip_suffix(&id.path()).and_then(|above| above.strip_suffix('/')) {
            return Err(self.not_ours(format!(
                "its files lie in the folder {above:?}, so another program has packed it: what is in that folder has to \
                 lie at the top, in its order"
            )));
        }
        if id.path() != name {
            return Err(self.damaged(name, format!("it says that it is {id}")));
        }
        if self.entries.last().is_some_and(|last| last.id >= id) {
            return Err(self.damaged(name, "it is not in its place".to_owned()));
        }
        let file = self.folder.join(format!("{}.json", self.entries.len()));
        let written = File::create_new(&file).and_then(|mut file| file.write_all(bytes));
        written.map_err(|source| BundleError::Spool { doing: "write", path: file.clone(), source })?;
        self.entries.push(Entry { id, title: object.title, file });
        Ok(())
    }

    fn done(self) -> Result<(GrafanaContents, Vec<Entry>), BundleError> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let Some(about) = self.about.clone() else { return Err(self.not_ours(format!("it has no {ABOUT}"))) };
        let contents: GrafanaContents =
            serde_json::from_value(about).map_err(|error| self.damaged(ABOUT, error.to_string()))?;
        let mut counted = BTreeMap::new();
        for entry in &self.entries {
            *counted.entry((entry.id.organisation.clone(), entry.id.kind)).or_insert(0_usize) += 1;
        }
        let said = contents.counts.iter().flat_map(|counted| {
            counted.objects.iter().map(|(kind, number)| ((counted.organisation.clone(), *kind), *number))
        });
        if counted != said.collect() {
            return Err(self.damaged(ABOUT, "it counts other objects than there are".to_owned()));
        }
        Ok((contents, self.entries))
    }

    fn not_ours(&self, problem: String) -> BundleError {
        BundleError::NotOurs { path: self.path.to_owned(), problem }
    }

    fn damaged(&self, entry: &str, problem: String) -> BundleError {
        BundleError::Damaged { path: self.path.to_owned(), entry: entry.to_owned(), problem }
    }
}
