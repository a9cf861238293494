use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::*;
use crate::grafana::contents::{GrafanaContents, Organisation};
use crate::grafana::object::{Object, ObjectId, ObjectType};
use crate::store::{ArchiveWriter, Pending, Store};

/// A place for one archive, which is gone with it.
struct Place {
    dir: TempDir,
    pending: Pending,
}

impl Place {
    fn new() -> (Self, ArchiveWriter) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap().job(&"grafana".parse().unwrap());
        let pending = store.begin(Ulid::from_parts(1, 1), "2026-11-23T02:00:00Z".parse().unwrap()).unwrap();
        let writer = pending.archive(crate::config::values::Compression::default()).unwrap();
        (Self { dir, pending }, writer)
    }

    fn archive(&self) -> PathBuf {
        self.pending.dir().join("archive.tar.gz")
    }

    fn open(&self) -> Result<Bundle, BundleError> {
        Bundle::open(&self.archive(), self.dir.path(), &CancellationToken::new())
    }
}

fn object(kind: ObjectType, key: &str, body: Value) -> Object {
    let organisation = Some("Main Org.".to_owned());
    Object::new(ObjectId { organisation, kind, key: key.to_owned() }, key.to_uppercase(), body)
}

fn about(id: i64) -> GrafanaContents {
    let organisations = vec![Organisation { name: "Main Org.".to_owned(), id: Some(id) }];
    GrafanaContents { version: Some("7.5.5".to_owned()), organisations, ..GrafanaContents::default() }
}

fn objects() -> Vec<Object> {
    vec![
        object(ObjectType::Folders, "f", json!({ "uid": "f" })),
        object(ObjectType::Dashboards, "a/b", json!({ "dashboard": { "panels": [] } })),
        object(ObjectType::Dashboards, "c", json!({})),
    ]
}

fn written(all: &[Object], id: i64) -> (Place, GrafanaContents) {
    let (place, writer) = Place::new();
    let mut bundle = BundleWriter::new(writer);
    for object in all {
        bundle.add(object).unwrap();
    }
    let (contents, _, _) = bundle.finish(about(id)).unwrap();
    (place, contents)
}

/// An archive of some files.
fn foreign(files: &[(&str, &str)]) -> Result<Bundle, BundleError> {
    let (place, mut writer) = Place::new();
    for (path, text) in files {
        writer.file(path, 0o644, 0, text.len() as u64, &mut text.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
    place.open()
}

#[test]
fn what_was_written_is_read_again() {
    let (place, contents) = written(&objects(), 7);
    let bundle = place.open().unwrap();
    let read: Vec<Object> = bundle.entries().iter().map(|entry| bundle.load(entry).unwrap()).collect();
    assert_eq!(read, objects());
    assert_eq!(*bundle.contents(), contents.portable());
    assert_eq!(contents.objects(), 3);
    assert_eq!(contents.by_type()[&ObjectType::Dashboards], 2);
}

#[test]
fn the_bytes_do_not_tell_the_numbers_of_organisations() {
    let (one, two) = (written(&objects(), 1).0, written(&objects(), 2).0);
    let bytes = |place: &Place| std::fs::read(place.archive()).unwrap();
    assert_eq!(bytes(&one), bytes(&two));
}

#[test]
fn an_object_out_of_its_order_or_twice_is_not_taken() {
    let (_place, writer) = Place::new();
    let mut bundle = BundleWriter::new(writer);
    bundle.add(&objects()[1]).unwrap();
    assert!(matches!(bundle.add(&objects()[1]), Err(BundleError::Order { .. })));
    assert!(matches!(bundle.add(&objects()[0]), Err(BundleError::Order { .. })));
}

#[test]
fn an_archive_of_another_tool_and_one_of_a_later_version_are_told_apart() {
    let dashboard = [("dashboards/a.json", "{\"dashboard\": {}}")];
    assert!(matches!(foreign(&dashboard), Err(BundleError::NotOurs { .. })));
    assert!(matches!(foreign(&[]), Err(BundleError::NotOurs { .. })));
    let newer = [("export.json", "{\"format\": 2, \"what\": []}")];
    assert!(matches!(foreign(&newer), Err(BundleError::NewerFormat { format: 2, .. })));
    let missing = Bundle::open(Path::new("/nowhere.tar.gz"), Path::new("/tmp"), &CancellationToken::new());
    assert!(matches!(missing, Err(BundleError::Archive { .. })));
}

#[test]
fn an_object_that_is_missing_or_stands_in_anothers_place_is_noticed() {
    let (place, _) = written(&objects(), 1);
    let about = serde_json::to_string(place.open().unwrap().contents()).unwrap();
    let files: Vec<(String, String)> = objects()
        .iter()
        .map(|object| (object.id().path(), String::from_utf8(object.to_bytes().unwrap()).unwrap()))
        .collect();
    let whole = |files: &[(String, String)]| {
        let mut all: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
        all.push(("export.json", &about));
        foreign(&all)
    };
    assert!(whole(&files).is_ok());
    assert!(matches!(whole(&files[..2]), Err(BundleError::Damaged { .. })));
    let mut swapped = files.clone();
    swapped[1].1 = files[2].1.clone();
    assert!(matches!(whole(&swapped), Err(BundleError::Damaged { .. })));
}
