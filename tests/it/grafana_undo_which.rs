//! Which restore an undo takes back: the newest one of this server, whichever backup that was of, and no other.

use std::fs;

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Fault, Version, What};
use crate::support::grafana_keeper::{
    ADMIN, JOB, dashboards_of, export, keeper, keeper_of, newest, restore, sample, target,
    with_one_in_the_way,
};
use crate::support::watchkeeper::Watchkeeper;

const HOSTS: &str = "/api/dashboards/uid/hosts";

/// The command that the report of a restore names, as arguments.
fn printed_undo(report: &str) -> Vec<String> {
    let line = report.lines().find(|line| line.contains("--undo`")).unwrap_or_else(|| panic!("{report}"));
    let command = line.split('`').nth(1).unwrap();
    let words = command.split(' ').skip(1).map(str::to_owned);
    words.chain(["--yes".to_owned()]).collect()
}

fn run(keeper: &Watchkeeper, arguments: &[String]) -> crate::support::watchkeeper::Output {
    keeper.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn another_server_that_has_the_name_by_now_is_left_alone() {
    let (grafana, another) = (sample(Version::V11_2), sample(Version::V11_2));
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.seed().ask("DELETE", HOSTS, &Value::Null);
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    let config = fs::read_to_string(keeper.config()).unwrap();
    fs::write(keeper.config(), config.replace(&grafana.url(), &another.url())).unwrap();
    another.forget_requests();
    let refused = keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(1);
    for said in [
        format!("The restore was one of {}, and [grafana.main] is {} now", grafana.url(), another.url()),
        format!("set url of [grafana.main] back to {}", grafana.url()),
        "watchkeeper restore grafana-before-restore/2".to_owned(),
    ] {
        assert!(refused.stderr.contains(&said), "{said}\n{refused:?}");
    }
    assert!(another.writes().is_empty(), "{:?}", another.writes());
    fs::write(keeper.config(), config).unwrap();
    keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    assert!(!dashboards_of(&grafana).contains(&"hosts".to_owned()));
}

#[test]
fn what_was_kept_is_restored_by_its_name_and_the_printed_command_takes_just_that_back() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.seed().ask("DELETE", HOSTS, &Value::Null);
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    grafana.seed().ask("DELETE", "/api/dashboards/uid/overview", &Value::Null);
    let kept = newest(&keeper.store_of("grafana-before-restore"), ".json");
    let kept = format!("grafana-before-restore/{}", kept.file_stem().unwrap().to_str().unwrap());
    let restored = keeper.run(&["restore", &kept, "--only", "dashboards/overview", "--yes"]).expect(0);
    let all = dashboards_of(&grafana);
    assert!(all.contains(&"hosts".to_owned()) && all.contains(&"overview".to_owned()), "{all:?}");
    run(&keeper, &printed_undo(&restored.stdout)).expect(0);
    let left = dashboards_of(&grafana);
    assert!(left.contains(&"hosts".to_owned()) && !left.contains(&"overview".to_owned()), "{left:?}");
}

#[test]
fn a_restore_on_a_host_without_a_job_is_taken_back_by_the_printed_command_also_when_a_job_is_there_later() {
    let (here, there) = (sample(Version::V11_2), Builder::default().version(Version::V11_2).start());
    let keeper = keeper(&here);
    export(&keeper);
    let archive = newest(&keeper.store_of(JOB), ".tar.gz").display().to_string();
    let fresh = Watchkeeper::with_config(&target("new", &there.url(), ADMIN));
    let from = |only: &str| {
        let arguments = ["restore", "--from", &archive, "--grafana", "new", "--only", only, "--yes"];
        let restored = fresh.run(&arguments);
        assert!(matches!(restored.code, 0 | 3), "{restored:?}");
        restored.stdout
    };
    from("folders");
    let printed = printed_undo(&from("dashboards/overview"));
    assert!(!dashboards_of(&there).is_empty());
    run(&fresh, &printed).expect(0);
    assert_eq!(dashboards_of(&there), [""; 0]);
    let printed = printed_undo(&from("dashboards/overview"));
    let job =
        "[[job]]\nname = \"nightly\"\nkind = \"grafana-export\"\ngrafana = \"new\"\nkeep = { last = 9 }\n";
    fresh.configure(&(target("new", &there.url(), ADMIN) + job));
    run(&fresh, &printed).expect(0);
    assert_eq!(dashboards_of(&there), [""; 0]);
}

