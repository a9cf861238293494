//! What `restore --from` makes of a folder and of an archive, where backups are files or databases: a copy of a job's folder, as
//! it is brought from elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

use crate::support::run;
use crate::support::watchkeeper::Watchkeeper;

/// Two backups of a database and of a file, of a time when both said `one` and then `two`; now they say `three`.
struct Scene {
    watchkeeper: Watchkeeper,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { watchkeeper: Watchkeeper::with_config("") };
        scene.watchkeeper.configure(&format!(
            "[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\ndatabase = {:?}\nkeep = {{ last = 5 }}\n\
             [[job]]\nname = \"conf\"\nkind = \"files-backup\"\npaths = [{:?}]\nkeep = {{ last = 5 }}\n",
            scene.database().display(),
            scene.file().display()
        ));
        for text in ["one", "two"] {
            scene.write(text);
            scene.watchkeeper.run(&["run-now", "db", "conf"]).expect(0);
        }
        scene.write("three");
        scene
    }

    fn database(&self) -> PathBuf {
        self.watchkeeper.folder().join("app.db")
    }

    fn file(&self) -> PathBuf {
        self.watchkeeper.folder().join("f")
    }

    fn write(&self, text: &str) {
        let database = Connection::open(self.database()).unwrap();
        database
            .execute_batch(&format!(
                "create table if not exists t(x); update t set x = '{text}'; \
                                     insert into t select '{text}' where not exists (select 1 from t)"
            ))
            .unwrap();
        fs::write(self.file(), text).unwrap();
    }

    fn says(&self, job: &str) -> String {
        if job == "conf" {
            return fs::read_to_string(self.file()).unwrap();
        }
        let database = Connection::open(self.database()).unwrap();
        database.query_row("select x from t", [], |row| row.get(0)).unwrap()
    }

    /// A copy of a job's folder.
    fn copy(&self, job: &str) -> PathBuf {
        let copy = self.watchkeeper.folder().join(format!("copy-{job}"));
        run(Command::new("cp").arg("-r").arg(self.watchkeeper.backups_folder().join(job)).arg(&copy));
        copy
    }
}

/// The manifests or the archives of a folder, the oldest first.
fn ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    found.retain(|path| name(path).ends_with(ending) && !name(path).contains(".state."));
    // The second one of a second has a number.
    found.sort_by_key(|path| name(path).replace("Z.", "Z-1."));
    found
}

#[test]
fn of_a_folder_the_newest_good_backup_is_taken_and_what_is_broken_is_named() {
    let scene = Scene::new();
    for job in ["db", "conf"] {
        let copy = scene.copy(job);
        let from = copy.to_str().unwrap();
        scene.watchkeeper.run(&["restore", "--from", from, "--yes"]).expect(0);
        assert_eq!(scene.says(job), "two", "{job}");
        let newest = ending(&copy, ".tar.gz").pop().unwrap();
        // The archive means its backup.
        scene.write("three");
        scene.watchkeeper.run(&["restore", "--from", newest.to_str().unwrap(), "--yes"]).expect(0);
        assert_eq!(scene.says(job), "two", "{job}");
        fs::remove_file(newest).unwrap();
        let output = scene.watchkeeper.run(&["restore", "--from", from, "--yes"]).expect(0);
        assert!(output.stderr.contains("warning: broken and passed over: 20"), "{output:?}");
        assert_eq!(scene.says(job), "one", "{job}");
    }
}

#[test]
fn where_a_folder_has_no_backup_it_is_said_what_to_name() {
    let scene = Scene::new();
    scene.watchkeeper.configure(&format!(
        "[application.app]\nurl = \"http://127.0.0.1:1\"\ndatabase = {:?}\n\
         [[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\napplication = \"app\"\nkeep = {{ last = 5 }}\n",
        scene.database()
    ));
    let copy = scene.copy("db");
    for manifest in ending(&copy, ".json") {
        fs::remove_file(manifest).unwrap();
    }
    let archive = ending(&copy, ".tar.gz").remove(0);
    for from in [scene.watchkeeper.folder(), &archive] {
        let words = ["restore", "--from", from.to_str().unwrap(), "--application", "app", "--yes"];
        let output = scene.watchkeeper.run(&words).expect(1);
        let said = format!("There is no manifest of a backup at {}", from.display());
        assert!(output.stderr.contains(&said) && output.stderr.contains("backup_dir/JOB"), "{output:?}");
    }
    let output = scene.watchkeeper.run(&["restore", "--from", "/nowhere", "--application", "app", "--yes"]);
    assert!(output.stderr.contains("/nowhere: No such file or directory"), "{output:?}");
}
