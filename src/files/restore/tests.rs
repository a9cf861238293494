use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
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

    fn shelf(&self) -> Shelf {
        Shelf { store: self.kept(), other: None }
    }

    fn kept(&self) -> JobStore {
        self.store.job(&"conf-before-restore".parse().unwrap())
    }

    async fn back_up(&self) -> FilesBackup {
        let source = FilesSource {
            paths: vec![self.dir.path().join("etc")],
            exclude: GlobSet::new([Glob::new("**/*.tmp").unwrap()]).unwrap(),
            container: None,
            own: Vec::new(),
        };
        let made = back_up(&source, None, &self.job(), Compression::default(), None, &context()).await;
        FilesBackup::of(made.unwrap().0).unwrap()
    }

    /// What a plan would do: verb and name.
    fn changes(&self, plan: &FilesPlan) -> Vec<(How, String)> {
        let prefix = self.etc("").to_str().unwrap().to_owned();
        let name = |change: &Change| change.entry.path.text().strip_prefix(&prefix).unwrap_or("").to_owned();
        plan.changes.iter().map(|change| (change.how, name(change))).collect()
    }
}

fn plan_of(backup: &FilesBackup) -> FilesPlan {
    backup.plan(&CancellationToken::new()).unwrap()
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
        cut_off: Vec::new(),
    }
}

#[tokio::test]
async fn what_did_not_change_is_not_written_and_what_is_excluded_is_not_in_the_backup() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    assert_eq!(backup.contents.files().0, 3);
    let plan = plan_of(&backup);
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

    let plan = plan_of(&backup);
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

    let applied = apply(backup, plan, &scene.shelf(), &context()).await.unwrap();
    assert_eq!(applied.written, 4);
    assert_eq!(
        (scene.read("prometheus.yml"), scene.read("binary")),
        ("a: 1\nb: 2\n".into(), "\0\u{1}".into())
    );
    assert_eq!(fs::read_link(scene.etc("link")).unwrap().to_str(), Some("rules/one.yml"));
    assert_eq!(fs::metadata(scene.etc("rules/one.yml")).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(scene.read("rules/new.yml"), "somebody's own");

    undo(&scene.shelf(), &context()).await.unwrap();
    assert_eq!(
        (scene.read("prometheus.yml"), scene.read("binary")),
        ("a: 1\nb: 3\n".into(), "\0\u{2}".into())
    );
    assert!(scene.etc("link").symlink_metadata().is_err());
    assert_eq!(fs::metadata(scene.etc("rules/one.yml")).unwrap().mode() & 0o7777, 0o644);
    let again = undo(&scene.shelf(), &context()).await;
    assert!(matches!(again, Err(FilesError::NothingToUndo { .. })));
}

#[tokio::test]
async fn everything_comes_back_to_an_empty_place_and_an_undo_keeps_what_was_changed_since() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    fs::remove_dir_all(scene.etc("")).unwrap();
    let plan = plan_of(&backup);
    assert_eq!(plan.changes.len(), 6);
    apply(backup, plan, &scene.shelf(), &context()).await.unwrap();
    assert_eq!(scene.read("link"), "one");
    scene.write("binary", "mine now");
    undo(&scene.shelf(), &context()).await.unwrap();
    assert_eq!(scene.read("binary"), "mine now");
    assert!(!scene.etc("rules").exists() && !scene.etc("prometheus.yml").exists());
}

#[tokio::test]
async fn an_undo_touches_nothing_that_its_restore_left_alone() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    fs::set_permissions(scene.etc("rules"), fs::Permissions::from_mode(0o700)).unwrap();
    let plan = plan_of(&backup);
    assert_eq!(scene.changes(&plan), [(How::Attributes, "rules".to_owned())]);
    apply(backup, plan, &scene.shelf(), &context()).await.unwrap();
    scene.write("rules/one.yml", "an edit since");
    undo(&scene.shelf(), &context()).await.unwrap();
    assert_eq!(scene.read("rules/one.yml"), "an edit since");
    assert_eq!(fs::metadata(scene.etc("rules")).unwrap().mode() & 0o7777, 0o700);
}

#[tokio::test]
async fn an_edit_that_an_undo_replaces_is_kept() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    scene.write("prometheus.yml", "before");
    let plan = plan_of(&backup);
    apply(backup, plan, &scene.shelf(), &context()).await.unwrap();
    scene.write("prometheus.yml", "an edit since");
    let undone = undo(&scene.shelf(), &context()).await.unwrap();
    assert_eq!(scene.read("prometheus.yml"), "before");
    let replaced = FilesBackup::of(scene.kept().get(&undone.replaced.unwrap()).unwrap()).unwrap();
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
    let plan = plan_of(&backup);
    let file = backup.backup.path_of(&backup.backup.manifest.files[0]);
    let mut bytes = fs::read(&file).unwrap();
    bytes[30] ^= 1;
    crate::store::atomic::replace(&file, &bytes, 0o640).unwrap();
    let error = apply(backup, plan, &scene.shelf(), &context()).await.err().unwrap();
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
    let plan = plan_of(&backup);
    assert!(
        plan.refusals[0]
            .ends_with("rules is no folder, and one has to be there: move it away, then try again"),
        "{:?}",
        plan.refusals
    );
}

