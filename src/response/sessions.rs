//! Sessions that are open for too long, asked as `close-stale-sessions` asks.

use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::seen::Seen;
use super::{Context, Severity, Unable};
use crate::config::sessions::Sessions;
use crate::sqlite::SqliteError;
use crate::sqlite::place::Database;
use crate::sqlite::stale_sessions::{Access, Survey, survey};
use crate::words;

/// So many are named.
const SHOWN: usize = 10;

pub(super) async fn look(
    sessions: &Sessions,
    context: &Context,
    cancel: &CancellationToken,
) -> Result<Seen, Unable> {
    let database = database(context).await?;
    let now = (context.clock)();
    let mark = Ulid::from_parts(now.as_millisecond().unsigned_abs(), 0);
    let looked = async {
        let access = Access::open(&database, mark, cancel).await?;
        survey(&access, sessions, now).await
    };
    let found = looked.await.map_err(|error| unable(&error))?;
    let mut seen = Seen::default();
    tell(&found, sessions, &mut seen);
    if !found.stale.is_empty() {
        let text = match &context.closes_sessions {
            Some(job) => format!(
                "close them, backed up first: `watchkeeper run-now {job} --dry-run`, then without --dry-run; then find out \
                 why the application does not end them"
            ),
            None => "close them, backed up first, by a job of kind = \"close-stale-sessions\" (README, \"Stale sessions\")"
                .to_owned(),
        };
        seen.recommend(Severity::Bad, text);
    }
    Ok(seen)
}

async fn database(context: &Context) -> Result<Database, Unable> {
    let application = context.needs_application()?;
    let path = application.database.as_ref();
    let path =
        path.ok_or_else(|| Unable::new(format!("[application.{}] has no database", application.name)))?;
    let found = match &application.container {
        None => Database::on_host(path),
        Some(name) => Database::in_container(context.docker()?, name, path).await,
    };
    found.map_err(|error| unable(&error))
}

fn unable(error: &SqliteError) -> Unable {
    Unable::of(error, error.hint())
}

fn tell(found: &Survey, sessions: &Sessions, seen: &mut Seen) {
    let limit = words::duration(sessions.older_than);
    let young = words::count(found.open, "session");
    match found.stale.len() {
        0 => seen.good(format!("no session is open for longer than {limit}; {young} for less")),
        stale => seen.bad(format!(
            "{} open for longer than {limit}; {} for less",
            words::count(stale, "session"),
            found.open
        )),
    }
    if !found.doubtful.is_empty() {
        let doubtful = words::count(found.doubtful.len(), "session");
        seen.caution(format!("of {doubtful} it cannot be told how old they are, or whether they are open"));
    }
    let named = found.stale.iter().take(SHOWN);
    seen.evidence.extend(named.map(|stale| {
        let (session, hours) = (&stale.session, &stale.hours);
        format!("{} ({}): open for {hours} h, since {}", session.id, session.label, session.start)
    }));
    if found.stale.len() > SHOWN {
        seen.evidence(format!("and {} more", found.stale.len() - SHOWN));
    }
    seen.evidence.extend(found.doubtful.iter().take(3).map(ToString::to_string));
}
