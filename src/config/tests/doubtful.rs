//! Files that are not wrong, and may not be what was meant.

use std::fs::File;
use std::io::Write as _;

use super::*;

#[test]
fn what_is_doubtful_is_a_warning() {
    let warnings =
        |start: &str, rest: &str| -> Vec<String> { good(start, rest).warnings.iter().map(short).collect() };
    let places = "{ env = \"NAME\" }, { file = \"/path\" } or { credential = \"name\" }";
    assert_eq!(
        warnings(TARGET, "user = \"a\"\npassword = { plain = \"hunter2\" }\ninsecure = true\n"),
        [
            format!("4:12: \"password\" stands here for every reader of the file -> better {places}"),
            "5:12: any certificate is accepted: whoever sits in between reads everything -> better trust the server's own authority with ca_file".into(),
        ]
    );
    let wanted = "3:9: The environment variable T is not set -> needed when this target is used";
    assert_eq!(warnings(TARGET, "token = { env = \"T\" }\n"), [wanted]);
    let second = |schedule: &str| {
        format!(
            "schedule = \"0 2 * * *\"\n[[job]]\nname = \"b\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\nkeep = {{ last = 1 }}\n{schedule}\n"
        )
    };
    let wanted = "14:1: jobs \"a\" and \"b\" use one Prometheus in the same minute, for instance on 1 December 2026 at 02:00 -> one of them has to wait; move it";
    assert_eq!(warnings(JOB, &second("schedule = \"30 0 2 1 * *\"")), [wanted]);
    for harmless in ["", "schedule = \"1 2 * * *\"", "schedule = \"0 2 * * *\"\nenabled = false"] {
        assert_eq!(warnings(JOB, &second(harmless)), Vec::<String>::new(), "{harmless}");
    }
}

#[test]
fn a_schedule_that_does_not_do_what_was_meant_is_warned_about() {
    let job = |name: &str, schedule: &str| {
        format!(
            "[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"{schedule}\"\ntimezone = \"Europe/Berlin\"\n"
        )
    };
    let warnings = |text: &str| -> Vec<String> { good("", text).warnings.iter().map(short).collect() };
    assert_eq!(
        warnings(&job("a", "30 2 * * *")),
        [
            "5:1: job \"a\" when clocks are changed: 02:30 does not come on 28 March 2027, and it runs at 03:00 then; 02:30 comes twice on 31 October 2027, and it runs the first time, at 02:30+02:00 -> it runs once on these days too; to be clear of it, move it to an hour that Europe/Berlin does not change, or set timezone = \"UTC\""
        ]
    );
    assert_eq!(
        warnings(&job("a", "0 4 31 2-6 *")),
        [
            "5:1: job \"a\" does not run in February, April, June, which has no day 31 -> write L for the last day of every month, LW for its last day from Monday to Friday"
        ]
    );
    let leap = "5:1: job \"a\" does not run in February, which has no day 29, but for 29 February of leap years -> write L for the last day of every month, LW for its last day from Monday to Friday";
    assert_eq!(warnings(&job("a", "0 4 29,30 * *")), [leap]);
    assert_eq!(
        warnings(&job("a", "0 4 29 2 *")),
        [
            "5:1: job \"a\" runs in leap years only: others have no 29 February -> `0 0 L 2 *` is the last day of February"
        ]
    );
    for harmless in ["0 4 * * *", "*/5 * * * *", "0 4 28-31 * *", "0 4 L * *", "0 4 31 * MON", "0 1 * * *"] {
        assert_eq!(warnings(&job("a", harmless)), Vec::<String>::new(), "{harmless}");
    }
    assert_eq!(
        warnings(&job("a", "0 4 31W * *")),
        [
            "5:1: job \"a\" does not run in February, April, June, September, November, which has no day 31 -> write L for the last day of every month, LW for its last day from Monday to Friday"
        ]
    );
    let crowd: String = (0..6).map(|n| job(&format!("j{n}"), "0 4 * * *")).collect();
    assert_eq!(
        warnings(&crowd),
        [
            "35:1: 6 jobs start in the same minute, for instance on 27 November 2026 at 04:00, and 2 may run at a time, the rest wait: j0, j1, j2, j3, j4 and 1 more -> write H for the minute, which is another one for each job, or raise max_concurrent"
        ]
    );
    assert_eq!(warnings(&crowd.replace("0 4", "H 4")), Vec::<String>::new());
    assert_eq!(warnings(&format!("max_concurrent = 6\n{crowd}")), Vec::<String>::new());
}

