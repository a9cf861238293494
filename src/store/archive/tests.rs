//! Archives as a whole: what we write, what `tar` makes of it, and what we make of what others write.

mod codecs;

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::values::Codec;
use crate::store::atomic;

/// Path, and content of a file or nothing for a folder.
type Item = (String, Option<Vec<u8>>);

fn writer(path: &Path, codec: Codec) -> (ArchiveWriter, Finished) {
    let finished = Finished::default();
    let file = File::create_new(path).unwrap();
    let writer = ArchiveWriter::new(file, path, codec.into(), Arc::clone(&finished)).unwrap();
    (writer, finished)
}

fn write_as(path: &Path, codec: Codec, items: &[Item]) -> crate::store::StoredFile {
    let (mut archive, _) = writer(path, codec);
    for (name, content) in items {
        match content {
            Some(bytes) => {
                archive.file(name, 0o640, 1_700_000_000, bytes.len() as u64, &mut &bytes[..]).unwrap();
            }
            None => archive.folder(name, 0o750).unwrap(),
        }
    }
    archive.finish().unwrap()
}

fn write(path: &Path, items: &[Item]) -> crate::store::StoredFile {
    write_as(path, Codec::Gzip, items)
}

fn items() -> Vec<Item> {
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(200));
    let exactly_100 = "e".repeat(100);
    let pieces = [
        ("a/empty", 0),
        ("a/one", 1),
        ("a/block", 512),
        ("a/more", 513),
        ("big", 300_000),
        (&long, 9),
        (&exactly_100, 3),
    ];
    let mut items: Vec<Item> = vec![("folder".into(), None), ("folder/inner ä \n".into(), None)];
    for (name, size) in pieces {
        items.push((name.into(), Some((0..size).map(|n: u32| n.to_le_bytes()[0] ^ 0x5a).collect())));
    }
    items
}

fn read_all(reader: impl Read) -> Result<Vec<Item>, ArchiveError> {
    let mut items = Vec::new();
    read_tar(reader, &mut |entry, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|e| ArchiveError::visit(&entry.path, e))?;
        items.push((entry.path.clone(), (entry.kind == EntryKind::File).then_some(bytes)));
        Ok(())
    })?;
    Ok(items)
}

fn open(path: &Path) -> Result<usize, ArchiveError> {
    let mut entries = 0;
    open_archive(path, &CancellationToken::new(), &mut |_, _| {
        entries += 1;
        Ok(())
    })?;
    Ok(entries)
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(File::open(path).unwrap()).read_to_end(&mut tar).unwrap();
    tar
}

fn sample() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar.gz");
    write(&path, &items());
    (dir, path)
}

#[test]
fn plain_tar_opens_what_we_write() {
    let (dir, path) = sample();
    let target = dir.path().join("target");
    fs::create_dir(&target).unwrap();
    let tar = Command::new("tar").arg("-xzf").arg(&path).arg("-C").arg(&target).output().unwrap();
    assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
    for (name, content) in items() {
        match content {
            Some(bytes) => assert_eq!(fs::read(target.join(&name)).unwrap(), bytes, "{name}"),
            None => assert!(target.join(&name).is_dir(), "{name}"),
        }
    }
}

#[test]
fn we_read_what_we_write_and_the_told_hash_is_that_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar.gz");
    let stored = write(&path, &items());
    assert_eq!(read_all(&unpacked(&path)[..]).unwrap(), items());
    let bytes = fs::read(&path).unwrap();
    assert_eq!((stored.size, stored.sha256), (bytes.len() as u64, crate::store::digest::sha256(&bytes)));
    let again = dir.path().join("y.tar.gz");
    write(&again, &items());
    assert_eq!(fs::read(&again).unwrap(), bytes);
}

