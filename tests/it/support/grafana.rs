//! A Grafana to test against where no Grafana can be had: it keeps state, and says and does what 7.5.5 was seen
//! to say and do, its traps included. `grafana_stand_in.rs` replays the record of a real 7.5.5 against it.
//!
//! What it does as a later [`Version`] was never seen. So that a reader knows what a test rests on, each rule has
//! a mark in a comment: `[R 071]` is seen on a running 7.5.5 (number of the transcript in
//! `tests/fixtures/grafana-7.5.5`), `[S]` read in Grafana's source, `[D]` in its documentation, `[A]` in its
//! API specification, `[I]` in an issue, and `[M]` is background knowledge that nobody has checked.

mod alerting;
mod annotations;
mod auth;
mod contacts;
mod contents;
mod correlations;
mod dashboards;
mod data_sources;
mod faults;
mod folders;
mod http;
mod json;
mod legacy;
mod library;
mod log;
mod orgs;
mod people;
mod permissions;
mod playlists;
mod plugins;
mod preferences;
mod public_dashboards;
mod router;
mod sample;
mod save;
mod search;
mod seed;
mod serve;
mod service_accounts;
mod snapshots;
mod state;
mod teams;
mod version;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

pub(crate) use self::auth::{Role, basic};
pub(crate) use self::faults::{Fault, What};
pub(crate) use self::log::Request;
pub(crate) use self::sample::SECRET;
pub(crate) use self::seed::Seeder;
pub(crate) use self::version::Version;

use serde_json::Value;

use self::serve::Shared;
use self::state::State;

/// The server administrator that every new one has.
pub(crate) const ADMIN: (&str, &str) = ("admin", "admin");

/// How a server is to differ from a fresh 7.5.5.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    version: Version,
    first_id: i64,
    nested_folders: Option<bool>,
    hide_version: bool,
    delay: Duration,
    address: SocketAddr,
    below: String,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            version: Version::V7_5,
            first_id: 0,
            nested_folders: None,
            hide_version: false,
            delay: Duration::ZERO,
            address: ([127, 0, 0, 1], 0).into(),
            below: String::new(),
        }
    }
}

impl Builder {
    /// Follow the rules of this version.
    pub(crate) fn version(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// Count every numeric ID from here: another server has other IDs. Only organisation 1 and its admin are
    /// the same everywhere.
    pub(crate) fn ids_from(self, first_id: i64) -> Self {
        Self { first_id, ..self }
    }

    /// Nested folders against the version's own habit: 10 has them behind a toggle [D].
    pub(crate) fn nested_folders(self, nested: bool) -> Self {
        Self { nested_folders: Some(nested), ..self }
    }

    /// `hide_version`: `/api/health` then says neither version nor commit [S].
    pub(crate) fn hides_version(self) -> Self {
        Self { hide_version: true, ..self }
    }

    /// Take this long for each answer, so that requests which are sent side by side are seen side by side.
    pub(crate) fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Listen here and not on a free port of 127.0.0.1.
    pub(crate) fn listen(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// Serve below a path, `/grafana`, as behind a proxy: elsewhere there is nothing. The log has targets without it.
    pub(crate) fn below(self, path: &str) -> Self {
        Self { below: path.into(), ..self }
    }

    /// Starts it; it answers when this returns.
    pub(crate) fn start(self) -> Grafana {
        let listener = TcpListener::bind(self.address).unwrap();
        let address = listener.local_addr().unwrap();
        let nested = self.nested_folders.unwrap_or(self.version.nests_folders());
        let state = State::new(self.version, self.first_id, nested, self.hide_version);
        let shared = Arc::new(Shared::new(state, self.delay, self.below));
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || serve::accept(&listener, &of_thread));
        Grafana { shared, address }
    }
}

/// What a server knew at some time.
pub(crate) struct Saved(State);

/// A running server; `Drop` ends it and cuts its connections.
pub(crate) struct Grafana {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Grafana {
    /// A fresh server that follows the rules of a version.
    pub(crate) fn start(version: Version) -> Self {
        Builder::default().version(version).start()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.shared.below)
    }

    /// Misbehaves from now on; of several faults that fit a request the one that was injected first happens.
    pub(crate) fn inject(&self, fault: Fault) {
        self.shared.faults.lock().unwrap().push(fault);
    }

    /// Behaves again.
    pub(crate) fn heal(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// All requests since the start or since [`Self::forget_requests`], in the order in which they came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.log.lock().unwrap().clone()
    }

    /// The requests that could have changed something.
    pub(crate) fn writes(&self) -> Vec<Request> {
        self.requests().into_iter().filter(Request::is_write).collect()
    }

    /// How many requests had this method and a target that begins like this.
    pub(crate) fn count(&self, method: &str, target: &str) -> usize {
        self.requests().iter().filter(|r| r.method == method && r.target.starts_with(target)).count()
    }

    /// The most requests that were answered at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.requests().iter().map(|r| r.at_once).max().unwrap_or(0)
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }

    pub(crate) fn forget_requests(&self) {
        self.shared.log.lock().unwrap().clear();
    }

    /// All that it holds, by names and with its secrets, past the API: equal contents are a proof of a restore that
    /// no mistake of an export can spoil.
    pub(crate) fn contents(&self) -> Value {
        contents::of(&self.state())
    }

    /// All of it, as it is now.
    pub(crate) fn saved(&self) -> Saved {
        Saved(self.state().clone())
    }

    /// Is again as it was then, numbers and times too.
    pub(crate) fn go_back(&self, saved: &Saved) {
        *self.state() = saved.0.clone();
    }

    /// Loses everything, as a server with a new database: one organisation, one admin. Numeric IDs go on.
    pub(crate) fn wipe(&self) {
        self.state().wipe();
    }

    /// A token of an organisation: an API key on the old versions, one of a service account on the later ones.
    pub(crate) fn token(&self, org: i64, role: Role) -> String {
        auth::make_token(&mut self.state(), org, role, "by the test")
    }

    /// Ends the time in which a login is locked after too many bad ones: nobody waits five minutes in a test.
    pub(crate) fn forgive_logins(&self) {
        self.state().failed_logins.clear();
    }

    /// What is put in without HTTP: thousands of dashboards, and what no request can make.
    pub(crate) fn seed(&self) -> Seeder<'_> {
        Seeder::new(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for Grafana {
    fn drop(&mut self) {
        self.shared.stop();
        // The thread that accepts sees that it is to stop when somebody comes.
        let _ = TcpStream::connect(self.address);
    }
}
