use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicU64, Ordering};

use globset::{Glob, GlobSet};
use tempfile::TempDir;
use ulid::Ulid;

use super::*;
use crate::config::values::{Compression, JobName};
use crate::files::backup::{FilesSource, back_up};
use crate::jobs::RunContext;
use crate::progress::Progress;
use crate::store::{JobStore, Store};

/// A folder with some configuration, and a store.
struct Scene {
    dir: TempDir,
    store: Store,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir_all(etc.join("rules")).unwrap();
        let scene = Self { store: Store::open(&dir.path().join("backups")).unwrap(), dir };
        scene.write("prometheus.yml", "a: 1\nb: 2\n");
        scene.write("rules/one.yml", "one");
        scene.write("binary", "\0\u{1}");
        scene.write("scratch.tmp", "x");
        symlink("rules/one.yml", etc.join("link")).unwrap();
        fs::set_permissions(etc.join("rules/one.yml"), fs::Permissions::from_mode(0o600)).unwrap();
        scene
    }

    fn etc(&self, name: &str) -> PathBuf {
        self.dir.path().join("etc").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        crate::store::atomic::replace(&self.etc(name), text.as_bytes(), 0o644).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.etc(name)).unwrap()
    }

    fn job(&self) -> JobStore {
        self.store.job(&"conf".parse().unwrap())
    }

    fn kept(&self) -> JobStore {
        self.store.job(&"conf-before-restore".parse().unwrap())
    }

    async fn back_up(&self) -> FilesBackup {
        let source = FilesSource {
            paths: vec![self.etc("").to_str().unwrap().trim_end_matches('/').to_owned()],
            exclude: GlobSet::new([Glob::new("**/*.tmp").unwrap()]).unwrap(),
            container: None,
        };
        let made = back_up(&source, None, &self.job(), Compression::default(), None, &context()).await;
        FilesBackup::of(made.unwrap().0).unwrap()
    }

    fn plan(&self, backup: &FilesBackup) -> FilesPlan {
        backup.plan(self.dir.path(), &CancellationToken::new()).unwrap()
    }

    /// What a plan would do: verb and name.
    fn changes(&self, plan: &FilesPlan) -> Vec<(How, String)> {
        let prefix = self.etc("").to_str().unwrap().to_owned();
        let name = |change: &Change| change.entry.path.strip_prefix(&prefix).unwrap_or("").to_owned();
        plan.changes.iter().map(|change| (change.how, name(change))).collect()
    }
}

fn context() -> RunContext {
    static RUN: AtomicU64 = AtomicU64::new(1);
    RunContext {
        run: Ulid::from_parts(RUN.fetch_add(1, Ordering::Relaxed), 1),
        job: "conf".parse::<JobName>().unwrap(),
        now: jiff::Timestamp::now(),
        cancel: CancellationToken::new(),
        progress: Progress::silent(),
        state_dir: std::env::temp_dir(),
        backup_dir: PathBuf::new(),
    }
}

#[tokio::test]
async fn what_did_not_change_is_not_written_and_what_is_excluded_is_not_in_the_backup() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    assert_eq!(backup.contents.files().0, 3);
    let plan = scene.plan(&backup);
    assert_eq!((plan.changes, plan.same, plan.refusals), (vec![], 6, vec![]));
}

#[tokio::test]
async fn a_restore_writes_what_differs_shows_it_before_and_is_taken_back() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    scene.write("prometheus.yml", "a: 1\nb: 3\n");
    scene.write("binary", "\0\u{2}");
    fs::remove_file(scene.etc("link")).unwrap();
    fs::set_permissions(scene.etc("rules/one.yml"), fs::Permissions::from_mode(0o644)).unwrap();
    scene.write("rules/new.yml", "somebody's own");

    let plan = scene.plan(&backup);
    let expected = [
        (How::Content, "binary"),
        (How::Missing, "link"),
        (How::Content, "prometheus.yml"),
        (How::Attributes, "rules/one.yml"),
    ];
    assert_eq!(scene.changes(&plan), expected.map(|(how, name)| (how, name.to_owned())));
    assert_eq!(plan.changes[0].diff, None);
    let diff = plan.changes[2].diff.as_deref().unwrap();
    assert!(diff.contains("-b: 3\n+b: 2\n"), "{diff}");

    let applied = apply(backup, plan, &scene.kept(), &context()).await.unwrap();
    assert_eq!(applied.written, 4);
    assert_eq!(
        (scene.read("prometheus.yml"), scene.read("binary")),
        ("a: 1\nb: 2\n".into(), "\0\u{1}".into())
    );
    assert_eq!(fs::read_link(scene.etc("link")).unwrap().to_str(), Some("rules/one.yml"));
    assert_eq!(fs::metadata(scene.etc("rules/one.yml")).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(scene.read("rules/new.yml"), "somebody's own");

    undo(&scene.kept(), &context()).await.unwrap();
    assert_eq!(
        (scene.read("prometheus.yml"), scene.read("binary")),
        ("a: 1\nb: 3\n".into(), "\0\u{2}".into())
    );
    assert!(scene.etc("link").symlink_metadata().is_err());
    assert_eq!(fs::metadata(scene.etc("rules/one.yml")).unwrap().mode() & 0o7777, 0o644);
    let again = undo(&scene.kept(), &context()).await;
    assert!(matches!(again, Err(FilesError::NothingToUndo { .. })));
}

