//! What of a backup is left where some of its files are missing or bad.

use std::fs;

use super::{Backup, StoredFile};

impl Backup {
    /// The files that are not there as the manifest says, or were bad when they were last read.
    pub fn doubtful_files(&self) -> impl Iterator<Item = &StoredFile> {
        let is_whole = |file: &StoredFile| {
            let found = fs::symlink_metadata(self.path_of(file));
            found.is_ok_and(|found| found.is_file() && found.len() == file.size)
        };
        let is_known = |file: &StoredFile| self.check_of(file).is_some_and(|check| check.problem.is_some());
        self.manifest.files.iter().filter(move |file| is_known(file) || !is_whole(file))
    }

    /// Something is left of it without its doubtful files. Only a file that backups share can be done without.
    pub fn can_do_without_doubtful(&self) -> bool {
        let mut doubtful = 0;
        for file in self.doubtful_files() {
            if !file.is_shared() {
                return false;
            }
            doubtful += 1;
        }
        doubtful == 0 || self.manifest.files.iter().filter(|file| file.is_shared()).count() > doubtful
    }
}
