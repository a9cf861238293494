//! What of a restore this user may not do, found before anything is written.

use super::How;
use super::room::Ground;
use crate::files::FileEntry;
use crate::{rights, words};

/// The changes that this user may not make.
#[derive(Debug, Default)]
pub(super) struct Denied {
    first: Option<Reason>,
    count: usize,
}

/// Why something may not be written, and what gives the right.
#[derive(Debug)]
struct Reason {
    why: String,
    hint: String,
}

impl Reason {
    fn of_others(why: String) -> Self {
        Self { why, hint: rights::files_hint("the files and their folders") }
    }
}

impl Denied {
    /// Looks whether the entry may be written at its place on this host.
    pub(super) fn look_at(&mut self, entry: &FileEntry, ground: &Ground<'_>, how: How) {
        let why = not_to_write(ground, how).or_else(|| not_to_give(entry));
        if let Some(Reason { why, hint }) = why {
            self.count += 1;
            self.first.get_or_insert_with(|| Reason { why: format!("{}: {why}", entry.path), hint });
        }
    }

    /// Why the restore cannot be done by this user, where it cannot.
    pub(super) fn refusal(self) -> Option<String> {
        let Reason { why, hint } = self.first?;
        let more = match self.count {
            1 => String::new(),
            count => format!(" (and so {} more)", words::count(count - 1, "path")),
        };
        Some(format!("{why}{more}; {hint}"))
    }
}

/// What is new gets its name in its folder; of what is there the owner may set the mode.
fn not_to_write(ground: &Ground<'_>, how: How) -> Option<Reason> {
    if how == How::Attributes {
        let owner = ground.there?.uid;
        let is_mine = rights::may_give_away() || owner == rustix::process::geteuid().as_raw();
        let why = || format!("its mode cannot be set, because it belongs to the user {owner}");
        return (!is_mine).then(|| Reason::of_others(why()));
    }
    let error = rights::may_write_in(ground.folder).err()?;
    let why = format!("nothing can be written to {}: {error}", ground.path.display());
    match rights::hint(&error, "the files and their folders") {
        Some(hint) => Some(Reason { why, hint }),
        None => Some(Reason::of_others(why)),
    }
}

fn not_to_give(entry: &FileEntry) -> Option<Reason> {
    let (uid, gid) = (entry.uid, entry.gid);
    let is_mine = uid == rustix::process::geteuid().as_raw();
    if rights::may_give_away() || (is_mine && is_my_group(gid)) {
        return None;
    }
    if is_mine {
        let why = format!(
            "it belongs to the group {gid}, which this user is not in, and only root gives files to a group of others"
        );
        return Some(Reason { why, hint: rights::group_hint(gid) });
    }
    Some(Reason::of_others(format!("it belongs to {uid}:{gid}, and only root gives files to others")))
}

fn is_my_group(gid: u32) -> bool {
    let groups = rustix::process::getgroups().unwrap_or_default();
    rustix::process::getegid().as_raw() == gid || groups.iter().any(|group| group.as_raw() == gid)
}
