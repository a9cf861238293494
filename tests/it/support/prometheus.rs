//! A real Prometheus with hours of blocks and a live head, on this host or in a container.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::docker::{self, Container, Image, Shell, Volume, docker};
use super::exporter::Exporter;
use super::{blocks, http, installed, missing, run, scratch, wait_until};

/// Tells a story of this name on the host and in one container, by `tell` of the module: where the kind of image makes no
/// difference.
macro_rules! told_twice {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            use super::*;

            #[test]
            fn on_the_host() {
                tell(Prometheus::host(Builder::default()), super::$story);
            }

            #[test]
            fn in_a_container() {
                tell(Prometheus::container(Builder::default()), super::$story);
            }
        }
    )+};
}
pub(crate) use told_twice;

/// How long a server may take until it is ready.
const READY: Duration = Duration::from_mins(1);

const ADMIN_API: &str = "--web.enable-admin-api";
/// Blocks of two hours are as long as they get: none are merged.
const KEEP_BLOCKS: &str = "--storage.tsdb.max-block-duration=2h";

/// What a [`Prometheus`] is to be like.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    blocks: bool,
    shell: Shell,
    bind: bool,
    small: bool,
    config: ConfigMount,
    flags: Vec<&'static str>,
}

/// How a container gets its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConfigMount {
    /// It lies in the container itself.
    Copied,
    /// The file is mounted by itself.
    File,
    /// Its folder is mounted.
    Folder,
}

impl Default for Builder {
    fn default() -> Self {
        let flags = vec![ADMIN_API, KEEP_BLOCKS, "--storage.tsdb.retention.time=10y"];
        Self {
            blocks: true,
            shell: Shell::Busybox,
            bind: false,
            small: false,
            config: ConfigMount::Copied,
            flags,
        }
    }
}

impl Builder {
    /// Without `--web.enable-admin-api`.
    pub(crate) fn without_admin_api(self) -> Self {
        self.without(ADMIN_API)
    }

    /// With an empty data folder.
    pub(crate) fn without_blocks(self) -> Self {
        Self { blocks: false, ..self }
    }

    /// From an image that has nothing but Prometheus.
    pub(crate) fn without_shell(self) -> Self {
        Self { shell: Shell::None, ..self }
    }

    /// With its data in a folder of this host instead of a volume.
    pub(crate) fn bind_mounted(self) -> Self {
        Self { bind: true, ..self }
    }

    /// With its data on a volume of 100 MiB, which is empty again after every stop.
    pub(crate) fn on_a_small_volume(self) -> Self {
        Self { small: true, ..self }
    }

    /// With its configuration on this host, where it is a container.
    pub(crate) fn config_mounted(self, config: ConfigMount) -> Self {
        Self { config, ..self }
    }

    /// With `/-/reload`.
    pub(crate) fn reloadable(self) -> Self {
        self.flag("--web.enable-lifecycle")
    }

    /// With Prometheus merging its blocks, which it may do seconds after its start. Otherwise it keeps them as
    /// they are, so that a test can tell how many there are.
    pub(crate) fn compacting(self) -> Self {
        self.without(KEEP_BLOCKS)
    }

    /// With one more flag.
    pub(crate) fn flag(mut self, flag: &'static str) -> Self {
        self.flags.push(flag);
        self
    }

    fn without(mut self, flag: &str) -> Self {
        self.flags.retain(|f| *f != flag);
        self
    }
}

/// A running (or stopped) server. `Drop` removes it with its data.
#[derive(Debug)]
pub(crate) struct Prometheus {
    place: Place,
    port: u16,
    builder: Builder,
    exporter: Exporter,
    folder: TempDir,
}

#[derive(Debug)]
enum Place {
    Host,
    // Dropped in this order: nothing can be removed while the one before it uses it.
    Container { container: Container, volume: Option<Volume>, image: Arc<Image> },
}

