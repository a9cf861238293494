//! From the tar to the disk: pieces are packed side by side, and written and hashed in their order by a thread of
//! their own, so that whoever makes the tar waits neither for a compressor nor for the disk.
//!
//! Memory is bounded by the number of pieces, which go round: filled, packed, written, filled again. An error of a
//! thread or of the disk ends the writing thread, and the next thing that is written tells it.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use super::crew::{self, Crew, Ticket};
use super::piece::{self, PIECE, Piece, Work};
use crate::config::values::Compression;
use crate::room::RoomWatch;
use crate::store::digest::Hashing;

/// The file, its length and its SHA-256.
pub(super) type Written = (File, u64, String);

pub(super) struct Encoder {
    crew: Crew,
    /// The piece that is being filled, up to `filled`.
    piece: Piece,
    filled: usize,
    /// How many more pieces may be made.
    unmade: usize,
    back: Receiver<Piece>,
    order: Option<Sender<Ticket>>,
    writer: Option<JoinHandle<io::Result<Written>>>,
}

impl Encoder {
    pub(super) fn new(file: File, compression: Compression, room: RoomWatch) -> io::Result<Self> {
        let most = if piece::is_heavy(compression) { crew::size().min(4) } else { crew::size() };
        Self::with((file, room), most, &|| piece::packer(compression))
    }

    fn with(to: (File, RoomWatch), threads: usize, make: &dyn Fn() -> io::Result<Work>) -> io::Result<Self> {
        let crew = Crew::start(threads, make)?;
        let (order, tickets) = mpsc::channel();
        let (returns, back) = mpsc::channel();
        let writer = thread::Builder::new().name("archive-write".to_owned());
        let writer = Some(writer.spawn(move || write(to, &tickets, &returns))?);
        let (piece, unmade) = (Piece::default(), crew::pieces_for(threads));
        Ok(Self { crew, piece, filled: 0, unmade, back, order: Some(order), writer })
    }

