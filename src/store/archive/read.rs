//! Reads a tar from any source and believes nothing.

use std::io::{self, Read};

use super::error::ArchiveError;
use super::header::{Announces, Block, Header};
use super::paths::Seen;
use super::pax::{self, Ahead};
use super::{BLOCK, Entry};

/// Is shown each entry and its content. What it leaves unread is skipped.
pub type Visitor<'a> = dyn FnMut(&Entry, &mut dyn Read) -> Result<(), ArchiveError> + 'a;

/// Most zero bytes that may follow the end of a tar: writers fill up their last record.
const LONGEST_PADDING: u64 = 1 << 20;

/// Shows every file and folder of a tar to `visit`. `Ok` means that all of it was there, to its end mark, and
/// that nothing but zeros came behind. The root itself (`./`) is not shown.
pub fn read_tar(reader: impl Read, visit: &mut Visitor<'_>) -> Result<(), ArchiveError> {
    let mut source = Source { reader, at: 0 };
    let mut ahead = Ahead::default();
    let mut seen = Seen::default();
    loop {
        let at = source.at;
        let block = source.block()?.ok_or(ArchiveError::NoEnd { at })?;
        if is_zero(&block) {
            if !ahead.is_empty() {
                return Err(ArchiveError::Malformed { at, problem: "attributes without an entry" });
            }
            return source.end();
        }
        let header = Header::parse(&block, at)?;
        match header.announces {
            Announces::Pax | Announces::PaxGlobal | Announces::GnuName => {
                let bytes = source.small(header.size)?;
                ahead.take(header.announces, &bytes, at)?;
            }
            Announces::File | Announces::Folder | Announces::Refused(_) => {
                let Some(entry) = std::mem::take(&mut ahead).apply(header, at)? else { continue };
                seen.add(&entry.path, entry.kind)?;
                source.content(&entry, visit)?;
            }
        }
    }
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|b| *b == 0)
}

/// The bytes of a tar and where we are in it.
struct Source<R> {
    reader: R,
    at: u64,
}

impl<R: Read> Source<R> {
    /// Reads something, at most `buf`; tries again where a signal came.
    fn some(&mut self, buf: &mut [u8]) -> Result<usize, ArchiveError> {
        loop {
            match self.reader.read(buf) {
                Ok(n) => {
                    self.at += n as u64;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ArchiveError::from_source(e, self.at)),
            }
        }
    }

    fn exactly(&mut self, mut buf: &mut [u8]) -> Result<(), ArchiveError> {
        while !buf.is_empty() {
            match self.some(buf)? {
                0 => return Err(ArchiveError::Truncated { at: self.at }),
                n => buf = &mut buf[n..],
            }
        }
        Ok(())
    }

    /// The next block; `None` if the source ends before its first byte.
    fn block(&mut self) -> Result<Option<Block>, ArchiveError> {
        let mut block = [0; BLOCK];
        match self.some(&mut block)? {
            0 => Ok(None),
            n => self.exactly(&mut block[n..]).map(|()| Some(block)),
        }
    }

    /// Content that is kept in memory, up to the next block.
    fn small(&mut self, size: Option<u64>) -> Result<Vec<u8>, ArchiveError> {
        let size = size.filter(|size| *size <= pax::LONGEST);
        let problem = "attributes that are too long";
        let size = size.ok_or(ArchiveError::Malformed { at: self.at, problem })?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.exactly(&mut bytes)?;
        self.padding(size)?;
        Ok(bytes)
    }

    /// Shows the content to the visitor and goes to the next block.
    fn content(&mut self, entry: &Entry, visit: &mut Visitor<'_>) -> Result<(), ArchiveError> {
        let mut content = Content { source: self, left: entry.size, fault: None };
        let visited = visit(entry, &mut content);
        let (left, fault) = (content.left, content.fault.take());
        // What is wrong with the source matters more than what the visitor made of it, or that it took no notice.
        if let Some(fault) = fault {
            return Err(fault);
        }
        visited?;
        self.skip(left)?;
        self.padding(entry.size)
    }

    fn skip(&mut self, mut left: u64) -> Result<(), ArchiveError> {
        let mut scratch = vec![0; usize::try_from(left.min(1 << 16)).unwrap_or_default()];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(scratch.len());
            match self.some(&mut scratch[..most])? {
                0 => return Err(ArchiveError::Truncated { at: self.at }),
                n => left -= n as u64,
            }
        }
        Ok(())
    }

    /// Content is filled up to whole blocks.
    fn padding(&mut self, size: u64) -> Result<(), ArchiveError> {
        let rest = size % BLOCK as u64;
        if rest == 0 { Ok(()) } else { self.skip(BLOCK as u64 - rest) }
    }

    /// After the first zero block: the second one, and then nothing but zeros to the end of the source. Reading on
    /// to the end also has a decoder check its own checksums.
    fn end(mut self) -> Result<(), ArchiveError> {
        let at = self.at;
        let second = self.block()?.ok_or(ArchiveError::NoEnd { at })?;
        if !is_zero(&second) {
            return Err(ArchiveError::Malformed { at, problem: "a single zero block" });
        }
        let mut left = LONGEST_PADDING;
        let mut scratch = [0; 4096];
        loop {
            let at = self.at;
            let n = self.some(&mut scratch)?;
            if n == 0 {
                return Ok(());
            }
            if !is_zero(&scratch[..n]) || left < n as u64 {
                return Err(ArchiveError::Malformed { at, problem: "something follows its end" });
            }
            left -= n as u64;
        }
    }
}

/// The content of one entry, as its visitor sees it.
struct Content<'a, R> {
    source: &'a mut Source<R>,
    left: u64,
    fault: Option<ArchiveError>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let fault = match self.source.some(&mut buf[..most]) {
            Ok(0) => ArchiveError::Truncated { at: self.source.at },
            Ok(n) => {
                self.left -= n as u64;
                return Ok(n);
            }
            Err(fault) => fault,
        };
        let shown = io::Error::new(io::ErrorKind::UnexpectedEof, fault.to_string());
        self.fault.get_or_insert(fault);
        Err(shown)
    }
}
