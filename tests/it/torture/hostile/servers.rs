//! Servers that answer too much, configurations that are none, and files with names that control a terminal.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::{refused, refused_below};
use crate::reliability::{figure, in_full};
use crate::support::watchkeeper::{Watchkeeper, files_job};

/// What the largest reply takes that is read at all, beside everything else, in MiB.
const REPLY: u64 = 64;

/// What the parser takes for the mebibyte that a configuration may have, whatever is in it, in MiB.
const CONFIGURATION: u64 = 256;

/// A server that answers everything with a body of so many bytes: what it begins with, then the same again and again.
fn endless(begin: &'static str, again: &'static str, size: u64) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
                let piece = again.repeat((1 << 16) / again.len());
                let mut sent =
                    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(begin.as_bytes()));
                let mut left = size;
                while left > 0 && sent.is_ok() {
                    sent = stream.write_all(piece.as_bytes());
                    left = left.saturating_sub(piece.len() as u64);
                }
            });
        }
    });
    port
}

#[test]
fn a_server_that_answers_a_gigabyte_or_deep_json_fails_the_job_in_bounded_memory() {
    let cases = [
        ("a gigabyte of spaces", "{\"version\":\"7.5.5\"", " "),
        ("a gigabyte of a list", "[", "{\"id\":1},"),
        ("a gigabyte of brackets", "", "["),
        ("a gigabyte of a name", "{\"", "x"),
    ];
    let size = if in_full() { 1 << 30 } else { 128 << 20 };
    for (what, begin, again) in cases {
        let port = endless(begin, again, size);
        let watchkeeper = Watchkeeper::with_config(&format!(
            "[grafana.main]\nurl = \"http://127.0.0.1:{port}\"\ntoken = {{ plain = \"t\" }}\n\
             [prometheus.main]\nurl = \"http://127.0.0.1:{port}\"\ndata_dir = \"/nowhere\"\n\
             [[job]]\nname = \"export\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = {{ last = 1 }}\n\
             retries = {{ max = 0 }}\n\
             [[job]]\nname = \"snapshot\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\n\
             keep = {{ last = 1 }}\nretries = {{ max = 0 }}\n"
        ));
        for job in ["export", "snapshot"] {
            let (output, most) = super::measured(&watchkeeper, &["run-now", job]);
            assert_eq!(output.code, 1, "{what}: {output:?}");
            assert!(!output.stderr.contains("panicked"), "{output:?}");
            assert!(most <= super::MEMORY + 2 * REPLY, "{what}: {job} took {most} MiB");
            figure(&format!("{what} in place of an answer to {job}: memory"), &format!("at most {most} MiB"));
        }
    }
    let deep = endless("[", "[", 200_000);
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[grafana.main]\nurl = \"http://127.0.0.1:{deep}\"\ntoken = {{ plain = \"t\" }}\n\
         [[job]]\nname = \"export\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = {{ last = 1 }}\n\
         retries = {{ max = 0 }}\n"
    ));
    refused(&watchkeeper, &["run-now", "export"], &[1], "failed");
}

#[test]
fn a_configuration_that_is_huge_or_deep_is_refused_in_bounded_memory() {
    let watchkeeper = Watchkeeper::with_config("");
    let cases = [
        ("10 MB of jobs", "[[job]]\nname = \"a\"\nkind = \"command\"\n".repeat(250_000), "longer than 1 MiB"),
        ("10 MB of one name", "x".repeat(10 << 20), "longer than 1 MiB"),
        ("1 MB of errors", "a = \n".repeat(200_000), "jobs.toml"),
        ("1 MB of brackets", format!("a = {}", "[".repeat(1_000_000)), "jobs.toml"),
        ("1 MB of tables", format!("[{}x]\n", "a.".repeat(400_000)), "jobs.toml"),
        ("50 kB of inline tables", format!("a = {}", "{a = ".repeat(10_000)), "jobs.toml"),
    ];
    for (what, text, words) in cases {
        fs::write(watchkeeper.config(), text).unwrap();
        let most = refused_below(CONFIGURATION, &watchkeeper, &["check"], &[78], words);
        figure(&format!("jobs.toml: {what}: memory"), &format!("refused, at most {most} MiB"));
    }
}

#[test]
fn files_with_names_that_break_lines_or_control_a_terminal_are_backed_up_and_told_in_one_line() {
    let watchkeeper = Watchkeeper::with_config("");
    let folder = watchkeeper.folder().join("own");
    fs::create_dir(&folder).unwrap();
    let names =
        ["a\nb", "\u{1b}[2J\u{1b}[31mred", "tab\tand\rreturn", "-rf", "$(touch x)", "\u{202e}cod.exe"];
    for name in names {
        fs::write(folder.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("/etc/pass\nwd\u{1b}[0m", folder.join("link\n\u{1b}[0m")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join("pipe\n\u{1b}[0m"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    watchkeeper.configure(&files_job(3, &[&folder]));
    let run = watchkeeper.run(&["run-now", "conf"]);
    assert!([0, 3].contains(&run.code), "{run:?}");
    for name in names {
        fs::write(folder.join(name), "changed").unwrap();
    }
    let outputs = [
        run,
        watchkeeper.run(&["restore", "conf", "--dry-run"]),
        watchkeeper.run(&["restore", "conf", "--yes"]),
        watchkeeper.run(&["history"]),
        watchkeeper.run(&["show", "conf"]),
        watchkeeper.run(&["status"]),
    ];
    for output in &outputs {
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(!said.contains('\u{1b}') && !said.contains('\r'), "{said:?}");
    }
    for name in names {
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), name, "{:?}", outputs[2]);
    }
}
