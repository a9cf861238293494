//! Stands before a server and does to what passes what networks, servers and proxies do: one fault at a time, on the
//! connections by which a chosen request is made.

mod stream;
mod wire;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stream::{Address, Stream};

/// How long a run may take to come to where it is held.
const COMING: Duration = Duration::from_mins(2);

/// A page for people, with status 200.
pub(crate) const LOG_IN: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 34\r\n\
    Connection: close\r\n\r\n<!DOCTYPE html><html>Log in</html>";
/// Of a proxy that does not reach the server.
pub(crate) const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\n\
    Content-Length: 24\r\nConnection: close\r\n\r\n<html>Unavailable</html>";
/// Of a proxy whose server broke off.
pub(crate) const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\n\
    Content-Length: 11\r\nConnection: close\r\n\r\nbad gateway";

/// What happens to a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// Nothing: it is only seen.
    Passes,
    /// Each piece of the answer comes so much later.
    Late(Duration),
    /// The answer comes a byte at a time, with this pause before each.
    Trickles(Duration),
    /// Nothing of the request arrives, and no answer comes.
    HalfOpen,
    /// So many bytes of the answer come, and then a reset.
    ResetAfter(u64),
    /// So many bytes of the answer come, and then its end.
    ClosedAfter(u64),
    /// The request does not arrive; this is answered, and the connection closed.
    Answers(&'static str),
    /// The request is done, but this is answered, and the connection closed.
    DoneBut(&'static str),
    /// So many bytes of the answer pass, and the rest when the test says so.
    AnswerHeldAfter(u64),
    /// So many bytes of the request pass, and the rest when the test says so.
    RequestHeldAfter(u64),
}

/// A [`What`], and to which connections it happens.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    what: What,
    request: String,
    times: usize,
}

impl Fault {
    /// To every connection from its beginning, for ever.
    pub(crate) fn new(what: What) -> Self {
        Self { what, request: String::new(), times: usize::MAX }
    }

    /// Only from a request on that holds this; of several words with `*` between them, all.
    pub(crate) fn at(self, request: &str) -> Self {
        Self { request: request.to_owned(), ..self }
    }

    /// Only so often.
    pub(crate) fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    fn fits(&self, request: &[u8]) -> bool {
        let request = String::from_utf8_lossy(request);
        self.times > 0 && self.request.split('*').all(|part| request.contains(part))
    }
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    hits: usize,
    goes_on: bool,
    /// The server is gone, and with it every connection.
    gone: bool,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    server: Address,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to a connection on which this is asked.
    fn pick(&self, request: &[u8]) -> Option<What> {
        let mut state = self.state();
        let fault = state.fault.as_mut().filter(|fault| fault.fits(request))?;
        fault.times -= 1;
        Some(fault.what)
    }

    fn hit(&self) {
        self.state().hits += 1;
        self.changed.notify_all();
    }

    /// Returns when the test says so: whether the server is there yet.
    fn hold(&self) -> bool {
        self.hit();
        !self.changed.wait_while(self.state(), |state| !state.goes_on).unwrap().gone
    }

    fn is_gone(&self) -> bool {
        self.state().gone
    }
}

/// A proxy, as long as it lives. Whom it holds it lets go when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    pub(crate) port: u16,
    folder: Option<tempfile::TempDir>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.go_on();
    }
}

impl Proxy {
    /// Before a port of this host, on a free one.
    pub(crate) fn before_port(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Shared::before(Address::Port(port));
        Shared::serve(&shared, move || Some(Stream::Tcp(listener.accept().ok()?.0)));
        Self { shared, port: own, folder: None }
    }

    /// Before a server of this host that is asked over HTTP, on a free port.
    pub(crate) fn before(url: &str) -> Self {
        Self::before_port(url::Url::parse(url).unwrap().port().unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Before a socket of this host, on one of its own.
    pub(crate) fn before_socket(socket: &Path) -> Self {
        // The name of a socket has to be short.
        let folder = tempfile::Builder::new().prefix("wk-proxy-").tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let shared = Shared::before(Address::Socket(socket.to_owned()));
        Shared::serve(&shared, move || Some(Stream::Unix(listener.accept().ok()?.0)));
        Self { shared, port: 0, folder: Some(folder) }
    }

    /// Before the engine of the tests.
    pub(crate) fn before_docker() -> Self {
        Self::before_socket(Path::new("/var/run/docker.sock"))
    }

    /// As `DOCKER_HOST` names it.
    pub(crate) fn docker_host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("socket")
    }

    /// From now on this happens, to connections that are not under way.
    pub(crate) fn inject(&self, fault: Fault) {
        *self.shared.state() = State { fault: Some(fault), ..State::default() };
    }

    /// From now on all passes.
    pub(crate) fn heal(&self) {
        *self.shared.state() = State { goes_on: true, ..State::default() };
        self.shared.changed.notify_all();
    }

    /// From now on the server seems to be gone: what is held breaks, and nobody gets a connection.
    pub(crate) fn lose_server(&self) {
        *self.shared.state() = State { goes_on: true, gone: true, ..State::default() };
        self.shared.changed.notify_all();
    }

    /// How often it has happened since it was injected.
    pub(crate) fn hits(&self) -> usize {
        self.shared.state().hits
    }

    /// Waits until it has happened.
    #[track_caller]
    pub(crate) fn wait_hit(&self) {
        let state = self.shared.state();
        let waited = self.shared.changed.wait_timeout_while(state, COMING, |state| state.hits == 0).unwrap();
        let timed_out = waited.1.timed_out();
        drop(waited);
        assert!(!timed_out, "what is to be disturbed never came");
    }

    /// What is held goes on, and nothing is held any more.
    pub(crate) fn go_on(&self) {
        self.shared.state().goes_on = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn before(server: Address) -> Arc<Self> {
        Arc::new(Self { server, state: Mutex::default(), changed: Condvar::new() })
    }

    fn serve(shared: &Arc<Self>, accept: impl Fn() -> Option<Stream> + Send + 'static) {
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            while let Some(client) = accept() {
                wire::connect(&shared, client);
            }
        });
    }
}
