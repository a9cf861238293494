//! Reads an index from front to back and by place, with the checksums of its sections.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// Read at once.
const BUFFER: usize = 128 << 10;

/// No label of Prometheus comes near this many bytes.
const LONGEST_TEXT: u64 = 1 << 20;

/// Why something could not be read.
pub(in crate::prometheus::block) enum Bad {
    /// The file it is kept in meanwhile failed.
    Spool(io::Error),
    /// The index is damaged.
    Data(String),
}

impl Bad {
    pub(super) fn data(problem: impl Into<String>) -> Self {
        Self::Data(problem.into())
    }
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::data("it ends too early"),
            _ => Self::Spool(error),
        }
    }
}

pub(super) struct Reader<R> {
    inner: BufReader<R>,
    at: u64,
    size: u64,
}

impl<R: Read + Seek> Reader<R> {
    pub(super) fn new(mut inner: R) -> io::Result<Self> {
        let size = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(0))?;
        Ok(Self { inner: BufReader::with_capacity(BUFFER, inner), at: 0, size })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn position(&self) -> u64 {
        self.at
    }

    pub(super) fn seek(&mut self, to: u64) -> io::Result<()> {
        let relative = i64::try_from(i128::from(to) - i128::from(self.at)).map_err(io::Error::other)?;
        self.inner.seek_relative(relative)?;
        self.at = to;
        Ok(())
    }

    pub(super) fn exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(buf)?;
        self.at += buf.len() as u64;
        Ok(())
    }

    pub(super) fn u8(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.exact(&mut byte)?;
        Ok(byte[0])
    }

    pub(super) fn u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    pub(super) fn uvarint(&mut self) -> Result<u64, Bad> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Bad::data(format!("at {}: this is not a number", self.at)))
    }

    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), Bad> {
        let to = self.at.checked_add(bytes).filter(|&to| to <= self.size);
        Ok(self.seek(to.ok_or_else(|| Bad::data("it ends too early"))?)?)
    }

    pub(super) fn text(&mut self, bytes: u64) -> Result<String, Bad> {
        if bytes > LONGEST_TEXT {
            return Err(Bad::data(format!("at {}: a symbol of {bytes} bytes", self.at)));
        }
        let mut text = vec![0; usize::try_from(bytes).unwrap_or(0)];
        self.exact(&mut text)?;
        String::from_utf8(text).map_err(|_| Bad::data(format!("at {}: a symbol that is not text", self.at)))
    }

    /// Checks the section at `start`: its length, its content and its checksum. Returns where it ends.
    pub(super) fn section(&mut self, start: u64, what: &str) -> Result<u64, Bad> {
        self.seek(start)?;
        let length = u64::from(self.u32()?);
        if start + 4 + length + 4 > self.size {
            return Err(Bad::data(format!("{what} at {start}: it is longer than the file")));
        }
        let mut left = length;
        let mut crc = 0;
        let mut buf = [0; 16 << 10];
        while left > 0 {
            let n = usize::try_from(left.min(buf.len() as u64)).unwrap_or(buf.len());
            self.exact(&mut buf[..n])?;
            crc = crc32c::crc32c_append(crc, &buf[..n]);
            left -= n as u64;
        }
        if self.u32()? != crc {
            return Err(Bad::data(format!("{what} at {start}: checksum mismatch")));
        }
        Ok(self.at)
    }
}
