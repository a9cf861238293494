//! A database that only what runs in its container can reach: it is asked by the container's own sqlite3 or python3.
//!
//! Both are given SQL as an argument, not through a shell, and say one line for each row.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::SqliteError;
use super::error::file;
use super::ledger::{Copy, Ledger};
use super::open::{LENIENT, SIDES};
use crate::blocking::blocking;
use crate::command::{Command, End, Place, RUN_VARIABLE, Ran, run};
use crate::docker::{Docker, DockerError};
use crate::store::archive::{ArchiveError, EntryKind, read_tar};

/// Without what somebody has set for themselves in ~/.sqliterc: that changes what is printed.
const SQLITE3: [&str; 7] = ["sqlite3", "-init", "/dev/null", "-batch", "-bail", "-cmd", ".timeout 10000"];
/// The first column of every row of every statement, one line each.
const PYTHON_SQL: &str = "\
import sqlite3, sys
db = sqlite3.connect('file:' + __import__('urllib.parse').parse.quote(sys.argv[1]) + '?mode=rw', uri=True, timeout=10, isolation_level=None)
for statement in sys.argv[2:]:
    for row in db.execute(statement):
        print(row[0])
db.close()
";
/// One moment of the database, in one step; what is to be run first comes behind the two paths.
const PYTHON_BACKUP: &str = "\
import sqlite3, sys
db = sqlite3.connect('file:' + __import__('urllib.parse').parse.quote(sys.argv[1]) + '?mode=rw', uri=True, timeout=10)
for statement in sys.argv[3:]:
    db.execute(statement)
copy = sqlite3.connect(sys.argv[2])
db.backup(copy, pages=-1)
copy.close()
db.close()
";
const PYTHON_REMOVE: &str =
    "import os, sys\nfor path in sys.argv[1:]:\n    os.path.exists(path) and os.remove(path)\n";
/// How long nothing may move while the copy comes out.
const IDLE: Duration = Duration::from_mins(1);

/// A program that knows SQLite, in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Sqlite3,
    Python3,
}

impl Program {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite3 => "sqlite3",
            Self::Python3 => "python3",
        }
    }
}

/// A database in a running container.
#[derive(Debug, Clone)]
pub(super) struct Inside {
    docker: Docker,
    container: String,
    path: String,
    program: Program,
    run: Ulid,
    cancel: CancellationToken,
}

impl Inside {
    /// Finds what can reach the database in there.
    pub(super) async fn open(
        docker: &Docker,
        container: &str,
        path: &str,
        run: Ulid,
        cancel: &CancellationToken,
    ) -> Result<Self, SqliteError> {
        let state = docker.container(container).await?.state().await?;
        let out_of_reach = |problem: String| SqliteError::OutOfReach {
            container: container.to_owned(),
            path: path.to_owned(),
            problem,
        };
        if state != crate::docker::ContainerState::Running {
            let mount = "it is in no volume and no mounted folder that can be read here";
            return Err(out_of_reach(format!("{mount}, and the container does not run ({state})")));
        }
        match docker.container(container).await?.stat(path).await {
            Ok(stat) if !stat.is_folder => {}
            Ok(_) => {
                let path = path.into();
                return Err(SqliteError::NotSqlite { path, problem: "it is no regular file" });
            }
            Err(DockerError::NoPath { .. }) => {
                return Err(SqliteError::MissingInside {
                    container: container.to_owned(),
                    path: path.to_owned(),
                });
            }
            Err(other) => return Err(other.into()),
        }
        let (docker, container, path, cancel) =
            (docker.clone(), container.to_owned(), path.to_owned(), cancel.clone());
        let mut inside = Self { docker, container, path, program: Program::Sqlite3, run, cancel };
        for (program, test) in [(Program::Sqlite3, "-version"), (Program::Python3, "-c")] {
            inside.program = program;
            let mut argv = vec![program.name().to_owned(), test.to_owned()];
            if program == Program::Python3 {
                argv.push("import sqlite3, urllib.parse".to_owned());
            }
            if inside.exec(argv, &mut |_| ()).await?.is_some_and(|ran| ran.end == End::Code(0)) {
                return Ok(inside);
            }
        }
        Err(out_of_reach(
            "it is in no volume and no mounted folder that can be read here, and the image has neither sqlite3 nor python3"
                .to_owned(),
        ))
    }

    /// How the copy is made, for the manifest.
    pub(super) fn method(&self) -> String {
        format!("{} in container {}", self.program.name(), self.container)
    }

    /// Runs statements and gives the first column of every row.
    pub(super) async fn lines(&self, statements: &[String]) -> Result<Vec<String>, SqliteError> {
        let path = self.path.clone();
        let mut argv = match self.program {
            Program::Sqlite3 => {
                let argv = SQLITE3.into_iter().chain(["-noheader", "-list"]);
                argv.map(str::to_owned).collect()
            }
            Program::Python3 => vec!["python3".to_owned(), "-c".to_owned(), PYTHON_SQL.to_owned()],
        };
        argv.push(path);
        match self.program {
            Program::Sqlite3 => argv.push(statements.join(";\n")),
            Program::Python3 => argv.extend(statements.iter().cloned()),
        }
        let mut lines = Vec::new();
        self.must(argv, &mut |line| lines.push(line.to_owned())).await?;
        Ok(lines)
    }

