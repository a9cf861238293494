//! `change` of a Prometheus's configuration, against a real one of this host: what is wanted comes into force, and of
//! what fails nothing stays, as the server itself tells.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::proxy::{Fault, Proxy, What};
use crate::support::run;
use crate::support::watchkeeper::{Output, Watchkeeper};

/// An empty server that can be reloaded, and the program.
pub(crate) fn scene() -> Option<(Prometheus, Watchkeeper)> {
    let prometheus = Prometheus::host(Builder::default().without_blocks().reloadable())?;
    let watchkeeper = Watchkeeper::with_config(&prometheus.target());
    Some((prometheus, watchkeeper))
}

pub(crate) fn config(prometheus: &Prometheus) -> String {
    fs::read_to_string(prometheus.config_file()).unwrap()
}

/// The files beside the configuration that a change has kept.
fn kept(prometheus: &Prometheus) -> Vec<PathBuf> {
    let folder = prometheus.config_file().parent().unwrap().to_owned();
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut kept: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|end| end == "bak")).collect();
    kept.sort();
    kept
}

/// Writes a configuration to be put in place, beside jobs.toml.
pub(crate) fn written(watchkeeper: &Watchkeeper, text: &str) -> PathBuf {
    let path = watchkeeper.folder().join("new.yml");
    fs::write(&path, text).unwrap();
    path
}

pub(crate) fn put(watchkeeper: &Watchkeeper, file: &Path) -> Output {
    watchkeeper.run(&["change", "prometheus-config", file.to_str().unwrap(), "--yes"])
}

/// Nothing of a change is left: the file and what the server has loaded are those of before, and no note tells of it.
#[track_caller]
pub(crate) fn is_as_before(prometheus: &Prometheus, watchkeeper: &Watchkeeper, before: &(String, String)) {
    assert_eq!((config(prometheus), prometheus.loaded_config()), *before);
    assert!(prometheus.last_reload_was_good());
    assert!(!watchkeeper.state().join("changes/prometheus-main.json").exists());
    let tmp = prometheus.config_file().with_file_name(".watchkeeper-check.tmp");
    assert!(!tmp.exists(), "what was only checked is gone");
}

#[test]
fn an_interval_is_changed_loaded_and_proven_and_the_rest_of_the_file_stays() {
    let Some((prometheus, watchkeeper)) = scene() else { return };
    let old = config(&prometheus);
    let plan = watchkeeper.run(&["change", "scrape-interval", "2s", "--dry-run"]).expect(0);
    assert!(plan.stdout.contains("-global: { scrape_interval: 1s,"), "{plan:?}");
    assert!(plan.stdout.contains("+global: { scrape_interval: 2s,"), "{plan:?}");
    assert_eq!((config(&prometheus), kept(&prometheus).len()), (old.clone(), 0));
    watchkeeper.run(&["change", "scrape-interval", "2s"]).expect(2);

    let done = watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(0);
    assert_eq!(config(&prometheus), old.replacen("scrape_interval: 1s", "scrape_interval: 2s", 1));
    assert!(prometheus.loaded_config().contains("global:\n  scrape_interval: 2s"), "{done:?}");
    let kept = kept(&prometheus);
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), old);
    assert!(done.stdout.contains(kept[0].to_str().unwrap()), "{done:?}");
    assert!(done.stdout.contains("promtool of this host finds nothing wrong"), "{done:?}");
    let runs = watchkeeper.run_json(&["history", "change-prometheus-main"]).expect(0).json();
    assert_eq!(
        (&runs["runs"][0]["kind"], &runs["runs"][0]["outcome"]),
        (&"prometheus-change".into(), &"done".into())
    );

    // The same again is nothing to do.
    let again = watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(0);
    assert!(again.stdout.contains("so already"), "{again:?}");

    let job = ["change", "scrape-interval", "3s", "--job", "live"];
    let plan = watchkeeper.run_json(&[&job[..], &["--dry-run"]].concat()).expect(0).json();
    assert!(plan["plan"]["diff"].as_str().unwrap().contains("+  scrape_interval: 3s"), "{plan}");
    let run = watchkeeper.run_json(&[&job[..], &["--yes"]].concat()).expect(0).json();
    assert_eq!(run["runs"][0]["outcome"], "done", "{run}");
    let loaded = prometheus.loaded_config();
    assert!(loaded.split_once("job_name: live").unwrap().1.contains("scrape_interval: 3s"), "{loaded}");
    let jobs = watchkeeper.run(&["change", "scrape-interval", "3s", "--job", "nope", "--yes"]).expect(2);
    assert!(jobs.stderr.contains("the scrape jobs are: prometheus, live"), "{jobs:?}");
    let timeout = watchkeeper.run(&["change", "scrape-interval", "500ms", "--yes"]).expect(1);
    assert!(timeout.stderr.contains("scrape_timeout of global, 1s, would be above"), "{timeout:?}");
    watchkeeper.run(&["change", "scrape-interval", "1.5m", "--yes"]).expect(2);

    // What was kept brings the old configuration back.
    put(&watchkeeper, &kept[0]).expect(0);
    assert_eq!(config(&prometheus), old);
}

