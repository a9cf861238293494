//! What of a backup is new and what it shares with earlier ones, in words.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use crate::prometheus::block::BlockReport;
use crate::prometheus::contents::SnapshotContents;
use crate::prometheus::coverage::{Coverage, rewritten};
use crate::prometheus::snapshot::{Fate, Taken};
use crate::store::{Layout, Novelty, shared_key};
use crate::words;

/// Some blocks of a backup, and the bytes of their stored files.
#[derive(Default, Clone, Copy)]
struct Part {
    blocks: usize,
    bytes: u64,
}

impl Part {
    fn add(&mut self, bytes: u64) {
        self.blocks += 1;
        self.bytes += bytes;
    }
}

/// What of a backup is new, and what it shares with earlier ones.
#[derive(Default)]
pub(super) struct Share {
    /// Of an archive everything is new.
    pub(super) layout_shares: bool,
    new: Part,
    /// Stored anew, because what was stored was bad.
    mended: Part,
    /// Read, and the same bytes were there.
    known: Part,
    /// Damaged at the source, and kept as they were before.
    kept: Part,
    /// There, and not read.
    shared: Part,
    /// Of those that were read and stored, the damaged ones.
    damaged: usize,
    /// The archive that each backup has of its own.
    own_bytes: u64,
}

impl Share {
    pub(super) fn of(taken: &Taken) -> Self {
        let (manifest, contents) = (&taken.backup.manifest, &taken.contents);
        let mut share = Self { layout_shares: manifest.layout == Layout::Blocks, ..Self::default() };
        for file in &manifest.files {
            let Some(block) = shared_key(&file.name) else {
                share.own_bytes += file.size;
                continue;
            };
            let part = match taken.read.get(block) {
                Some(Fate::Stored(Novelty::New)) => &mut share.new,
                Some(Fate::Stored(Novelty::Mended)) => &mut share.mended,
                Some(Fate::Stored(Novelty::Known)) => &mut share.known,
                Some(Fate::GoodCopyKept) => &mut share.kept,
                None => &mut share.shared,
            };
            part.add(file.size);
        }
        if !share.layout_shares {
            share.new.blocks = contents.blocks.len();
        }
        let was_read = |block: &&BlockReport| !share.layout_shares || taken.read.contains_key(&block.name);
        share.damaged = contents.damaged().filter(was_read).count();
        share
    }

    /// Bytes that this backup has added to the store.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.own_bytes + self.new.bytes + self.mended.bytes
    }

    /// Blocks of which every byte was read from the source, and which were stored.
    fn read(&self) -> usize {
        self.new.blocks + self.mended.blocks + self.known.blocks
    }

    pub(super) fn summary(&self, contents: &SnapshotContents) -> String {
        let of_these = [(contents.damaged().count(), "damaged"), (self.new.blocks, "new")];
        let of_these = of_these.iter().take(if self.layout_shares { 2 } else { 1 });
        let of_these: Vec<String> =
            of_these.filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let of_these =
            if of_these.is_empty() { String::new() } else { format!(" ({})", of_these.join(", ")) };
        let (blocks, samples) =
            (words::count(contents.blocks.len(), "block"), words::grouped(contents.samples));
        let all = self.stored_bytes() + self.known.bytes + self.kept.bytes + self.shared.bytes;
        format!("{blocks}{of_these}, {samples} samples, {}", words::size(all))
    }

    pub(super) fn verified(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.read() > 0 {
            lines.push(format!(
                "every chunk, series and posting of {} was read and matches its checksums and counts",
                self.which_were_read()
            ));
        }
        if self.new.blocks + self.mended.blocks > 0 {
            lines.push("every byte that was stored was read back and matches its SHA-256".to_owned());
        }
        if self.known.blocks > 0 {
            let blocks = words::count(self.known.blocks, "block");
            lines.push(format!(
                "{blocks} of which the store had the same bytes: only what is noted of it beside them was written anew"
            ));
        }
        if self.shared.blocks > 0 {
            lines.push(format!(
                "{} had been stored and checked before: names, sizes and times of their files are still the same",
                words::count(self.shared.blocks, "block")
            ));
        }
        lines
    }

    fn which_were_read(&self) -> String {
        match (self.damaged, self.layout_shares, self.read()) {
            (0, false, _) => "each block".to_owned(),
            (0, true, read) if read == self.new.blocks => "each new block".to_owned(),
            (0, true, read) => format!("the {} that were read", words::count(read, "block")),
            (damaged, _, read) => {
                format!("{} of {} that were read", read - damaged.min(read), words::count(read, "block"))
            }
        }
    }

    /// What each part of the backup costs.
    fn parts(&self) -> String {
        let told = [
            (self.new, "new block", ""),
            (self.mended, "block", " stored anew, as what was stored was bad"),
            (self.known, "block", " read again and found in the store"),
            (self.kept, "block", " as stored before it was damaged at the source"),
            (self.shared, "shared block", ""),
        ];
        let told = told.iter().filter(|(part, ..)| part.blocks > 0).map(|(part, what, how)| {
            format!("{}{how}, {}", words::count(part.blocks, what), words::size(part.bytes))
        });
        told.collect::<Vec<_>>().join("; ")
    }

    pub(super) fn facts(&self, taken: &Taken, zone: &TimeZone) -> Vec<String> {
        let contents = &taken.contents;
        let mut facts = Vec::new();
        if self.layout_shares {
            facts.push(self.parts());
        }
        if let Some(coverage) = Coverage::of(&contents.blocks) {
            facts.push(coverage.text(zone));
        }
        let new: BTreeSet<&str> = contents.new.iter().map(String::as_str).collect();
        let rewritten: BTreeSet<&str> = rewritten(&contents.blocks, &new, &taken.stored_before)
            .iter()
            .map(|block| block.name.as_str())
            .collect();
        if !rewritten.is_empty() {
            let files = taken.backup.manifest.files.iter();
            let files =
                files.filter(|file| shared_key(&file.name).is_some_and(|key| rewritten.contains(key)));
            let bytes = words::size(files.map(|file| file.size).sum());
            let blocks = words::count(rewritten.len(), "new block");
            facts.push(format!(
                "compaction merged what was stored before: {blocks}, {bytes}, without new samples"
            ));
        }
        facts
    }
}
