//! The kernel's log, as `dmesg` has it.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use jiff::{SignedDuration, Timestamp};
use rustix::fs::OFlags;

use crate::response::seen::Seen;
use crate::words;

/// So many records are read: the kernel keeps fewer.
const MOST: usize = 200_000;
/// No record is longer.
const LONGEST: usize = 8 << 10;
/// So many kills are shown.
const SHOWN: usize = 5;

/// What the kernel says of the kills since a time, each in one line.
pub(super) fn kills(since: Timestamp) -> io::Result<Vec<String>> {
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open("/dev/kmsg")?;
    let booted = booted()?;
    let (mut record, mut kills) = (vec![0; LONGEST], Vec::new());
    for _ in 0..MOST {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                kills.extend(kill(&text, booted, since));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // It was overwritten while it was read: the next one is there.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
    Ok(kills)
}

/// `3,42,1234567,-;Memory cgroup out of memory: Killed process …`: priority, number, microseconds since the start.
fn kill(record: &str, booted: Timestamp, since: Timestamp) -> Option<String> {
    let (head, text) = record.split_once(';')?;
    let text = text.lines().next()?;
    let is_kill = text.starts_with("oom-kill:") || text.to_lowercase().contains("out of memory");
    let micros: i64 = head.split(',').nth(2)?.parse().ok()?;
    let at = booted.checked_add(SignedDuration::from_micros(micros)).ok()?;
    (is_kill && at >= since).then(|| text.to_owned())
}

/// When the machine was started, by its own clock.
fn booted() -> io::Result<Timestamp> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    let booted = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    booted.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "/proc/stat has no btime"))
}

/// Those of a container name its group, in the record before.
pub(super) fn judge(kills: &io::Result<Vec<String>>, id: &str, seen: &mut Seen) {
    let kills = match kills {
        Ok(kills) => kills,
        Err(error) => return seen.evidence(format!("the kernel log cannot be read: {error}")),
    };
    let records: Vec<&String> = kills.iter().filter(|text| text.starts_with("oom-kill:")).collect();
    let own = records.iter().filter(|text| !id.is_empty() && text.contains(id)).count();
    let others = records.len() - own;
    if own > 0 {
        seen.bad(format!("the kernel log has {} in this container", kills_text(own)));
    }
    if others > 0 {
        seen.caution(format!("the kernel log has {} elsewhere on this machine", kills_text(others)));
    }
    if records.is_empty() && kills.is_empty() {
        seen.evidence("the kernel log has no kill for memory");
    }
    let killed = kills.iter().filter(|text| !text.starts_with("oom-kill:"));
    seen.evidence.extend(killed.rev().take(SHOWN).map(|text| format!("kernel: {text}")));
}

fn kills_text(number: usize) -> String {
    words::counted(number, "kill for memory", "kills for memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str =
        "6,41,2000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/docker/abc,task=dd,pid=9\n";
    const KILLED: &str =
        "3,42,2000001,-;Memory cgroup out of memory: Killed process 9 (dd) total-vm:1kB\n SUBSYSTEM=x\n";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_kill_is_known_by_its_words_and_by_when_it_was() {
        assert!(kill(GROUP, at(100), at(102)).unwrap().starts_with("oom-kill:"));
        assert!(kill(KILLED, at(100), at(102)).unwrap().ends_with("total-vm:1kB"));
        assert_eq!(kill(KILLED, at(100), at(103)), None);
        assert_eq!(kill("6,43,2000002,-;eth0: link up\n", at(100), at(0)), None);
    }

    #[test]
    fn a_kill_in_the_container_is_told_from_one_elsewhere() {
        let kills = || Ok([GROUP, KILLED].map(|record| kill(record, at(100), at(0)).unwrap()).to_vec());
        let found = |id: &str| {
            let mut seen = Seen::default();
            judge(&kills(), id, &mut seen);
            seen.findings[0].text.clone()
        };
        assert_eq!(found("abc"), "the kernel log has 1 kill for memory in this container");
        assert_eq!(found("def"), "the kernel log has 1 kill for memory elsewhere on this machine");
        let mut seen = Seen::default();
        judge(&Err(ErrorKind::PermissionDenied.into()), "abc", &mut seen);
        assert_eq!(seen.evidence, ["the kernel log cannot be read: permission denied"]);
    }
}
