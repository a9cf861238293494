//! What comes from elsewhere and means harm: refused with a reason, in bounded memory, and nothing is written outside of
//! the folder it was meant for.

mod archives;
mod folders;
mod manifests;
mod random;
mod servers;
mod socket;
mod trees;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::watchkeeper::{Output, Watchkeeper};

/// What a command may take whatever it is given, in MiB. Without any load it takes about 20.
const MEMORY: u64 = 96;

/// Runs a command to its end; gives its output, and the most memory that it had, in MiB.
fn measured(watchkeeper: &Watchkeeper, arguments: &[&str]) -> (Output, u64) {
    let mut child = watchkeeper.spawn(arguments);
    let status = format!("/proc/{}/status", child.id());
    let pipes = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let readers = [reader(pipes.0), reader(pipes.1)];
    let mut most = 0;
    let code = loop {
        // The kernel keeps the most by itself; it is asked often, since it is gone with the process.
        most = most.max(peak(Path::new(&status)).unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended.code().unwrap_or(-1);
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let [stdout, stderr] = readers.map(|reader| reader.join().unwrap());
    (Output { code, stdout, stderr }, most >> 10)
}

fn reader(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The most memory that a process had, in KiB.
fn peak(status: &Path) -> Option<u64> {
    let status = fs::read_to_string(status).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Runs a command that must be refused with these words, in bounded memory; gives the most that it had, in MiB.
#[track_caller]
fn refused(watchkeeper: &Watchkeeper, arguments: &[&str], codes: &[i32], words: &str) -> u64 {
    refused_below(MEMORY, watchkeeper, arguments, codes, words)
}

/// The same, with another bound of the memory, in MiB.
#[track_caller]
fn refused_below(
    bound: u64,
    watchkeeper: &Watchkeeper,
    arguments: &[&str],
    codes: &[i32],
    words: &str,
) -> u64 {
    let (output, most) = measured(watchkeeper, arguments);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(codes.contains(&output.code), "{arguments:?}: {output:?}");
    assert!(said.contains(words), "{words:?} is not in:\n{said}");
    assert!(!said.contains("panicked"), "{said}");
    // Nothing that somebody else has named may control a terminal.
    assert!(!said.contains('\u{1b}'), "{said:?}");
    assert!(most <= bound, "{arguments:?} took {most} MiB");
    most
}

/// Everything below the folder of a test, but what the program itself keeps there.
fn files_of(watchkeeper: &Watchkeeper) -> String {
    let mut find = Command::new("find");
    find.arg(watchkeeper.folder()).args(["-not", "-path", "*/state*", "-printf", "%p %s %T@ %m\n"]);
    let listed = crate::support::run(&mut find);
    let mut lines: Vec<&str> = listed.lines().filter(|line| !line.contains("/into")).collect();
    lines.sort_unstable();
    lines.join("\n")
}