/// What a server answered for a stretch of the past: sum and count of each metric in each hour.
pub(crate) type Digest = BTreeMap<(String, String), (String, String)>;

/// A stretch of the past in whole hours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    from: u64,
    to: u64,
}

impl Past {
    /// All the blocks hold, and the live head until now (less what may be just being scraped).
    pub(crate) fn until_now() -> Self {
        let to = blocks::now() - 2;
        let hours = (to - blocks::range().0).div_ceil(3600);
        Self { from: to - (hours - 1) * 3600, to }
    }
}

impl Prometheus {
    /// A process of this host; `None` where there is no Prometheus.
    pub(crate) fn host(builder: Builder) -> Option<Self> {
        Self::programs_are_here().then(|| {
            let this = Self::new(Place::Host, builder);
            fs::create_dir(this.path("data")).unwrap();
            if this.builder.blocks {
                blocks::copy_to(&this.path("data"));
            }
            this.write_config(this.port, "127.0.0.1");
            this.write_control();
            this.started()
        })
    }

    /// A container; `None` where there is no engine.
    pub(crate) fn container(builder: Builder) -> Option<Self> {
        (Self::programs_are_here() && docker::available()).then(|| {
            let volume = (!builder.bind).then(|| Volume::create(builder.small));
            let (container, image) = (Container::named("prometheus"), Image::get(builder.shell));
            let this = Self::new(Place::Container { container, volume, image }, builder);
            this.write_config(9090, "host.docker.internal");
            if this.builder.bind {
                fs::create_dir(this.path("data")).unwrap();
                run(Command::new("chmod").arg("777").arg(this.path("data")));
            }
            this.create_container();
            if this.builder.blocks {
                this.put(blocks::tar_for_container(&this.path("blocks.tar")));
            }
            this.started()
        })
    }

    fn new(place: Place, builder: Builder) -> Self {
        let folder = scratch::folder("prometheus");
        Self { place, port: scratch::free_port(), builder, exporter: Exporter::start(), folder }
    }

    fn programs_are_here() -> bool {
        let here = installed("prometheus") && installed("promtool");
        if !here {
            missing("no prometheus and promtool");
        }
        here
    }

    fn started(self) -> Self {
        self.start();
        self.wait_ready();
        self.wait_scraped();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_config(&self, own_port: u16, exporter_host: &str) {
        let exporter = self.exporter.port();
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs:\n\
             - job_name: prometheus\n\
             \x20 static_configs: [ {{ targets: ['127.0.0.1:{own_port}'] }} ]\n\
             \x20 metric_relabel_configs:\n\
             \x20 - {{ source_labels: [__name__], regex: 'prometheus_tsdb_head_.*|process_.*', action: keep }}\n\
             - job_name: live\n\
             \x20 static_configs: [ {{ targets: ['{exporter_host}:{exporter}'] }} ]\n"
        );
        fs::write(self.path("prometheus.yml"), text).unwrap();
    }

    fn flags(&self, config: &str, data: &str, listen: &str) -> Vec<String> {
        let mut flags = vec![
            format!("--config.file={config}"),
            format!("--storage.tsdb.path={data}"),
            format!("--web.listen-address={listen}"),
        ];
        flags.extend(self.builder.flags.iter().map(|flag| (*flag).to_owned()));
        flags
    }