#[test]
fn the_next_change_of_the_clocks_is_the_one_after_now() {
    let warnings = |schedule: &str, zone: &str, now: &str| -> Vec<String> {
        let text = format!(
            "[[job]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"{schedule}\"\ntimezone = \"{zone}\"\n"
        );
        let (path, now) = (Path::new("jobs.toml"), now.parse().unwrap());
        let config = Config::parse(&text, path, &no_env, TimeZone::UTC, Some(now)).unwrap();
        config.warnings.iter().map(|warning| warning.message.clone()).collect()
    };
    let told = |words: &str| vec![format!("job \"a\" when clocks are changed: {words}")];
    for (schedule, now, words) in [
        (
            "30 2 * * *",
            "2030-06-01T00:00:00Z",
            "02:30 comes twice on 27 October 2030, and it runs the first time, at 02:30+02:00; 02:30 does not come on 30 March 2031, and it runs at 03:00 then",
        ),
        (
            "30 2 28 3 *",
            "2026-11-26T00:00:00Z",
            "02:30 does not come on 28 March 2027, and it runs at 03:00 then",
        ),
        (
            "30 2 28 3 *",
            "2027-04-01T00:00:00Z",
            "02:30 does not come on 28 March 2032, and it runs at 03:00 then",
        ),
    ] {
        assert_eq!(warnings(schedule, "Europe/Berlin", now), told(words), "{schedule} from {now}");
    }
    assert_eq!(warnings("30 2 * * *", "UTC", "2026-11-26T00:00:00Z"), Vec::<String>::new());
}

#[test]
fn rules_that_mean_nothing_or_too_much_are_warned_about() {
    let warnings = |keys: &str| -> Vec<String> {
        good(COMMAND, &format!("command = [\"true\"]\n{keys}\n")).warnings.iter().map(short).collect()
    };
    let skipped = "slots that come while a run waits are skipped -> set a jitter of less than 5 m 00 s";
    let long =
        "5:1: job \"c\" may begin 10 m 00 s after its slot (jitter), and the next comes 5 m 00 s later";
    assert_eq!(warnings("schedule = \"*/5 1 * * *\"\njitter = \"10m\""), [format!("{long}: {skipped}")]);
    let queue = warnings("schedule = \"*/5 * * * *\"\njitter = \"10m\"\non_overlap = \"queue\"");
    assert!(queue[0].contains("of the slots that come while a run waits one waits, too"), "{queue:?}");
    assert_eq!(
        warnings("jitter = \"10m\""),
        [
            "5:10: \"jitter\" means nothing without \"schedule\" or \"after\" -> it runs only by `watchkeeper run-now`, and at once; give it a schedule, or remove jitter"
        ]
    );
    assert_eq!(
        warnings("schedule = \"@daily\"\nmax_age = \"1h\"\non_missed = \"skip\""),
        [
            "6:11: \"max_age\" means nothing with on_missed = \"skip\" -> no missed slot is made up for, however young; write on_missed = \"once\" or \"all\", or remove max_age"
        ]
    );
    let other = "[[job]]\nname = \"b\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"@daily\"";
    assert_eq!(
        warnings(&format!("after = [\"b\", \"b\"]\n{other}")),
        ["5:15: \"after\" names \"b\" twice -> once is enough; remove it, or name the job that was meant"]
    );
    for harmless in [
        "schedule = \"*/5 * * * *\"\njitter = \"5m\"",
        "schedule = \"@daily\"\nmax_age = \"1h\"",
        "schedule = \"@daily\"\non_missed = \"skip\"\n[defaults]\nmax_age = \"1h\"",
        &format!("after = [\"b\"]\njitter = \"1m\"\n{other}"),
    ] {
        assert_eq!(warnings(harmless), Vec::<String>::new(), "{harmless}");
    }
}

