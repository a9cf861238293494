//! What promtool looks at before `change` writes it: Prometheus never loads that, a killed check leaves nothing for long, and
//! a plan that is only shown is looked at, too.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use crate::change::{config, put as put_config, scene as plain, written};
use crate::change_rules::{group, loaded, put, rules, scene};
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{run, wait_until};

const BROKEN: &str = "groups:\n- name: b\n  rules:\n  - alert: B\n    expr: up ==\n";

/// Has promtool wait as long as a file is there.
fn slow_promtool(watchkeeper: &Watchkeeper) {
    let folder = watchkeeper.programs();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("hold"), "").unwrap();
    let real = run(Command::new("which").arg("promtool"));
    let place = folder.display();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = check ] && echo \"$@\" >{place}/asked\nwhile [ -e {place}/hold ]; do sleep 0.05; done\nexec {real} \"$@\"\n"
    );
    fs::write(folder.join("promtool"), script).unwrap();
    run(Command::new("chmod").arg("755").arg(folder.join("promtool")));
}

/// Kills a change while promtool looks, and gives the file that it looks at.
fn killed(watchkeeper: &Watchkeeper, mut child: Child) -> String {
    let asked = watchkeeper.programs().join("asked");
    let said = || fs::read_to_string(&asked).unwrap_or_default();
    wait_until("promtool is asked", Duration::from_mins(1), || said().ends_with('\n'));
    child.kill().unwrap();
    child.wait().unwrap();
    let path = said().split_whitespace().last().unwrap().to_owned();
    assert!(Path::new(&path).exists());
    fs::remove_file(watchkeeper.programs().join("hold")).unwrap();
    path
}

#[test]
fn a_file_that_is_only_checked_is_never_loaded_and_goes_with_the_next_change() {
    let Some((prometheus, watchkeeper)) = scene("'rules/*', 'rules/.*', '*.tmp'") else { return };
    let file = watchkeeper.folder().join("bad.yml");
    fs::write(&file, BROKEN).unwrap();
    slow_promtool(&watchkeeper);
    let left =
        killed(&watchkeeper, watchkeeper.spawn(&["change", "alert-rule", file.to_str().unwrap(), "--yes"]));
    assert_eq!(fs::read_dir(rules(&prometheus)).unwrap().count(), 0, "{left}");
    prometheus.stop();
    prometheus.start();
    prometheus.wait_ready();
    put(&watchkeeper, "a.yml", &format!("groups:\n{}", group("a", "Down", "page"))).expect(0);
    assert!(!Path::new(&left).exists(), "{left}");
    let names: Vec<_> =
        fs::read_dir(rules(&prometheus)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["a.yml"]);

    fs::write(watchkeeper.programs().join("hold"), "").unwrap();
    fs::remove_file(watchkeeper.programs().join("asked")).unwrap();
    let left = killed(&watchkeeper, watchkeeper.spawn(&["change", "scrape-interval", "2s", "--yes"]));
    let folder = prometheus.config_file().parent().unwrap().to_owned();
    assert!(Path::new(&left).starts_with(&folder) && !left.contains(".tmp"), "{left}");
    prometheus.stop();
    prometheus.start();
    prometheus.wait_ready();
    watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(0);
    assert!(!Path::new(&left).exists(), "{left}");
    assert_eq!(loaded(&prometheus).len(), 1);
}

#[test]
fn a_plan_that_is_only_shown_is_checked_and_shows_no_password() {
    let Some((prometheus, watchkeeper)) = plain() else { return };
    let before = config(&prometheus);
    let dry = |text: &str| {
        let file = written(&watchkeeper, text);
        watchkeeper.run(&["change", "prometheus-config", file.to_str().unwrap(), "--dry-run"])
    };
    let bogus = dry(&format!("{before}bogus: 1\n")).expect(1);
    assert!(
        bogus.stdout.contains("+bogus: 1") && bogus.stderr.contains("promtool refuses it: "),
        "{bogus:?}"
    );
    assert!(!bogus.stderr.contains("YAML file it"), "{bogus:?}");
    let secret = format!("{before}  basic_auth: {{ username: u, password: S3CRETPW }}\n");
    let shown = dry(&secret).expect(0);
    assert!(
        shown.stdout.contains("finds nothing wrong") && shown.stdout.contains("<another secret>"),
        "{shown:?}"
    );
    assert!(!shown.stdout.contains("S3CRETPW"), "{shown:?}");
    let done = put_config(&watchkeeper, &written(&watchkeeper, &secret)).expect(0);
    assert!(!format!("{done:?}").contains("S3CRETPW"), "{done:?}");
    assert_eq!(config(&prometheus), secret);
}

#[test]
fn what_cannot_be_meant_is_told_as_what_it_is() {
    let Some((_prometheus, watchkeeper)) = scene("'rules/*.yml'") else { return };
    let negative = watchkeeper.run(&["change", "scrape-interval", "-5s", "--dry-run"]).expect(2);
    assert!(negative.stderr.contains("\"-5s\" is no length of time"), "{negative:?}");
    let file = watchkeeper.folder().join("a.yml");
    fs::write(&file, format!("groups:\n{}", group("a", "Down", "page"))).unwrap();
    for name in ["*.yml", ".hid.yml", "a\nb.yml", "a[1].yml"] {
        let odd = watchkeeper.run(&["change", "alert-rule", file.to_str().unwrap(), "--name", name, "--yes"]);
        assert!(odd.expect(2).stderr.contains("is no name of a file"), "{name:?}");
    }
}