    /// Writes the program that starts and stops a host process. Watchkeeper is given the same one, so that
    /// both know one process by one file.
    fn write_control(&self) {
        let (folder, data) = (self.folder.path().display(), self.path("data"));
        let config = self.path("prometheus.yml");
        let listen = format!("127.0.0.1:{}", self.port);
        let flags = self.flags(&config.display().to_string(), &data.display().to_string(), &listen).join(" ");
        let text = format!(
            "#!/bin/sh\n\
             set -eu\n\
             cd {folder}\n\
             # One at a time: who is killed while it stops the server leaves this script running.\n\
             exec 9>control.lock\n\
             flock 9\n\
             pid=$(cat prometheus.pid 2>/dev/null || echo none)\n\
             alive() {{ [ -e /proc/$pid/stat ] && ! grep -q ') Z ' /proc/$pid/stat; }}\n\
             gone() {{ while alive; do sleep 0.05; done; rm -f prometheus.pid; }}\n\
             case $1 in\n\
             start) alive && exit 0; setsid prometheus {flags} >>log 2>&1 </dev/null 9>&- & echo $! >prometheus.pid ;;\n\
             stop) alive && kill -TERM $pid; gone ;;\n\
             kill) alive && kill -KILL $pid; gone ;;\n\
             status) alive ;;\n\
             esac\n"
        );
        fs::write(self.path("control"), text).unwrap();
        run(Command::new("chmod").arg("755").arg(self.path("control")));
    }

    fn control(&self, word: &str) {
        run(Command::new(self.path("control")).arg(word));
    }

    fn create_container(&self) {
        let Place::Container { container, volume, image } = &self.place else { return };
        let data =
            volume.as_ref().map_or_else(|| self.path("data").display().to_string(), |v| v.name.clone());
        let flags = self.flags("/etc/prometheus/prometheus.yml", "/prometheus", "0.0.0.0:9090");
        let (port, mount) = (format!("127.0.0.1:{}:9090", self.port), format!("{data}:/prometheus"));
        let mut arguments = vec!["--restart", "unless-stopped", "-p", &port, "-v", &mount];
        let folder = self.folder.path().display();
        let config = match self.builder.config {
            ConfigMount::Copied => None,
            ConfigMount::File => Some(format!("{folder}/prometheus.yml:/etc/prometheus/prometheus.yml")),
            ConfigMount::Folder => Some(format!("{folder}/etc:/etc/prometheus")),
        };
        if let Some(mount) = &config {
            arguments.extend(["-v", mount]);
        }
        arguments.extend(["--add-host", "host.docker.internal:host-gateway", &image.name]);
        arguments.extend(flags.iter().map(String::as_str));
        if self.builder.config == ConfigMount::Folder {
            fs::create_dir(self.path("etc")).unwrap();
            fs::copy(self.path("prometheus.yml"), self.config_file()).unwrap();
        }
        container.create(&arguments);
        if config.is_some() {
            return;
        }
        let tar = self.path("config.tar");
        let pack = ["--owner=0", "--group=0", "--mode=644", "-cf"];
        run(Command::new("tar").args(pack).arg(&tar).arg("-C").arg(self.folder.path()).arg("prometheus.yml"));
        container.put(File::open(tar).unwrap(), "/etc/prometheus");
    }

    fn put(&self, tar: File) {
        let Place::Container { container, .. } = &self.place else { return };
        container.put(tar, "/prometheus");
    }