    /// Where the next bytes of the tar go; never empty. [`Encoder::advance`] says how many there are.
    pub(super) fn space(&mut self) -> io::Result<&mut [u8]> {
        if self.filled == self.piece.raw.len() {
            self.submit()?;
            self.piece = self.fresh()?;
        }
        Ok(&mut self.piece.raw[self.filled..])
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let space = self.space()?;
            let n = space.len().min(bytes.len());
            space[..n].copy_from_slice(&bytes[..n]);
            self.advance(n);
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Waits until everything is written.
    pub(super) fn finish(mut self) -> io::Result<Written> {
        self.submit()?;
        self.ended()
    }

    fn submit(&mut self) -> io::Result<()> {
        let mut piece = std::mem::take(&mut self.piece);
        piece.raw.truncate(std::mem::take(&mut self.filled));
        if piece.raw.is_empty() {
            return Ok(());
        }
        let ticket = self.crew.submit(piece);
        let sent = self.order.as_ref().is_some_and(|order| order.send(ticket).is_ok());
        if sent { Ok(()) } else { Err(self.fault()) }
    }

    /// An empty piece: one that came back, or a new one, or else the next that comes back.
    fn fresh(&mut self) -> io::Result<Piece> {
        let piece = match self.back.try_recv() {
            Ok(piece) => Ok(piece),
            Err(_) if self.unmade > 0 => {
                self.unmade -= 1;
                Ok(Piece::default())
            }
            Err(_) => self.back.recv(),
        };
        let mut piece = piece.map_err(|_| self.fault())?;
        piece.raw.resize(PIECE, 0);
        Ok(piece)
    }

    /// What the writing thread ended with.
    fn ended(&mut self) -> io::Result<Written> {
        self.order = None;
        let writer = self.writer.take().map(JoinHandle::join);
        let lost = || io::Error::other("The thread that writes the archive ended early");
        writer.unwrap_or_else(|| Ok(Err(lost()))).unwrap_or_else(|_| Err(lost()))
    }

    fn fault(&mut self) -> io::Error {
        let lost = |_| io::Error::other("The thread that writes the archive ended early");
        self.ended().map_or_else(|error| error, lost)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // Nobody wants what is under way; the writing thread ends at the first piece that does not come.
        self.crew.abandon();
        let _ = self.ended();
    }
}

/// Writes each piece when it is ready and its turn has come.
fn write(
    (file, mut room): (File, RoomWatch),
    tickets: &Receiver<Ticket>,
    back: &Sender<Piece>,
) -> io::Result<Written> {
    let mut sink = Hashing::new(file);
    for ticket in tickets {
        let piece = ticket.wait()?;
        room.before(sink.inner(), piece.packed.len() as u64)?;
        sink.write_all(&piece.packed)?;
        // Nobody takes it at the end.
        let _ = back.send(piece);
    }
    Ok(sink.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::Codec;
    use std::collections::BTreeSet;
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    fn to(file: File) -> (File, RoomWatch) {
        (file, RoomWatch::default())
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 60).to_le_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    fn written(threads: usize, compression: Compression, raw: &[u8]) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let make = || piece::packer(compression);
        let mut encoder = Encoder::with(to(file.reopen().unwrap()), threads, &make).unwrap();
        encoder.write_all(raw).unwrap();
        let (_, size, sha256) = encoder.finish().unwrap();
        let bytes = fs::read(file.path()).unwrap();
        assert_eq!((size, sha256), (bytes.len() as u64, crate::store::digest::sha256(&bytes)));
        bytes
    }

    #[test]
    fn the_number_of_threads_changes_no_byte() {
        let raw = noise(2 * PIECE + 77);
        for codec in Codec::ALL {
            let one = written(1, codec.into(), &raw);
            assert_eq!(written(4, codec.into(), &raw), one, "{codec:?}");
            assert_eq!(written(7, codec.into(), &raw), one, "{codec:?}");
        }
        assert_eq!(written(2, Codec::None.into(), &raw), raw);
    }

    #[test]
    fn the_same_few_pieces_go_round() {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let make = || -> io::Result<Work> {
            let seen = Arc::clone(&seen);
            Ok(Box::new(move |piece| {
                seen.lock().unwrap().insert(piece.raw.as_ptr() as usize);
                Ok(())
            }))
        };
        let mut encoder = Encoder::with(to(tempfile::tempfile().unwrap()), 2, &make).unwrap();
        encoder.write_all(&noise(PIECE).repeat(50)).unwrap();
        encoder.finish().unwrap();
        let pieces = seen.lock().unwrap().len();
        assert!((1..=crew::pieces_for(2)).contains(&pieces), "{pieces}");
    }

    #[test]
    fn no_more_pieces_are_made_than_are_allowed_and_nobody_waits_for_one_that_cannot_come() {
        let make = || piece::packer(Compression::default());
        let mut encoder = Encoder::with(to(tempfile::tempfile().unwrap()), 2, &make).unwrap();
        let held: Vec<Piece> = (0..crew::pieces_for(2)).map(|_| encoder.fresh().unwrap()).collect();
        assert_eq!((held.len(), encoder.unmade), (5, 0));
        encoder.order = None;
        assert!(encoder.fresh().is_err());
    }

    #[test]
    fn a_full_disk_is_told_and_not_waited_for() {
        for codec in Codec::ALL {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let mut encoder = Encoder::new(full, codec.into(), RoomWatch::default()).unwrap();
            let raw = noise(PIECE).repeat(40);
            let error = encoder.write_all(&raw).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{codec:?}: {error}");
            assert!(encoder.finish().is_err());
        }
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut encoder = Encoder::new(full, Compression::default(), RoomWatch::default()).unwrap();
        encoder.write_all(b"x").unwrap();
        assert_eq!(encoder.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_thread_that_panics_or_fails_at_any_piece_is_told() {
        for at in 0..6 {
            for panics in [true, false] {
                let count = Arc::new(AtomicUsize::new(0));
                let make = || -> io::Result<Work> {
                    let count = Arc::clone(&count);
                    Ok(Box::new(move |_| {
                        let bad = count.fetch_add(1, Ordering::Relaxed) == at;
                        assert!(!(bad && panics), "on purpose");
                        if bad { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(()) }
                    }))
                };
                let file = tempfile::tempfile().unwrap();
                let mut encoder = Encoder::with(to(file), 2, &make).unwrap();
                let written = encoder.write_all(&noise(PIECE).repeat(6));
                assert!(written.is_err() || encoder.finish().is_err(), "piece {at}");
            }
        }
    }

    #[test]
    fn dropping_it_halfway_ends_all_its_threads() {
        let alive = Arc::new(());
        let make = || -> io::Result<Work> {
            let alive = Arc::clone(&alive);
            Ok(Box::new(move |_| {
                drop(Arc::clone(&alive));
                Ok(())
            }))
        };
        let mut encoder = Encoder::with(to(tempfile::tempfile().unwrap()), 3, &make).unwrap();
        encoder.write_all(&noise(PIECE).repeat(9)).unwrap();
        drop(encoder);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
