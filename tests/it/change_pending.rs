//! `change` where somebody has edited files by hand that Prometheus has not loaded: that is told, and what is said to be in
//! force is.

use std::fs;

use crate::change::{config, put as put_config, scene as plain, written};
use crate::change_rules::{group, loaded, pair, put, rules, scene};

#[test]
fn a_live_file_that_was_edited_is_loaded_and_not_said_to_be() {
    let Some((prometheus, watchkeeper)) = scene("'rules/*.yml'") else { return };
    put(&watchkeeper, "a.yml", &format!("groups:\n{}", group("a", "Down", "page"))).expect(0);
    let live = rules(&prometheus).join("a.yml");
    let query = || prometheus.rule_groups()[0]["rules"][0]["query"].clone();
    fs::write(&live, fs::read_to_string(&live).unwrap().replace("up == 0", "(up  ==  1)")).unwrap();
    let plan = watchkeeper.run(&["change", "alert-rule", live.to_str().unwrap(), "--dry-run"]).expect(0);
    assert!(
        plan.stdout.contains("edited since Prometheus loaded it") && plan.stdout.contains("rules/a.yml"),
        "{plan:?}"
    );
    assert_eq!(query(), "up == 0");
    let done = watchkeeper.run(&["change", "alert-rule", live.to_str().unwrap(), "--yes"]).expect(0);
    assert!(!done.stdout.contains("so already"), "{done:?}");
    assert_eq!(query(), "(up == 1)");
    // Written in another way than the server does, and the same all the same.
    let again = watchkeeper.run(&["change", "alert-rule", live.to_str().unwrap(), "--yes"]).expect(0);
    assert!(again.stdout.contains("so already"), "{again:?}");

    let file = prometheus.config_file();
    let text = config(&prometheus);
    let labels = text.replacen("global: {", "global: { external_labels: { site: here },", 1);
    fs::write(&file, &labels).unwrap();
    let plan = watchkeeper.run(&["change", "scrape-interval", "2s", "--dry-run"]).expect(0);
    assert!(
        plan.stdout.contains("edited since Prometheus loaded it") && plan.stdout.contains("prometheus.yml"),
        "{plan:?}"
    );
    put_config(&watchkeeper, &file).expect(0);
    assert!(prometheus.loaded_config().contains("site: here"));
    let plan = watchkeeper.run(&["change", "scrape-interval", "2s", "--dry-run"]).expect(0);
    assert!(!plan.stdout.contains("edited since"), "{plan:?}");
}

#[test]
fn where_nothing_was_written_nothing_is_loaded() {
    let Some((prometheus, watchkeeper)) = plain() else { return };
    let file = prometheus.config_file();
    let before = prometheus.loaded_config();
    let labels = config(&prometheus).replacen("global: {", "global: { external_labels: { site: here },", 1);
    fs::write(&file, format!("rule_files: ['nothing/*.yml']\n{labels}")).unwrap();
    // The folder that the pattern names is not there.
    let dry = put_dry(&watchkeeper, "a.yml").expect(1);
    assert!(dry.stderr.contains("There is no folder") && dry.stderr.contains("mkdir -p"), "{dry:?}");
    put(&watchkeeper, "a.yml", &format!("groups:\n{}", group("a", "Down", "page"))).expect(1);
    let folder = file.parent().unwrap();
    let read_only = watchkeeper.run_read_only(folder, "change scrape-interval 2s --yes").expect(1);
    assert!(read_only.stdout.contains("nothing was written"), "{read_only:?}");
    assert_eq!(prometheus.loaded_config(), before);
    watchkeeper.run(&["status"]).expect(0);
    // What fails then goes back to the file as it was on disk, and is proven by that.
    let twice = "remote_write:\n- url: http://127.0.0.1:1/w\n- url: http://127.0.0.1:1/w\n";
    let edited = config(&prometheus);
    let back = put_config(&watchkeeper, &written(&watchkeeper, &format!("{edited}{twice}"))).expect(1);
    assert!(back.stdout.contains("is back: Prometheus has loaded it"), "{back:?}");
    assert_eq!(config(&prometheus), edited);
    watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(0);
}

fn put_dry(
    watchkeeper: &crate::support::watchkeeper::Watchkeeper,
    name: &str,
) -> crate::support::watchkeeper::Output {
    let file = watchkeeper.folder().join(name);
    fs::write(&file, format!("groups:\n{}", group("a", "Down", "page"))).unwrap();
    watchkeeper.run(&["change", "alert-rule", file.to_str().unwrap(), "--dry-run"])
}

#[test]
fn a_mistake_in_another_file_is_found_before_anything_is_written() {
    let Some((prometheus, watchkeeper)) = scene("'rules/*.yml'") else { return };
    let good = |name: &str, alert: &str| format!("groups:\n{}", group(name, alert, "page"));
    put(&watchkeeper, "a.yml", &good("a", "Down")).expect(0);
    fs::write(
        rules(&prometheus).join("other.yml"),
        "groups:\n- name: o\n  rules:\n  - {alert: O, expr: up ==}\n",
    )
    .unwrap();
    let refused = put(&watchkeeper, "b.yml", &good("b", "B")).expect(1);
    assert!(
        refused.stdout.contains("other.yml") && refused.stdout.contains("as it is on disk now"),
        "{refused:?}"
    );
    assert!(!rules(&prometheus).join("b.yml").exists() && prometheus.last_reload_was_good());
    assert_eq!(loaded(&prometheus), [pair("a", "Down")]);
    // The one that mends it is taken.
    put(&watchkeeper, "other.yml", &good("o", "O")).expect(0);
    put(&watchkeeper, "b.yml", &good("b", "B")).expect(0);
    assert_eq!(loaded(&prometheus).len(), 3);
}