#[test]
fn what_is_wrong_with_a_configuration_is_found_before_the_server_is_given_it() {
    let Some((prometheus, watchkeeper)) = scene() else { return };
    let before = (config(&prometheus), prometheus.loaded_config());
    let broken = put(&watchkeeper, &written(&watchkeeper, "global: {a: [\n")).expect(1);
    assert!(broken.stderr.contains("is no YAML: line "), "{broken:?}");
    let unknown = put(&watchkeeper, &written(&watchkeeper, &format!("{}bogus: 1\n", before.0))).expect(1);
    assert!(
        unknown.stdout.contains("promtool refuses it: ") && unknown.stdout.contains("bogus"),
        "{unknown:?}"
    );
    let rules = put(&watchkeeper, &written(&watchkeeper, &format!("rule_files: [none.yml]\n{}", before.0)));
    rules.expect(1);
    is_as_before(&prometheus, &watchkeeper, &before);
    assert!(kept(&prometheus).is_empty(), "nothing was begun");
    let json = watchkeeper.run_json(&["history", "change-prometheus-main"]).expect(0).json();
    assert_eq!(json["runs"][0]["outcome"], "failed", "{json}");
    put(&watchkeeper, Path::new("/no/such/file")).expect(2);
}

#[test]
fn what_promtool_lets_pass_and_the_server_refuses_is_taken_back() {
    let Some((prometheus, watchkeeper)) = scene() else { return };
    let before = (config(&prometheus), prometheus.loaded_config());
    let twice = "remote_write:\n- url: http://127.0.0.1:1/w\n- url: http://127.0.0.1:1/w\n";
    let refused = put(&watchkeeper, &written(&watchkeeper, &format!("{}{twice}", before.0))).expect(1);
    assert!(
        refused.stdout.contains("finds nothing wrong") && refused.stdout.contains("refuses to load it"),
        "{refused:?}"
    );
    assert!(refused.stdout.contains("the old configuration is back"), "{refused:?}");
    is_as_before(&prometheus, &watchkeeper, &before);
    let json = watchkeeper.run_json(&["history", "change-prometheus-main"]).expect(0).json();
    assert_eq!(json["runs"][0]["outcome"], "failed", "{json}");
}

#[test]
fn where_nobody_can_have_it_loaded_nothing_is_begun() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    let watchkeeper = Watchkeeper::with_config(&prometheus.target());
    let before = (config(&prometheus), prometheus.loaded_config());
    let output = watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(1);
    assert!(
        output.stderr.contains("without --web.enable-lifecycle") && output.stderr.contains("unit ="),
        "{output:?}"
    );
    is_as_before(&prometheus, &watchkeeper, &before);
}