    /// Its configuration, where that is on this host.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.path(if self.builder.config == ConfigMount::Folder {
            "etc/prometheus.yml"
        } else {
            "prometheus.yml"
        })
    }

    /// The configuration that it says it has loaded.
    pub(crate) fn loaded_config(&self) -> String {
        self.api("/api/v1/status/config")["yaml"].as_str().unwrap().to_owned()
    }

    /// Its last reload was a success, as it says itself.
    pub(crate) fn last_reload_was_good(&self) -> bool {
        let (_, metrics) = http::get(self.port, "/metrics").unwrap();
        metrics.contains("\nprometheus_config_last_reload_successful 1\n")
    }

    /// The groups of rules that it says it has loaded.
    pub(crate) fn rule_groups(&self) -> Vec<Value> {
        self.api("/api/v1/rules")["groups"].as_array().unwrap().clone()
    }

    /// Starts it; does not wait.
    pub(crate) fn start(&self) {
        match &self.place {
            Place::Host => self.control("start"),
            Place::Container { container, .. } => drop(docker(["start", &container.name])),
        }
    }

    /// Stops it in good order and waits until it is gone.
    pub(crate) fn stop(&self) {
        match &self.place {
            Place::Host => self.control("stop"),
            Place::Container { container, .. } => drop(docker(["stop", &container.name])),
        }
    }

    /// Ends it without warning.
    pub(crate) fn kill(&self) {
        match &self.place {
            Place::Host => self.control("kill"),
            Place::Container { container, .. } => drop(docker(["kill", &container.name])),
        }
    }

    /// Removes the container and makes it anew over the same data, stopped. A host process is stopped.
    pub(crate) fn remake(&self) {
        self.stop();
        if let Place::Container { container, .. } = &self.place {
            container.remove();
            self.create_container();
        }
    }

    /// Makes its container anew over the same data, where somebody has removed it. It is not started.
    pub(crate) fn make_again(&self) {
        if let Place::Container { container, .. } = &self.place
            && !docker(["ps", "-a", "--format", "{{.Names}}"]).lines().any(|name| name == container.name)
        {
            self.create_container();
        }
    }

    /// Runs a shell script in the data folder, as root where it is in a container; works also when stopped.
    pub(crate) fn in_data(&self, script: &str) -> String {
        match &self.place {
            Place::Host => run(Command::new("sh").args(["-euc", script]).current_dir(self.path("data"))),
            Place::Container { container, .. } => {
                let helper = Image::get(Shell::Busybox);
                let mut words = vec!["run", "--rm", "--user", "0:0", "--volumes-from", &container.name];
                words.extend(["--workdir", "/prometheus", "--entrypoint", "/bin/sh", &helper.name]);
                docker(words.into_iter().chain(["-euc", script]))
            }
        }
    }

    /// Stops it, removes all its data, and starts it empty.
    pub(crate) fn lose_everything(&self) {
        self.stop();
        self.in_data("rm -rf 01* wal wbl chunks_head");
        self.start();
        self.wait_ready();
    }

    /// Is it ready to answer queries?
    pub(crate) fn is_ready(&self) -> bool {
        http::get(self.port, "/-/ready").is_some_and(|(status, _)| status == 200)
    }

    pub(crate) fn wait_ready(&self) {
        wait_until("Prometheus is ready", READY, || self.is_ready());
    }

    /// Scrapes something more on a port that nobody listens on, instead of the exporter.
    pub(crate) fn lose_a_target(&self) {
        let text = fs::read_to_string(self.path("prometheus.yml")).unwrap();
        let live = format!(":{}", self.exporter.port());
        fs::write(self.path("prometheus.yml"), text.replace(&live, &format!(":{}", scratch::free_port())))
            .unwrap();
        self.stop();
        self.start();
        wait_until("one target is down", READY, || {
            http::get(self.port, "/api/v1/targets")
                .is_some_and(|(_, body)| body.contains("\"health\":\"down\""))
        });
    }

    /// Scrapes one more port as this job from the next start on, and evaluates rules as often. Of a host process only.
    pub(crate) fn scrape_also(&self, job: &str, port: u16) {
        let text = fs::read_to_string(self.path("prometheus.yml")).unwrap();
        let text = text.replace("scrape_timeout", "evaluation_interval: 1s, scrape_timeout");
        let more =
            format!("- job_name: {job}\n\x20 static_configs: [ {{ targets: ['127.0.0.1:{port}'] }} ]\n");
        fs::write(self.path("prometheus.yml"), text + &more).unwrap();
    }

    /// Sends its alerts to this Alertmanager from the next start on. Of a host process only.
    pub(crate) fn alert_to(&self, port: u16) {
        let text = fs::read_to_string(self.path("prometheus.yml")).unwrap();
        let manager = format!("{{ static_configs: [ {{ targets: ['127.0.0.1:{port}'] }} ] }}");
        let text = format!("alerting: {{ alertmanagers: [ {manager} ] }}\n{text}");
        fs::write(self.path("prometheus.yml"), text).unwrap();
    }

    /// Loads rules, by a restart. Of a host process only.
    pub(crate) fn load_rules(&self, rules: &str) {
        fs::write(self.path("rules.yml"), rules).unwrap();
        let text = fs::read_to_string(self.path("prometheus.yml")).unwrap();
        let with_rules = format!("rule_files: [ '{}' ]\n{text}", self.path("rules.yml").display());
        fs::write(self.path("prometheus.yml"), with_rules).unwrap();
        self.stop();
        self.start();
        self.wait_ready();
    }

    /// Waits until the head holds some samples of both targets.
    pub(crate) fn wait_scraped(&self) {
        let value = |expression: &str| self.answer(expression)?["value"][1].as_str().map(str::to_owned);
        wait_until("both targets are scraped", READY, || {
            let seen = value("min(count_over_time(up[10m]))");
            value("count(up == 1)").is_some_and(|up| up == "2")
                && seen.is_some_and(|count| count.parse::<u32>().unwrap() >= 6)
        });
    }

    /// Waits until the head has this many more samples of a target than now.
    pub(crate) fn wait_for_scrapes(&self, more: u64) {
        let count = || {
            let seen = self.query("count_over_time(up{job=\"live\"}[1h])");
            seen["value"][1].as_str().map_or(0, |n| n.parse::<u64>().unwrap())
        };
        let enough = count() + more;
        wait_until("Prometheus scrapes on", READY, || count() >= enough);
    }

    /// The first element of what an instant query answers now, or null.
    pub(crate) fn query(&self, expression: &str) -> Value {
        self.answer(expression).unwrap_or_else(|| panic!("{expression}: no answer"))
    }

    /// The same; nothing where it does not answer yet.
    fn answer(&self, expression: &str) -> Option<Value> {
        let path = format!("/api/v1/query?{}", http::form(&[("query", expression)]));
        let (status, body) = http::get(self.port, &path)?;
        assert_eq!(status, 200, "{expression}: {body}");
        Some(serde_json::from_str::<Value>(&body).unwrap()["data"]["result"][0].clone())
    }

    fn api(&self, path: &str) -> Value {
        let (status, body) = http::get(self.port, path).unwrap_or_else(|| panic!("{path}: no answer"));
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].clone()
    }

    /// Asks for a snapshot without the head, as somebody else would, and gives its name.
    pub(crate) fn foreign_snapshot(&self) -> String {
        self.snapshot("?skip_head=true")
    }

    /// Asks for a snapshot of all, as somebody else would, and gives its name.
    pub(crate) fn snapshot_with_head(&self) -> String {
        self.snapshot("")
    }

    fn snapshot(&self, query: &str) -> String {
        let (status, body) = http::post(self.port, &format!("/api/v1/admin/tsdb/snapshot{query}")).unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"]["name"].as_str().unwrap().to_owned()
    }

    /// Deletes every series of this metric.
    pub(crate) fn delete_series(&self, metric: &str) {
        let form = http::form(&[("match[]", metric)]);
        let (status, body) =
            http::post(self.port, &format!("/api/v1/admin/tsdb/delete_series?{form}")).unwrap();
        assert_eq!(status, 204, "{body}");
    }

    /// The names in its `snapshots` folder.
    pub(crate) fn snapshots(&self) -> Vec<String> {
        let text = self.in_data("ls snapshots 2>/dev/null || true");
        text.lines().map(str::to_owned).collect()
    }

    /// Sum and count of every metric in every hour of the past.
    pub(crate) fn digest(&self, past: Past) -> Digest {
        let (from, to) = ((past.from - 3600).to_string(), past.to.to_string());
        let names = self.api(&format!("/api/v1/label/__name__/values?start={from}&end={to}"));
        let mut digest = Digest::new();
        for name in names.as_array().unwrap().iter().map(|n| n.as_str().unwrap()) {
            let sums = self.per_hour(&format!("sum(sum_over_time({name}[1h]))"), past);
            let mut counts = self.per_hour(&format!("sum(count_over_time({name}[1h]))"), past);
            for (hour, sum) in sums {
                let count = counts.remove(&hour).unwrap();
                digest.insert((name.to_owned(), hour), (sum, count));
            }
        }
        digest
    }

    fn per_hour(&self, expression: &str, past: Past) -> BTreeMap<String, String> {
        let (start, end) = (past.from.to_string(), past.to.to_string());
        let form = [("query", expression), ("start", &start), ("end", &end), ("step", "3600")];
        let data = self.api(&format!("/api/v1/query_range?{}", http::form(&form)));
        let rounded = |text: &str| format!("{:.9e}", text.parse::<f64>().unwrap());
        let points = data["result"][0]["values"].as_array().cloned().unwrap_or_default();
        // Rounded: in which order the series are added depends on which blocks hold them.
        points.iter().map(|point| (point[0].to_string(), rounded(point[1].as_str().unwrap()))).collect()
    }

    /// Where its data lies on this host.
    pub(crate) fn data_dir(&self) -> PathBuf {
        match &self.place {
            Place::Container { volume: Some(volume), .. } => volume.mountpoint(),
            _ => self.path("data"),
        }
    }

    /// What it has logged.
    pub(crate) fn logs(&self) -> String {
        match &self.place {
            Place::Host => fs::read_to_string(self.path("log")).unwrap_or_default(),
            Place::Container { container, .. } => {
                let output = Command::new("docker").args(["logs", &container.name]).output().unwrap();
                String::from_utf8_lossy(&output.stderr).into_owned()
            }
        }
    }

    /// Every container that uses its data: its own and none else, once Watchkeeper has ended.
    pub(crate) fn containers_on_its_data(&self) -> Vec<String> {
        let Place::Container { volume, .. } = &self.place else { return Vec::new() };
        let data = self.data_dir().display().to_string();
        let filter = format!("volume={}", volume.as_ref().map_or(&data, |volume| &volume.name));
        docker(["ps", "-a", "--format", "{{.Names}}", "--filter", &filter])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The name of its container.
    pub(crate) fn container_name(&self) -> Option<&str> {
        match &self.place {
            Place::Host => None,
            Place::Container { container, .. } => Some(&container.name),
        }
    }

    /// The program that starts and stops a host process: `control start`, `stop`, `status`.
    pub(crate) fn control_program(&self) -> PathBuf {
        self.path("control")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `[prometheus.main]` of a jobs.toml.
    pub(crate) fn target(&self) -> String {
        let url = format!("[prometheus.main]\nurl = \"{}\"\n", self.url());
        match self.container_name() {
            Some(name) => format!("{url}container = \"{name}\"\n"),
            None => format!(
                "{url}data_dir = \"{0}/data\"\n\
                 service = {{ stop = [\"{0}/control\", \"stop\"], start = [\"{0}/control\", \"start\"] }}\n",
                self.folder.path().display()
            ),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.logs();
            let tail: Vec<&str> = logs.lines().rev().take(15).collect();
            eprintln!("Prometheus's last words, newest first:\n{}", tail.join("\n"));
        }
        match &self.place {
            Place::Host => scratch::kill_recorded(&self.path("prometheus.pid"), self.folder.path()),
            Place::Container { container, .. } => {
                let _ = Command::new("docker").args(["kill", &container.name]).output();
            }
        }
    }
}

/// A plain Prometheus of this host over a folder of blocks that somebody else made.
pub(crate) fn on_blocks_of(folder: &Path) -> Option<Prometheus> {
    let prometheus = Prometheus::host(Builder::default().without_blocks())?;
    prometheus.stop();
    prometheus.in_data("rm -rf wal chunks_head");
    run(Command::new("cp").arg("-r").arg(folder.join(".")).arg(prometheus.data_dir()));
    prometheus.start();
    prometheus.wait_ready();
    Some(prometheus)
}
