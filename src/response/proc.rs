//! What the kernel of this machine tells about the processes of a container, where the engine is this machine's and this
//! user may see it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::docker::{ContainerInfo, Docker};

/// The first process of a container, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pid(u32);

impl Pid {
    /// Nothing where it does not run, or is not this machine's: the engine may run in a virtual machine, or this process in
    /// a container, where the same number is another process.
    pub(super) fn of(docker: &Docker, info: &ContainerInfo) -> Option<Self> {
        let pid = Self(info.life.pid.filter(|_| docker.is_local())?);
        let groups = fs::read_to_string(pid.path("cgroup")).ok()?;
        let is_its = !info.id.is_empty() && groups.contains(&info.id);
        is_its.then_some(pid)
    }

    /// `/proc/PID/…`
    pub(super) fn path(self, below: &str) -> PathBuf {
        Path::new("/proc").join(self.0.to_string()).join(below)
    }

    /// Where the memory of its container is counted: a folder for cgroup v2, else that of the memory controller of v1.
    pub(super) fn memory_group(self) -> Option<PathBuf> {
        let groups = fs::read_to_string(self.path("cgroup")).ok()?;
        memory_group(&groups)
    }
}

/// The folder that lines such as `0::/docker/abc` or `4:memory:/docker/abc` mean.
fn memory_group(groups: &str) -> Option<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let of = |controller: &str| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (controllers, path) = (parts.nth(1)?, parts.next()?);
            let is_it = controllers.split(',').any(|name| name == controller);
            is_it.then(|| path.trim_start_matches('/').to_owned())
        })
    };
    of("memory").map(|path| root.join("memory").join(path)).or_else(|| of("").map(|path| root.join(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_the_memory_is_found_in_both_versions() {
        let first = "9:name=systemd:/docker/abc\n4:cpu,memory:/docker/abc\n0::/system.slice/docker.service\n";
        assert_eq!(memory_group(first).unwrap(), Path::new("/sys/fs/cgroup/memory/docker/abc"));
        let second = "0::/system.slice/docker-abc.scope\n";
        assert_eq!(memory_group(second).unwrap(), Path::new("/sys/fs/cgroup/system.slice/docker-abc.scope"));
        assert_eq!(memory_group(""), None);
    }
}
