//! Plans from small exports: what is compared, refused, blocked, entered and taken away.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::planner::Facts;
use super::*;
use crate::grafana::bundle::{Bundle, BundleWriter};
use crate::grafana::contents::{GrafanaContents, Organisation, Skipped, Why};
use crate::grafana::object::Object;
use crate::grafana::restore::secrets::Secrets;
use crate::store::Store;

const MAIN: &str = "Main Org.";

fn id(organisation: Option<&str>, kind: ObjectType, key: &str) -> ObjectId {
    ObjectId { organisation: organisation.map(str::to_owned), kind, key: key.to_owned() }
}

fn object(kind: ObjectType, key: &str, title: &str, body: Value) -> Object {
    Object::new(id(Some(MAIN), kind, key), title, body)
}

fn dashboard(uid: &str, title: &str, folder: &str) -> Object {
    object(
        ObjectType::Dashboards,
        uid,
        title,
        json!({ "folderUid": folder, "dashboard": { "title": title } }),
    )
}

fn folder(uid: &str, parent: &str) -> Object {
    object(ObjectType::Folders, uid, uid, json!({ "uid": uid, "title": uid, "parentUid": parent }))
}

/// An export that was written and read again.
struct Export {
    bundle: Bundle,
    _dir: TempDir,
}

fn export(mut objects: Vec<Object>, skipped: Vec<Skipped>) -> Export {
    objects.sort_by_key(Object::id);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().job(&"grafana".parse().unwrap());
    let pending = store.begin(Ulid::from_parts(1, 1), "2026-11-23T02:00:00Z".parse().unwrap()).unwrap();
    let mut writer =
        BundleWriter::new(pending.archive(crate::config::values::Compression::default()).unwrap());
    for object in &objects {
        writer.add(object).unwrap();
    }
    let organisations = vec![Organisation { name: MAIN.to_owned(), id: Some(1) }];
    let (_, file, _) =
        writer.finish(GrafanaContents { organisations, skipped, ..GrafanaContents::default() }).unwrap();
    let bundle =
        Bundle::open(&pending.dir().join(Path::new(&file.name)), dir.path(), &CancellationToken::new());
    Export { bundle: bundle.unwrap(), _dir: dir }
}

fn facts(version: (u32, u32)) -> Facts {
    Facts { login: Some("admin".to_owned()), has_token: false, version, ..Facts::default() }
}

fn planned(source: &Export, live: &Export, choice: &Choice, facts: Facts) -> RestorePlan {
    let planner = Planner::new(&source.bundle, &live.bundle, choice, facts, RestorePlan::default()).unwrap();
    planner.plan(None).unwrap()
}

fn actions(plan: &RestorePlan) -> Vec<(String, Action)> {
    plan.items.iter().map(|item| (item.id.to_string(), item.action)).collect()
}

#[test]
fn folders_come_parents_first_and_what_is_the_same_is_not_written() {
    let source = export(vec![folder("a", "z"), folder("z", ""), dashboard("d", "D", "a")], Vec::new());
    let live = export(vec![folder("z", ""), dashboard("d", "Other", "")], Vec::new());
    let plan = planned(&source, &live, &Choice::default(), facts((11, 2)));
    assert_eq!(
        actions(&plan),
        [
            ("folders/z".to_owned(), Action::Same),
            ("folders/a".to_owned(), Action::Create),
            ("dashboards/d".to_owned(), Action::Update)
        ]
    );
    assert!(planned(&source, &source, &Choice::default(), facts((11, 2))).is_done());
}

