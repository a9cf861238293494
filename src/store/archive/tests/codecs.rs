//! What each codec writes, what other programs make of it, and what is made of it when it is damaged.

use super::super::parallel::Parallel;
use super::super::piece::{self, Format, LARGEST, Piece};
use super::*;
use crate::config::values::Codec;

/// Packs `raw` in pieces of these sizes, over and over; the last one is what is left.
fn packed(codec: Codec, raw: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut pack = piece::packer(codec.into()).unwrap();
    let (mut rest, mut sizes, mut stream) = (raw, sizes.iter().cycle(), Vec::new());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        let mut piece = Piece { raw: now.to_vec(), packed: Vec::new() };
        pack(&mut piece).unwrap();
        stream.extend_from_slice(&piece.packed);
        rest = later;
    }
    stream
}

fn read(stream: &[u8], threads: usize) -> io::Result<Vec<u8>> {
    let format = Format::detect(stream).ok_or(io::ErrorKind::InvalidData)?;
    let mut raw = Vec::new();
    Parallel::with(stream, format, threads)?.read_to_end(&mut raw)?;
    Ok(raw)
}

/// As any archive is read, whoever made it. Of what is none, the tar reader would say so.
fn decoded(stream: &[u8]) -> io::Result<Vec<u8>> {
    decode::detect(stream).ok_or(io::ErrorKind::InvalidData)?;
    let mut raw = Vec::new();
    decode::open(stream)?.read_to_end(&mut raw)?;
    Ok(raw)
}

const PACKED: [Codec; 2] = [Codec::Gzip, Codec::Zstd];

fn sample_tar() -> Vec<u8> {
    let content: Vec<u8> = (0..200_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    ended(&[&with_content(b'0', b"f", &content), &with_content(b'0', b"g", b"abc")])
}

#[test]
fn the_programs_of_each_codec_open_what_we_write() {
    let commands: [&[&str]; 6] = [
        &["gzip", "-t", "x.tar.gz"],
        &["tar", "-xzf", "x.tar.gz", "-C", "gzip"],
        &["tar", "-xf", "x.tar", "-C", "none"],
        &["zstd", "-q", "-t", "x.tar.zst"],
        &["zstd", "-q", "-d", "x.tar.zst", "-o", "zstd.tar"],
        &["tar", "-xf", "zstd.tar", "-C", "zstd"],
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut items = items();
    let large = (0..600_000_u32).flat_map(|n| n.wrapping_mul(n).to_be_bytes()).collect();
    items.push(("large".into(), Some(large)));
    for codec in Codec::ALL {
        write_as(&dir.path().join(format!("x{}", codec.suffix())), codec, &items);
        fs::create_dir(dir.path().join(codec.name())).unwrap();
    }
    for command in commands {
        let output = Command::new(command[0]).args(&command[1..]).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{command:?}: {output:?}");
    }
    for codec in Codec::ALL {
        for (name, content) in &items {
            let Some(bytes) = content else { continue };
            assert!(
                fs::read(dir.path().join(codec.name()).join(name)).unwrap() == *bytes,
                "{codec:?}, {name}"
            );
        }
    }
}

#[test]
fn the_codec_is_told_by_the_bytes_and_not_by_the_name() {
    let dir = tempfile::tempdir().unwrap();
    for codec in Codec::ALL {
        let path = dir.path().join(format!("{}.anything", codec.name()));
        write_as(&path, codec, &items());
        assert_eq!(open(&path).unwrap(), items().len(), "{codec:?}");
        assert!(is_archive(&path).unwrap(), "{codec:?}");
    }
    for other in [&b""[..], b"P", b"PK\x03\x04", b"hello", &[0; 600]] {
        let path = dir.path().join("other");
        atomic::replace(&path, other, 0o640).unwrap();
        assert!(!is_archive(&path).unwrap());
    }
}

#[test]
fn what_other_programs_compressed_is_read_as_a_stream() {
    let tar = sample_tar();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&tar).unwrap();
    assert_eq!(decoded(&gzip.finish().unwrap()).unwrap(), tar);
    let (start, end) = tar.split_at(700);
    let frames = [zstd::encode_all(start, 3).unwrap(), zstd::encode_all(end, 1).unwrap()].concat();
    assert_eq!(decoded(&frames).unwrap(), tar);
    for at in 1..frames.len() {
        assert!(decoded(&frames[..at]).is_err() || read_all(&decoded(&frames[..at]).unwrap()[..]).is_err());
    }
    assert!(decoded(&[&frames[..], b"x"].concat()).is_err());
    // As pzstd writes them: the length of a frame that does not say how much is in it.
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(&tar).unwrap();
    let frame = encoder.finish().unwrap();
    let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
    let pzstd = [&b"\x50\x2a\x4d\x18\x04\0\0\0"[..], &length, &frame].concat();
    assert_eq!(decoded(&pzstd).unwrap(), tar);
    // A skippable frame of somebody else.
    let skipped = [b"\x5a\x2a\x4d\x18\x02\0\0\0hi", &frames[..]].concat();
    assert_eq!(decoded(&skipped).unwrap(), tar);
}

#[test]
fn a_window_that_would_need_a_lot_of_memory_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&sample_tar()).unwrap();
    assert!(decoded(&encoder.finish().unwrap()).is_err());
}

