//! What counts as a backup of what is restarted, and what is said where nothing does.

use super::{LOOK, names, texts};
use crate::support::application::{Application, Data};
use crate::support::docker::docker;
use crate::support::watchkeeper::Watchkeeper;

#[test]
fn a_backup_of_the_containers_database_by_its_path_on_the_host_and_one_of_its_files_are_made_first() {
    let Some(application) = Application::container(Data::Volume, &["sqlite3"]) else { return };
    application.wait_well();
    let name = application.container_name();
    let volume = docker(["inspect", "-f", "{{(index .Mounts 0).Source}}", name]);
    let by_path = format!("database = \"{volume}/memory.db\"");
    let others = format!(
        "[[job]]\nname = \"files\"\nkind = \"files-backup\"\ncontainer = \"{name}\"\npaths = [\"/app/www\"]\n\
         keep = {{ last = 3 }}\n\
         [[job]]\nname = \"alien\"\nkind = \"files-backup\"\npaths = [\"/etc/hostname\"]\nkeep = {{ last = 3 }}\n\
         [[job]]\nname = \"off\"\nkind = \"files-backup\"\ncontainer = \"{name}\"\npaths = [\"/app/main\"]\n\
         keep = {{ last = 3 }}\nenabled = false\n"
    );
    let config = application.config().replace("application = \"app\"\nkeep", &format!("{by_path}\nkeep"));
    assert!(config.contains(&by_path), "{config}");
    let watchkeeper = Watchkeeper::with_config(&(config + &others + LOOK));
    let plan = watchkeeper.run_json(&["recover", "app", "--dry-run"]).expect(0).json()["plan"].clone();
    assert_eq!(texts(&plan["backups"]), ["db", "files"], "{plan}");
    let warnings = texts(&plan["warnings"]);
    assert!(
        matches!(warnings.as_slice(), [one] if one.starts_with("job off backs it up but is disabled")),
        "{plan}"
    );
    let document = watchkeeper.run_json(&["recover", "app", "--yes"]).expect(0).json();
    assert_eq!(
        names(&document["runs"], "job"),
        ["recover-application-app", "db", "files", "look"],
        "{document}"
    );
    assert_eq!(names(&document["runs"], "outcome"), ["done"; 4], "{document}");
}

#[test]
fn a_database_that_nothing_backs_up_is_a_warning_unless_it_is_asked_for_without() {
    let Some(application) = Application::host() else { return };
    let disabled = application.config().replace("retries =", "enabled = false\nretries =");
    let watchkeeper = Watchkeeper::with_config(&(disabled + LOOK));
    let output = watchkeeper.run(&["recover", "app", "--dry-run"]).expect(0);
    let told = ["job db backs it up but is disabled", "nothing backs up the database", "--no-backup"];
    assert!(told.iter().all(|text| output.stdout.contains(text)), "{output:?}");
    let output = watchkeeper.run(&["recover", "app", "--yes"]).expect(3);
    assert!(output.stdout.contains("nothing backs up the database"), "{output:?}");
    let output = watchkeeper.run(&["recover", "app", "--yes", "--no-backup"]).expect(0);
    assert!(!output.stdout.contains("nothing backs up the database"), "{output:?}");
    // A copy of the folder that it lies in is one.
    let folder = application.data();
    let files = format!(
        "[[job]]\nname = \"files\"\nkind = \"files-backup\"\npaths = [{:?}]\nkeep = {{ last = 3 }}\n",
        folder.display().to_string()
    );
    let disabled = application.config().replace("retries =", "enabled = false\nretries =");
    watchkeeper.configure(&(disabled + &files + LOOK));
    let plan = watchkeeper.run_json(&["recover", "app", "--dry-run"]).expect(0).json()["plan"].clone();
    assert_eq!(texts(&plan["backups"]), ["files"], "{plan}");
    assert!(!plan["warnings"].to_string().contains("nothing backs up"), "{plan}");
}
