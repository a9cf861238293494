//! Exchanging the data of a data folder for others, so that whoever looks finds all of the one or all of the other.
//!
//! 1. Each live entry changes places with a shim that leads to it. Nothing that is seen changes.
//! 2. One rename turns the link `current`, and with it every shim, to the other side.
//! 3. Each shim changes places with what it leads to. Again nothing that is seen changes.
//!
//! Every step can be found out by looking: what is real, what is a shim, and where `current` leads. So it does not
//! matter where it was killed: it is driven on to the one side or back to the other by the same three steps. A
//! Prometheus that ran meanwhile may have made entries or removed shims; what is real and live belongs to the side
//! that `current` leads to.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::error::{At as _, FolderOpError};
use super::{files, shim};
use crate::regular;

/// One of the two sets of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// What was live before the restore.
    Old,
    /// What the restore brings.
    New,
}

impl Side {
    const fn folder(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

/// Exchanges the data of one data folder.
pub(super) struct Exchange<'a> {
    root: &'a Path,
    work: &'a Path,
    /// The file system exchanges two names in one step.
    atomic: bool,
    /// For tests: how many changes may still be made.
    #[cfg(test)]
    pub(super) budget: std::cell::Cell<usize>,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(root: &'a Path, work: &'a Path, atomic: bool) -> Self {
        Self {
            root,
            work,
            atomic,
            #[cfg(test)]
            budget: std::cell::Cell::new(usize::MAX),
        }
    }

    /// Makes the data of one side live, and sets aside what was.
    pub(super) fn drive(&self, goal: Side) -> Result<(), FolderOpError> {
        self.recover()?;
        if self.current()? != goal {
            self.enter(goal.other())?;
            self.turn(goal)?;
        }
        self.settle(goal)?;
        files::sync(&self.work.join("old"))?;
        files::sync(&self.work.join("new"))?;
        files::sync(self.root)
    }

    /// Which side `current` leads to.
    fn current(&self) -> Result<Side, FolderOpError> {
        let link = self.work.join("current");
        match fs::read_link(&link).at("read the link", &link)?.to_str() {
            Some("old") => Ok(Side::Old),
            Some("new") => Ok(Side::New),
            _ => Err(FolderOpError::refused(format!("{} leads elsewhere", link.display()), "")),
        }
    }

    /// Step 1: every live entry of this side becomes a shim, and what only the other side has gets one.
    fn enter(&self, side: Side) -> Result<(), FolderOpError> {
        self.take_over_writes(side)?;
        self.even_out_heads(side)?;
        for name in files::data_names(self.root)? {
            let live = self.root.join(&name);
            if shim::is_shim(&live)? {
                continue;
            }
            let aside = self.side(side).join(&name);
            if shim::is_real(&aside)? {
                self.put_away(&aside, &name)?;
            }
            if files::look(&aside)?.is_none() {
                self.place_shim(&name, &aside)?;
            }
            self.exchange(&live, &aside)?;
        }
        for other in [side.other(), side] {
            self.announce(other)?;
        }
        files::sync(self.root)?;
        files::sync(&self.side(side))
    }

    /// What a side has and nothing live stands for gets a shim.
    fn announce(&self, side: Side) -> Result<(), FolderOpError> {
        for name in files::data_names(&self.side(side))? {
            let live = self.root.join(&name);
            if files::look(&live)?.is_none() && shim::is_real(&self.side(side).join(&name))? {
                self.place_shim(&name, &live)?;
            }
        }
        Ok(())
    }

    /// Step 2: all shims lead to this side from now on.
    fn turn(&self, side: Side) -> Result<(), FolderOpError> {
        let (fresh, link) = (self.work.join("current.new"), self.work.join("current"));
        files::remove(&fresh)?;
        symlink(side.folder(), &fresh).at("create", &fresh)?;
        self.change()?;
        fs::rename(&fresh, &link).at("turn", &link)?;
        files::sync(self.work)
    }

    /// Step 3: what the shims lead to takes their place; shims that lead nowhere go.
    fn settle(&self, side: Side) -> Result<(), FolderOpError> {
        self.take_over_writes(side)?;
        let aside = self.side(side);
        for name in files::data_names(&aside)? {
            let (live, real) = (self.root.join(&name), aside.join(&name));
            if !shim::is_real(&real)? {
                self.drop_shim(&real, &name)?;
                continue;
            }
            if shim::is_shim(&live)? {
                self.exchange(&live, &real)?;
                self.drop_shim(&real, &name)?;
            } else if files::look(&live)?.is_none() {
                self.change()?;
                rename_new(&real, &live).at("put in place", &live)?;
            }
        }
        for name in files::data_names(self.root)? {
            let live = self.root.join(&name);
            if shim::is_shim(&live)? {
                self.drop_shim(&live, &name)?;
            }
        }
        for name in files::data_names(&self.side(side.other()))? {
            let other = self.side(side.other()).join(&name);
            if shim::is_shim(&other)? {
                self.drop_shim(&other, &name)?;
            }
        }
        Ok(())
    }

    /// What a Prometheus that ran in the middle wrote into a shim belongs to the side it saw: it replaces
    /// `tombstones` and `meta.json`, and such a file would stay what is seen after the turn. A `meta.json` whose
    /// index leads nowhere keeps Prometheus from starting.
    fn take_over_writes(&self, side: Side) -> Result<(), FolderOpError> {
        for name in files::data_names(self.root)?.into_iter().filter(|name| files::is_block(name)) {
            let (live, real) = (self.root.join(&name), self.side(side).join(&name));
            if !shim::is_shim(&live)? || !shim::is_real(&real)? {
                continue;
            }
            for part in shim::PARTS {
                let written = live.join(part);
                if files::look(&written)?.is_some_and(|metadata| metadata.is_file()) {
                    self.take_over(&name, part, &written, &real.join(part))?;
                }
            }
        }
        Ok(())
    }

    /// A copy first, so that the live name shows the same all the time.
    fn take_over(&self, name: &str, part: &str, live: &Path, real: &Path) -> Result<(), FolderOpError> {
        let copy = shim::making(self.work)?.join(part);
        copy_file(live, &copy).at("copy", live)?;
        shim::give(self.work, &copy)?;
        self.change()?;
        fs::rename(&copy, real).at("replace", real)?;
        let link = shim::make_part(self.work, name, part)?;
        self.change()?;
        fs::rename(&link, live).at("replace", live)
    }

    /// What one side has of the head's folders, the other gets empty: Prometheus does not start while `wal` or
    /// `wbl` is a link that leads nowhere.
    fn even_out_heads(&self, side: Side) -> Result<(), FolderOpError> {
        for name in files::HEAD_FOLDERS {
            let (live, ours, theirs) =
                (self.root.join(name), self.side(side).join(name), self.side(side.other()).join(name));
            let has_ours = shim::is_real(&live)? || shim::is_real(&ours)?;
            let has_theirs = shim::is_real(&theirs)?;
            if has_ours && !has_theirs {
                self.place_head(name, &theirs)?;
            } else if has_theirs && !has_ours {
                self.place_head(name, &ours)?;
            }
        }
        Ok(())
    }

    fn place_head(&self, name: &str, at: &Path) -> Result<(), FolderOpError> {
        if shim::is_shim(at)? {
            self.drop_shim(at, name)?;
        }
        let made = shim::make_head(self.work, name)?;
        self.change()?;
        rename_new(&made, at).at("create", at)
    }

    fn side(&self, side: Side) -> PathBuf {
        self.work.join(side.folder())
    }

    /// Something of the same name is set aside already: both are kept.
    fn put_away(&self, path: &Path, name: &str) -> Result<(), FolderOpError> {
        let folder = self.work.join("more");
        if files::look(&folder)?.is_none() {
            fs::create_dir(&folder).at("create", &folder)?;
        }
        let taken = files::names(&folder)?.len();
        let free = folder.join(format!("{taken}.{name}"));
        self.change()?;
        rename_new(path, &free).at("set aside", path)
    }

    fn place_shim(&self, name: &str, at: &Path) -> Result<(), FolderOpError> {
        let made = shim::make(self.work, name)?;
        self.change()?;
        rename_new(&made, at).at("create", at)
    }

    /// Away in one step first: a shim that is half removed must not stand at a live name.
    fn drop_shim(&self, path: &Path, name: &str) -> Result<(), FolderOpError> {
        let trash = self.work.join("trash");
        files::remove(&trash)?;
        fs::create_dir(&trash).at("create", &trash)?;
        self.change()?;
        fs::rename(path, trash.join(name)).at("remove", path)?;
        files::remove(&trash)
    }

    /// Two names change what they name.
    fn exchange(&self, live: &Path, aside: &Path) -> Result<(), FolderOpError> {
        self.change()?;
        if self.atomic {
            let done = renameat_with(CWD, live, CWD, aside, RenameFlags::EXCHANGE).map_err(io::Error::from);
            return done.at("exchange", live);
        }
        let held = self.held(live);
        fs::rename(live, &held).at("exchange", live)?;
        self.change()?;
        fs::rename(aside, live).at("exchange", live)?;
        self.change()?;
        fs::rename(&held, aside).at("exchange", live)
    }

    /// Finishes, or takes back, an exchange that was cut where the file system needs three steps for it.
    fn recover(&self) -> Result<(), FolderOpError> {
        for name in files::names(self.work)?.iter().filter_map(|name| name.strip_prefix("held.")) {
            let (live, aside) = (self.root.join(name), self.side(self.current()?).join(name));
            let held = self.held(&live);
            let to = if files::look(&live)?.is_none() { live } else { aside };
            if files::look(&to)?.is_none() {
                fs::rename(&held, &to).at("exchange", &to)?;
            } else if shim::is_shim(&held)? {
                files::remove(&held)?;
            }
        }
        Ok(())
    }

    fn held(&self, live: &Path) -> PathBuf {
        let name = live.file_name().unwrap_or_default().to_string_lossy();
        self.work.join(format!("held.{name}"))
    }

    /// Stands before every change to the data folder.
    #[cfg_attr(not(test), expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests cut here"))]
    fn change(&self) -> Result<(), FolderOpError> {
        #[cfg(test)]
        match self.budget.get().checked_sub(1) {
            Some(left) => self.budget.set(left),
            None => return Err(FolderOpError::refused("cut", "")),
        }
        Ok(())
    }
}

/// The file system that holds `work` exchanges two names in one step.
pub(super) fn is_supported(work: &Path) -> Result<bool, FolderOpError> {
    let (a, b) = (work.join("probe.a"), work.join("probe.b"));
    for probe in [&a, &b] {
        files::remove(probe)?;
        fs::create_dir(probe).at("create", probe)?;
    }
    let supported = renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).is_ok();
    files::remove(&a)?;
    files::remove(&b)?;
    Ok(supported)
}

fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            fs::rename(from, to)
        }
        Err(e) => Err(e.into()),
    }
}
/// Copies a file, and brings the copy to the disk.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = regular::open(from)?;
    let mut copy = fs::File::create_new(to)?;
    copy.set_permissions(source.metadata()?.permissions())?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()
}
