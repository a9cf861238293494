//! Manifests whose checksum is right and whose words are not.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{files_of, measured, refused};
use crate::reliability::{figure, in_full};
use crate::support::run;
use crate::support::watchkeeper::{Watchkeeper, files_job};

const SEAL: &str = "\"manifest_sha256\"";

/// A backup of a file, and its manifest.
fn backed_up() -> (Watchkeeper, PathBuf, Value) {
    let watchkeeper = Watchkeeper::with_config("");
    let own = watchkeeper.folder().join("own.yml");
    fs::write(&own, "a: 1\n").unwrap();
    watchkeeper.configure(&files_job(3, &[&own]));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let folder = watchkeeper.store_of("conf");
    let is_manifest = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with("Z.json")
    };
    let mut paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let path = paths.find(is_manifest).unwrap();
    let manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    (watchkeeper, path, manifest)
}

/// Writes it with a checksum that is right.
fn seal(path: &Path, manifest: &Value) {
    let mut manifest = manifest.clone();
    manifest.as_object_mut().unwrap().remove("manifest_sha256");
    let mut text = serde_json::to_string_pretty(&manifest).unwrap();
    text.truncate(text.len() - 2);
    text.push_str(",\n");
    fs::write(path, &text).unwrap();
    let sum = run(Command::new("sha256sum").arg(path));
    let sum = sum.split(' ').next().unwrap();
    fs::write(path, format!("{text}  {SEAL}: \"{sum}\"\n}}\n")).unwrap();
}

type Lie = (&'static str, fn(&mut Value), &'static str);

const LIES: [Lie; 11] = [
    ("a name above", |m| m["files"][0]["name"] = json!("../../own.yml"), "is not the name of a file"),
    ("an absolute name", |m| m["files"][0]["name"] = json!("/etc/passwd"), "is not the name of a file"),
    ("a hidden name", |m| m["files"][0]["name"] = json!(".lock"), "is not the name of a file"),
    ("a file twice", |m| m["files"] = json!([m["files"][0], m["files"][0]]), "twice"),
    ("no file", |m| m["files"] = json!([]), "no file"),
    ("a larger file", |m| m["files"][0]["size"] = json!(u64::MAX), "than any disk holds"),
    ("a longer file", |m| m["files"][0]["size"] = json!(1_000_000), "instead of 1000000"),
    ("another hash", |m| m["files"][0]["sha256"] = json!("0".repeat(64)), "SHA-256"),
    ("more content", |m| m["content_bytes"] = json!(u64::MAX), "than any disk holds"),
    ("another backup", |m| m["id"] = json!("20200101T000000Z"), "manifest of 20200101T000000Z"),
    ("the future", |m| m["format"] = json!(4_000_000_000_u64), "newer watchkeeper"),
];

#[test]
fn a_manifest_that_lies_is_named_refused_and_keeps_nobody_from_working() {
    let (watchkeeper, path, manifest) = backed_up();
    let id = path.file_stem().unwrap().to_str().unwrap();
    seal(&path, &manifest);
    watchkeeper.run(&["verify"]).expect(0);
    for (what, lie, words) in LIES {
        let mut lying = manifest.clone();
        lie(&mut lying);
        seal(&path, &lying);
        refused(&watchkeeper, &["verify"], &[1], words);
        fs::write(watchkeeper.folder().join("own.yml"), "a: 2\n").unwrap();
        let before = files_of(&watchkeeper);
        refused(&watchkeeper, &["restore", &format!("conf/{id}"), "--yes"], &[1, 2], "");
        assert_eq!(files_of(&watchkeeper), before, "{what}");
        for command in [&["backups"][..], &["status"], &["explain", "conf"], &["prune", "--dry-run"]] {
            let (output, _) = measured(&watchkeeper, command);
            assert!([0, 1, 3].contains(&output.code), "{what}: {output:?}");
        }
    }
    let run = watchkeeper.run(&["run-now", "conf"]);
    assert!([0, 3].contains(&run.code), "{run:?}");
    let all = LIES.len();
    figure("manifests that lie", &format!("{all} of {all} named by `verify` and refused by `restore`"));
}

#[test]
fn a_manifest_that_is_deep_or_huge_is_refused_in_memory_that_its_size_bounds() {
    let (watchkeeper, path, _) = backed_up();
    let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));
    fs::write(&path, format!("{{\"format\": 1, \"contents\": {open}{close}}}")).unwrap();
    refused(&watchkeeper, &["verify"], &[1], "manifest_sha256");
    let mut deep: Value = serde_json::from_str("{\"format\": 1, \"contents\": \"DEEP\"}").unwrap();
    seal(&path, &deep);
    let text = fs::read_to_string(&path).unwrap().replace("\"DEEP\"", &format!("{open}{close}"));
    deep["contents"] = Value::Null;
    // Sealed by hand: no library writes it.
    let body = &text[..text.find(&format!("  {SEAL}")).unwrap()];
    fs::write(&path, body).unwrap();
    let sum = run(Command::new("sha256sum").arg(&path));
    fs::write(&path, format!("{body}  {SEAL}: \"{}\"\n}}\n", sum.split(' ').next().unwrap())).unwrap();
    refused(&watchkeeper, &["verify"], &[1], "cannot be used");

    let size: u64 = if in_full() { 100 << 20 } else { 20 << 20 };
    let mut huge = BufWriter::new(File::create(&path).unwrap());
    huge.write_all(b"{\"format\": 1, \"contents\": [").unwrap();
    (0..size / 4).for_each(|_| huge.write_all(b"[1],").unwrap());
    huge.write_all(b"1]}\n").unwrap();
    huge.into_inner().unwrap().sync_all().unwrap();
    let (output, most) = measured(&watchkeeper, &["verify"]);
    assert_eq!(output.code, 1, "{output:?}");
    let bound = (size >> 20) + 64;
    assert!(most <= bound, "{most} MiB for a manifest of {} MiB", size >> 20);
    figure(&format!("manifest of {} MiB: memory", size >> 20), &format!("refused, at most {most} MiB"));
}
