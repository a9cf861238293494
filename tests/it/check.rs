//! `check`: what it counts, and what it says of a server that does not answer.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

use crate::support::scratch;
use crate::support::watchkeeper::Watchkeeper;

/// A Prometheus that nobody is at, backed up and cleaned up.
fn of_nobody() -> Watchkeeper {
    Watchkeeper::with_config(&format!(
        "[prometheus.main]\nurl = \"http://127.0.0.1:{}\"\n\
         [[job]]\nname = \"p\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\nkeep = {{ last = 5 }}\n\
         [[job]]\nname = \"c\"\nkind = \"block-cleanup\"\nprometheus = \"main\"\nolder_than = \"30d\"\n",
        scratch::free_port()
    ))
}

#[test]
fn nothing_is_said_of_the_retention_of_a_server_that_does_not_answer() {
    let found = of_nobody().run(&["check", "--online"]).expect(1).stdout;
    assert!(!found.contains("Prometheus itself deletes"), "{found}");
    assert!(found.contains("the server does not answer, so what it deletes by itself"), "{found}");
}

#[test]
fn the_headline_counts_all_that_is_told_below_it() {
    let watchkeeper = of_nobody();
    let found = watchkeeper.run(&["check", "--online"]).expect(1).stdout;
    let (head, below) = found.split_once('\n').unwrap();
    let told = |word: &str| below.lines().filter(|line| line.starts_with(word)).count();
    let (problems, warnings) = (told("  PROBLEM"), told("  warning") + told("warning:"));
    assert!(problems > 0 && warnings > 0, "{found}");
    let counted =
        |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let wanted = format!(": 2 jobs, {}, {}", counted(problems, "problem"), counted(warnings, "warning"));
    assert!(head.ends_with(&wanted), "{found}");

    watchkeeper.configure("[[job]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"true\"]\n");
    let found = watchkeeper.run(&["check"]).expect(0).stdout;
    assert!(found.lines().next().unwrap().ends_with(": 1 job, no errors"), "{found}");
}

#[test]
fn where_nobody_would_learn_of_a_failure_it_is_said_what_to_add_and_that_is_no_failure() {
    const JOB: &str = "[[job]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"true\"]\n";
    let watchkeeper = Watchkeeper::with_config(JOB);
    let found = watchkeeper.run(&["check"]).expect(0).stdout;
    assert!(
        found.contains("note: nobody is told when a job fails") && found.contains("[notify.NAME]"),
        "{found}"
    );
    let json = watchkeeper.run_json(&["check"]).expect(0).json();
    assert_eq!(json["notes"].as_array().unwrap().len(), 1, "{json}");
    for somebody in [
        "[notify.ops]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n",
        "[metrics]\nlisten = \"127.0.0.1:9469\"\n",
    ] {
        watchkeeper.configure(&(JOB.to_owned() + somebody));
        let found = watchkeeper.run(&["check"]).expect(0).stdout;
        assert!(!found.contains("note:"), "{found}");
    }
    watchkeeper.configure("");
    assert!(!watchkeeper.run(&["check"]).stdout.contains("note:"), "there is no job that could fail");
}

#[test]
fn all_secrets_of_a_notifier_that_are_not_there_are_told_at_once() {
    let watchkeeper = Watchkeeper::with_config(
        "[notify.phone]\ntype = \"ntfy\"\ntopic = { env = \"NO_TOPIC\" }\ntoken = { env = \"NO_TOKEN\" }\n\
         [[job]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"true\"]\n",
    );
    let found = watchkeeper.run(&["check", "--online"]).expect(1).stdout;
    assert!(found.contains("NO_TOPIC is not set") && found.contains("NO_TOKEN is not set"), "{found}");
}

#[test]
fn a_link_of_another_user_on_the_way_to_a_folder_is_a_problem_as_it_is_for_every_other_command() {
    const OTHER: u32 = 47_111;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make a link for somebody else");
        return;
    }
    let watchkeeper = Watchkeeper::with_config("");
    let shared = watchkeeper.folder().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    for (name, folder) in [("b", watchkeeper.backups_folder()), ("s", watchkeeper.state())] {
        symlink(&folder, shared.join(name)).unwrap();
        lchown(shared.join(name), Some(OTHER), Some(OTHER)).unwrap();
    }
    let own = |folder: &std::path::Path| folder.display().to_string();
    for (key, own, link) in [
        ("backup_dir", own(&watchkeeper.backups_folder()), shared.join("b")),
        ("state_dir", own(&watchkeeper.state()), shared.join("s")),
    ] {
        watchkeeper.configure("[[job]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"true\"]\n");
        let text = fs::read_to_string(watchkeeper.config()).unwrap();
        fs::write(watchkeeper.config(), text.replace(&own, &link.display().to_string())).unwrap();
        for words in [&["check"][..], &["check", "--online"]] {
            let found = watchkeeper.run(words).expect(1).stdout;
            let said = format!("{} is a symbolic link of another user", link.display());
            assert!(found.contains(&format!("{key} {}", link.display())) && found.contains(&said), "{found}");
        }
    }
}