    /// Copies the database to the new file `to` of this host: one moment of it. The copy is made in there and then
    /// brought out.
    pub(super) async fn copy(&self, to: &Path, ledger: &Ledger) -> Result<(), SqliteError> {
        self.sweep(ledger).await?;
        let folder = Path::new(&self.path).parent().and_then(Path::to_str).unwrap_or("/");
        let beside = format!("{}/.watchkeeper-{}.db", folder.trim_end_matches('/'), self.run);
        let copy =
            Copy { container: self.container.clone(), database: self.path.clone(), path: beside.clone() };
        let note = ledger.note(self.run, &copy)?;
        let copied = match self.back_up_to(&beside).await {
            Ok(()) => self.bring_out(&beside, to).await,
            Err(error) => Err(error),
        };
        let removed = self.remove(&beside).await.and_then(|()| Ledger::forget(&note));
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

    async fn back_up_to(&self, beside: &str) -> Result<(), SqliteError> {
        match self.must(self.backup_to(beside, false), &mut |_| ()).await {
            // What is left of it may be the last that there is.
            Err(SqliteError::CorruptInside { .. }) => {
                self.remove(beside).await?;
                self.must(self.backup_to(beside, true), &mut |_| ()).await
            }
            done => done,
        }
    }

    /// The backup to a file; where the database is corrupt, of what there is.
    fn backup_to(&self, beside: &str, corrupt: bool) -> Vec<String> {
        let mut argv: Vec<&str> = Vec::new();
        // Its name is ours: there is nothing in the folder's that this kind of quotes could not hold but one.
        let backup = format!(".backup \"{}\"", beside.replace('\\', "\\\\").replace('"', "\\\""));
        match self.program {
            Program::Sqlite3 if corrupt => {
                // Newer ones refuse the second word without the first, and older ones, which do not need the first, may
                // not know it.
                argv.extend(SQLITE3.iter().filter(|word| **word != "-bail"));
                argv.extend(["-cmd", ".dbconfig defensive off", "-cmd", LENIENT, &self.path, &backup]);
            }
            Program::Sqlite3 => argv.extend(SQLITE3.into_iter().chain([self.path.as_str(), &backup])),
            Program::Python3 => {
                argv.extend(["python3", "-c", PYTHON_BACKUP, &self.path, beside]);
                argv.extend(corrupt.then_some(LENIENT));
            }
        }
        argv.into_iter().map(str::to_owned).collect()
    }

    async fn bring_out(&self, beside: &str, to: &Path) -> Result<(), SqliteError> {
        let container = self.docker.container(&self.container).await?;
        let stream = container.download(beside, IDLE).await?;
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

    async fn must(&self, argv: Vec<String>, say: &mut (dyn FnMut(&str) + Send)) -> Result<(), SqliteError> {
        let ran = self.exec(argv, say).await?;
        match &ran {
            Some(ran) if ran.end == End::Code(0) => Ok(()),
            _ if self.cancel.is_cancelled() => Err(SqliteError::Cancelled),
            _ => {
                let said = ran.map(|ran| ran.printed).unwrap_or_default();
                let last =
                    said.iter().rev().find(|line| !line.trim().is_empty()).cloned().unwrap_or_default();
                Err(self.judge(last))
            }
        }
    }

    /// What a program says of a database, as SQLite here would say it.
    fn judge(&self, said: String) -> SqliteError {
        let path = || format!("{}:{}", self.container, self.path).into();
        if said.contains("not a database") {
            return SqliteError::NotSqlite {
                path: path(),
                problem: "it has no SQLite header, or is encrypted",
            };
        }
        if said.contains("is locked") || said.contains("(5)") {
            return SqliteError::Locked { path: path(), waited: super::open::PATIENCE.as_secs() };
        }
        if said.contains("malformed") || said.contains("(11)") {
            return SqliteError::CorruptInside { path: path(), program: self.program.name(), said };
        }
        SqliteError::Inside { program: self.program.name(), container: self.container.clone(), said }
    }

    /// Nothing where there is no such program.
    async fn exec(
        &self,
        argv: Vec<String>,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Option<Ran>, SqliteError> {
        let env = [(RUN_VARIABLE.to_owned(), self.run.to_string())].into();
        let command = Command { argv, env, directory: None, user: None };
        let place = Place::Container { docker: &self.docker, name: &self.container };
        match run(&command, &place, &self.cancel, say).await {
            Ok(ran) if matches!(ran.end, End::Code(126 | 127)) => Ok(None),
            Ok(ran) => Ok(Some(ran)),
            Err(error) if error.to_string().contains("executable file not found") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
