//! What of deleted blocks stays on the disk because a process still maps their files.
//!
//! Prometheus never closes a block that somebody else deletes: until it is restarted, the kernel keeps the bytes. The
//! kernel also tells: `/proc/PID/maps` names every mapped file, in whatever container, to those who may read it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::prometheus::folder_op::FolderState;

/// Bytes of blocks in `gone` that a process maps. Nothing where no process can be seen that maps any block of the
/// folder: then nobody knows.
pub(super) fn bytes(proc: &Path, gone: &BTreeSet<&str>, staying: &FolderState) -> Option<u64> {
    let staying: BTreeSet<&str> = staying.blocks.iter().map(|block| block.name.as_str()).collect();
    let (mut seen, mut pieces, mut bytes) = (false, BTreeSet::new(), 0);
    for entry in fs::read_dir(proc).ok()?.flatten() {
        // Processes that end meanwhile, and those of others, cannot be read.
        let Ok(maps) = fs::read(entry.path().join("maps")) else { continue };
        for line in String::from_utf8_lossy(&maps).lines() {
            let Some((piece, length, block)) = parse(line) else { continue };
            seen |= staying.contains(block) || gone.contains(block);
            // A file may be mapped by more than one process.
            if gone.contains(block) && pieces.insert(piece.to_owned()) {
                bytes += length;
            }
        }
    }
    seen.then_some(bytes)
}

/// `7f00-7f10 r--s 00000000 08:01 42   /prometheus/01ABC…/index (deleted)`: which piece of which file, its length, and
/// the block.
fn parse(line: &str) -> Option<(&str, u64, &str)> {
    let path_at = line.find('/')?;
    let (fields, path) = line.split_at(path_at);
    let (range, rest) = fields.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let length = u64::from_str_radix(to, 16).ok()?.checked_sub(u64::from_str_radix(from, 16).ok()?)?;
    let (_permissions, piece) = rest.split_once(' ')?;
    let block =
        path.split('/').map(|part| part.split('.').next().unwrap_or(part)).find(|part| part.len() == 26)?;
    Some((piece.trim_end(), length, block))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "7f1a00000000-7f1a00003000 r--s 00000000 00:2f 4711                       \
                        /prometheus/01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp-for-deletion/chunks/000001 (deleted)";

    #[test]
    fn a_mapped_file_of_a_renamed_block_is_known_by_the_blocks_name() {
        let (piece, length, block) = parse(LINE).unwrap();
        assert_eq!((length, block), (0x3000, "01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert_eq!(piece, "00000000 00:2f 4711");
        assert_eq!(parse("7f00-7f10 rw-p 00000000 00:00 0 "), None);
        assert_eq!(parse("7f00-7f10 r-xp 00000000 08:01 9 /usr/bin/prometheus"), None);
    }
}