#[test]
fn what_was_kept_and_is_damaged_is_named_and_no_older_restore_is_taken_back_for_it() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    for dashboard in [HOSTS, "/api/dashboards/uid/overview"] {
        grafana.seed().ask("DELETE", dashboard, &Value::Null);
        restore(&keeper, &["--only", "dashboards"]).expect(0);
    }
    grafana.forget_requests();
    let shelf = keeper.store_of("grafana-before-restore");
    let (manifest, archive) = (newest(&shelf, ".json"), newest(&shelf, ".tar.gz"));
    let undo = || keeper.run(&["restore", JOB, "--undo", "--yes"]);
    for path in [&archive, &manifest] {
        let whole = fs::read(path).unwrap();
        fs::write(path, &whole[..whole.len() / 2]).unwrap();
        let refused = undo().expect(1);
        let name = manifest.file_name().unwrap().to_str().unwrap();
        assert!(refused.stderr.contains("damaged") && refused.stderr.contains(name), "{refused:?}");
        assert!(refused.stderr.contains("nothing was taken back"), "{refused:?}");
        fs::write(path, whole).unwrap();
    }
    fs::rename(&manifest, manifest.with_extension("hidden")).unwrap();
    let refused = undo().expect(1);
    assert!(refused.stderr.contains("its manifest is missing"), "{refused:?}");
    assert!(grafana.writes().is_empty(), "{:?}", grafana.writes());
}

#[test]
fn another_selection_that_ends_leaves_an_unfinished_restore_one_that_is_not_finished() {
    for more in [["--only", "folders"], ["--only", "dashboards/hosts"]] {
        let (_here, there, keeper) = with_one_in_the_way();
        let other = |more: &[&str]| restore(&keeper, &[&["--grafana", "other"], more].concat());
        other(&[]).expect(4);
        let all = dashboards_of(&there);
        let has_nothing_to_do = more[1] == "folders";
        if !has_nothing_to_do {
            there.seed().ask("DELETE", HOSTS, &Value::Null);
        }
        other(&more).expect(0);
        assert_eq!(dashboards_of(&there), all);
        there.seed().ask("DELETE", "/api/dashboards/uid/postgres", &Value::Null);
        other(&[]).expect(4);
        let undone = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]);
        assert!(matches!(undone.code, 0 | 3), "{undone:?}");
        assert_eq!(dashboards_of(&there), [""; 0], "{more:?}: as before the first one");
        let nothing = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]).expect(1);
        assert!(nothing.stderr.contains("There is no restore"), "{nothing:?}");
    }
}

#[test]
fn another_archive_at_the_same_path_does_not_finish_the_restore_of_the_first() {
    let (here, there, keeper) = with_one_in_the_way();
    let archive = keeper.folder().join("moved.tar.gz");
    let from = |more: &[&str]| {
        let path = archive.display().to_string();
        keeper.run(&[&["restore", "--from", &path, "--grafana", "other", "--yes"], more].concat())
    };
    fs::copy(newest(&keeper.store_of(JOB), ".tar.gz"), &archive).unwrap();
    from(&[]).expect(4);
    let all = dashboards_of(&there);
    here.seed().make("/api/dashboards/db", &json!({ "dashboard": { "uid": "late", "title": "Late" } }));
    export(&keeper);
    fs::copy(newest(&keeper.store_of(JOB), ".tar.gz"), &archive).unwrap();
    from(&[]).expect(4);
    assert_eq!(dashboards_of(&there).len(), all.len() + 1);
    let undone = keeper.run(&["restore", "--grafana", "other", "--undo", "--yes"]);
    assert!(matches!(undone.code, 0 | 3), "{undone:?}");
    assert_eq!(dashboards_of(&there), all, "only the second one");
}

#[test]
fn an_undo_that_fails_says_what_to_do_about_an_undo() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper_of(&[("main", grafana.url(), ADMIN)], "");
    export(&keeper);
    for dashboard in [HOSTS, "/api/dashboards/uid/overview"] {
        grafana.seed().ask("DELETE", dashboard, &Value::Null);
    }
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    for (what, status) in
        [(What::answers(403, "no"), 4), (What::unavailable(), 4), (What::answers(401, "no"), 4)]
    {
        grafana.inject(Fault::new(what).on("DELETE", "/api/dashboards/uid/overview"));
        let failed = keeper.run(&["restore", JOB, "--undo", "--yes"]);
        assert!(failed.code == status || failed.code == 1, "{failed:?}");
        let said = format!("{}{}", failed.stdout, failed.stderr);
        assert!(said.contains("--undo` again: it writes only"), "{said}");
        assert!(!said.contains("--exclude") && !said.contains("run the restore again"), "{said}");
        grafana.heal();
    }
    keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    assert!(!dashboards_of(&grafana).contains(&"overview".to_owned()));
}
