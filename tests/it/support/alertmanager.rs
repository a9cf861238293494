//! A real Alertmanager of this host.

use std::fs;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{http, installed, missing, scratch};

/// A running server; `Drop` ends it.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    child: Child,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Alertmanager {
    /// Starts one and does not wait; `None` where there is none. Its cluster is alone, and needs some seconds to
    /// know that.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("route: { receiver: nobody }\nreceivers: [ { name: nobody } ]\n")
    }

    /// The same, with this configuration.
    pub(crate) fn start_with(text: &str) -> Option<Self> {
        if !installed("prometheus-alertmanager") {
            missing("no prometheus-alertmanager");
            return None;
        }
        let (folder, port) = (scratch::folder("alertmanager"), scratch::free_port());
        let config = folder.path().join("alertmanager.yml");
        fs::write(&config, text).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--cluster.listen-address=127.0.0.1:{}", scratch::free_port()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Some(Self { child, port, _folder: folder })
    }

    /// Answers at all?
    pub(crate) fn is_up(&self) -> bool {
        http::get(self.port, "/-/healthy").is_some()
    }

    /// `[alertmanager.main]` of a jobs.toml.
    pub(crate) fn target(&self) -> String {
        format!("[alertmanager.main]\nurl = \"http://127.0.0.1:{}\"\n", self.port)
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
