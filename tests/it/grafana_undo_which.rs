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
fn all_that_is_left_of_what_is_damaged_is_named_and_once_it_is_moved_away_the_one_before_is_taken_back() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    let (hosts, overview, postgres) = (HOSTS, "/api/dashboards/uid/overview", "/api/dashboards/uid/postgres");
    let shelf = keeper.store_of("grafana-before-restore");
    for dashboard in [hosts, overview, postgres] {
        grafana.seed().ask("DELETE", dashboard, &Value::Null);
        restore(&keeper, &["--only", "dashboards"]).expect(0);
    }
    keeper.run(&["verify", "grafana-before-restore"]).expect(0);
    let names = fs::read_dir(&shelf).unwrap().map(|entry| entry.unwrap().path());
    let mut archives: Vec<_> = names.filter(|path| path.to_string_lossy().ends_with(".tar.gz")).collect();
    archives.sort_by_key(|path| path.to_string_lossy().strip_suffix(".tar.gz").unwrap().to_owned());
    for archive in &archives[1..] {
        let whole = fs::read(archive).unwrap();
        fs::write(archive, &whole[..whole.len() / 2]).unwrap();
    }
    let refused = keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(1);
    let hint = refused.stderr.split("once ").nth(1).unwrap().split(" are moved away").next().unwrap();
    let files: Vec<&str> = hint.split(", ").collect();
    assert_eq!(files.len(), 6, "{hint}");
    for ending in [".tar.gz", ".state.json"] {
        assert_eq!(files.iter().filter(|file| file.ends_with(ending)).count(), 2, "{hint}");
    }
    for file in files {
        fs::rename(file, keeper.folder().join(file.rsplit('/').next().unwrap())).unwrap();
    }
    keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    assert_eq!(dashboards_of(&grafana), ["overview", "postgres"]);
}

#[test]
fn what_was_kept_is_taken_back_by_the_name_of_its_folder_without_the_only_grafana_being_named() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.seed().ask("DELETE", HOSTS, &Value::Null);
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    keeper.run(&["restore", "grafana-before-restore", "--undo", "--yes"]).expect(0);
    assert!(!dashboards_of(&grafana).contains(&"hosts".to_owned()));
    // Of several it is the one that what is kept came from.
    let another = sample(Version::V11_2);
    let job =
        "[[job]]\nname = \"grafana\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = { last = 9 }\n";
    let targets = target("main", &grafana.url(), ADMIN) + &target("another", &another.url(), ADMIN);
    keeper.configure(&(targets + job));
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    another.forget_requests();
    keeper.run(&["restore", "grafana-before-restore", "--undo", "--yes"]).expect(0);
    assert!(!dashboards_of(&grafana).contains(&"hosts".to_owned()));
    assert!(another.requests().is_empty(), "{:?}", another.requests());
}

#[test]
fn a_new_server_at_the_old_url_is_left_alone() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.seed().ask("DELETE", HOSTS, &Value::Null);
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    // The same address, with a new database, made a day later.
    grafana.wipe();
    grafana.seed().user_made("admin", "2030-01-01T00:00:00Z");
    grafana
        .seed()
        .make("/api/dashboards/db", &json!({ "dashboard": { "uid": "hosts", "title": "Of the new one" } }));
    grafana.forget_requests();
    for undo in [["--undo", "--dry-run"], ["--undo", "--yes"]] {
        let refused = keeper.run(&[&["restore", JOB], &undo[..]].concat()).expect(1);
        for said in [
            "The restore was one of another Grafana at",
            "its user admin was made 20",
            "that of now 2030-01-01T00:00:00Z: nothing was taken back",
            "watchkeeper restore grafana-before-restore/2",
        ] {
            assert!(refused.stderr.contains(said), "{said}\n{refused:?}");
        }
    }
    assert!(grafana.writes().is_empty(), "{:?}", grafana.writes());
    // A restore to the new one is one of its own, and is taken back as that.
    let restored = restore(&keeper, &["--only", "folders"]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    let undone = keeper.run(&["restore", JOB, "--undo", "--yes"]);
    assert!(matches!(undone.code, 0 | 3), "{undone:?}");
    assert_eq!(dashboards_of(&grafana), ["hosts"]);
}

