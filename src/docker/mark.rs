//! The mark a helper carries: which process it belongs to.
//!
//! A process ID alone is used again, so the mark also holds the process's start, the kernel's boot and the
//! process-ID namespace. Only a mark of our own boot and namespace can be proven dead by looking into `/proc`.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// Which process a helper belongs to. Its text is fit for a label and for an image tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pid: u32,
    start: u64,
    namespace: u64,
    boot: String,
}

/// What can be said of the process behind a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It runs.
    Alive,
    /// It is gone for sure.
    Dead,
    /// It belongs to another machine, boot or process-ID namespace.
    Foreign,
}

impl Mark {
    /// The mark of this process.
    pub(super) fn own() -> &'static Self {
        static OWN: OnceLock<Mark> = OnceLock::new();
        OWN.get_or_init(|| Self {
            pid: std::process::id(),
            start: start_of("self").unwrap_or(0),
            namespace: namespace(),
            boot: boot(),
        })
    }

    /// What became of the process.
    pub(super) fn life(&self) -> Life {
        let own = Self::own();
        if self.boot != own.boot || self.namespace != own.namespace {
            return Life::Foreign;
        }
        if start_of(&self.pid.to_string()) == Some(self.start) { Life::Alive } else { Life::Dead }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.pid, self.start, self.namespace, self.boot)
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(4, '-');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or(());
        let (pid, start, namespace) = (number()?, number()?, number()?);
        let boot = parts.next().ok_or(())?.to_owned();
        Ok(Self { pid: u32::try_from(pid).map_err(|_| ())?, start, namespace, boot })
    }
}

/// Clock ticks from boot to the start of a process: field 22, counted behind the name, which may hold anything.
fn start_of(pid: &str) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino())
}

/// The first half of the boot's UUID, without its dashes: 64 bits tell boots apart, and tags are short.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.chars().filter(char::is_ascii_hexdigit).take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_being_written_and_read() {
        let mark = Mark::own();
        assert_eq!(mark.to_string().parse::<Mark>().as_ref(), Ok(mark));
        assert!(mark.to_string().len() < 100);
        assert_eq!(mark.life(), Life::Alive);
    }

    #[test]
    fn a_pid_that_was_used_again_is_not_taken_for_the_old_process() {
        let again = Mark { start: Mark::own().start + 1, ..Mark::own().clone() };
        assert_eq!(again.life(), Life::Dead);
    }

    #[test]
    fn another_boot_is_never_called_dead() {
        let other = Mark { boot: "00".to_owned(), ..Mark::own().clone() };
        assert_eq!(other.life(), Life::Foreign);
        assert!("nonsense".parse::<Mark>().is_err());
    }
}
