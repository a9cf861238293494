//! The tables, and how an older file becomes a current one.
//!
//! `user_version` counts the migrations a file has seen. A migration is never edited once it was released; a new one is
//! added to the end. Times are Unix milliseconds, so that they sort and compare as numbers.

use rusqlite::{Connection, TransactionBehavior};

use super::whose::APPLICATION_ID;

/// All migrations; the file's `user_version` is the number of those it has seen.
const MIGRATIONS: &[&str] = &["
CREATE TABLE run (
    id            TEXT    NOT NULL PRIMARY KEY,
    job           TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    cause         TEXT    NOT NULL CHECK (cause IN ('manual', 'scheduled', 'catch-up')),
    slot          INTEGER CHECK ((slot IS NULL) = (cause = 'manual')),
    started       INTEGER NOT NULL,
    finished      INTEGER,
    outcome       TEXT    NOT NULL CHECK (outcome IN ('running', 'done', 'warned', 'failed', 'skipped', 'interrupted')),
    reason        TEXT,
    hint          TEXT,
    data_not_back INTEGER NOT NULL DEFAULT 0,
    output        TEXT,
    backup        TEXT,
    bytes         INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    CHECK ((finished IS NULL) = (outcome = 'running'))
) STRICT;
CREATE UNIQUE INDEX run_slot ON run (job, slot) WHERE slot IS NOT NULL;
CREATE INDEX run_by_job ON run (job, started);
CREATE INDEX run_by_start ON run (started);
CREATE INDEX run_running ON run (outcome) WHERE outcome = 'running';
CREATE TABLE step (
    run      TEXT    NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    millis   INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    detail   TEXT,
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE warning (
    run      TEXT    NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    text     TEXT    NOT NULL,
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempt (
    run    TEXT    NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    millis INTEGER NOT NULL,
    error  TEXT,
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE log_line (
    run      TEXT    NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    level    TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
", "
CREATE INDEX run_restore ON run (job, started) WHERE kind LIKE '%-restore';
", "
CREATE TABLE watched (
    job      TEXT    NOT NULL PRIMARY KEY,
    schedule TEXT    NOT NULL,
    zone     TEXT    NOT NULL,
    until    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE missed (
    job    TEXT    NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    count  INTEGER NOT NULL,
    reason TEXT    NOT NULL,
    PRIMARY KEY (job, first, last)
) STRICT, WITHOUT ROWID;
CREATE TABLE paused (
    job    TEXT    NOT NULL PRIMARY KEY,
    since  INTEGER NOT NULL,
    reason TEXT
) STRICT, WITHOUT ROWID;
", "
CREATE TABLE new_run (
    id            TEXT    NOT NULL PRIMARY KEY,
    job           TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    cause         TEXT    NOT NULL CHECK (cause IN ('manual', 'scheduled', 'catch-up', 'after')),
    slot          INTEGER CHECK ((slot IS NULL) = (cause = 'manual')),
    started       INTEGER NOT NULL,
    finished      INTEGER,
    outcome       TEXT    NOT NULL CHECK (outcome IN ('running', 'done', 'warned', 'failed', 'skipped', 'interrupted')),
    reason        TEXT,
    hint          TEXT,
    data_not_back INTEGER NOT NULL DEFAULT 0,
    output        TEXT,
    backup        TEXT,
    bytes         INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    CHECK ((finished IS NULL) = (outcome = 'running'))
) STRICT;
INSERT INTO new_run SELECT * FROM run;
DROP TABLE run;
ALTER TABLE new_run RENAME TO run;
CREATE UNIQUE INDEX run_slot ON run (job, slot) WHERE slot IS NOT NULL;
CREATE INDEX run_by_job ON run (job, started);
CREATE INDEX run_by_start ON run (started);
CREATE INDEX run_running ON run (outcome) WHERE outcome = 'running';
CREATE INDEX run_restore ON run (job, started) WHERE kind LIKE '%-restore';
", "
CREATE TABLE new_watched (
    job      TEXT    NOT NULL,
    schedule TEXT    NOT NULL,
    zone     TEXT    NOT NULL,
    born     INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    ended    INTEGER,
    PRIMARY KEY (job, born, schedule, zone)
) STRICT, WITHOUT ROWID;
INSERT INTO new_watched SELECT job, schedule, zone, until, until, NULL FROM watched;
DROP TABLE watched;
ALTER TABLE new_watched RENAME TO watched;
", "
CREATE TABLE hook (
    run      TEXT    NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    hook     TEXT    NOT NULL,
    program  TEXT    NOT NULL,
    millis   INTEGER NOT NULL,
    error    TEXT,
    printed  TEXT    NOT NULL,
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
ALTER TABLE attempt ADD COLUMN resumed INTEGER;
CREATE TABLE waiting (
    run TEXT    NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
    due INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE ended_pause (
    job    TEXT    NOT NULL,
    since  INTEGER NOT NULL,
    ended  INTEGER NOT NULL,
    reason TEXT,
    PRIMARY KEY (job, since)
) STRICT, WITHOUT ROWID;
", "
CREATE TABLE wait (
    job  TEXT    NOT NULL,
    slot INTEGER NOT NULL,
    what TEXT    NOT NULL,
    PRIMARY KEY (job, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE forgotten (
    job  TEXT    NOT NULL PRIMARY KEY,
    slot INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE chore (
    name TEXT    NOT NULL PRIMARY KEY,
    done INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE missed ADD COLUMN at_least INTEGER NOT NULL DEFAULT 0;
CREATE INDEX run_by_end ON run (job, finished) WHERE finished IS NOT NULL;
", "
ALTER TABLE waiting ADD COLUMN is_tidy INTEGER NOT NULL DEFAULT 0;
", "
CREATE INDEX run_cut ON run (job, started) WHERE outcome = 'interrupted';
", "
CREATE TABLE notifier (
    name TEXT    NOT NULL PRIMARY KEY,
    born INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE note (
    notifier TEXT NOT NULL,
    job      TEXT NOT NULL,
    note     TEXT NOT NULL,
    PRIMARY KEY (notifier, job)
) STRICT, WITHOUT ROWID;
CREATE TABLE post (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    notifier TEXT    NOT NULL,
    job      TEXT    NOT NULL,
    message  TEXT    NOT NULL,
    since    INTEGER NOT NULL,
    tries    INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    error    TEXT,
    UNIQUE (notifier, job)
) STRICT;
", "
CREATE INDEX run_ran ON run (job, started) WHERE outcome <> 'skipped' AND kind NOT LIKE '%-restore';
CREATE INDEX run_bad ON run (job, started)
    WHERE outcome IN ('failed', 'interrupted', 'warned') AND kind NOT LIKE '%-restore';
", "
CREATE TABLE new_run (
    id            TEXT    NOT NULL PRIMARY KEY,
    job           TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    cause         TEXT    NOT NULL CHECK (cause IN ('manual', 'scheduled', 'catch-up', 'after', 'incident')),
    slot          INTEGER CHECK ((slot IS NULL) = (cause IN ('manual', 'incident'))),
    started       INTEGER NOT NULL,
    finished      INTEGER,
    outcome       TEXT    NOT NULL CHECK (outcome IN ('running', 'done', 'warned', 'failed', 'skipped', 'interrupted')),
    reason        TEXT,
    hint          TEXT,
    data_not_back INTEGER NOT NULL DEFAULT 0,
    output        TEXT,
    backup        TEXT,
    bytes         INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    incident      INTEGER CHECK ((incident IS NOT NULL) = (cause = 'incident')),
    CHECK ((finished IS NULL) = (outcome = 'running'))
) STRICT;
INSERT INTO new_run SELECT *, NULL FROM run ORDER BY rowid;
DROP TABLE run;
ALTER TABLE new_run RENAME TO run;
CREATE UNIQUE INDEX run_slot ON run (job, slot) WHERE slot IS NOT NULL;
CREATE INDEX run_by_job ON run (job, started);
CREATE INDEX run_by_start ON run (started);
CREATE INDEX run_running ON run (outcome) WHERE outcome = 'running';
CREATE INDEX run_restore ON run (job, started) WHERE kind LIKE '%-restore';
CREATE INDEX run_by_end ON run (job, finished) WHERE finished IS NOT NULL;
CREATE INDEX run_cut ON run (job, started) WHERE outcome = 'interrupted';
CREATE INDEX run_ran ON run (job, started) WHERE outcome <> 'skipped' AND kind NOT LIKE '%-restore';
CREATE INDEX run_bad ON run (job, started)
    WHERE outcome IN ('failed', 'interrupted', 'warned') AND kind NOT LIKE '%-restore';
CREATE INDEX run_of_incident ON run (job, started) WHERE cause = 'incident';
CREATE TABLE incident (
    number      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    fingerprint TEXT    NOT NULL,
    alert       TEXT    NOT NULL,
    severity    TEXT,
    labels      TEXT    NOT NULL,
    annotations TEXT    NOT NULL,
    began       INTEGER NOT NULL,
    starts      INTEGER NOT NULL,
    opened      INTEGER NOT NULL,
    last_notice INTEGER NOT NULL,
    notices     INTEGER NOT NULL DEFAULT 1,
    ended       INTEGER CHECK ((ended IS NULL) = (closed IS NULL)),
    closed      INTEGER,
    response    TEXT    NOT NULL CHECK (response IN ('due', 'runs', 'acts', 'done', 'none', 'missed')),
    responder   TEXT,
    responded   INTEGER
) STRICT;
CREATE UNIQUE INDEX incident_open ON incident (fingerprint) WHERE closed IS NULL;
CREATE INDEX incident_of_alert ON incident (fingerprint, number);
CREATE INDEX incident_by_opening ON incident (opened);
CREATE INDEX incident_by_closing ON incident (closed) WHERE closed IS NOT NULL;
CREATE INDEX incident_to_respond ON incident (response) WHERE response IN ('due', 'runs', 'acts');
CREATE INDEX incident_by_responder ON incident (responder, responded) WHERE responder IS NOT NULL;
CREATE TABLE incident_entry (
    incident INTEGER NOT NULL REFERENCES incident (number) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    detail   TEXT,
    run      TEXT,
    PRIMARY KEY (incident, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE escalated (
    incident INTEGER NOT NULL REFERENCES incident (number) ON DELETE CASCADE,
    step     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (incident, step)
) STRICT, WITHOUT ROWID;
", "
DROP INDEX run_ran;
DROP INDEX run_bad;
DROP INDEX run_restore;
CREATE INDEX run_ran ON run (job) WHERE outcome <> 'skipped' AND kind NOT LIKE '%-restore';
CREATE INDEX run_bad ON run (job)
    WHERE outcome IN ('failed', 'interrupted', 'warned') AND kind NOT LIKE '%-restore';
CREATE INDEX run_restore ON run (job) WHERE kind LIKE '%-restore';
", "
CREATE TABLE new_run (
    id            TEXT    NOT NULL PRIMARY KEY,
    job           TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    cause         TEXT    NOT NULL
                  CHECK (cause IN ('manual', 'scheduled', 'catch-up', 'after', 'incident', 'rebuilt')),
    slot          INTEGER CHECK ((slot IS NULL) = (cause IN ('manual', 'incident', 'rebuilt'))),
    started       INTEGER NOT NULL,
    finished      INTEGER,
    outcome       TEXT    NOT NULL CHECK (outcome IN ('running', 'done', 'warned', 'failed', 'skipped', 'interrupted')),
    reason        TEXT,
    hint          TEXT,
    data_not_back INTEGER NOT NULL DEFAULT 0,
    output        TEXT,
    backup        TEXT,
    bytes         INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    incident      INTEGER CHECK ((incident IS NOT NULL) = (cause = 'incident')),
    CHECK ((finished IS NULL) = (outcome = 'running'))
) STRICT;
INSERT INTO new_run SELECT * FROM run ORDER BY rowid;
DROP TABLE run;
ALTER TABLE new_run RENAME TO run;
CREATE UNIQUE INDEX run_slot ON run (job, slot) WHERE slot IS NOT NULL;
CREATE INDEX run_by_job ON run (job, started);
CREATE INDEX run_by_start ON run (started);
CREATE INDEX run_running ON run (outcome) WHERE outcome = 'running';
CREATE INDEX run_by_end ON run (job, finished) WHERE finished IS NOT NULL;
CREATE INDEX run_cut ON run (job, started) WHERE outcome = 'interrupted';
CREATE INDEX run_of_incident ON run (job, started) WHERE cause = 'incident';
CREATE INDEX run_ran ON run (job) WHERE outcome <> 'skipped' AND kind NOT LIKE '%-restore';
CREATE INDEX run_bad ON run (job)
    WHERE outcome IN ('failed', 'interrupted', 'warned') AND kind NOT LIKE '%-restore';
CREATE INDEX run_restore ON run (job) WHERE kind LIKE '%-restore';
CREATE TABLE founding (
    at     INTEGER NOT NULL,
    runs   INTEGER NOT NULL,
    others INTEGER NOT NULL,
    told   INTEGER NOT NULL
) STRICT;
INSERT INTO founding SELECT (SELECT min(started) FROM run), 0, 0, 1 WHERE EXISTS (SELECT 1 FROM run);
", "
ALTER TABLE incident ADD COLUMN ending TEXT CHECK (ending IN ('told', 'unheard', 'by-hand'));
UPDATE incident SET ending = 'told' WHERE closed IS NOT NULL;
ALTER TABLE post ADD COLUMN incident INTEGER;
ALTER TABLE post ADD COLUMN tried INTEGER;
"];

/// The version this program writes.
pub(super) fn current() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// A migration that makes a table anew must not take with it what refers to that: foreign keys are enforced only
/// afterwards.
///
/// Brings the file up to date and returns the version it had: a larger one than [`current`] means that a newer
/// program wrote it, and that nothing was touched.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<u32> {
    let found = version(connection)?;
    if found >= current() {
        return Ok(found);
    }
    // Immediate, and the version read again inside: two processes may open a new file at once.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let seen = version(&transaction)?;
    for migration in MIGRATIONS.iter().skip(seen as usize) {
        transaction.execute_batch(migration)?;
    }
    if seen < current() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", current())?;
    }
    transaction.commit()?;
    Ok(seen)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Makes the tables of a file as it was in this version, without an ID.
#[cfg(test)]
pub(super) fn as_of(connection: &Connection, version: u32) {
    let seen = MIGRATIONS.iter().take(version as usize);
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    seen.for_each(|migration| connection.execute_batch(migration).unwrap());
    connection.pragma_update(None, "user_version", version).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The version that notes how a history was begun.
    const FOUNDED: usize = 14;

    #[test]
    fn a_file_of_each_earlier_version_keeps_its_runs_with_all_that_belongs_to_them() {
        for version in 1..MIGRATIONS.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            as_of(&connection, u32::try_from(version).unwrap());
            connection
                .execute_batch(
                    "INSERT INTO run (id, job, kind, cause, slot, started, finished, outcome) \
                     VALUES ('R', 'j', 'command', 'scheduled', 7, 8, 9, 'done'); \
                     INSERT INTO step VALUES ('R', 0, 'a step', 1, 2, NULL);",
                )
                .unwrap();
            if version >= 3 {
                let columns =
                    if version < 5 { "'j', '@daily', 'UTC', 7" } else { "'j', '@daily', 'UTC', 7, 7, NULL" };
                connection.execute_batch(&format!("INSERT INTO watched VALUES ({columns})")).unwrap();
            }
            if version >= 3 {
                connection
                    .execute_batch(
                        "INSERT INTO missed (job, first, last, count, reason) VALUES ('j', 1, 5, 3, 'off')",
                    )
                    .unwrap();
            }
            migrate(&mut connection).unwrap();
            connection.pragma_update(None, "foreign_keys", true).unwrap();
            let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(
                count("SELECT count(*) FROM run JOIN step ON run = id WHERE slot = 7"),
                1,
                "{version}"
            );
            let watched =
                count("SELECT count(*) FROM watched WHERE born = 7 AND until = 7 AND ended IS NULL");
            assert_eq!(watched, i64::from(version >= 3), "{version}");
            // It was not lost: nothing is rebuilt. (A file of this version says itself how it was begun.)
            let founded = count("SELECT count(*) FROM founding WHERE runs = 0 AND told");
            assert_eq!(founded, i64::from(version < FOUNDED), "{version}");
            let missed = count("SELECT count(*) FROM missed WHERE count = 3 AND at_least = 0");
            assert_eq!(missed, i64::from(version >= 3), "{version}");
            // What belongs to a run still goes with it, and its slot is still its own.
            let again = "INSERT INTO run (id, job, kind, cause, slot, started, outcome) \
                         VALUES ('S', 'j', 'command', 'after', 7, 8, 'running')";
            assert!(connection.execute_batch(again).is_err(), "{version}");
            connection.execute_batch("DELETE FROM run").unwrap();
            assert_eq!(count("SELECT count(*) FROM step"), 0, "{version}");
        }
    }
}
