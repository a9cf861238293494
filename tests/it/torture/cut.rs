//! One run of the program under strace, which kills it at a call, or lets that call fail.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::watchkeeper::{Output, Watchkeeper};

/// The calls that change what outlives a process.
const CALLS: [&str; 22] = [
    "openat",
    "write",
    "writev",
    "pwrite64",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "fsync",
    "fdatasync",
    "ftruncate",
    "sendto",
    "clone3",
    "vfork",
];
/// Those that name what they change by an open file.
const BY_FILE: [&str; 7] = ["write", "writev", "pwrite64", "fsync", "fdatasync", "ftruncate", "sendto"];

/// By what a thread of the runtime wakes another one, as strace names it.
const WAKER: &str = "<anon_inode:[eventfd]>";

/// A call and the place it changes: `renameat backups/conf/*.json`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step(pub(super) String);

/// The n-th of these calls of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) call: &'static str,
    pub(super) nth: usize,
}

/// How a run ended, and what it did until then.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) output: Output,
    /// What each call that changes something was, the first one first.
    pub(super) steps: Vec<(Point, Step)>,
    /// Where it was cut.
    pub(super) at: Option<Step>,
    /// Did a fault meet a call that wakes a thread? No disk fails that call, and nothing goes on then: the run was ended.
    pub(super) unwoken: bool,
    /// Did a fault meet what the program says why it failed? Then nobody can be told.
    pub(super) unheard: bool,
}

impl Traced {
    pub(super) fn killed(&self) -> bool {
        self.output.code == -1
    }
}

/// Folders, and how a step names them; the longer path first where one is in another.
#[derive(Debug, Clone)]
pub(super) struct Places(Vec<(PathBuf, &'static str)>);

impl Places {
    pub(super) fn of(watchkeeper: &Watchkeeper, others: &[(PathBuf, &'static str)]) -> Self {
        let own = [(watchkeeper.state(), "state"), (watchkeeper.backups_folder(), "backups")];
        Self(own.into_iter().chain(others.iter().cloned()).collect())
    }

    fn name(&self, path: &str) -> Option<String> {
        if path.starts_with("socket:") || path.starts_with("TCP:") {
            return Some("a socket".to_owned());
        }
        self.0.iter().find_map(|(folder, name)| {
            let below = Path::new(path).strip_prefix(folder).ok()?;
            Some(format!("{name}/{}", general(&below.display().to_string())).trim_end_matches('/').to_owned())
        })
    }
}

/// Without what is another one each time: IDs, ULIDs, numbers, and names by chance.
fn general(path: &str) -> String {
    let words = |name: &str| uncounted(name.split_inclusive(['-', '_', '.']).map(word).collect::<String>());
    let name = |name: &str| match name.split_once(".tmp-") {
        Some((before, _)) => format!("{}.tmp-*", words(before)),
        None => words(name),
    };
    let general: Vec<String> = path.split('/').map(name).collect();
    general.join("/")
}

/// Without the `-2` of the second backup within a second.
fn uncounted(name: String) -> String {
    let Some((before, after)) = name.split_once("*-") else { return name };
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_count = rest.len() < after.len() && (rest.is_empty() || rest.starts_with('.'));
    if is_count { format!("{before}*{rest}") } else { name }
}

fn word(word: &str) -> String {
    let end = word.trim_end_matches(['-', '_', '.']).len();
    let changes = end > 3 && word[..end].contains(|c: char| c.is_ascii_digit());
    if changes { format!("*{}", &word[end..]) } else { word.to_owned() }
}

/// Runs it; with an injection of strace (`signal=KILL`, `error=ENOSPC`, `retval=0`) at a point.
pub(super) fn run(
    watchkeeper: &Watchkeeper,
    words: &[&str],
    places: &Places,
    cut: Option<(Point, &str)>,
) -> Traced {
    let trace = watchkeeper.folder().join("trace");
    let inject = cut.map(|(Point { call, nth }, how)| format!("inject={call}:{how}:when={nth}"));
    let child = spawn(watchkeeper, words, &trace, inject);
    let mut calls = Calls::default();
    // strace counts the calls of each thread, and cannot leave out those on an event counter.
    let is_waker = |line: &str| {
        let made = calls.next(line);
        made.is_some_and(|(point, arguments)| {
            cut.is_some_and(|(at, _)| at == point) && arguments.contains(WAKER)
        })
    };
    let (output, unwoken) = wait(watchkeeper, (child, words), &trace, is_waker);
    Traced { unwoken, ..traced(&trace, output, places, cut.map(|(point, _)| point)) }
}

/// Runs it, and kills it once it comes to a step, in whichever thread that is: each such call waits a little, so that it is
/// seen before it is done.
pub(super) fn kill_at(
    watchkeeper: &Watchkeeper,
    words: &[&str],
    places: &Places,
    (step, call): (&Step, &str),
) -> Traced {
    let trace = watchkeeper.folder().join("trace");
    let child = spawn(watchkeeper, words, &trace, Some(format!("inject={call}:delay_enter=50000")));
    let is_step = |line: &str| {
        called(line)
            .is_some_and(|(_, call, arguments)| self::step(call, arguments, places).as_ref() == Some(step))
    };
    let (output, met) = wait(watchkeeper, (child, words), &trace, is_step);
    Traced { at: met.then(|| step.clone()), ..traced(&trace, output, places, None) }
}

/// Waits for its end, and kills it at the first line of its trace that is such a one: says whether there was one.
fn wait(
    watchkeeper: &Watchkeeper,
    (child, words): (Child, &[&str]),
    trace: &Path,
    is_it: impl FnMut(&str) -> bool + Send,
) -> (Output, bool) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| killed_at(trace, &ended, is_it));
        // Also where the wait fails because it hangs.
        let end = Ending(&ended);
        let output = watchkeeper.wait(child, words);
        drop(end);
        (output, watcher.join().unwrap())
    })
}

