//! Small stores for tests.

use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::manifest::Contents;
use super::{
    Backup, Draft, How, JobStore, Layout, Manifest, Pending, Source, Store, StoreError, StoredFile, Verified,
};
use crate::progress::Progress;

pub(super) fn now() -> Timestamp {
    "2026-11-23T02:00:00Z".parse().unwrap()
}

/// Some seconds after [`now`].
pub(super) fn at(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// A file was read now, and was good.
pub(super) fn verified() -> Verified {
    Verified { when: now(), how: How::Deep, problem: None }
}

pub(super) fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

pub(super) fn job() -> (TempDir, JobStore) {
    let (dir, store) = store();
    (dir, store.job(&"prom".parse().unwrap()))
}

pub(super) fn draft(seconds: i64) -> Draft {
    Draft {
        kind: "prometheus-snapshot".into(),
        created: at(seconds),
        tool: "watchkeeper 0.1.0".into(),
        source: Source { target: "main".into(), url: "http://localhost:9090/".into(), ..Source::default() },
        content_bytes: 3,
        damaged: false,
        lacks: Vec::new(),
        counts: BTreeMap::new(),
        missing: Vec::new(),
        contents: contents(),
        layout: Layout::Archive,
        shared: Vec::new(),
    }
}

pub(super) fn written(job: &JobStore, seconds: i64) -> Pending {
    written_by(job, Ulid::from_parts(seconds.unsigned_abs(), 5), seconds)
}

/// A backup with a small archive, ready to be published.
pub(super) fn written_by(job: &JobStore, run: Ulid, seconds: i64) -> Pending {
    let pending = job.begin(run, at(seconds)).unwrap();
    let mut archive = pending.archive(crate::config::values::Compression::default()).unwrap();
    let content: Vec<u8> = (0_u32..3000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    archive.file("block/meta.json", 0o644, 1, 3, &mut &b"abc"[..]).unwrap();
    archive.file("block/index", 0o644, 1, content.len() as u64, &mut &content[..]).unwrap();
    archive.finish().unwrap();
    pending
}

pub(super) fn publish(pending: Pending, seconds: i64) -> Result<Backup, StoreError> {
    let step = Progress::silent().step("publish", None);
    pending.publish(draft(seconds), &step, &CancellationToken::new())
}

/// A published backup, made some seconds after [`now`].
pub(super) fn backup(job: &JobStore, seconds: i64) -> Backup {
    publish(written(job, seconds), seconds).unwrap()
}

pub(super) fn contents() -> Contents {
    serde_json::value::to_raw_value(&serde_json::json!({ "what": ["a", { "deep": 1 }] })).unwrap()
}

/// The bytes of a manifest's file.
pub(super) fn sealed(manifest: &Manifest) -> Vec<u8> {
    manifest.sealed(&contents()).unwrap()
}

pub(super) fn manifest(id: &str) -> Manifest {
    let draft = draft(0);
    Manifest {
        format: super::manifest::FORMAT,
        id: id.parse().unwrap(),
        job: "prom".parse().unwrap(),
        kind: draft.kind,
        run: Ulid::from_parts(1, 1),
        created: draft.created,
        tool: draft.tool,
        layout: Layout::Archive,
        source: draft.source,
        files: vec![StoredFile { name: format!("snapshot_{id}.tar.gz"), size: 1, sha256: "0".repeat(64) }],
        content_bytes: 1,
        damaged: false,
        lacks: Vec::new(),
        counts: BTreeMap::new(),
        missing: Vec::new(),
    }
}
