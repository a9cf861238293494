//! Whoever is responsible learns of it: against a real Alertmanager, a real SMTP server, and receivers that do what real
//! ones do.

mod channels;
mod daemon;
mod live;
mod own;
mod secrets;
mod servers;

use std::time::Duration;

use crate::support::receiver::Receiver;
use crate::support::watchkeeper::Watchkeeper;

const SOON: Duration = Duration::from_secs(90);

/// A job `j` that fails until the file `flag` is there.
struct Flagged {
    watchkeeper: Watchkeeper,
}

impl Flagged {
    /// With these keys of the job, and notifiers.
    fn new(keys: &str, notifiers: &str) -> Self {
        let this = Self { watchkeeper: Watchkeeper::with_config("") };
        this.configure(keys, notifiers);
        this
    }

    fn configure(&self, keys: &str, notifiers: &str) {
        let flag = self.flag();
        self.watchkeeper.configure(&format!(
            "[[job]]\nname = \"j\"\nkind = \"command\"\nshell = true\n\
             command = 'test -e {} || {{ echo no flag >&2; exit 3; }}'\n{keys}\n{notifiers}",
            flag.display()
        ));
    }

    fn flag(&self) -> std::path::PathBuf {
        self.watchkeeper.folder().join("flag")
    }

    fn raise(&self) {
        std::fs::write(self.flag(), "").unwrap();
    }

    fn lower(&self) {
        std::fs::remove_file(self.flag()).unwrap();
    }

    fn run(&self, code: i32) -> String {
        let output = self.watchkeeper.run(&["run-now", "j"]).expect(code);
        output.stdout + &output.stderr
    }
}

/// A webhook, never quiet for long.
fn webhook(name: &str, receiver: &Receiver, path: &str) -> String {
    let url = receiver.url(path);
    format!("[notify.{name}]\ntype = \"webhook\"\nurl = \"{url}\"\ncooldown = \"0s\"\n")
}

/// What a webhook was told, in one word each.
fn events(receiver: &Receiver, path: &str) -> Vec<String> {
    let event =
        |posted: crate::support::receiver::Posted| posted.json()["event"].as_str().unwrap().to_owned();
    receiver.posted(path).into_iter().map(event).collect()
}
