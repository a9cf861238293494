//! `[metrics]`: where the metrics are shown.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::read::{Item, Section};
use super::secret::Places;
use super::target::secret_ref;
use super::values::SecretRef;

/// How node_exporter knows the files that it reads.
const PROM: &str = "prom";

/// Where the metrics are shown; nowhere, where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsConfig {
    /// By a server of the daemon's own.
    pub listen: Option<Listen>,
    /// In a file for node_exporter; absolute, ends with `.prom`.
    pub textfile: Option<PathBuf>,
}

/// A server of the daemon's own. One that others reach has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where it listens. The port is not 0.
    pub address: SocketAddr,
    /// What a request has to show.
    pub token: Option<SecretRef>,
}

impl MetricsConfig {
    /// Whether anybody is shown them.
    pub fn is_wanted(&self) -> bool {
        self.listen.is_some() || self.textfile.is_some()
    }
}

pub(super) fn read(root: &mut Section<'_, '_>, places: Places<'_>) -> MetricsConfig {
    let Some(mut section) = root.get("metrics").and_then(|item| item.section("[metrics]".to_owned())) else {
        return MetricsConfig::default();
    };
    let listen = section.get("listen");
    let token_item = section.get("token");
    let token = token_item.as_ref().and_then(|item| secret_ref(item, places));
    let textfile = section.get("textfile").and_then(|item| textfile(&item));
    if let (None, Some(token)) = (&listen, &token_item) {
        let hint = "add listen = \"127.0.0.1:9469\", or remove it".to_owned();
        token.error("[metrics] has \"token\" without \"listen\"", Some(hint));
    }
    let address = listen.as_ref().and_then(address);
    if let (Some(item), Some(address), None) = (&listen, address, &token_item)
        && !address.ip().is_loopback()
    {
        let hint = "add token = { env = \"NAME\" }, or listen on this host alone: \"127.0.0.1:9469\"";
        item.error(format!("others reach {address}, and [metrics] has no \"token\""), Some(hint.to_owned()));
    }
    section.finish(&[]);
    MetricsConfig { listen: address.map(|address| Listen { address, token }), textfile }
}

fn address(item: &Item<'_, '_>) -> Option<SocketAddr> {
    let text = item.text()?;
    let parsed = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    if parsed.is_none() {
        let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
        let hint = match (port, text.split(':').next()) {
            (Some(port), Some("localhost")) => format!("write \"127.0.0.1:{port}\""),
            (Some(port), Some("")) => format!("write \"0.0.0.0:{port}\" for all addresses of this host"),
            _ => "such as \"127.0.0.1:9469\" or \"[::1]:9469\"".to_owned(),
        };
        item.error("\"listen\" must be an IP address and a port", Some(hint));
    }
    parsed
}

fn textfile(item: &Item<'_, '_>) -> Option<PathBuf> {
    let path = item.path()?;
    if path.extension().is_none_or(|end| end != PROM) {
        let hint = format!("write \"{}\"", path.with_extension(PROM).display());
        item.error("node_exporter reads only files whose name ends with .prom", Some(hint));
        return None;
    }
    Some(path)
}