#[test]
fn a_new_server_at_the_old_url_does_not_finish_what_was_cut_on_the_old_one() {
    let (_here, there, keeper) = with_one_in_the_way();
    let other = |more: &[&str]| restore(&keeper, &[&["--grafana", "other"], more].concat());
    other(&[]).expect(4);
    there.wipe();
    there.seed().user_made("admin", "2030-01-01T00:00:00Z");
    let own = json!({ "dashboard": { "uid": "hosts", "title": "Of the new one" } });
    there.seed().make("/api/dashboards/db", &own);
    let restored = other(&[]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    let undone = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]);
    assert!(matches!(undone.code, 0 | 3), "{undone:?}");
    assert_eq!(dashboards_of(&there), ["hosts"]);
    assert_eq!(there.contents()["orgs"]["Main Org."]["dashboards"]["hosts"]["title"], "Of the new one");
}

#[test]
fn a_retry_that_leaves_out_what_failed_is_taken_back_to_before_the_first_try() {
    for (first, second) in [
        (vec![], vec!["--exclude", "data-sources/loki", "--exclude", "correlations"]),
        // More than the first one was to bring is all of it, too.
        (
            vec![
                "--only",
                "dashboards",
                "--only",
                "data-sources",
                "--only",
                "folders",
                "--only",
                "library-panels",
            ],
            vec!["--exclude", "data-sources/loki", "--exclude", "correlations"],
        ),
    ] {
        let (_here, there, keeper) = with_one_in_the_way();
        let other = |more: &[&str]| restore(&keeper, &[&["--grafana", "other"], more].concat());
        other(&first).expect(4);
        there.seed().ask("DELETE", HOSTS, &Value::Null);
        let retried = other(&second);
        assert!(matches!(retried.code, 0 | 3), "{retried:?}");
        assert!(dashboards_of(&there).contains(&"hosts".to_owned()));
        assert!(!retried.stdout.contains("was not finished"), "{retried:?}");
        let undone = run(&keeper, &printed_undo(&retried.stdout));
        assert!(matches!(undone.code, 0 | 3), "{undone:?}");
        assert_eq!(
            dashboards_of(&there),
            [""; 0],
            "{first:?} {second:?}: as before the first one\n{undone:?}"
        );
        let said = format!("{}{}", undone.stdout, undone.stderr);
        assert!(!said.contains("people"), "what it was cut in is no edit: {said}");
        run(&keeper, &printed_undo(&retried.stdout)).expect(1);
    }
}

#[test]
fn a_part_that_is_restored_while_the_whole_is_unfinished_says_that_there_is_more_to_take_back() {
    let (_here, there, keeper) = with_one_in_the_way();
    let other = |more: &[&str]| restore(&keeper, &[&["--grafana", "other"], more].concat());
    other(&[]).expect(4);
    there.seed().ask("DELETE", HOSTS, &Value::Null);
    let part = other(&["--only", "dashboards/hosts"]).expect(0);
    let says = "that is what a restore of grafana/2";
    assert!(
        part.stdout.contains(says) && part.stdout.contains("the same once more takes that one back"),
        "{part:?}"
    );
    run(&keeper, &printed_undo(&part.stdout)).expect(0);
    let left = dashboards_of(&there);
    assert!(!left.contains(&"hosts".to_owned()) && left.contains(&"overview".to_owned()), "{left:?}");
    let undone = run(&keeper, &printed_undo(&part.stdout));
    assert!(matches!(undone.code, 0 | 3), "{undone:?}");
    assert_eq!(dashboards_of(&there), [""; 0]);
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
