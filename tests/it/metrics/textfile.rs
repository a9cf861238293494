//! The file for node_exporter, which a real one reads.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::*;

struct NodeExporter {
    child: Child,
    port: u16,
}

impl NodeExporter {
    /// `None` where there is none.
    fn start(folder: &std::path::Path) -> Option<Self> {
        if !installed("prometheus-node-exporter") {
            missing("no prometheus-node-exporter");
            return None;
        }
        let port = free_port();
        let child = Command::new("prometheus-node-exporter")
            .args(["--collector.disable-defaults", "--collector.textfile"])
            .arg(format!("--collector.textfile.directory={}", folder.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self { child, port };
        wait_until("node_exporter is there", SOON, || !metrics(this.port).is_empty());
        Some(this)
    }
}

impl Drop for NodeExporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// With a file in a folder of its own.
fn with_textfile() -> (Watchkeeper, PathBuf) {
    let watchkeeper = Watchkeeper::with_config("");
    let folder = watchkeeper.folder().join("collector");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("watchkeeper.prom");
    let job = backup(&watchkeeper, "conf", "schedule = \"@daily\"");
    watchkeeper.configure(&format!("[metrics]\ntextfile = \"{}\"\n{job}", file.display()));
    (watchkeeper, file)
}

#[test]
fn a_real_node_exporter_reads_what_a_run_by_hand_a_pause_and_a_daemon_leave_in_it() {
    let (watchkeeper, file) = with_textfile();
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o644);
    let text = || fs::read_to_string(&file).unwrap();
    if promtool_is_here() {
        assert_eq!(lint(&text()), "");
    }
    let of = |text: &str, name: &str| value(text, &format!("watchkeeper_{name}"));
    assert_eq!((of(&text(), "daemon_running"), of(&text(), "job_backups{")), (Some(0.0), Some(1.0)));
    assert_eq!(of(&text(), "daemon_start_time_seconds"), None);
    watchkeeper.run(&["pause", "conf"]).expect(0);
    assert_eq!(of(&text(), "job_paused{"), Some(1.0));
    watchkeeper.run(&["resume", "conf"]).expect(0);
    assert_eq!(of(&text(), "job_paused{"), Some(0.0));

    let node = NodeExporter::start(file.parent().unwrap());
    let read = || node.as_ref().map(|node| metrics(node.port));
    if let Some(read) = read() {
        assert_eq!(value(&read, "node_textfile_scrape_error"), Some(0.0), "{read}");
        let ours = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with("watchkeeper_"));
            let mut lines: Vec<String> =
                lines.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect();
            lines.sort();
            lines
        };
        assert_eq!(ours(&read), ours(&text()));
    }
    let daemon = start(&watchkeeper);
    wait_until("the daemon writes it", SOON, || of(&text(), "daemon_running") == Some(1.0));
    assert!(of(&text(), "daemon_start_time_seconds").is_some());
    // It leaves that to the daemon, which knows more.
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    assert_eq!(of(&text(), "daemon_running"), Some(1.0));
    stop(&watchkeeper, daemon);
    assert_eq!((of(&text(), "daemon_running"), of(&text(), "job_backups{")), (Some(0.0), Some(2.0)));
    assert!(read().is_none_or(|read| value(&read, "node_textfile_scrape_error") == Some(0.0)));
    let left: Vec<_> =
        fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["watchkeeper.prom"]);
}

#[test]
fn a_folder_that_is_not_there_or_not_to_be_written_is_found_by_check_and_told_by_all_that_write() {
    let (watchkeeper, file) = with_textfile();
    watchkeeper.run(&["check"]).expect(0);
    let folder = file.parent().unwrap();
    fs::remove_dir(folder).unwrap();
    let checked = watchkeeper.run(&["check"]).expect(1).stdout;
    assert!(checked.contains("[metrics] textfile") && checked.contains("there is no folder"), "{checked}");
    let ran = watchkeeper.run(&["run-now", "conf"]).expect(0);
    assert!(
        ran.stderr.contains("Cannot write the metrics to ") && ran.stderr.contains("make the folder"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains(&file.display().to_string()) && !ran.stderr.contains(".tmp"), "{ran:?}");
    let daemon = start(&watchkeeper);
    wait_until("the daemon tells it", SOON, || log(&watchkeeper).contains("Cannot write the metrics to "));
    assert!(
        log(&watchkeeper).contains("[metrics] textfile will fail: there is no folder"),
        "{}",
        log(&watchkeeper)
    );
    assert!(!log(&watchkeeper).contains(".tmp"), "{}", log(&watchkeeper));
    fs::create_dir(folder).unwrap();
    wait_until("it is written again", SOON, || file.exists());
    stop(&watchkeeper, daemon);
    run(Command::new("chmod").args(["755"]).arg(folder));
    if fs::metadata(folder).unwrap().uid() == 0 {
        let jobs = watchkeeper.config();
        run(Command::new("chmod").args(["a+rX"]).arg(watchkeeper.folder()).arg(jobs));
        let checked = watchkeeper.run_by(4321, &[], &["check"]);
        assert!(checked.stdout.contains("this user may not write to the folder"), "{checked:?}");
    }
}
