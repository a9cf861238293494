//! `recover`: what is down is backed up, restarted, waited for and looked at, with real applications, servers and containers.

mod containers;
mod cut;
mod full;
mod refused;
mod runs;
mod saved;
mod stops;

use std::time::Duration;

use serde_json::Value;

use crate::support::docker::{Container, Image, Shell};
use crate::support::scratch;

const LONG: Duration = Duration::from_secs(90);

/// Looks at the health of `[application.app]`.
const LOOK: &str = "[[job]]\nname = \"look\"\nkind = \"verify-deployment\"\n[[job.check]]\nname = \"health\"\n\
                    type = \"http\"\napplication = \"app\"\npath = \"/cgi-bin/health\"\n";

/// A container of busybox that runs this script until it is stopped, which takes no time.
fn container(image: &Image, more: &[&str], script: &str) -> Container {
    let container = Container::named("recover");
    let fixed = ["--stop-signal", "SIGKILL", "--entrypoint", "/bin/sh"];
    container.create(&[fixed.as_slice(), more, &[image.name.as_str(), "-c", script]].concat());
    container
}

/// `[application.NAME]` that is this container, and answers at this port.
fn application(name: &str, container: &str, port: u16) -> String {
    format!("[application.{name}]\nurl = \"http://127.0.0.1:{port}\"\ncontainer = \"{container}\"\n")
}

/// A web server in a container: all that is needed to be ready.
fn web(image: &Image, more: &[&str]) -> (Container, u16) {
    let port = scratch::free_port();
    let publish = format!("127.0.0.1:{port}:8080");
    let script = "echo well >/tmp/health; exec /bin/busybox httpd -f -p 8080 -h /tmp";
    let container = container(image, &[&["-p", publish.as_str()], more].concat(), script);
    (container, port)
}

fn image() -> Option<std::sync::Arc<Image>> {
    crate::support::docker::available().then(|| Image::get(Shell::Busybox))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn names(value: &Value, key: &str) -> Vec<String> {
    value.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
}
