//! Exports of a Grafana, as objects.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use watchkeeper::grafana::bundle::Bundle;
use watchkeeper::grafana::object::{Object, ObjectType};

use super::grafana::{Grafana, Version};
use super::watchkeeper::{Output, Watchkeeper};

pub(crate) const JOB: &str = "grafana";
pub(crate) const PASSWORD: &str = "user = \"admin\"\npassword = { plain = \"admin\" }";

/// One job on this server, with what its target says of the credentials, and further keys.
pub(crate) fn watchkeeper(grafana: &Grafana, credentials: &str, keys: &str) -> Watchkeeper {
    with_retries(grafana, credentials, 0, keys)
}

pub(crate) fn with_retries(grafana: &Grafana, credentials: &str, retries: u32, keys: &str) -> Watchkeeper {
    Watchkeeper::with_config(&format!(
        "[grafana.main]\nurl = \"{}\"\n{credentials}\n[[job]]\nname = \"{JOB}\"\nkind = \"grafana-export\"\n\
         grafana = \"main\"\nkeep = {{ last = 5 }}\nretries = {{ max = {retries}, backoff = \"1s\" }}\n{keys}\n",
        grafana.url()
    ))
}

pub(crate) fn by_token(token: &str) -> String {
    format!("token = {{ plain = \"{token}\" }}")
}

pub(crate) fn sample(version: Version) -> Grafana {
    let grafana = Grafana::start(version);
    grafana.seed().one_of_everything();
    grafana.forget_requests();
    grafana
}

/// The archives, oldest first.
pub(crate) fn archives(watchkeeper: &Watchkeeper) -> Vec<PathBuf> {
    let files = fs::read_dir(watchkeeper.store_of(JOB)).into_iter().flatten();
    let files = files.map(|file| file.unwrap().path());
    let mut all: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "gz")).collect();
    all.sort();
    all
}

pub(crate) fn objects(watchkeeper: &Watchkeeper) -> Vec<Object> {
    let archive = archives(watchkeeper).pop().expect("a backup");
    let bundle = Bundle::open(&archive, watchkeeper.folder(), &CancellationToken::new()).unwrap();
    bundle.entries().iter().map(|entry| bundle.load(entry).unwrap()).collect()
}

pub(crate) fn export(grafana: &Grafana, keys: &str) -> Vec<Object> {
    let watchkeeper = watchkeeper(grafana, PASSWORD, keys);
    watchkeeper.run(&["run-now", JOB]).expect(0);
    objects(&watchkeeper)
}

pub(crate) fn find<'a>(all: &'a [Object], kind: ObjectType, key: &str) -> &'a Value {
    let found = all.iter().find(|object| object.kind == kind && object.key == key);
    let keys =
        || all.iter().filter(|object| object.kind == kind).map(|object| &object.key).collect::<Vec<_>>();
    &found.unwrap_or_else(|| panic!("no {kind}/{key}: {:?}", keys())).body
}

/// A run that failed: what it said, and that nothing was left in the store.
#[track_caller]
pub(crate) fn fails(watchkeeper: &Watchkeeper, words: &[&str]) -> Output {
    let output = watchkeeper.run(&["run-now", JOB]).expect(1);
    let said = format!("{}{}", output.stdout, output.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    assert!(archives(watchkeeper).is_empty(), "a failed export left an archive");
    output
}