#[test]
fn we_read_what_gnu_tar_writes_in_each_of_its_formats() {
    for format in ["gnu", "pax", "ustar"] {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let deep = tree.join("d".repeat(90)).join("e".repeat(60));
        fs::create_dir_all(&deep).unwrap();
        for (name, bytes) in [("f", &b"content"[..]), ("empty", b"")] {
            atomic::replace(&deep.join(name), bytes, 0o644).unwrap();
        }
        let tar =
            Command::new("tar").args(["-c", "--format", format, "-C"]).arg(&tree).arg(".").output().unwrap();
        let read = read_all(&tar.stdout[..]).unwrap();
        assert_eq!(read.len(), 4, "{format}");
        assert!(
            read.iter()
                .any(|(name, content)| name.ends_with("e/f") && content.as_deref() == Some(b"content"))
        );
    }
}

#[test]
fn a_long_name_is_read_back_wherever_the_header_cuts_it() {
    // The header has room for 100 bytes: a `/` at each place near there, and what our readers and GNU tar make of it.
    for length in 95..=105 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar.gz");
        let (folder, file) = ("d".repeat(length), format!("{}/{}", "d".repeat(length), "f".repeat(20)));
        let (mut archive, _) = writer(&path, Codec::Gzip);
        archive.folder(&folder, 0o755).unwrap();
        archive.file(&file, 0o644, 0, 7, &mut &b"content"[..]).unwrap();
        archive.finish().unwrap();
        assert_eq!(open(&path).unwrap(), 2, "{length}");
        let read = read_all(&unpacked(&path)[..]).unwrap();
        assert!(read.contains(&(file.clone(), Some(b"content".to_vec()))), "{length}");
        let into = dir.path().join("into");
        fs::create_dir(&into).unwrap();
        assert!(Command::new("tar").arg("-xzf").arg(&path).arg("-C").arg(&into).status().unwrap().success());
        assert_eq!(fs::read(into.join(&file)).unwrap(), b"content", "{length}");
    }
}

#[test]
fn a_file_that_is_shorter_or_longer_than_announced_spoils_the_archive() {
    for (content, relation) in [(&b"abc"[..], "fewer bytes"), (b"abcdef", "more bytes")] {
        let dir = tempfile::tempdir().unwrap();
        let (mut archive, finished) = writer(&dir.path().join("x.tar.gz"), Codec::Gzip);
        let error = archive.file("f", 0o644, 0, 5, &mut &content[..]).unwrap_err();
        assert!(error.to_string().contains(relation), "{error}");
        assert!(matches!(archive.folder("g", 0o755), Err(ArchiveError::Poisoned)));
        assert!(matches!(archive.finish(), Err(ArchiveError::Poisoned)));
        assert_eq!(*finished.lock().unwrap(), None);
    }
}

#[test]
fn what_cannot_be_read_again_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut archive, _) = writer(&dir.path().join("x.tar.gz"), Codec::Gzip);
    archive.file("a", 0o644, 0, 0, &mut io::empty()).unwrap();
    for bad in ["a", "a/b", "../x", "/x", "", "x/"] {
        assert!(archive.file(bad, 0o644, 0, 0, &mut io::empty()).is_err(), "{bad:?}");
    }
    archive.finish().unwrap(); // a refused entry leaves nothing behind
    assert_eq!(open(&dir.path().join("x.tar.gz")).unwrap(), 1);
}

#[test]
fn files_above_8_gib_keep_their_size() {
    // The header alone: nobody wants to write 9 GiB for this.
    let size = 9 << 30;
    let mut tar = tar::Header::new_gnu();
    tar.as_mut_bytes()[0] = b'f';
    tar.set_entry_type(tar::EntryType::Regular);
    tar.set_mode(0o644);
    tar.set_uid(0);
    tar.set_gid(0);
    tar.set_mtime(0);
    tar.set_size(size);
    tar.set_cksum();
    let mut told = 0;
    let _ = read_tar(&tar.as_bytes()[..], &mut |entry, _| {
        told = entry.size;
        Ok(())
    });
    assert_eq!(told, size);
}

