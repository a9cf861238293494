//! A database that only what runs in its container can reach: it is asked by the container's own sqlite3 or python3.
//!
//! Both are given SQL as an argument, not through a shell, and say one line for each row. Neither makes a database where
//! there is none: left to themselves both would.

mod copying;

use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::SqliteError;
use crate::command::{Command, End, Place, RUN_VARIABLE, Ran, TERM_GRACE, run};
use crate::config::values::Veil;
use crate::docker::{Docker, DockerError};
use crate::regular::in_a_uri;

/// Without what somebody has set for themselves in ~/.sqliterc: that changes what is printed.
const SQLITE3: [&str; 7] = ["sqlite3", "-init", "/dev/null", "-batch", "-bail", "-cmd", ".timeout 10000"];
/// The first column of every row of every statement, one line each.
const PYTHON_SQL: &str = "\
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], uri=True, timeout=10, isolation_level=None)
for statement in sys.argv[2:]:
    for row in db.execute(statement):
        print(row[0])
db.close()
";

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
        let (docker, container, path, cancel) =
            (docker.clone(), container.to_owned(), path.to_owned(), cancel.clone());
        let mut inside = Self { docker, container, path, program: Program::Sqlite3, run, cancel };
        if state != crate::docker::ContainerState::Running {
            return Err(inside.out_of_reach(format!("the container does not run ({state})")));
        }
        must_hold_something(&inside.docker, &inside.container, &inside.path).await?;
        for (program, test) in [(Program::Sqlite3, "-version"), (Program::Python3, "-c")] {
            inside.program = program;
            let mut argv = vec![program.name().to_owned(), test.to_owned()];
            if program == Program::Python3 {
                argv.push("import sqlite3".to_owned());
            }
            if inside.exec(argv, &mut |_| ()).await?.is_some_and(|ran| ran.end == End::Code(0)) {
                return Ok(inside);
            }
        }
        Err(inside.out_of_reach("the image has neither sqlite3 nor python3".to_owned()))
    }

    fn out_of_reach(&self, problem: String) -> SqliteError {
        SqliteError::OutOfReach {
            container: self.container.clone(),
            path: self.path.clone(),
            problem,
            closed: None,
        }
    }

    /// How the copy is made, for the manifest.
    pub(super) fn method(&self) -> String {
        format!("{} in container {}", self.program.name(), self.container)
    }

    /// Runs statements and gives the first column of every row.
    pub(super) async fn lines(&self, statements: &[String]) -> Result<Vec<String>, SqliteError> {
        let mut argv: Vec<String> = match self.program {
            Program::Sqlite3 => {
                let argv = SQLITE3.into_iter().chain(["-noheader", "-list"]);
                argv.map(str::to_owned).collect()
            }
            Program::Python3 => vec!["python3".to_owned(), "-c".to_owned(), PYTHON_SQL.to_owned()],
        };
        argv.push(self.uri());
        // One argument each: the kernel limits the length of one.
        argv.extend(statements.iter().cloned());
        let mut lines = Vec::new();
        self.must(argv, &mut |line| lines.push(line.to_owned())).await?;
        Ok(lines)
    }

    /// The database, to be opened only where there is one.
    fn uri(&self) -> String {
        format!("file:{}?mode=rw", in_a_uri(std::path::Path::new(&self.path)))
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
        let (grace, veil) = (TERM_GRACE, Veil::default());
        let command = Command { argv, env, directory: None, user: None, grace, veil, noting: None };
        let place = Place::Container { docker: &self.docker, name: &self.container };
        match run(&command, &place, &self.cancel, say).await {
            Ok(ran) if matches!(ran.end, End::Code(126 | 127)) => Ok(None),
            Ok(ran) => Ok(Some(ran)),
            Err(error) if error.to_string().contains("executable file not found") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// There is a file, and it is not empty: SQLite would take an empty one for a database without tables, and make one where
/// there is none.
async fn must_hold_something(docker: &Docker, container: &str, path: &str) -> Result<(), SqliteError> {
    let missing = |path: String| SqliteError::MissingInside { container: container.to_owned(), path };
    let there = docker.container(container).await?;
    let look = async |path: &str, shown: String| match there.stat(path).await {
        Ok(stat) => Ok(stat),
        Err(DockerError::NoPath { .. }) => Err(missing(shown)),
        Err(other) => Err(other.into()),
    };
    let mut stat = look(path, path.to_owned()).await?;
    if let Some(target) = stat.leads_to.take() {
        stat = look(&target, format!("{path} (a link to {target})")).await?;
    }
    let problem = match stat {
        stat if !stat.is_file => "it is no regular file",
        stat if stat.size == 0 => "it is empty",
        _ => return Ok(()),
    };
    Err(SqliteError::NotSqlite { path: format!("{container}:{path}").into(), problem })
}