fn make_pipe(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
}

#[tokio::test]
async fn a_pipe_or_a_socket_in_place_of_a_file_or_link_is_in_the_way_and_not_replaced() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    for name in ["prometheus.yml", "link"] {
        fs::remove_file(scene.etc(name)).unwrap();
    }
    make_pipe(&scene.etc("prometheus.yml"));
    let _listens = std::os::unix::net::UnixListener::bind(scene.etc("link")).unwrap();
    let plan = plan_of(&backup);
    let told: Vec<&String> =
        plan.refusals.iter().filter(|told| told.contains(" is a pipe, socket or device, and")).collect();
    assert_eq!((told.len(), plan.changes.len()), (2, 0), "{:?}", plan.refusals);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_replaced_and_nothing_else_is_either() {
    let scene = Scene::new();
    let backup = scene.back_up().await;
    scene.write("binary", "changed");
    scene.write("prometheus.yml", "changed");
    let plan = plan_of(&backup);
    // Since it was looked at.
    fs::remove_file(scene.etc("prometheus.yml")).unwrap();
    make_pipe(&scene.etc("prometheus.yml"));
    let error = apply(backup, plan, &scene.shelf(), &context()).await.err().unwrap();
    let FilesError::NotKept { lacks } = &error else { panic!("{error:?}") };
    assert!(lacks.len() == 1 && lacks[0].path.as_path() == scene.etc("prometheus.yml"), "{error}");
    assert_eq!(scene.read("binary"), "changed");
    // It is no restore that could be taken back.
    assert_eq!(scene.kept().list().unwrap().backups, []);
}

/// Backs up just these, without any exclusion.
async fn back_up_alone(scene: &Scene, paths: &[PathBuf]) -> Result<FilesBackup, FilesError> {
    let source =
        FilesSource { paths: paths.to_vec(), exclude: GlobSet::empty(), container: None, own: Vec::new() };
    let made = back_up(&source, None, &scene.job(), Compression::default(), None, &context()).await?;
    FilesBackup::of(made.0)
}

#[tokio::test]
async fn what_cannot_be_read_is_lacking_and_the_rest_is_a_good_backup() {
    let scene = Scene::new();
    let (there, gone) = (scene.etc("prometheus.yml"), scene.etc("gone"));
    let backup = back_up_alone(&scene, &[there, gone.clone()]).await.unwrap();
    assert!(backup.backup.is_good());
    assert_eq!(backup.backup.manifest.lacks, [gone.to_str().unwrap()]);
    assert_eq!((backup.contents.files().0, backup.contents.lacks.len()), (1, 1));
    let lack = backup.contents.lacks[0].to_string();
    assert!(lack.ends_with("gone: it is not there"), "{lack}");

    // A restore leaves what the backup lacks as it is.
    scene.write("gone", "there again");
    scene.write("prometheus.yml", "changed");
    let plan = plan_of(&backup);
    assert_eq!((plan.changes.len(), plan.lacks.len()), (1, 1));
    apply(backup, plan, &scene.shelf(), &context()).await.unwrap();
    assert_eq!(scene.read("gone"), "there again");
    fs::remove_file(&gone).unwrap();

    let made = back_up_alone(&scene, std::slice::from_ref(&gone)).await;
    assert!(matches!(made.err(), Some(FilesError::Nothing { .. })));
    assert_eq!(scene.job().list().unwrap().backups.len(), 1);
}

#[tokio::test]
async fn a_pipe_or_a_socket_that_is_named_is_told_as_what_it_is() {
    let scene = Scene::new();
    let (pipe, socket) = (scene.etc("pipe"), scene.etc("socket"));
    make_pipe(&pipe);
    let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = back_up_alone(&scene, &[pipe, socket, "/dev/null".into()]).await.err().unwrap().to_string();
    for what in ["/pipe: it is a pipe", "/socket: it is a socket", "/dev/null: it is a device"] {
        assert!(error.contains(what), "{error}");
    }
    // Where they only lie in a folder that is named, nobody misses them.
    assert!(scene.back_up().await.contents.lacks.is_empty());
}

