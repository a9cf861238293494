//! Where sessions are now: VACUUM numbers the rows of a table anew that has no INTEGER PRIMARY KEY.

use std::collections::BTreeMap;

use crate::sqlite::SqliteError;
use crate::sqlite::open::quoted;
use crate::sqlite::stale_sessions::close::{holding, telling_id};
use crate::sqlite::stale_sessions::survey::literal;
use crate::sqlite::stale_sessions::undo_file::Header;
use crate::sqlite::stale_sessions::value::{begin, shortened, unhex};
use crate::sqlite::stale_sessions::{Access, Session};

/// The sessions, in their order, each with the number that its row has now. One that is not where it was is found by
/// its id, if that is one row's alone.
pub(super) async fn located(
    access: &Access,
    header: &Header,
    sessions: &[Session],
) -> Result<Vec<Session>, SqliteError> {
    let all: Vec<&Session> = sessions.iter().collect();
    let there = holding(access, header, &all, &header.written).await?;
    let lost = sessions.iter().filter(|session| !there.contains(&session.rowid));
    let ids: Vec<&str> = lost.filter_map(|session| telling_id(header, session)).collect();
    let found = if ids.is_empty() { BTreeMap::new() } else { by_id(access, header, &ids).await? };
    let now = |session: &Session| {
        let is_there = there.contains(&session.rowid);
        let rowid = found.get(&session.id).filter(|_| !is_there).copied();
        Session { rowid: rowid.unwrap_or(session.rowid), ..session.clone() }
    };
    Ok(sessions.iter().map(now).collect())
}

/// The numbers of the rows that alone have one of these ids.
async fn by_id(access: &Access, header: &Header, ids: &[&str]) -> Result<BTreeMap<String, i64>, SqliteError> {
    let (table, id) = (quoted(&header.table), quoted(&header.id));
    let wanted: Vec<String> = ids.iter().map(|id| literal(id)).collect();
    let sql = format!(
        "SELECT max(rowid) || ' ' || {} FROM {table} WHERE {} IN ({}) GROUP BY {} HAVING count(*) = 1",
        shortened(&id),
        begin(&id),
        wanted.join(", "),
        begin(&id)
    );
    let read = |line: &String| {
        let (rowid, id) = line.split_once(' ')?;
        Some((String::from_utf8(unhex(id)?).ok()?, rowid.parse().ok()?))
    };
    Ok(access.read(&[sql]).await?.iter().filter_map(read).collect())
}
