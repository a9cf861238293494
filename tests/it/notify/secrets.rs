//! No secret is to be seen in anything that leaves the program or stays with it, whatever a program prints or a server
//! repeats: every channel against its real part, and everything that the program shows, writes and keeps.

use std::fs;
use std::process::Command;

use super::SOON;
use crate::support::alertmanager::Alertmanager;
use crate::support::receiver::Receiver;
use crate::support::scratch::{files_below, free_port};
use crate::support::smtp::{Smtp, USER};
use crate::support::watchkeeper::{Output, Watchkeeper};
use crate::support::{http, run, wait_until};

const SLACK: &str = "/services/T0000/B0000/XlookLikeASecretX";
const PING: &str = "/ping/0f3c1c9e-secret-check";
const ECHO: &str = "/echo/key-of-what-repeats-all";
const MAIL: &str = "secret-of-the-mail";
const METRICS: &str = "secret-of-the-metrics";
const TOPIC: &str = "secret-of-the-topic";

/// The name of each secret, and what it holds.
fn secrets(receiver: &Receiver) -> Vec<(&'static str, String)> {
    vec![
        ("slack", receiver.url(SLACK)),
        ("ping", receiver.url(PING)),
        ("echo", receiver.url(ECHO)),
        ("mail", MAIL.to_owned()),
        ("metrics", METRICS.to_owned()),
        ("topic", TOPIC.to_owned()),
        ("ntfy", "secret-of-the-phone".to_owned()),
        ("header", "secret-of-the-header".to_owned()),
        ("hook", "secret-of-the-hook".to_owned()),
        ("alerts", "secret-of-the-alerts".to_owned()),
        ("grafana", "secret-of-the-grafana".to_owned()),
    ]
}

/// All of that, and what of it would do alone: keys and paths of URLs, and a password as a request carries it.
fn never_seen(receiver: &Receiver) -> Vec<String> {
    let parts = [SLACK, PING, ECHO, "XlookLikeASecretX", "0f3c1c9e-secret-check", "key-of-what-repeats-all"];
    // `keeper:secret-of-the-hook` and `admin:secret-of-the-grafana`, as base64.
    let encoded = ["a2VlcGVyOnNlY3JldC1vZi10aGUtaG9vaw==", "YWRtaW46c2VjcmV0LW9mLXRoZS1ncmFmYW5h"];
    let whole = secrets(receiver).into_iter().map(|(_, secret)| secret);
    whole.chain(parts.into_iter().chain(encoded).map(str::to_owned)).collect()
}

struct Watched {
    watchkeeper: Watchkeeper,
    receiver: Receiver,
    smtp: Smtp,
    alertmanager: Alertmanager,
    port: u16,
}

impl Watched {
    /// Every channel, and two jobs that print all secrets. Nothing where a server is not installed.
    fn start() -> Option<Self> {
        let (smtp, alertmanager) = (Smtp::start(MAIL)?, Alertmanager::start()?);
        wait_until("the Alertmanager is up", SOON, || alertmanager.is_up());
        let watchkeeper = Watchkeeper::with_config("");
        let this = Self { watchkeeper, receiver: Receiver::start(), smtp, alertmanager, port: free_port() };
        fs::create_dir(this.watchkeeper.folder().join("secrets")).unwrap();
        for (name, secret) in secrets(&this.receiver) {
            fs::write(this.watchkeeper.folder().join("secrets").join(name), secret + "\n").unwrap();
        }
        this.watchkeeper.configure(&(this.notifiers() + &this.jobs()));
        Some(this)
    }

    fn of(&self, name: &str) -> String {
        format!("{{ file = \"{}\" }}", self.watchkeeper.folder().join("secrets").join(name).display())
    }