#[test]
fn where_reload_is_switched_off_the_reload_of_the_unit_does_it() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[prometheus.main]\nurl = \"{}\"\nservice = {{ unit = \"prometheus.service\" }}\n",
        prometheus.url()
    ));
    let folder = prometheus.control_program().parent().unwrap().display().to_string();
    let systemctl = watchkeeper.programs().join("systemctl");
    fs::create_dir(watchkeeper.programs()).unwrap();
    let script = "#!/bin/sh\n[ \"$*\" = 'reload -- prometheus.service' ] && kill -HUP";
    fs::write(&systemctl, format!("{script} $(cat {folder}/prometheus.pid)\n")).unwrap();
    run(Command::new("chmod").arg("755").arg(&systemctl));
    let done = watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(0);
    assert!(done.stdout.contains("by its unit's reload"), "{done:?}");
    assert!(prometheus.loaded_config().contains("global:\n  scrape_interval: 2s"));
}

#[test]
fn a_file_that_cannot_be_written_stays_and_the_server_keeps_what_it_has() {
    let Some((prometheus, watchkeeper)) = scene() else { return };
    let before = (config(&prometheus), prometheus.loaded_config());
    let folder = prometheus.config_file().parent().unwrap().to_owned();
    let output = watchkeeper.run_read_only(&folder, "change scrape-interval 2s --yes").expect(1);
    assert!(
        output.stdout.contains("Read-only file system") && output.stdout.contains("nothing was written"),
        "{output:?}"
    );
    is_as_before(&prometheus, &watchkeeper, &before);
}

/// The server behind a proxy, and a change that is killed when it has written, and before the server hears of it.
pub(crate) fn killed(prometheus: &Prometheus, proxy: &Proxy) -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config(&format!("[prometheus.main]\nurl = \"{}\"\n", proxy.url()));
    proxy.inject(Fault::new(What::HalfOpen).at("POST /-/reload"));
    let mut child = watchkeeper.spawn(&["change", "scrape-interval", "2s", "--yes"]);
    proxy.wait_hit();
    child.kill().unwrap();
    child.wait().unwrap();
    proxy.heal();
    assert!(config(prometheus).contains("scrape_interval: 2s"));
    watchkeeper
}

#[test]
fn a_change_that_was_killed_is_found_and_taken_back_before_the_next() {
    let Some((prometheus, _)) = scene() else { return };
    let before = (config(&prometheus), prometheus.loaded_config());
    let proxy = Proxy::before(&prometheus.url());
    let watchkeeper = killed(&prometheus, &proxy);
    let told = watchkeeper.run(&["change", "scrape-interval", "3s", "--dry-run"]).expect(0);
    assert!(
        told.stderr.contains("A change of Prometheus main was cut") && told.stderr.contains("2s (was 1s)"),
        "{told:?}"
    );
    assert!(config(&prometheus).contains("scrape_interval: 2s"), "only told");
    // What is asked for cannot be done, but what was cut is settled.
    watchkeeper.run(&["change", "scrape-interval", "500ms", "--yes"]).expect(1);
    is_as_before(&prometheus, &watchkeeper, &before);

    let watchkeeper = killed(&prometheus, &proxy);
    let done = watchkeeper.run(&["change", "scrape-interval", "4s", "--yes"]).expect(0);
    assert!(done.stdout.contains("was taken back") && done.stdout.contains("4s (was 1s)"), "{done:?}");
    assert!(prometheus.loaded_config().contains("global:\n  scrape_interval: 4s"));
}

#[test]
fn what_somebody_has_edited_since_a_change_was_killed_is_not_written_over() {
    let Some((prometheus, _)) = scene() else { return };
    let proxy = Proxy::before(&prometheus.url());
    let watchkeeper = killed(&prometheus, &proxy);
    let edited = format!("# by hand\n{}", config(&prometheus));
    fs::write(prometheus.config_file(), &edited).unwrap();
    let output = watchkeeper.run(&["change", "scrape-interval", "3s", "--yes"]).expect(1);
    assert!(
        output.stdout.contains("has been changed by somebody since") && output.stdout.contains(".bak"),
        "{output:?}"
    );
    assert_eq!(config(&prometheus), edited);
}