#[tokio::test]
async fn a_link_that_is_named_is_followed_and_one_inside_a_folder_is_kept() {
    let scene = Scene::new();
    let (one, two) = (scene.dir.path().join("one"), scene.dir.path().join("two"));
    symlink("two", &one).unwrap();
    symlink(scene.dir.path().join("etc"), &two).unwrap();
    // The last lies below a link that is named.
    let backup = back_up_alone(&scene, &[one.clone(), one.join("rules")]).await.unwrap();
    assert_eq!(backup.contents.lacks, []);
    let is_link = |path: &Path| {
        let entry = backup.contents.entries.iter().find(|entry| entry.path.as_path() == path).unwrap();
        matches!(entry.what, What::Link { .. })
    };
    assert!(is_link(&one) && is_link(&two) && is_link(&scene.etc("link")));
    assert!(!is_link(&scene.etc("rules/one.yml")));

    let into = scene.dir.path().join("into");
    backup.unpack(&into, &CancellationToken::new()).unwrap();
    let unpacked = |path: &Path| into.join(path.strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(unpacked(&scene.etc("rules/one.yml"))).unwrap(), "one");
    assert_eq!(fs::read_link(unpacked(&one)).unwrap(), Path::new("two"));

    fs::remove_dir_all(scene.etc("")).unwrap();
    fs::remove_file(&one).unwrap();
    fs::remove_file(&two).unwrap();
    let plan = plan_of(&backup);
    apply(backup, plan, &scene.shelf(), &context()).await.unwrap();
    assert_eq!(fs::read_to_string(one.join("rules/one.yml")).unwrap(), "one");

    let (circle, dangling) = (scene.dir.path().join("circle"), scene.dir.path().join("dangling"));
    symlink("circle", &circle).unwrap();
    symlink("nowhere", &dangling).unwrap();
    // By themselves they would be no backup.
    let backup = back_up_alone(&scene, &[circle, dangling, scene.etc("rules")]).await.unwrap();
    let told: Vec<&str> = backup.contents.lacks.iter().map(|lack| lack.reason.as_str()).collect();
    assert!(
        told[0].contains("lead to each other") && told[1].contains("nowhere: it is not there"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_name_that_is_not_utf_8_is_backed_up_and_restored() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::new();
    let latin = scene.etc("").join(OsStr::from_bytes(b"caf\xe9.yml"));
    let link = scene.etc("").join(OsStr::from_bytes(b"l\xe9"));
    crate::store::atomic::replace(&latin, b"latin", 0o644).unwrap();
    symlink(OsStr::from_bytes(b"caf\xe9.yml"), &link).unwrap();
    let backup = scene.back_up().await;
    assert_eq!(backup.contents.lacks, []);

    let into = scene.dir.path().join("into");
    backup.unpack(&into, &CancellationToken::new()).unwrap();
    assert_eq!(fs::read_to_string(into.join(latin.strip_prefix("/").unwrap())).unwrap(), "latin");

    fs::remove_file(&latin).unwrap();
    fs::remove_file(&link).unwrap();
    let plan = plan_of(&backup);
    assert_eq!(plan.changes.len(), 2);
    apply(backup, plan, &scene.shelf(), &context()).await.unwrap();
    assert_eq!(fs::read_to_string(&link).unwrap(), "latin");
    undo(&scene.shelf(), &context()).await.unwrap();
    assert!(!latin.exists() && link.symlink_metadata().is_err());

    // Written as text it is the name of another file: that is told, and none takes the place of the other.
    crate::store::atomic::replace(&latin, b"latin", 0o644).unwrap();
    scene.write("caf%E9.yml", "text");
    let backup = scene.back_up().await;
    assert_eq!(backup.contents.lacks.len(), 1);
}

#[tokio::test]
async fn what_was_changed_while_it_was_read_replaces_nothing_that_is_there() {
    let scene = Scene::new();
    let busy = scene.etc("busy");
    let stop = CancellationToken::new();
    let (path, stopped) = (busy.clone(), stop.clone());
    crate::store::atomic::replace(&busy, &vec![b'x'; 8 << 20], 0o644).unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let mut file = File::options().append(true).open(path).unwrap();
        while !stopped.is_cancelled() {
            io::Write::write_all(&mut file, b"y").unwrap();
            let _ = begun.send(());
        }
    });
    begins.recv().unwrap();
    let mut backup = back_up_alone(&scene, std::slice::from_ref(&busy)).await.unwrap();
    // On a busy machine the writer may not get a turn while the file is read.
    while backup.contents.lacks.is_empty() {
        backup = back_up_alone(&scene, std::slice::from_ref(&busy)).await.unwrap();
    }
    stop.cancel();
    writer.join().unwrap();
    assert!(
        backup.backup.is_good() && backup.contents.lacks[0].held == crate::files::Held::Doubtful,
        "{:?}",
        backup.contents.lacks
    );
    scene.write("busy", "mine");
    assert_eq!(plan_of(&backup).changes, []);
    fs::remove_file(&busy).unwrap();
    assert_eq!(plan_of(&backup).changes.len(), 1);
}