#[test]
fn more_jobs_in_a_minute_than_may_run_at_a_time_are_warned_about_however_few() {
    let job = |name: &str| {
        format!(
            "[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"0 4 * * *\"\n"
        )
    };
    let warnings = |text: &str| -> Vec<String> {
        good("", text).warnings.iter().map(|warning| warning.message.clone()).collect()
    };
    let three = ["x", "y", "z"].map(job).concat();
    assert_eq!(
        warnings(&three),
        [
            "3 jobs start in the same minute, for instance on 27 November 2026 at 04:00, and 2 may run at a time, the rest wait: x, y, z"
        ]
    );
    assert_eq!(warnings(&["x", "y"].map(job).concat()), Vec::<String>::new());
    assert_eq!(warnings(&format!("max_concurrent = 3\n{three}")), Vec::<String>::new());
}

#[test]
fn a_cleanup_has_the_documented_defaults_and_warns_where_it_deletes_nothing_or_too_much() {
    let cleanup = |rest: &str| {
        let job = "[[job]]\nname = \"c\"\nkind = \"block-cleanup\"\nprometheus = \"main\"\n";
        format!("{job}{rest}\n")
    };
    let config = good(JOB, &cleanup(""));
    assert_eq!(config.warnings, []);
    let JobKind::BlockCleanup(found) = &config.job("c").unwrap().kind else { panic!() };
    assert_eq!(
        (found.older_than, found.max_permille, found.restart),
        (Duration::from_hours(720), 500, false)
    );
    assert_eq!(found.require_backup, RequireBackup::AnyJob);
    let config =
        good(JOB, &cleanup("older_than = \"60d\"\nrequire_backup = \"a\"\nmax_share = 0.25\nrestart = true"));
    let JobKind::BlockCleanup(found) = &config.job("c").unwrap().kind else { panic!() };
    assert_eq!(
        (found.older_than, found.max_permille, found.restart),
        (Duration::from_hours(1440), 250, true)
    );
    assert_eq!(found.require_backup, RequireBackup::Job("a".parse().unwrap()));
    let warnings: Vec<String> = good(TARGET, &cleanup("")).warnings.iter().map(short).collect();
    assert_eq!(
        warnings,
        [
            "6:1: no job backs [prometheus.main] up: job \"c\" will delete nothing -> add a job of kind prometheus-snapshot; what no backup holds is not deleted"
        ]
    );
    let warnings: Vec<String> =
        good(JOB, &cleanup("require_backup = false")).warnings.iter().map(short).collect();
    assert_eq!(warnings, ["12:18: blocks are deleted that no backup holds -> they are gone for good then"]);
}

#[test]
fn backups_on_the_device_of_the_data_are_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let file = folder.path().join("jobs.toml");
    let backups = folder.path().join("backups/not/there/yet");
    let text = format!("backup_dir = {backups:?}\n{TARGET}data_dir = {data:?}\n");
    File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
    let config = Config::check(&file, &no_env, TimeZone::UTC, now()).unwrap();
    let wanted = format!(
        "{}: backup_dir is on the same device as the data of [prometheus.main]\n      = when that disk fails, both are lost: mount another one there",
        file.display()
    );
    let shown: Vec<String> = config.warnings.iter().map(|warning| warning.show(&file).to_string()).collect();
    assert_eq!(shown, [wanted]);
}
