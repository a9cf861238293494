//! A proxy before a real mail server.

use std::time::Duration;

use super::{BREAKS, Named, disturbed};
use crate::support::proxy::{Fault, LOG_IN, Proxy, What};
use crate::support::smtp::{Smtp, USER};
use crate::support::watchkeeper::Watchkeeper;

const PASSWORD: &str = "secret-of-the-mail";
/// What a delivery may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What a mail server does beside: it has no time, something else listens there, and it goes after STARTTLS.
const MORE: [Named; 3] = [
    ("421", What::Answers("421 4.3.2 Service not available\r\n")),
    ("a page", What::Answers(LOG_IN)),
    ("closed when it is encrypted", What::ClosedAfter(700)),
];

#[test]
fn a_mail_that_a_broken_network_did_not_take_is_told_and_the_next_is_taken() {
    let Some(server) = Smtp::start(PASSWORD) else { return };
    let fails = |(name, what): Named| {
        let proxy = Proxy::before_port(server.port);
        let watchkeeper = Watchkeeper::with_config(&format!(
            "[notify.mail]\ntype = \"email\"\nhost = \"localhost\"\nport = {}\nca_file = \"{}\"\n\
             user = \"{USER}\"\npassword = {{ plain = \"{PASSWORD}\" }}\nfrom = \"a@example.org\"\n\
             to = [\"b@example.org\"]\n",
            proxy.port,
            server.authority().display(),
        ));
        let output = disturbed(&watchkeeper, &proxy, &Fault::new(what), LIMIT, &["notify-test"]).expect(1);
        let place = format!("localhost:{}", proxy.port);
        assert!(output.stdout.contains(&format!("{place} did not take the mail")), "{name}: {output:?}");
        assert!(!output.stdout.contains(PASSWORD), "{output:?}");
        watchkeeper.run(&["notify-test"]).expect(0);
    };
    std::thread::scope(|scope| {
        for fault in BREAKS.into_iter().chain(MORE) {
            scope.spawn(move || fails(fault));
        }
    });
    assert_eq!(server.mails().len(), BREAKS.len() + MORE.len());
}
