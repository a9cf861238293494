//! Where the paths of a backup lie on this host.

use std::path::{Path, PathBuf};

use crate::docker::ContainerInfo;

/// Where paths lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Places {
    /// Where they say.
    #[default]
    Host,
    /// In what is mounted into a container: where it is in there, and where on this host; the longest first.
    Mounts(Vec<(PathBuf, PathBuf)>),
}

impl Places {
    /// The mounts of a container. What lies in its own layer has no place here, and goes with the container.
    pub fn of(container: &ContainerInfo) -> Self {
        let mounts = container.mounts.iter().filter(|mount| !mount.source.is_empty());
        let mut mounts: Vec<(PathBuf, PathBuf)> =
            mounts.map(|mount| ((&mount.destination).into(), (&mount.source).into())).collect();
        mounts.sort_by_key(|(inside, _)| std::cmp::Reverse(inside.as_os_str().len()));
        Self::Mounts(mounts)
    }

    /// Where a path lies on this host.
    pub fn real(&self, path: &Path) -> Option<PathBuf> {
        match self {
            Self::Host => Some(path.to_owned()),
            Self::Mounts(mounts) => mounts.iter().find_map(|(inside, here)| {
                let below = path.strip_prefix(inside).ok()?;
                Some(if below.as_os_str().is_empty() { here.clone() } else { here.join(below) })
            }),
        }
    }

    /// The outermost path on this host that others may have changed: no link is followed below the folder that it lies in.
    /// What a container has in a mount is the container's, whoever owns it.
    pub(super) fn top(&self, path: &Path) -> Option<PathBuf> {
        let Self::Mounts(mounts) = self else { return Some(path.to_owned()) };
        mounts.iter().find_map(|(inside, here)| {
            let first = path.strip_prefix(inside).ok()?.components().next();
            Some(first.map_or_else(|| here.clone(), |first| here.join(first)))
        })
    }

    /// It is a mount itself: whoever has it mounted keeps what was there, until started again.
    pub fn is_mount(&self, path: &Path) -> bool {
        match self {
            Self::Host => false,
            Self::Mounts(mounts) => mounts.iter().any(|(inside, _)| inside == path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_in_the_mount_that_is_nearest_to_it() {
        let mount = |inside: &str, here: &str| (inside.into(), here.into());
        let places = Places::Mounts(vec![
            mount("/etc/prometheus/rules", "/srv/rules"),
            mount("/etc/prometheus", "/srv/prometheus"),
        ]);
        let real = |path: &str| places.real(Path::new(path)).map(|path| path.display().to_string());
        assert_eq!(real("/etc/prometheus/rules/a.yml").as_deref(), Some("/srv/rules/a.yml"));
        assert_eq!(real("/etc/prometheus/rules2").as_deref(), Some("/srv/prometheus/rules2"));
        assert_eq!(real("/etc/prometheus").as_deref(), Some("/srv/prometheus"));
        assert_eq!(real("/etc/other"), None);
        let top = |path: &str| places.top(Path::new(path)).map(|path| path.display().to_string());
        assert_eq!(top("/etc/prometheus/rules/deep/a.yml").as_deref(), Some("/srv/rules/deep"));
        assert_eq!(top("/etc/prometheus").as_deref(), Some("/srv/prometheus"));
        assert_eq!(Places::Host.top(Path::new("/etc/a")).as_deref(), Some(Path::new("/etc/a")));
        assert!(places.is_mount(Path::new("/etc/prometheus")) && !places.is_mount(Path::new("/etc")));
    }
}