    fn notifiers(&self) -> String {
        let Self { receiver, smtp, alertmanager, port, watchkeeper } = self;
        let (ntfy, hook) = (receiver.url("/"), receiver.url("/hook"));
        let textfile = watchkeeper.folder().join("watchkeeper.prom");
        let textfile = textfile.display();
        [
            format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\ntextfile = \"{textfile}\"\ntoken = {}\n", self.of("metrics")),
            format!("[grafana.main]\nurl = \"{}\"\nuser = \"admin\"\npassword = {}\n", receiver.url("/echo"), self.of("grafana")),
            format!("{}token = {}\n", alertmanager.target(), self.of("alerts")),
            "[notify.am]\ntype = \"alertmanager\"\nalertmanager = \"main\"\n".to_owned(),
            format!("[notify.chat]\ntype = \"slack\"\nurl = {}\n", self.of("slack")),
            format!(
                "[notify.phone]\ntype = \"ntfy\"\nserver = \"{ntfy}\"\ntopic = {}\ntoken = {}\n",
                self.of("topic"),
                self.of("ntfy")
            ),
            format!(
                "[notify.hook]\ntype = \"webhook\"\nurl = \"{hook}\"\nheaders = {{ X-Key = {} }}\nuser = \"keeper\"\npassword = {}\n",
                self.of("header"),
                self.of("hook")
            ),
            // What repeats whatever it is told.
            format!(
                "[notify.echo]\ntype = \"webhook\"\nurl = {}\nheaders = {{ A-Key = {} }}\nuser = \"keeper\"\npassword = {}\n",
                self.of("echo"),
                self.of("header"),
                self.of("hook")
            ),
            format!("[notify.checks]\ntype = \"healthchecks\"\nurls = {{ bad = {} }}\n", self.of("ping")),
            format!(
                "[notify.mail]\ntype = \"email\"\nhost = \"localhost\"\nport = {}\nca_file = \"{}\"\nuser = \"{USER}\"\n\
                 password = {}\nfrom = \"keeper@example.org\"\nto = [\"ops@example.org\"]\n",
                smtp.port,
                smtp.authority().display(),
                self.of("mail")
            ),
        ]
        .concat()
    }

    fn jobs(&self) -> String {
        let secrets = self.watchkeeper.folder().join("secrets");
        let secrets = secrets.display();
        let alone = never_seen(&self.receiver).into_iter().map(|alone| format!("echo 'see {alone}.' >&2\n"));
        let says = format!("cat {secrets}/* | tee /dev/stderr\n") + &alone.collect::<Vec<_>>().concat();
        fs::write(self.watchkeeper.folder().join("says.sh"), says).unwrap();
        let says = format!("sh {}", self.watchkeeper.folder().join("says.sh").display());
        let config = self.watchkeeper.config();
        let config = config.display();
        format!(
            "[defaults]\nretries = {{ max = 0 }}\n\
             [[job]]\nname = \"bad\"\nkind = \"command\"\nshell = true\nschedule = \"* * * * * *\"\ncommand = '{says}; exit 3'\n\
             hooks = {{ on_failure = {{ shell = true, command = '{says}; exit 4' }} }}\n\
             [[job]]\nname = \"conf\"\nkind = \"files-backup\"\nkeep = {{ last = 5 }}\npaths = [\"{config}\"]\n\
             hooks = {{ before = {{ shell = true, command = '{says}' }}, after = {{ shell = true, command = '{says}; exit 5' }} }}\n\
             [[job]]\nname = \"boards\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = {{ last = 5 }}\n"
        )
    }

    /// No secret is in a text.
    #[track_caller]
    fn is_clean(&self, what: &str, text: &str) {
        for secret in never_seen(&self.receiver) {
            assert!(!text.contains(&secret), "{secret} is in {what}: {text}");
        }
    }

    /// No secret is in it, and something would have been.
    #[track_caller]
    fn is_veiled(&self, what: &str, text: &str) {
        self.is_clean(what, text);
        assert!(text.contains("[redacted]"), "nobody tried it with {what}: {text}");
    }

    /// As a person sees it, and as a program does.
    #[track_caller]
    fn shows(&self, arguments: &[&str]) -> String {
        let text = see(&self.watchkeeper.run(arguments));
        let json = see(&self.watchkeeper.run_json(arguments));
        self.is_clean(&arguments.join(" "), &text);
        self.is_clean(&format!("--json {}", arguments.join(" ")), &json);
        text + &json
    }

    /// The daemon, until all have been told.
    fn watch(&self) -> Output {
        let echoes = || self.receiver.posted(ECHO).len();
        let before = echoes();
        let daemon = self.watchkeeper.spawn(&["-vv", "run"]);
        let scraped = || {
            let shown = [("Authorization", format!("Bearer {METRICS}"))];
            let shown: Vec<(&str, &str)> =
                shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = http::send(self.port, "GET", "/metrics", &shown, "")?;
            (answer.status == 200).then_some(answer.body)
        };
        wait_until("all are told", SOON, || {
            let told = |path: &str| {
                let posted = self.receiver.posted(path);
                posted.iter().any(|posted| posted.path == path && posted.body.contains("FAILED"))
            };
            let pinged = || self.receiver.posted(PING).iter().any(|posted| posted.path.contains("/fail"));
            let are_told = told(SLACK) && told("/hook") && told("/") && pinged();
            let failed = |text: &str| text.contains("FAILED bad");
            are_told
                && echoes() > before
                && self.smtp.mails().iter().any(|mail| failed(mail))
                && failed(&self.alerts())
        });
        wait_until("the metrics are there", SOON, || scraped().is_some());
        self.is_clean("the metrics", &scraped().unwrap());
        run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
        self.watchkeeper.wait(daemon, &["run"]).expect(0)
    }

    fn alerts(&self) -> String {
        http::get(self.alertmanager.port, "/api/v2/alerts").unwrap().1
    }
}