#[test]
fn a_tar_cut_anywhere_is_detected() {
    let (_dir, path) = sample();
    let tar = unpacked(&path);
    for at in (0..tar.len()).step_by(512).chain((1..tar.len()).step_by(977)) {
        assert!(read_all(&tar[..at]).is_err(), "cut at {at} of {}", tar.len());
        let mut skipped = 0;
        let skipping = read_tar(&tar[..at], &mut |_, _| {
            skipped += 1;
            Ok(())
        });
        assert!(skipping.is_err(), "cut at {at}, content skipped");
    }
}

#[test]
fn an_archive_cut_or_damaged_anywhere_is_detected() {
    let (dir, path) = sample();
    let bytes = fs::read(&path).unwrap();
    let bad = dir.path().join("bad.tar.gz");
    for at in (0..bytes.len()).step_by(512).chain((0..bytes.len()).rev().take(40)) {
        atomic::replace(&bad, &bytes[..at], 0o640).unwrap();
        assert!(open(&bad).is_err(), "cut at {at} of {}", bytes.len());
    }
    for garbage in [&b"x"[..], b"\0\0\0\0", &bytes[..20]] {
        atomic::replace(&bad, &[&bytes[..], garbage].concat(), 0o640).unwrap();
        assert!(open(&bad).is_err(), "{} bytes behind the end", garbage.len());
    }
    // A second archive behind the first is an archive that another reader would see less of.
    atomic::replace(&bad, &[&bytes[..], &bytes[..]].concat(), 0o640).unwrap();
    assert!(matches!(open(&bad), Err(ArchiveError::Malformed { .. })));
}

#[test]
fn archives_of_several_gzip_members_are_read_to_the_end() {
    let (dir, path) = sample();
    let mut members = Vec::new();
    for piece in unpacked(&path).chunks(1000) {
        let mut encoder = GzEncoder::new(&mut members, Compression::fast());
        encoder.write_all(piece).unwrap();
        encoder.finish().unwrap();
    }
    let many = dir.path().join("many.tar.gz");
    atomic::replace(&many, &members, 0o640).unwrap();
    assert_eq!(open(&many).unwrap(), items().len());
}

#[test]
fn cancelling_ends_the_reading_and_is_told_as_such() {
    let (_dir, path) = sample();
    let cancel = CancellationToken::new();
    let result = open_archive(&path, &cancel, &mut |entry, content| {
        cancel.cancel();
        io::copy(content, &mut io::sink()).map(drop).map_err(|e| ArchiveError::visit(&entry.path, e))
    });
    // The sample fits the first buffer or it does not; cancelled before the first byte it always ends.
    assert!(matches!(result, Ok(()) | Err(ArchiveError::Cancelled)), "{result:?}");
    let result = open_archive(&path, &cancel, &mut |_, _| Ok(()));
    assert!(matches!(result, Err(ArchiveError::Cancelled)), "{result:?}");
}

/// One header block with a right checksum.
fn block(name: &[u8], kind: u8, size: &str) -> Vec<u8> {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    for (at, text) in
        [(100, "0000644\0"), (108, "0000000\0"), (116, "0000000\0"), (124, size), (136, "00000000000\0")]
    {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum = format!("{:06o}\0 ", header::checksum(&block));
    block[148..156].copy_from_slice(sum.as_bytes());
    block.to_vec()
}

const NONE: &str = "00000000000\0";

fn with_content(kind: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut bytes = block(name, kind, &format!("{:011o}\0", content.len()));
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut content = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let length = (1..9999).find(|n: &usize| n.to_string().len() + rest.len() == *n).unwrap();
        content.push_str(&length.to_string());
        content.push_str(&rest);
    }
    with_content(b'x', b"pax", content.as_bytes())
}

fn ended(parts: &[&[u8]]) -> Vec<u8> {
    [parts.concat(), vec![0; 2 * BLOCK]].concat()
}