#[tokio::test]
async fn everything_comes_back_to_an_empty_place_and_an_undo_keeps_what_was_changed_since() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    fs::remove_dir_all(scene.etc("")).unwrap();
    let plan = scene.plan(&backup);
    assert_eq!(plan.changes.len(), 6);
    apply(backup, plan, &scene.kept(), &context()).await.unwrap();
    assert_eq!(scene.read("link"), "one");
    scene.write("binary", "mine now");
    undo(&scene.kept(), &context()).await.unwrap();
    assert_eq!(scene.read("binary"), "mine now");
    assert!(!scene.etc("rules").exists() && !scene.etc("prometheus.yml").exists());
}

#[tokio::test]
async fn an_undo_touches_nothing_that_its_restore_left_alone() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    fs::set_permissions(scene.etc("rules"), fs::Permissions::from_mode(0o700)).unwrap();
    let plan = scene.plan(&backup);
    assert_eq!(scene.changes(&plan), [(How::Attributes, "rules".to_owned())]);
    apply(backup, plan, &scene.kept(), &context()).await.unwrap();
    scene.write("rules/one.yml", "an edit since");
    undo(&scene.kept(), &context()).await.unwrap();
    assert_eq!(scene.read("rules/one.yml"), "an edit since");
    assert_eq!(fs::metadata(scene.etc("rules")).unwrap().mode() & 0o7777, 0o700);
}

#[tokio::test]
async fn an_edit_that_an_undo_replaces_is_kept() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    scene.write("prometheus.yml", "before");
    let plan = scene.plan(&backup);
    apply(backup, plan, &scene.kept(), &context()).await.unwrap();
    scene.write("prometheus.yml", "an edit since");
    let undone = undo(&scene.kept(), &context()).await.unwrap();
    assert_eq!(scene.read("prometheus.yml"), "before");
    let replaced = FilesBackup::of(scene.kept().get(&undone.before).unwrap()).unwrap();
    let into = scene.etc("replaced");
    replaced.unpack(&into, &CancellationToken::new()).unwrap();
    let file = into.join(scene.etc("prometheus.yml").strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(file).unwrap(), "an edit since");
}

#[tokio::test]
async fn a_damaged_archive_is_refused_before_anything_is_written() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    scene.write("prometheus.yml", "changed");
    let plan = scene.plan(&backup);
    let file = backup.backup.path_of(&backup.backup.manifest.files[0]);
    let mut bytes = fs::read(&file).unwrap();
    bytes[30] ^= 1;
    crate::store::atomic::replace(&file, &bytes, 0o640).unwrap();
    let error = apply(backup, plan, &scene.kept(), &context()).await.err().unwrap();
    assert!(matches!(error, FilesError::Store(StoreError::Broken { .. })), "{error:?}");
    assert_eq!(scene.read("prometheus.yml"), "changed");
    assert_eq!(scene.kept().list().unwrap().backups.len(), 0);
}

#[tokio::test]
async fn a_file_in_place_of_a_folder_is_in_the_way_and_not_removed() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    fs::remove_dir_all(scene.etc("rules")).unwrap();
    scene.write("rules", "a file");
    let plan = scene.plan(&backup);
    assert!(plan.refusals[0].ends_with("rules is no folder, and one has to be there"), "{:?}", plan.refusals);
}

#[tokio::test]
async fn what_cannot_be_read_is_a_problem_and_the_rest_is_backed_up() {
    let scene = Scene::new();
    let (there, gone) = (scene.etc("prometheus.yml"), scene.etc("gone"));
    let paths = [&there, &gone].map(|path| path.to_str().unwrap().to_owned());
    let source = FilesSource { paths: paths.to_vec(), exclude: GlobSet::empty(), container: None };
    let made = back_up(&source, None, &scene.job(), Compression::default(), None, &context()).await;
    let (backup, contents) = made.unwrap();
    assert!(backup.manifest.damaged && !backup.is_good());
    assert_eq!((contents.files().0, contents.problems.len()), (1, 1));
    assert!(contents.problems[0].ends_with("gone: it is not there"), "{:?}", contents.problems);

    let nothing = FilesSource { paths: vec![paths[1].clone()], ..source };
    let made = back_up(&nothing, None, &scene.job(), Compression::default(), None, &context()).await;
    assert!(matches!(made.err(), Some(FilesError::Nothing { .. })));
    assert_eq!(scene.job().list().unwrap().backups.len(), 1);
}
