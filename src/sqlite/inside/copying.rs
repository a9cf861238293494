//! The copy of a database that is made inside its container, and brought out.
//!
//! Both programs copy within one read transaction: without it sqlite3 copies a hundred pages at a time and begins anew
//! whenever somebody has written meanwhile, and python3 waits for a locked database for ever.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inside, Program, SQLITE3, must_hold_something};
use crate::blocking::blocking;
use crate::command::End;
use crate::docker::DockerError;
use crate::sqlite::SqliteError;
use crate::sqlite::error::file;
use crate::sqlite::ledger::{Copy, Ledger};
use crate::sqlite::open::{LENIENT, SIDES};
use crate::store::archive::{ArchiveError, EntryKind, read_tar};

/// Begins the read transaction, and prints nothing.
const BEGIN: [&str; 2] = ["BEGIN", "SELECT 1 FROM sqlite_master LIMIT 0"];
/// How both programs say that the copy could not be made where it was to be.
const NO_COPY: &str = "cannot open \"";
/// The database, the copy, and the statements that come first.
const PYTHON_BACKUP: &str = "\
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], uri=True, timeout=10, isolation_level=None)
for statement in sys.argv[3:]:
    db.execute(statement).fetchall()
try:
    copy = sqlite3.connect(sys.argv[2])
except sqlite3.OperationalError as error:
    sys.exit('Error: cannot open \"%s\": %s' % (sys.argv[2], error))
db.backup(copy, pages=-1)
copy.close()
db.close()
";
const PYTHON_REMOVE: &str =
    "import os, sys\nfor path in sys.argv[1:]:\n    os.path.exists(path) and os.remove(path)\n";
/// Where the copy is made if it cannot be made beside the database.
const ELSEWHERE: &str = "/tmp";
/// How long nothing may move while the copy comes out.
const IDLE: Duration = Duration::from_mins(1);

impl Inside {
    /// Copies the database to the new file `to` of this host: one moment of it. The copy is made in there and then
    /// brought out.
    pub(in crate::sqlite) async fn copy(&self, to: &Path, ledger: &Ledger) -> Result<(), SqliteError> {
        self.sweep(ledger).await?;
        let beside = Path::new(&self.path).parent().and_then(Path::to_str).unwrap_or("/");
        match self.copy_through(beside, to, ledger).await {
            Err(SqliteError::Inside { said, .. }) if said.contains(NO_COPY) => {}
            copied => return copied,
        }
        match self.copy_through(ELSEWHERE, to, ledger).await {
            Err(SqliteError::Inside { said, .. }) if said.contains(NO_COPY) => Err(self.no_room(beside)),
            copied => copied,
        }
    }

    fn no_room(&self, beside: &str) -> SqliteError {
        self.out_of_reach(format!(
            "{} reads it there, but may write a copy neither to {beside} nor to {ELSEWHERE}",
            self.program.name()
        ))
    }

    /// Copies by a file in this folder of the container.
    async fn copy_through(&self, folder: &str, to: &Path, ledger: &Ledger) -> Result<(), SqliteError> {
        let path = format!("{}/.watchkeeper-{}.db", folder.trim_end_matches('/'), self.run);
        let (container, database) = (self.container.clone(), self.path.clone());
        let note = ledger.note(self.run, &Copy { container, database, path: path.clone() })?;
        let copied = async {
            self.back_up_to(&path).await?;
            // It was emptied meanwhile, and what was copied is an empty database.
            must_hold_something(&self.docker, &self.container, &self.path).await?;
            self.bring_out(&path, to).await
        };
        let copied = copied.await;
        let removed = self.remove(&path).await.and_then(|()| Ledger::forget(&note));
        copied.and(removed)
    }

    /// Removes the copies that killed runs have left in there.
    async fn sweep(&self, ledger: &Ledger) -> Result<(), SqliteError> {
        for (note, copy) in ledger.left(&self.container, &self.path)? {
            self.remove(&copy.path).await?;
            Ledger::forget(&note)?;
            tracing::info!(
                copy.path,
                copy.container,
                "removed the copy of a database that a killed run had left"
            );
        }
        Ok(())
    }

    async fn back_up_to(&self, path: &str) -> Result<(), SqliteError> {
        match self.must(self.backup_to(path, false), &mut |_| ()).await {
            // What is left of it may be the last that there is.
            Err(SqliteError::CorruptInside { .. }) => {
                self.remove(path).await?;
                self.must(self.backup_to(path, true), &mut |_| ()).await
            }
            done => done,
        }
    }

    /// The backup to a file; where the database is corrupt, of what there is.
    fn backup_to(&self, path: &str, corrupt: bool) -> Vec<String> {
        let (uri, first) = (self.uri(), corrupt.then_some(LENIENT).into_iter().chain(BEGIN));
        let backup = format!(".backup \"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""));
        let mut argv: Vec<&str> = Vec::new();
        match self.program {
            Program::Sqlite3 => {
                // Newer ones refuse the second word without the first, and older ones, which do not need the first, may
                // not know it.
                argv.extend(SQLITE3.iter().filter(|word| !corrupt || **word != "-bail"));
                let defensive = corrupt.then_some(".dbconfig defensive off");
                argv.extend(defensive.into_iter().chain(first).flat_map(|word| ["-cmd", word]));
                argv.extend([uri.as_str(), &backup]);
            }
            Program::Python3 => {
                argv.extend(["python3", "-c", PYTHON_BACKUP, &uri, path]);
                argv.extend(first);
            }
        }
        argv.into_iter().map(str::to_owned).collect()
    }

    async fn bring_out(&self, path: &str, to: &Path) -> Result<(), SqliteError> {
        let container = self.docker.container(&self.container).await?;
        let stream = match container.download(path, IDLE).await {
            Err(DockerError::NoPath { .. }) => {
                return Err(self.out_of_reach(format!("its copy {path} is where the engine cannot read it")));
            }
            stream => stream?.until(self.cancel.clone()),
        };
        let to = to.to_owned();
        let work = move || {
            let mut found = false;
            let read = read_tar(stream, &mut |entry, content| {
                if entry.kind != EntryKind::File || found {
                    return Ok(());
                }
                found = true;
                let written =
                    std::fs::File::create_new(&to).and_then(|mut file| io::copy(content, &mut file));
                written.map(drop).map_err(|error| ArchiveError::visit(&entry.path, error))
            });
            read?;
            if found { Ok(()) } else { Err(file("read", &to)(io::ErrorKind::NotFound.into())) }
        };
        blocking(work).await
    }

    /// Removes a copy in there with what SQLite keeps beside one, also when the run was told to stop.
    async fn remove(&self, path: &str) -> Result<(), SqliteError> {
        let unstoppable = Self { cancel: CancellationToken::new(), ..self.clone() };
        let files = std::iter::once(String::new()).chain(SIDES.map(str::to_owned));
        let files: Vec<String> = files.map(|side| format!("{path}{side}")).collect();
        let with =
            |program: &[&str]| program.iter().map(|word| (*word).to_owned()).chain(files.clone()).collect();
        let ran = unstoppable.exec(with(&["rm", "-f"]), &mut |_| ()).await?;
        if ran.is_some_and(|ran| ran.end == End::Code(0)) {
            return Ok(());
        }
        unstoppable.must(with(&["python3", "-c", PYTHON_REMOVE]), &mut |_| ()).await
    }
}
