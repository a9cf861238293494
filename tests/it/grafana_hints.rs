//! What a run says when it fails: which Grafana an undo is of, what was written, and what was being read.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Fault, Role, Version, What};
use crate::support::grafana_keeper::{
    ADMIN, COMING, JOB, export, keeper, keeper_of, lose_hosts, newest, restore, sample,
};
use crate::support::watchkeeper::{Output, Watchkeeper};

/// All that was said, and what `show` says of the run.
fn all_of(keeper: &Watchkeeper, output: &Output) -> String {
    format!("{}{}{}", output.stdout, output.stderr, shown(keeper))
}

/// What `show` says of the newest run.
fn shown(keeper: &Watchkeeper) -> String {
    let history = keeper.run_json(&["history", "-n", "1"]).expect(0).json();
    keeper.run(&["show", history["runs"][0]["run"].as_str().unwrap()]).expect(0).stdout
}

#[track_caller]
fn names_the_undo_of(said: &str, command: &str) {
    assert!(said.contains(&format!("`{command} --undo`")), "{said}");
    let others = said.lines().filter(|line| line.contains("--undo"));
    let wrong: Vec<&str> = others.filter(|line| !line.contains(&format!("{command} --undo"))).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn an_undo_of_another_grafana_is_named_with_it_however_the_restore_failed() {
    let here = sample(Version::V9);
    let command = "watchkeeper restore grafana --grafana other";
    for fault in [
        Fault::new(What::html(502, "<html>Bad gateway</html>")).on("POST", "/api/dashboards/db").after(1),
        Fault::new(What::html(200, "<!DOCTYPE html><html>Welcome</html>"))
            .on("POST", "/api/dashboards/db")
            .after(1),
        Fault::new(What::redirect_to_login()).on("POST", "/api/dashboards/db").after(1),
        Fault::new(What::CutBefore).on("POST", "/api/dashboards/db").after(1),
        Fault::new(What::answers(400, "{\"message\":\"no\"}")).on("POST", "/api/dashboards/db").after(1),
    ] {
        let there = Builder::default().version(Version::V9).ids_from(300).start();
        let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
        export(&keeper);
        there.inject(fault);
        let failed = restore(&keeper, &["--grafana", "other"]).expect(4);
        names_the_undo_of(&all_of(&keeper, &failed), command);
        there.heal();
        let undone = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]);
        assert!(matches!(undone.code, 0 | 3), "{undone:?}");
    }
}

#[test]
fn an_undo_is_named_with_its_grafana_where_the_restore_was_interrupted_or_came_from_a_path() {
    let here = sample(Version::V9);
    let there = Builder::default().version(Version::V9).ids_from(300).start();
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    there.inject(Fault::new(What::Slow(Duration::from_millis(400))).on("POST", "/api/folders"));
    let cut = keeper.spawn(&["restore", JOB, "--grafana", "other", "--yes"]);
    let since = Instant::now();
    while there.count("POST", "/api/folders") == 0 {
        assert!(since.elapsed() < COMING, "it never came so far");
        std::thread::sleep(Duration::from_millis(5));
    }
    Command::new("kill").arg("-INT").arg(cut.id().to_string()).status().unwrap();
    let ended = cut.wait_with_output().unwrap();
    let told = shown(&keeper);
    assert!(told.contains("told to stop"), "{told}");
    names_the_undo_of(&told, "watchkeeper restore grafana --grafana other");
    drop(ended);
    there.heal();
    // An archive alone, of which nobody knows the job.
    let archive = newest(&keeper.store_of(JOB), ".tar.gz");
    let alone = keeper.folder().join("copy.tar.gz");
    fs::copy(&archive, &alone).unwrap();
    there.inject(
        Fault::new(What::answers(400, "{\"message\":\"no\"}")).on("POST", "/api/dashboards/db").after(1),
    );
    let failed = restore_from(&keeper, &alone.display().to_string()).expect(4);
    names_the_undo_of(&all_of(&keeper, &failed), "watchkeeper restore --grafana other");
}

fn restore_from(keeper: &Watchkeeper, path: &str) -> Output {
    keeper.run(&["restore", "--from", path, "--grafana", "other", "--yes"])
}

#[test]
fn where_nothing_was_written_that_is_said_and_nothing_is_to_be_taken_back() {
    let grafana = sample(Version::V9);
    let keeper = keeper(&grafana);
    export(&keeper);
    lose_hosts(&grafana);
    grafana.forget_requests();
    // The first look is the plan's, the second one that of what is kept, and neither has it.
    grafana
        .inject(Fault::new(What::html(200, "<!DOCTYPE html><html>")).on("GET", "/api/dashboards/uid/hosts"));
    let failed = restore(&keeper, &["--only", "dashboards"]).expect(1);
    let said = all_of(&keeper, &failed);
    assert!(said.contains("The restore stopped before anything was written"), "{said}");
    assert!(!said.contains("--undo") && !said.contains("in the middle"), "{said}");
    assert!(grafana.writes().is_empty(), "{:?}", grafana.writes());
}

