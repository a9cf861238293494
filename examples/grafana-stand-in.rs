//! The tests' stand-in for Grafana as a process of its own, for `make demo` and for a look by hand. It is not Grafana:
//! it answers as a recorded 7.5.5 does, or as later versions are said to. Never part of the program.
//!
//! ```console
//! $ cargo run --example grafana-stand-in -- 127.0.0.1:3000 7.5.5 0 sample
//! ```
//!
//! The third argument is from where it counts its numeric IDs. With `sample` it holds one of everything, with a number
//! that many dashboards. It keeps nothing on disk, and runs until it is killed.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "shared with the tests, which use more of it; a process for people says what it does"
)]

#[path = "../tests/it/support"]
mod support {
    pub(crate) mod grafana;
}

use support::grafana::{ADMIN, Builder, Version};

const USAGE: &str = "usage: grafana-stand-in ADDRESS [VERSION [FIRST_ID [sample | DASHBOARDS]]]";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or(USAGE)?.parse()?;
    let wanted = arguments.next().unwrap_or_else(|| "7.5.5".into());
    let mut fitting = Version::ALL.into_iter().filter(|version| version.number().starts_with(&wanted));
    let numbers = Version::ALL.map(Version::number).join(", ");
    let version = fitting.next().ok_or_else(|| format!("{wanted}: not one of {numbers}"))?;
    let first_id = arguments.next().map_or(Ok(0), |id| id.parse())?;
    let grafana = Builder::default().version(version).ids_from(first_id).listen(address).start();
    match arguments.next().as_deref() {
        Some("sample") => grafana.seed().one_of_everything(),
        Some(number) => grafana.seed().dashboards(number.parse().map_err(|_| USAGE)?, None),
        None => {}
    }
    let (url, number, (login, password)) = (grafana.url(), version.number(), ADMIN);
    eprintln!("a stand-in for Grafana {number} at {url} (login {login}, password {password})");
    loop {
        std::thread::park();
    }
}
