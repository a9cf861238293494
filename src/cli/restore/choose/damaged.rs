//! Backups some of whose shared files are damaged: what of them can still be restored.

use tokio_util::sync::CancellationToken;

use crate::cli::bar;
use crate::cli::output::CliError;
use crate::cli::session::Session;
use crate::progress::Progress;
use crate::store::{Backup, Broken, Listing, StoreError, shared_key};
use crate::words;

/// What becomes of the damage of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::restore) enum Damage {
    /// It is told, with the blocks that it costs.
    Told,
    /// What it costs is left out.
    LeftOut,
}

/// Takes the backups out of those that are broken of which something is left without the files that are not there.
pub(super) fn take_damaged(listing: &mut Listing) -> Vec<Backup> {
    let is_usable =
        |broken: &mut Broken| broken.backup.as_ref().is_some_and(|backup| backup.can_do_without_doubtful());
    listing.broken.extract_if(.., is_usable).filter_map(|broken| Some(*broken.backup?)).collect()
}

/// What of the newest backup can be restored where none is good, and what not.
pub(super) fn without_damaged(listing: &Listing) -> Option<String> {
    let broken = listing.broken.iter().filter_map(|broken| broken.backup.as_deref());
    let newest = listing.backups.iter().chain(broken).max_by(|a, b| a.id().cmp(b.id()))?;
    let blocks: Vec<String> =
        newest.doubtful_files().filter_map(|file| shared_key(&file.name)).map(str::to_owned).collect();
    if blocks.is_empty() || !newest.can_do_without_doubtful() {
        return None;
    }
    let (job, id) = (&newest.manifest.job, newest.id());
    let (number, names) = (words::count(blocks.len(), "damaged block"), words::some(&blocks, 3));
    Some(format!(
        "`watchkeeper restore {job} --skip-damaged` restores {job}/{id} without its {number} ({names})"
    ))
}

/// Reads every stored file of a backup: a plan that is only shown must not promise what cannot be restored. What is bad is
/// noted in the store, where it lies in one.
pub(in crate::cli::restore) fn must_be_whole(
    session: &Session,
    backup: &Backup,
    cancel: &CancellationToken,
) -> Result<(), CliError> {
    let step = Progress::new(bar::sink(session)).step("read the backup", Some(backup.size()));
    for file in &backup.manifest.files {
        let Some(problem) = backup.check_file(file, &step, cancel)? else { continue };
        if let Ok(store) = session.store()
            && store.job(&backup.manifest.job).folder() == backup.folder
        {
            let bad = [(file.name.clone(), problem.clone())];
            // Who may not write there is told of it all the same.
            let _ = store.job(&backup.manifest.job).note_bad(backup, bad, session.now);
        }
        return Err(StoreError::Broken { path: backup.path_of(file), problem }.into());
    }
    Ok(())
}
