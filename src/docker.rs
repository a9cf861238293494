//! The Docker engine: the containers targets run in, and helpers of our own beside them.
//!
//! The only room that knows `bollard`. Every request has a limit. What we create on an engine carries a mark
//! saying which process it belongs to, is removed on every way out, and what a killed process left is swept.
//! Nothing is ever pulled, and no volume is ever removed.

mod bounds;
mod container;
mod elf;
mod error;
mod exec;
mod helper;
mod image;
mod labelled;
mod look;
mod mark;
mod reap;
mod run;
mod self_image;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as Raw;

pub use bounds::{Bounds, Stopping};
pub use container::{Container, ContainerInfo, ContainerState, Life, Mount, MountKind, PathStat};
pub use error::DockerError;
pub use exec::{Exec, ExecCommand, Ran};
pub use helper::{Helper, HelperDownload};
pub use look::{LogLines, Process, Usage};
pub use run::{Attendant, SelfRun, Until};
pub use transfer::Download;

/// The label every helper container carries; its value is the mark of the process it belongs to.
pub const HELPER_LABEL: &str = "watchkeeper.helper";

/// The engine's socket where nobody says otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// The longest any request without a stream may take; a busy engine takes seconds to make a container.
const REQUEST_LIMIT: Duration = Duration::from_mins(1);
/// For requests whose duration their body or an idle limit decides.
const NO_LIMIT: Duration = Duration::from_hours(720);

/// The socket of the engine at `host` (what `DOCKER_HOST` says), else of the default one; nothing where it has none.
pub fn socket(host: Option<&str>) -> Option<&str> {
    address(host).strip_prefix("unix://")
}

fn address(host: Option<&str>) -> &str {
    host.map(str::trim).filter(|host| !host.is_empty()).unwrap_or(DEFAULT_HOST)
}

/// A connection to a Docker engine. Cheap to clone.
#[derive(Clone)]
pub struct Docker {
    client: bollard::Docker,
    shared: Arc<Shared>,
}

/// What the clones of a connection share.
struct Shared {
    host: String,
    binary: PathBuf,
    /// The image of our own binary, once it was made.
    image: tokio::sync::Mutex<Option<self_image::SelfImage>>,
}

impl Docker {
    /// Connects to `host` (what `DOCKER_HOST` says), else to the default socket, and agrees on a version.
    pub async fn connect(host: Option<&str>) -> Result<Self, DockerError> {
        let host = address(host);
        let client = open(host).await?;
        let binary = PathBuf::from("/proc/self/exe");
        Ok(Self { client, shared: Arc::new(Shared::new(host.to_owned(), binary)) })
    }

    /// The same engine, but with `binary` as the program [`Docker::run_self`] runs. Without this it is the
    /// program that runs now.
    #[must_use]
    pub fn with_binary(self, binary: impl Into<PathBuf>) -> Self {
        let shared = Shared::new(self.shared.host.clone(), binary.into());
        Self { client: self.client, shared: Arc::new(shared) }
    }

    /// The engine runs on this machine, so the paths it names are paths here. (Not so inside a container of
    /// our own: who relies on it compares what lies there.)
    pub fn is_local(&self) -> bool {
        self.shared.host.starts_with("unix://")
    }

    /// Removes what this connection has made for all helpers. Helpers themselves remove themselves.
    pub async fn close(&self) -> Result<(), DockerError> {
        let image = self.shared.image.lock().await.take();
        match image {
            Some(image) => self.remove_image(&image.name).await,
            None => Ok(()),
        }
    }

    /// Makes a request that answers at once.
    async fn request<T>(
        &self,
        action: &str,
        request: impl Future<Output = Result<T, Raw>>,
    ) -> Result<T, DockerError> {
        match tokio::time::timeout(REQUEST_LIMIT, request).await {
            Ok(result) => result.map_err(|raw| self.translate(action, raw)),
            Err(_) => Err(DockerError::TimedOut { action: action.to_owned(), limit: REQUEST_LIMIT }),
        }
    }

    fn translate(&self, action: &str, raw: Raw) -> DockerError {
        error::translate(&self.shared.host, action, raw)
    }
}

impl std::fmt::Debug for Docker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Docker({})", self.shared.host)
    }
}

impl Shared {
    fn new(host: String, binary: PathBuf) -> Self {
        Self { host, binary, image: tokio::sync::Mutex::new(None) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(image) = self.image.get_mut().take() {
            reap::now(&self.host, reap::Leftover::Image(image.name));
        }
    }
}

/// Opens a client of its own and agrees on a version. Versions must be agreed on: an older engine refuses
/// requests of a newer one's version, although it answers `ping`.
async fn open(host: &str) -> Result<bollard::Docker, DockerError> {
    let action = "agree on an API version";
    let address = if host.starts_with('/') { format!("unix://{host}") } else { host.to_owned() };
    let client =
        bollard::Docker::connect_with_host(&address).map_err(|raw| error::translate(host, "connect", raw))?;
    let client = client.with_timeout(REQUEST_LIMIT);
    match tokio::time::timeout(REQUEST_LIMIT, client.negotiate_version()).await {
        Ok(result) => result.map_err(|raw| error::translate(host, action, raw)),
        Err(_) => Err(DockerError::TimedOut { action: action.to_owned(), limit: REQUEST_LIMIT }),
    }
}