#[test]
fn hostile_tars_are_refused() {
    let file = || block(b"f", b'0', NONE);
    let huge = with_content(b'x', b"pax", &vec![b'1'; (1 << 20) + 1]);
    let mut bad_checksum = file();
    bad_checksum[0] ^= 1;
    let tars: Vec<(&str, Vec<u8>)> = vec![
        ("parent", ended(&[&block(b"../f", b'0', NONE)])),
        ("parent inside", ended(&[&block(b"a/../../f", b'0', NONE)])),
        ("absolute", ended(&[&block(b"/etc/passwd", b'0', NONE)])),
        ("no name", ended(&[&block(b"", b'0', NONE)])),
        ("not UTF-8", ended(&[&block(b"\xff\xfe", b'0', NONE)])),
        ("twice", ended(&[&file(), &file()])),
        ("twice, spelled differently", ended(&[&file(), &block(b"./f", b'0', NONE)])),
        ("file and folder", ended(&[&file(), &block(b"f/", b'5', NONE)])),
        ("inside a file", ended(&[&file(), &block(b"f/g", b'0', NONE)])),
        ("symbolic link", ended(&[&block(b"l", b'2', NONE)])),
        ("hard link", ended(&[&block(b"l", b'1', NONE)])),
        ("character device", ended(&[&block(b"d", b'3', NONE)])),
        ("block device", ended(&[&block(b"d", b'4', NONE)])),
        ("pipe", ended(&[&block(b"p", b'6', NONE)])),
        ("contiguous", ended(&[&block(b"c", b'7', NONE)])),
        ("sparse", ended(&[&block(b"s", b'S', NONE)])),
        ("unknown", ended(&[&block(b"u", b'Z', NONE)])),
        ("long link", ended(&[&with_content(b'K', b"l", b"/etc\0"), &file()])),
        ("folder with content", ended(&[&with_content(b'5', b"d/", b"x")])),
        ("named like a folder, with content", ended(&[&with_content(b'0', b"d/", b"x")])),
        ("bad checksum", ended(&[&bad_checksum])),
        ("bad size", ended(&[&block(b"f", b'0', "0000000009x\0")])),
        ("negative size", ended(&[&block(b"f", b'0', "-0000000001\0")])),
        ("more size than bytes", ended(&[&block(b"f", b'0', "77777777777\0")])),
        ("PAX parent", ended(&[&pax(&[("path", "../f")]), &file()])),
        ("PAX NUL", ended(&[&pax(&[("path", "a\0b")]), &file()])),
        ("PAX link", ended(&[&pax(&[("linkpath", "x")]), &file()])),
        ("PAX sparse", ended(&[&pax(&[("GNU.sparse.major", "1")]), &file()])),
        ("PAX size beyond the end", ended(&[&pax(&[("size", "99999999999")]), &file()])),
        ("PAX negative size", ended(&[&pax(&[("size", "-1")]), &file()])),
        ("PAX garbage", ended(&[&with_content(b'x', b"p", b"hello"), &file()])),
        ("PAX too long", ended(&[&huge, &file()])),
        ("PAX without an entry", ended(&[&pax(&[("path", "f")])])),
        ("global PAX path", ended(&[&with_content(b'g', b"g", b"10 path=a\n"), &file()])),
        (
            "long name twice",
            ended(&[&with_content(b'L', b"L", b"a\0"), &with_content(b'L', b"L", b"b\0"), &file()]),
        ),
        ("long name with a parent", ended(&[&with_content(b'L', b"L", b"../f\0"), &file()])),
        ("one zero block", [file(), vec![0; BLOCK], file(), vec![0; 2 * BLOCK]].concat()),
        ("one zero block at the end", [file(), vec![0; BLOCK]].concat()),
        ("no end", file()),
        ("nothing", vec![]),
        ("something behind the end", [ended(&[&file()]), file()].concat()),
        ("endless zeros", [ended(&[&file()]), vec![0; 3 << 20]].concat()),
    ];
    for (name, tar) in tars {
        let error = read_all(&tar[..]).expect_err(name);
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn odd_but_honest_tars_are_read() {
    let padded = [ended(&[&block(b"f", b'0', NONE)]), vec![0; 9 * 1024]].concat();
    assert_eq!(read_all(&padded[..]).unwrap().len(), 1);
    let global = ended(&[&with_content(b'g', b"g", b"13 comment=x\n"), &block(b"f", 0, NONE)]);
    assert_eq!(read_all(&global[..]).unwrap().len(), 1);
    // The size of the attributes counts, not that of the header.
    let mut sized = block(b"f", b'0', NONE);
    sized.extend_from_slice(b"abcd");
    sized.resize(2 * BLOCK, 0);
    let sized = ended(&[&pax(&[("size", "4"), ("path", "long")]), &sized]);
    assert_eq!(read_all(&sized[..]).unwrap(), [("long".to_owned(), Some(b"abcd".to_vec()))]);
    assert_eq!(read_all(&[0; 2 * BLOCK][..]).unwrap(), []);
}

#[test]
fn a_visitor_that_hides_a_read_error_hides_nothing() {
    let tar = with_content(b'0', b"f", &[7; 2000]);
    let result = read_tar(&tar[..1000], &mut |_, content| {
        let _ = io::copy(content, &mut io::sink());
        Ok(())
    });
    assert!(matches!(result, Err(ArchiveError::Truncated { at: 1000 })), "{result:?}");
    // Nor does one that gives the error another name.
    let result = read_tar(&tar[..1000], &mut |entry, content| {
        io::copy(content, &mut io::sink()).map(drop).map_err(|e| ArchiveError::visit(&entry.path, e))
    });
    assert!(matches!(result, Err(ArchiveError::Truncated { at: 1000 })), "{result:?}");
}

/// Fails once and goes on as if nothing had been.
struct Hiccup<'a> {
    bytes: &'a [u8],
    fails_at: Option<usize>,
}

impl Read for Hiccup<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.fails_at.take_if(|at| self.bytes.len() <= *at).is_some() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let n = buf.len().min(64);
        self.bytes.read(&mut buf[..n])
    }
}

