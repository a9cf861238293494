//! Connections over a port and over a socket.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a server listens.
#[derive(Debug)]
pub(super) enum Address {
    Port(u16),
    Socket(PathBuf),
}

impl Address {
    pub(super) fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Port(port) => TcpStream::connect(("127.0.0.1", *port)).map(Stream::Tcp),
            Self::Socket(path) => UnixStream::connect(path).map(Stream::Unix),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(buffer),
            Self::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write_all(bytes),
            Self::Unix(stream) => (&mut &*stream).write_all(bytes),
        }
    }

    /// Ends this direction, or both. What is ended already is.
    pub(super) fn end(&self, how: Shutdown) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        };
    }

    /// When the last who has it drops it, the other side is told that it is broken and not that it has ended. Over a socket
    /// it only ends.
    pub(super) fn break_off(&self) {
        match self {
            Self::Tcp(stream) => {
                socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
                self.end(Shutdown::Read);
            }
            Self::Unix(_) => self.end(Shutdown::Both),
        }
    }
}
