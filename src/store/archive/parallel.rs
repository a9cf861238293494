//! Unpacks an archive of ours on several threads, in order, with a bounded number of pieces in memory.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::crew::{self, Crew, Ticket};
use super::piece::{Format, Piece};

/// The tar in a stream of our pieces.
pub(super) struct Parallel<R> {
    reader: R,
    format: Format,
    crew: Crew,
    /// What is being unpacked, the first one first.
    ahead: VecDeque<Ticket>,
    most_ahead: usize,
    spare: Vec<Piece>,
    /// The piece that is being shown, from `shown` on.
    piece: Piece,
    shown: usize,
    source: Source,
}

/// How the packed stream stands.
enum Source {
    Open,
    Ended,
    /// Told when everything before it has been shown.
    Broken(io::Error),
    Told,
}

impl<R: Read> Parallel<R> {
    pub(super) fn new(reader: R, format: Format) -> io::Result<Self> {
        Self::with(reader, format, crew::size())
    }

    pub(super) fn with(reader: R, format: Format, threads: usize) -> io::Result<Self> {
        Ok(Self {
            reader,
            format,
            crew: Crew::start(threads, &|| format.unpacker())?,
            ahead: VecDeque::new(),
            most_ahead: crew::pieces_for(threads),
            spare: Vec::new(),
            piece: Piece::default(),
            shown: 0,
            source: Source::Open,
        })
    }

    fn read_ahead(&mut self) {
        while matches!(self.source, Source::Open) && self.ahead.len() < self.most_ahead {
            let mut piece = self.spare.pop().unwrap_or_default();
            match self.format.read(&mut self.reader, &mut piece.packed) {
                Ok(true) => self.ahead.push_back(self.crew.submit(piece)),
                Ok(false) => self.source = Source::Ended,
                Err(error) => self.source = Source::Broken(error),
            }
        }
    }

    /// Takes the next piece; `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        self.spare.push(std::mem::take(&mut self.piece));
        self.shown = 0;
        self.read_ahead();
        if let Some(ticket) = self.ahead.pop_front() {
            self.piece = ticket.wait().inspect_err(|_| self.give_up())?;
            return Ok(true);
        }
        if matches!(self.source, Source::Ended) {
            return Ok(false);
        }
        match std::mem::replace(&mut self.source, Source::Told) {
            Source::Broken(error) => Err(error),
            _ => Err(io::Error::other("The archive could not be read any further")),
        }
    }

    /// What is behind an error is not shown: a reader that goes on must not see a hole.
    fn give_up(&mut self) {
        self.ahead.clear();
        self.source = Source::Told;
    }
}

impl<R: Read> Read for Parallel<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.shown == self.piece.raw.len() && !buf.is_empty() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let n = buf.len().min(self.piece.raw.len() - self.shown);
        buf[..n].copy_from_slice(&self.piece.raw[self.shown..self.shown + n]);
        self.shown += n;
        Ok(n)
    }
}