#[test]
fn an_error_of_the_source_is_told_even_if_the_source_goes_on() {
    let tar = ended(&[&with_content(b'0', b"f", &[7; 2000])]);
    let source = Hiccup { bytes: &tar, fails_at: Some(tar.len() - 1000) };
    let result = read_tar(source, &mut |_, content| {
        let _ = io::copy(content, &mut io::sink());
        Ok(())
    });
    assert!(matches!(result, Err(ArchiveError::Read { .. })), "{result:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_again(
        sizes in proptest::collection::vec(0_usize..3000, 0..12),
        cut in any::<proptest::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar.gz");
        let items: Vec<Item> =
            sizes.iter().enumerate().map(|(n, size)| (format!("d{}/{n}", n % 3), Some(vec![b'x'; *size]))).collect();
        write(&path, &items);
        let tar = unpacked(&path);
        prop_assert_eq!(read_all(&tar[..]).unwrap(), items);
        prop_assert!(read_all(&tar[..cut.index(tar.len())]).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20)) {
        let mut tar = ended(&[&pax(&[("path", "a/b"), ("mtime", "5.5")]), &with_content(b'0', b"f", b"abc"), &block(b"d/", b'5', NONE)]);
        for (at, byte) in flips {
            let at = at.index(tar.len());
            tar[at] = byte;
            // The checksum is made right again, so that what is behind it is reached.
            let start = at - at % BLOCK;
            let mut copy = [0; BLOCK];
            copy.copy_from_slice(&tar[start..start + BLOCK]);
            let sum = format!("{:06o}\0 ", header::checksum(&copy));
            tar[start + 148..start + 156].copy_from_slice(sum.as_bytes());
        }
        let _ = read_all(&tar[..]);
    }
}