struct Ending<'e>(&'e AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn killed_at(trace: &Path, ended: &AtomicBool, mut is_it: impl FnMut(&str) -> bool) -> bool {
    let (mut lines, mut line, mut program) = (None, Vec::new(), String::new());
    loop {
        let is_last = ended.load(Ordering::Relaxed);
        if lines.is_none() {
            lines = File::open(trace).ok().map(BufReader::new);
        }
        while lines.as_mut().is_some_and(|lines| lines.read_until(b'\n', &mut line).unwrap() > 0) {
            // The end of a line may not be written yet.
            if line.last() != Some(&b'\n') {
                break;
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
            if program.is_empty() {
                text.split(' ').next().unwrap().clone_into(&mut program);
            }
            if is_it(&text) {
                let _ = Command::new("kill").args(["-KILL", &program]).output();
                return true;
            }
        }
        if is_last {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Counts the calls of each thread, as strace does.
#[derive(Default)]
struct Calls(BTreeMap<(String, &'static str), usize>);

impl Calls {
    /// The call in a line, which one of its thread it is, and its arguments.
    fn next<'l>(&mut self, line: &'l str) -> Option<(Point, &'l str)> {
        let (thread, call, arguments) = called(line)?;
        let nth = self.0.entry((thread.to_owned(), call)).or_default();
        *nth += 1;
        Some((Point { call, nth: *nth }, arguments))
    }
}

/// Starts it. Another program that it starts is not traced.
fn spawn(watchkeeper: &Watchkeeper, words: &[&str], trace: &Path, inject: Option<String>) -> Child {
    let _ = std::fs::remove_file(trace);
    let program = watchkeeper.command(words);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-b", "execve", "-qqq", "-y", "-s", "1", "-e", &format!("trace={}", CALLS.join(","))]);
    if let Some(inject) = inject {
        strace.args(["-e", &inject]);
    }
    strace.arg("-o").arg(trace).arg("--").arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn traced(trace: &Path, output: Output, places: &Places, cut: Option<Point>) -> Traced {
    let text = String::from_utf8_lossy(&std::fs::read(trace).unwrap()).into_owned();
    let mut calls = Calls::default();
    let (mut steps, mut at, mut unheard) = (Vec::new(), None, false);
    for (point, arguments) in text.lines().filter_map(|line| calls.next(line)) {
        let step = step(point.call, arguments, places);
        if at.is_none() && cut == Some(point) {
            at = Some(step.clone().unwrap_or_else(|| Step("between the steps".to_owned())));
        }
        // strace counts the calls of each thread: one fault meets several of them.
        unheard |= cut == Some(point) && arguments.starts_with("2<");
        steps.extend(step.map(|step| (point, step)));
    }
    Traced { output, steps, at, unwoken: false, unheard }
}

/// The thread, the call and its arguments in a line of strace.
fn called(line: &str) -> Option<(&str, &'static str, &str)> {
    let (thread, rest) = line.split_once(' ')?;
    let (name, arguments) = rest.trim_start().split_once('(')?;
    CALLS.iter().find(|call| **call == name).map(|call| (thread, *call, arguments))
}

fn step(call: &str, arguments: &str, places: &Places) -> Option<Step> {
    if ["clone3", "vfork"].contains(&call) {
        return (call == "vfork" || arguments.contains("CLONE_VFORK"))
            .then(|| Step("start of a program".to_owned()));
    }
    if call == "openat" && !arguments.contains("O_CREAT") {
        return None;
    }
    let path =
        if BY_FILE.contains(&call) { between(arguments, '<', '>')?.to_owned() } else { named(arguments)? };
    let place = places.name(&path)?;
    Some(Step(if call == "openat" { format!("create {place}") } else { format!("{call} {place}") }))
}

fn between(text: &str, open: char, close: char) -> Option<&str> {
    let (_, rest) = text.split_once(open)?;
    rest.split_once(close).map(|(inside, _)| inside)
}

/// The last path that is named in the arguments, from the folder that stands before it where it is a relative one.
fn named(arguments: &str) -> Option<String> {
    let (before, path) = arguments.rsplit_once('"').map(|(before, _)| before)?.rsplit_once('"')?;
    if path.starts_with('/') {
        return Some(path.to_owned());
    }
    let folder = before.rsplit_once('>')?.0.rsplit_once('<')?.1;
    Some(format!("{folder}/{path}"))
}