#[test]
fn a_stream_cut_anywhere_never_shows_more_than_was_there_and_never_ends_well_inside_a_piece() {
    for codec in PACKED {
        let tar = sample_tar();
        let stream = packed(codec, &tar, &[700, 400]);
        for at in 0..stream.len() {
            match decoded(&stream[..at]) {
                Err(_) => {}
                // Between two pieces the stream ends well, and the tar in it does not.
                Ok(raw) => {
                    assert!(tar.starts_with(&raw) && raw.len() < tar.len(), "{codec:?} cut at {at}");
                    assert!(read_all(&raw[..]).is_err(), "{codec:?} cut at {at}");
                }
            }
        }
    }
}

#[test]
fn no_flipped_bit_changes_what_is_read() {
    for codec in PACKED {
        let tar = sample_tar();
        // Equal pieces, so that skipping one leaves everything else in place.
        let zeros = vec![0; 4096];
        for (raw, sizes) in [(&tar, &[700, 400][..]), (&zeros, &[512])] {
            let mut stream = packed(codec, raw, sizes);
            for bit in 0..stream.len() * 8 {
                stream[bit / 8] ^= 1 << (bit % 8);
                if let Ok(read) = decoded(&stream) {
                    assert!(read == *raw, "{codec:?}, bit {} of byte {}", bit % 8, bit / 8);
                }
                stream[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}

#[test]
fn garbage_behind_the_last_piece_is_an_error() {
    for codec in PACKED {
        let stream = packed(codec, &sample_tar(), &[2000]);
        for garbage in [&b"x"[..], b"\0", &[0; 600], &stream[..30], b"\x1f\x8b\x08\0\0\0\0\0\0\0"] {
            assert!(decoded(&[&stream[..], garbage].concat()).is_err(), "{codec:?}, {garbage:?}");
        }
    }
    let mut foreign = GzEncoder::new(packed(Codec::Gzip, b"abc", &[9]), Compression::default());
    foreign.write_all(b"def").unwrap();
    assert!(decoded(&foreign.finish().unwrap()).is_err());
}

/// Makes the head of a gzip member right again.
fn with_length(member: &mut [u8], length: u32) {
    member[16..20].copy_from_slice(&length.to_le_bytes());
    let check = libdeflater::crc32(&member[..20]);
    member[20..24].copy_from_slice(&check.to_le_bytes());
}

#[test]
fn pieces_that_lie_about_their_size_are_refused() {
    let good = packed(Codec::Gzip, &[7; 5000], &[5000]);
    for length in [0, 1, 23, 24, 31, u32::MAX, 2 << 20] {
        let mut bad = good.clone();
        with_length(&mut bad, length);
        assert!(decoded(&bad).is_err(), "{length}");
    }
    let end = good.len() - 4;
    for size in [0, 4999, 5001, (1 << 20) + 1, u32::MAX] {
        let mut bad = good.clone();
        bad[end..].copy_from_slice(&size.to_le_bytes());
        assert!(decoded(&bad).is_err(), "{size}");
    }
    // Two members that claim to be one: gzip shows both, so showing the first alone would be wrong.
    let (one, two) = (packed(Codec::Gzip, &[7; 5000], &[5000]), packed(Codec::Gzip, &[8; 5000], &[5000]));
    let mut both = [&one[..], &two[..]].concat();
    let length = u32::try_from(both.len()).unwrap();
    with_length(&mut both, length);
    assert!(decoded(&both).is_err());
    // With the same content nothing but the check of the head tells.
    let mut both = one.repeat(2);
    let length = u32::try_from(both.len()).unwrap();
    both[16..20].copy_from_slice(&length.to_le_bytes());
    assert!(decoded(&both).is_err());
}

#[test]
fn a_piece_that_unpacks_to_more_than_any_of_ours_is_refused() {
    for size in [LARGEST, LARGEST + 1] {
        let piece = || Piece { raw: vec![0; size], packed: Vec::new() };
        let (mut member, mut frame) = (piece(), piece());
        member::Packer::new(6).unwrap().pack(&mut member).unwrap();
        frame::Packer::new(3).unwrap().pack(&mut frame).unwrap();
        for (codec, bomb) in [(Codec::Gzip, member.packed), (Codec::Zstd, frame.packed)] {
            assert!(bomb.len() < 2000);
            let raw = decoded(&[packed(codec, b"ab", &[2]), bomb].concat());
            assert_eq!(raw.ok().map(|raw| raw.len()), (size == LARGEST).then_some(size + 2), "{codec:?}");
        }
    }
    // Nor are they written: the proof refuses them.
    let mut piece = Piece { raw: vec![0; LARGEST + 1], packed: Vec::new() };
    assert!(piece::packer(Codec::Gzip.into()).unwrap()(&mut piece).is_err());
}

/// Counts what it gives.
struct Counting<'a>(&'a [u8], &'a std::cell::Cell<usize>);

impl Read for Counting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buf)?;
        self.1.set(self.1.get() + n);
        Ok(n)
    }
}

#[test]
fn the_reader_is_only_some_pieces_ahead() {
    let raw: Vec<u8> = (0..400_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let stream = packed(Codec::Gzip, &raw, &[16_000]);
    let (read, one) = (std::cell::Cell::new(0), stream.len() / 100);
    let mut reader = Parallel::with(Counting(&stream, &read), Format::Members, 2).unwrap();
    let mut shown = vec![0; 16_000];
    for n in 1..=100 {
        reader.read_exact(&mut shown).unwrap();
        assert!(shown == raw[(n - 1) * 16_000..n * 16_000]);
        assert!(read.get() <= (n + 7) * one + 1000, "{} after {n}", read.get());
    }
    assert_eq!(reader.read(&mut shown).unwrap(), 0);
}

#[test]
fn what_is_before_the_damage_is_shown_and_nothing_behind_it() {
    let raw: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
    let mut stream = packed(Codec::Zstd, &raw, &[1000]);
    let at = packed(Codec::Zstd, &raw[..2000], &[1000]).len() + 40;
    stream[at] ^= 1;
    let mut reader = Parallel::with(&stream[..], Format::Frames, 2).unwrap();
    let mut shown = Vec::new();
    assert!(reader.read_to_end(&mut shown).is_err());
    assert_eq!(shown, raw[..2000]);
    for _ in 0..3 {
        assert!(reader.read(&mut [0; 100]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_content_in_pieces_of_any_size_is_read_as_it_was(
        raw in proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..20_000),
        sizes in proptest::collection::vec(1_usize..5000, 1..5),
        threads in 1_usize..5,
    ) {
        for codec in PACKED {
            let stream = packed(codec, &raw, &sizes);
            if raw.is_empty() { continue }
            prop_assert!(read(&stream, threads).unwrap() == raw);
            // As other programs read it, which know nothing of our pieces.
            let mut other = Vec::new();
            match codec {
                Codec::Gzip => { flate2::read::MultiGzDecoder::new(&stream[..]).read_to_end(&mut other).unwrap(); }
                _ => zstd::stream::copy_decode(&stream[..], &mut other).unwrap(),
            }
            prop_assert!(other == raw);
        }
    }

    #[test]
    fn no_packed_bytes_make_the_reader_panic(
        start in prop_oneof![Just(&b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x0c\0WK\x08\0"[..]), Just(&b"\x50\x2a\x4d\x18\x04\0\0\0"[..]), Just(&b""[..])],
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = decoded(&[start, &rest].concat());
    }
}