#[test]
fn a_dashboard_without_its_folder_or_with_the_title_of_another_is_blocked() {
    let source = export(vec![dashboard("d", "D", "gone"), dashboard("e", "E", "")], Vec::new());
    let live = export(vec![dashboard("other", "E", "")], Vec::new());
    let blocked = |version| {
        let plan = planned(&source, &live, &Choice::default(), facts(version));
        plan.blocked().map(|item| item.id.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(blocked((11, 2)), ["d", "e"]);
    assert_eq!(blocked((11, 3)), ["d"], "titles may repeat from here on");
}

#[test]
fn an_organisation_that_cannot_be_had_refuses_all_of_it() {
    let other = Object::new(id(Some("Other"), ObjectType::Folders, "f"), "F", json!({ "title": "F" }));
    let (source, live) = (export(vec![other], Vec::new()), export(Vec::new(), Vec::new()));
    let plan = planned(&source, &live, &Choice::default(), Facts { has_token: true, ..facts((9, 0)) });
    assert_eq!(
        plan.refusals,
        ["the token belongs to the organisation \"Main Org.\", and the backup is of \"Other\""]
    );
}

#[test]
fn whoever_restores_keeps_his_own_rights() {
    let member = |role: &str| object(ObjectType::Members, "admin", "admin", json!({ "role": role }));
    let (source, live) =
        (export(vec![member("Viewer")], Vec::new()), export(vec![member("Admin")], Vec::new()));
    let plan = planned(&source, &live, &Choice::default(), facts((9, 0)));
    assert_eq!(plan.items[0].action, Action::Skip);
    assert_eq!(plan.warnings.len(), 1);
}

#[test]
fn what_this_version_or_these_credentials_do_not_have_is_skipped_with_the_reason() {
    let skipped = |organisation: Option<&str>, kind, why| Skipped {
        organisation: organisation.map(str::to_owned),
        kind: Some(kind),
        key: None,
        why,
    };
    let user = Object::new(id(None, ObjectType::Users, "ann"), "ann", json!({ "login": "ann" }));
    let rules = object(ObjectType::RuleGroups, "f/g", "g", json!({ "folderUid": "", "rules": [] }));
    let source = export(vec![user, rules], Vec::new());
    let live = export(
        Vec::new(),
        vec![
            skipped(None, ObjectType::Users, Why::NeedsServerAdmin),
            skipped(Some(MAIN), ObjectType::RuleGroups, Why::NotInThisVersion),
        ],
    );
    let plan = planned(&source, &live, &Choice::default(), facts((7, 5)));
    assert!(plan.items.iter().all(|item| item.action == Action::Skip), "{:?}", plan.items);
    assert_eq!(plan.warnings.len(), 2, "{:?}", plan.warnings);
}

#[test]
fn a_secret_that_is_missing_is_listed_until_it_is_entered() {
    let source = |fields: Value| {
        let body = json!({ "uid": "p", "name": "P", "secureJsonFields": fields });
        export(vec![object(ObjectType::DataSources, "p", "P", body)], Vec::new())
    };
    let (backup, bare) = (source(json!({ "password": true })), source(json!({})));
    let plan = planned(&backup, &bare, &Choice::default(), facts((9, 0)));
    assert_eq!(
        (plan.items[0].action, plan.secrets[0].fields.clone()),
        (Action::Same, vec!["password".to_owned()])
    );
    assert!(planned(&backup, &backup, &Choice::default(), facts((9, 0))).secrets.is_empty());
    let secrets: Secrets = Secrets::parse("[data-sources.p]\npassword = \"x\"").unwrap();
    let choice = Choice { secrets, ..Choice::default() };
    let plan = planned(&backup, &bare, &choice, facts((9, 0)));
    assert_eq!((plan.items[0].action, plan.secrets.len(), plan.entered.len()), (Action::Update, 0, 1));
    let again = planned(&backup, &backup, &choice, facts((9, 0)));
    let note = "enters password again: Grafana does not tell whether what it has is the same";
    assert_eq!((again.items[0].action, again.items[0].note.as_deref()), (Action::Update, Some(note)));
}

#[test]
fn what_a_restore_had_created_goes_children_first_and_a_folder_with_something_new_stays() {
    let created = [folder("a", "z"), folder("z", ""), folder("kept", ""), dashboard("d", "D", "a")];
    let mut there = created.to_vec();
    there.push(dashboard("new", "New", "kept"));
    let (before, live) = (export(Vec::new(), Vec::new()), export(there, Vec::new()));
    let ids: BTreeSet<ObjectId> = created.iter().map(Object::id).collect();
    let choice = Choice { ids: Some(ids.clone()), ..Choice::default() };
    let planner =
        Planner::new(&before.bundle, &live.bundle, &choice, facts((11, 2)), RestorePlan::default()).unwrap();
    let plan = planner.plan(Some(&Made { ids, ..Made::default() })).unwrap();
    assert_eq!(
        actions(&plan),
        [
            ("dashboards/d".to_owned(), Action::Remove),
            ("folders/a".to_owned(), Action::Remove),
            ("folders/z".to_owned(), Action::Remove),
            ("folders/kept".to_owned(), Action::Skip)
        ]
    );
}