#[test]
fn of_many_that_failed_the_first_are_named_and_the_rest_counted() {
    let here = sample(Version::V9);
    here.seed().dashboards(60, None);
    let there = Builder::default().version(Version::V9).ids_from(300).start();
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    there.inject(Fault::new(What::answers(400, "{\"message\":\"no\"}")).on("POST", "/api/dashboards/db"));
    let failed = restore(
        &keeper,
        &[
            "--grafana",
            "other",
            "--only",
            "folders",
            "--only",
            "dashboards",
            "--only",
            "library-panels",
            "--exclude",
            "dashboards/second",
        ],
    );
    assert_ne!(failed.code, 0);
    assert!(failed.stdout.contains("63 objects were not restored"), "{failed:?}");
    assert!(failed.stdout.contains("; and 58 more"), "{failed:?}");
    let longest = failed.stdout.lines().chain(failed.stderr.lines()).map(str::len).max().unwrap();
    assert!(longest < 1200, "{longest}\n{failed:?}");
    let told = shown(&keeper);
    assert_eq!(told.matches("INFO  not restored: dashboards/").count(), 63, "{told}");
}

#[test]
fn what_was_being_read_is_named_and_a_redirect_tells_no_secret() {
    let grafana = sample(Version::V10);
    let keeper = keeper(&grafana);
    for (path, says) in [
        ("/api/folders/infra/permissions", "Cannot read the permissions of the folder \"Infrastructure\""),
        ("/api/dashboards/uid/hosts", "Cannot read the dashboard \"Hosts\""),
        ("/api/datasources/uid/prom", "Cannot read the data source \"Prometheus\""),
    ] {
        grafana.inject(Fault::new(What::answers(403, "{\"message\":\"no\"}")).on("GET", path));
        let failed = keeper.run(&["run-now", JOB]).expect(1);
        assert!(failed.stdout.contains(says), "{failed:?}");
        grafana.heal();
    }
    let location = "https://ann:hunter2@sso.example.org/login?token=hunter2&next=/#hunter2".to_owned();
    let headers = vec![("Location", location)];
    grafana.inject(Fault::new(What::Answers { status: 302, headers, body: String::new() }).at("/api/org"));
    let failed = keeper.run(&["run-now", JOB]).expect(1);
    assert!(failed.stdout.contains("points to \"https://sso.example.org/login\""), "{failed:?}");
    assert!(!all_of(&keeper, &failed).contains("hunter2"), "{failed:?}");
}

#[test]
fn a_proxy_that_takes_the_organisation_away_is_noticed_before_anything_is_written_to_one() {
    let here = sample(Version::V11_2);
    let there = Builder::default().version(Version::V11_2).ids_from(300).start();
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    there.inject(Fault::new(What::TakesAway("x-grafana-org-id")));
    let failed = restore(&keeper, &["--grafana", "other"]).expect(4);
    assert!(failed.stdout.contains("answers for organisation \"Main Org.\""), "{failed:?}");
    assert!(failed.stdout.contains("X-Grafana-Org-Id"), "{failed:?}");
    assert!(failed.stdout.contains("after 1 object was written"), "{failed:?}");
    let writes: Vec<String> = there.writes().iter().map(|request| request.target.clone()).collect();
    assert_eq!(writes, ["/api/orgs"]);
}

#[test]
fn what_a_token_does_not_reach_is_not_said_to_be_missing() {
    let here = sample(Version::V9);
    let token = format!("token = {{ plain = \"{}\" }}", here.token(1, Role::Admin));
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", here.url(), &token)], "");
    export(&keeper);
    let planned = keeper.run(&["restore", JOB, "--grafana", "other", "--dry-run"]);
    assert!(planned.stdout.contains("the token does not reach an organisation \"Second\""), "{planned:?}");
    assert!(!planned.stdout.contains("there is no organisation"), "{planned:?}");
}

#[test]
fn one_is_no_plural_and_a_long_name_widens_no_table() {
    let grafana = Builder::default().version(Version::V9).start();
    let keeper = keeper(&grafana);
    let exported = keeper.run(&["run-now", JOB]);
    assert!(exported.stdout.contains("1 organisation,"), "{exported:?}");
    assert!(!exported.stdout.contains("1 organisations"), "{exported:?}");
    let name = "An organisation ".repeat(10);
    let org = grafana.seed().make("/api/orgs", &json!({ "name": name.trim() }))["orgId"].as_i64().unwrap();
    grafana.seed().org(org).make("/api/folders", &json!({ "uid": "f", "title": "F" }));
    export(&keeper);
    grafana.seed().org(org).ask("DELETE", "/api/folders/f", &Value::Null);
    restore(&keeper, &["--only", "folders"]).expect(0);
    let told = shown(&keeper);
    let longest =
        told.lines().filter(|line| line.contains("write folders of")).map(|line| line.chars().count());
    assert!(longest.max().unwrap() < 120, "{told}");
}

#[test]
fn our_own_files_in_a_folder_are_told_from_damage() {
    let grafana = sample(Version::V9);
    let keeper = keeper(&grafana);
    export(&keeper);
    let unpacked = keeper.folder().join("parent/backup");
    fs::create_dir_all(unpacked.parent().unwrap()).unwrap();
    keeper.run(&["restore", JOB, "--into", unpacked.to_str().unwrap()]).expect(0);
    let packed = keeper.folder().join("packed.tar.gz");
    let tar = Command::new("tar")
        .arg("-czf")
        .arg(&packed)
        .arg("-C")
        .arg(unpacked.parent().unwrap())
        .arg("backup")
        .status();
    assert!(tar.unwrap().success());
    let refused = keeper
        .run(&["restore", "--from", packed.to_str().unwrap(), "--grafana", "main", "--dry-run"])
        .expect(1);
    assert!(refused.stderr.contains("lie in the folder \"backup\""), "{refused:?}");
    assert!(!refused.stderr.contains("damaged"), "{refused:?}");
}
