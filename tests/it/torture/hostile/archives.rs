//! Archives from elsewhere.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{files_of, refused};
use crate::reliability::{figure, in_full};
use crate::support::watchkeeper::Watchkeeper;

const BLOCK: &str = "01KAHK0000000000000000000A";

fn watchkeeper() -> Watchkeeper {
    Watchkeeper::with_config("[prometheus.main]\nurl = \"http://127.0.0.1:9\"\ndata_dir = \"/nowhere\"\n")
}

/// An entry: its name, its type, and where it leads.
type Named<'a> = (&'a str, u8, &'a str);

/// A tar header as no library would write it.
fn header(name: &str, kind: u8, size: u64, link: &str) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    put(148, b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Writes a compressed tar.
fn archive(watchkeeper: &Watchkeeper, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> PathBuf {
    let path = watchkeeper.folder().join("from-elsewhere.tar.gz");
    let mut gzip = GzEncoder::new(BufWriter::new(File::create(&path).unwrap()), Compression::fast());
    write(&mut gzip).unwrap();
    gzip.write_all(&[0; 1024]).unwrap();
    gzip.finish().unwrap().into_inner().unwrap().sync_all().unwrap();
    path
}

fn small(watchkeeper: &Watchkeeper, entries: &[Named<'_>]) -> PathBuf {
    archive(watchkeeper, |tar| {
        for (name, kind, link) in entries {
            let content = if [b'0', 0].contains(kind) { "stolen" } else { "" };
            tar.write_all(&header(name, *kind, content.len() as u64, link))?;
            if !content.is_empty() {
                let mut block = [0; 512];
                block[..content.len()].copy_from_slice(content.as_bytes());
                tar.write_all(&block)?;
            }
        }
        Ok(())
    })
}

/// Unpacks it; it must be refused, and nothing may be anywhere afterwards that was not there before.
#[track_caller]
fn is_refused(watchkeeper: &Watchkeeper, path: &Path, words: &str) -> u64 {
    let into = watchkeeper.folder().join("into");
    let before = files_of(watchkeeper);
    let path = path.to_str().unwrap();
    let arguments = ["restore", "--from", path, "--into", into.to_str().unwrap()];
    let most = refused(watchkeeper, &arguments, &[1, 2], words);
    assert_eq!(files_of(watchkeeper), before, "{words}");
    assert!(!into.exists() || into.read_dir().unwrap().count() == 0, "something was unpacked: {words}");
    most
}

#[test]
fn an_archive_that_reaches_out_or_is_ambiguous_is_refused_and_nothing_of_it_is_unpacked() {
    let watchkeeper = watchkeeper();
    let meta = format!("{BLOCK}/meta.json");
    let inside = format!("{BLOCK}/index/x");
    let index = format!("{BLOCK}/index");
    let up = format!("{BLOCK}/chunks/../../../../tmp/x");
    let cases: [(&[Named<'_>], &str); 14] = [
        (&[("../escaped", b'0', "")], "escaped"),
        (&[("/tmp/wk-escaped", b'0', "")], "wk-escaped"),
        (&[(&up, b'0', "")], "tmp/x"),
        (&[(BLOCK, b'2', "/tmp"), (&meta, b'0', "")], "symbolic link"),
        (&[(&meta, b'2', "/etc/passwd")], "symbolic link"),
        (&[(&meta, b'1', "/etc/passwd")], "hard link"),
        (&[(&meta, b'3', "")], "device"),
        (&[(&meta, b'4', "")], "device"),
        (&[(&meta, b'6', "")], "pipe"),
        (&[(&meta, b'S', "")], "sparse"),
        (&[(&meta, b'0', ""), (&meta, b'0', "")], "twice"),
        (&[(&index, b'0', ""), (&inside, b'0', "")], "inside a file"),
        (&[("a\nb\u{1b}[31m", b'0', "")], "no Prometheus block"),
        (&[("a\nb\u{1b}[31m", b'2', "/etc")], "symbolic link"),
    ];
    let all = cases.len();
    for (entries, words) in cases {
        is_refused(&watchkeeper, &small(&watchkeeper, entries), words);
    }
    figure("archives that reach out or are ambiguous", &format!("{all} of {all} refused, nothing written"));
}

#[test]
fn an_archive_of_a_million_entries_is_read_in_bounded_memory_and_one_of_more_than_two_is_refused() {
    let watchkeeper = watchkeeper();
    let million = if in_full() { 1_000_000 } else { 100_000 };
    let many = |count: u32| {
        archive(&watchkeeper, |tar| {
            (0..count).try_for_each(|n| tar.write_all(&header(&format!("x/{n}"), b'0', 0, "")))
        })
    };
    let most = is_refused(&watchkeeper, &many(million), "no Prometheus block");
    figure(&format!("archive of {million} entries: memory"), &format!("at most {most} MiB"));
    if in_full() {
        let most = is_refused(&watchkeeper, &many(2_000_001), "more than 2000000 entries");
        figure("archive of 2000001 entries: memory", &format!("refused, at most {most} MiB"));
    }
}

#[test]
fn a_bomb_is_no_block_takes_no_memory_and_what_has_no_room_is_not_unpacked() {
    let watchkeeper = watchkeeper();
    let size: u64 = if in_full() { 4 << 30 } else { 128 << 20 };
    let bomb = |file: &str| {
        archive(&watchkeeper, |tar| {
            tar.write_all(&header(&format!("{BLOCK}/{file}"), b'0', size, ""))?;
            let zeros = vec![0; 1 << 20];
            (0..size >> 20).try_for_each(|_| tar.write_all(&zeros))
        })
    };
    for file in ["meta.json", "index", "tombstones", "chunks/000001"] {
        let path = bomb(file);
        // Less room than the bomb has; the disk of this host may have more.
        let into = watchkeeper.folder().join("into");
        std::fs::create_dir_all(&into).unwrap();
        let script = format!(
            "mount -t tmpfs -o size=16m tmpfs \"$FOLDER\"; code=0; \
             $WATCHKEEPER restore --from {} --into \"$FOLDER\" || code=$?; \
             echo left $(ls \"$FOLDER\" | wc -l); exit $code",
            path.display()
        );
        let output = watchkeeper.run_in_mounts(&into, &script);
        assert_eq!(output.code, 1, "{file}: {output:?}");
        assert!(output.stderr.contains("no space: needs "), "{output:?}");
        assert!(output.stdout.contains("left 0"), "{file}: {output:?}");
        let arguments = ["restore", "--from", path.to_str().unwrap(), "--prometheus", "main", "--dry-run"];
        let most = refused(&watchkeeper, &arguments, &[1, 2], "");
        figure(&format!("bomb of {} MiB as {file}: memory", size >> 20), &format!("at most {most} MiB"));
    }
}
