//! What lies in containers: reached through Docker by who may use it, and told by who may not.

use std::path::PathBuf;

use super::*;
use crate::support::application::{Application, Data};
use crate::support::database::number;
use crate::support::run;

const CLOSED: [&str; 2] =
    ["Permission to use the Docker engine at unix:///var/run/docker.sock was denied", "docker.conf"];

fn sql(application: &Application, text: &str) {
    let database: PathBuf = application.database();
    run(std::process::Command::new("sqlite3").args(["-cmd", ".timeout 9000"]).arg(database).arg(text));
}

fn config(application: &Application) -> String {
    let name = application.container_name();
    format!(
        "{ONCE}{}[[job]]\nname = \"stale\"\nkind = \"close-stale-sessions\"\nkeep = {{ last = 3 }}\napplication = \"app\"\n\
         [[job]]\nname = \"files\"\nkind = \"files-backup\"\nkeep = {{ last = 3 }}\ncontainer = \"{name}\"\npaths = [\"/app/data/rules.yml\"]\n\
         [[job]]\nname = \"command\"\nkind = \"command\"\ncontainer = \"{name}\"\ncommand = [\"/bin/ls\", \"/app\"]\n\
         [[job]]\nname = \"verify\"\nkind = \"verify-deployment\"\n[[job.check]]\ntype = \"container\"\ncontainer = \"{name}\"\n",
        application.config()
    )
}

const JOBS: [&str; 5] = ["db", "stale", "files", "command", "verify"];

#[test]
fn a_container_is_served_through_docker_and_its_volume_is_roots_to_restore() {
    let Some(application) = Application::container(Data::Volume, &["sqlite3"]) else { return };
    application.wait_well();
    sql(&application, "INSERT INTO work_sessions VALUES (2, 'stuck', '2026-01-02 09:00:00', NULL)");
    let rules = application.data().join("rules.yml");
    fs::write(&rules, "a: 1\n").unwrap();
    mode(&rules, 0o600);
    let Some(keeper) = Keeper::new(&config(&application)) else { return };
    for job in JOBS {
        keeper.lacks(&["run-now", job], &CLOSED);
        keeper.check_tells(job, "docker.conf");
    }

    let keeper = keeper.with_docker();
    keeper.run(&["check"]).expect(0);
    keeper.run(&["check", "--online"]).expect(0);
    for job in JOBS {
        keeper.run(&["run-now", job]).expect(0);
    }
    assert_eq!(
        number(&application.database(), "SELECT count(*) FROM work_sessions WHERE end_time IS NULL"),
        0
    );
    keeper.run(&["restore", "stale", "--undo", "--yes"]).expect(0);
    assert_eq!(
        number(&application.database(), "SELECT count(*) FROM work_sessions WHERE end_time IS NULL"),
        1
    );

    // A restore puts files in their place on this host, where only root may go.
    let volume = application.data().display().to_string();
    keeper.lacks(&["restore", "db", "--yes"], &["this user may not go there", &volume, "host.conf"]);
    fs::write(&rules, "a: 2\n").unwrap();
    keeper.lacks(&["restore", "files", "--yes"], &[&volume, "host.conf"]);
    assert_eq!(fs::read_to_string(&rules).unwrap(), "a: 2\n");
    keeper.as_root(&["restore", "db", "--yes"]).expect(0);
    keeper.as_root(&["restore", "files", "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(&rules).unwrap(), "a: 1\n");
    application.wait_well();
}

#[test]
fn a_database_in_a_volume_that_nothing_in_its_image_reads_is_told_with_its_place() {
    let Some(application) = Application::container(Data::Volume, &[]) else { return };
    let Some(keeper) = Keeper::new(&config(&application)) else { return };
    let keeper = keeper.with_docker();
    let volume = application.data().display().to_string();
    keeper.lacks(
        &["run-now", "db"],
        &["this user may not go to", &volume, "neither sqlite3 nor python3", "host.conf"],
    );
    keeper.as_root(&["run-now", "db"]).expect(0);
}

#[test]
fn what_root_has_not_finished_keeps_the_user_from_the_database_whichever_way_he_goes() {
    let Some(application) = Application::container(Data::Volume, &["sqlite3"]) else { return };
    application.wait_well();
    let Some(keeper) = Keeper::new(&config(&application)) else { return };
    let keeper = keeper.with_docker();
    keeper.run(&["run-now", "db"]).expect(0);
    keeper.as_root(&["restore", "db", "--yes"]).expect(0);
    // As one that was killed leaves it.
    let folder = keeper.watchkeeper.state().join("undo/db");
    let note = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    let mut told: serde_json::Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    told["state"] = "begun".into();
    fs::write(&note, told.to_string()).unwrap();
    let refused = keeper.run(&["run-now", "db"]).expect(1);
    assert!(refused.stdout.contains("is unfinished"), "{}", refused.stdout);
}