fn see(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

#[test]
fn no_secret_is_in_anything_that_is_told_shown_or_kept() {
    let Some(watched) = Watched::start() else { return };
    watched.shows(&["check"]);
    watched.shows(&["check", "--online"]);
    let tested = watched.shows(&["notify-test"]);
    watched.is_veiled("notify-test", &tested);
    watched.is_veiled("run-now", &see(&watched.watchkeeper.run(&["-vv", "run-now", "bad"]).expect(1)));
    watched.is_veiled("run-now", &see(&watched.watchkeeper.run(&["-vv", "run-now", "conf"]).expect(3)));
    watched.is_clean("run-now", &see(&watched.watchkeeper.run(&["-vv", "run-now", "boards"]).expect(1)));
    watched.is_veiled("the log", &see(&watched.watch()));

    for command in [&["status"][..], &["history"], &["next"], &["backups"], &["alert-rules"], &["verify"]] {
        watched.shows(command);
    }
    for job in ["bad", "conf", "boards"] {
        watched.shows(&["explain", job]);
        watched.shows(&["show", job]);
    }
    watched.is_veiled("show", &watched.shows(&["show", "bad"]));
    for folder in [watched.watchkeeper.state(), watched.watchkeeper.backups_folder()] {
        for file in files_below(&folder) {
            let bytes = fs::read(folder.join(&file)).unwrap();
            watched.is_clean(&file.display().to_string(), &String::from_utf8_lossy(&bytes));
        }
    }
    let textfile = fs::read_to_string(watched.watchkeeper.folder().join("watchkeeper.prom")).unwrap();
    watched.is_clean("the textfile", &textfile);

    watched.is_veiled("the alerts", &watched.alerts());
    // A long line is cut into several, each of which ends so.
    let mails = watched.smtp.mails().concat();
    watched.is_clean("the mails", &mails);
    watched.is_veiled("the mails", &mails.replace("=\r\n", ""));
    for path in [SLACK, "/hook", PING] {
        let bodies: String = watched.receiver.posted(path).into_iter().map(|posted| posted.body).collect();
        watched.is_veiled(path, &bodies);
    }
    // The topic is what ntfy has to be told.
    let phone = watched.receiver.posted("/").into_iter().filter(|posted| posted.path == "/");
    let bodies: String = phone.map(|posted| posted.body.replacen(TOPIC, "the topic", 1)).collect();
    watched.is_veiled("ntfy", &bodies);
}
