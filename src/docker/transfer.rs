//! Bridges between blocking readers and writers here and asynchronous streams of the engine.
//!
//! An end is only an end when it was said: a channel that closes without [`Piece::End`] is a broken transfer,
//! never a short one. And nothing waits for ever: every wait for the other side has an idle limit.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::error::DockerError;

/// Pieces in flight: bounds memory to a few MiB, whoever is slow.
const IN_FLIGHT: usize = 32;
/// Upload pieces are made this large: small ones cost a switch of tasks each.
const PIECE: usize = 256 * 1024;

enum Piece<E> {
    Data(Bytes),
    End,
    Broken(E),
}

/// A stream from the engine as a blocking reader. Read it on a blocking thread only.
pub struct Download {
    pieces: mpsc::Receiver<Piece<DockerError>>,
    current: Bytes,
    ended: bool,
    action: String,
    pump: JoinHandle<()>,
    handle: Handle,
    cancel: CancellationToken,
}

impl Download {
    /// Starts pumping `stream`; returns when its first piece is there, so that a refusal is known at once.
    pub(super) async fn start<S>(stream: S, action: String, idle: Duration) -> Result<Self, DockerError>
    where
        S: Stream<Item = Result<Bytes, DockerError>> + Send + 'static,
    {
        let (sender, pieces) = mpsc::channel(IN_FLIGHT);
        let pump = tokio::spawn(pump(Box::pin(stream), sender, action.clone(), idle));
        let (handle, cancel) = (Handle::current(), CancellationToken::new());
        let mut download = Self { pieces, current: Bytes::new(), ended: false, action, pump, handle, cancel };
        let first = download.pieces.recv().await;
        download.accept(first)?;
        Ok(download)
    }

    /// Ends in an error as soon as this is cancelled, whether the engine sends anything or not.
    #[must_use]
    pub fn until(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }

    fn accept(&mut self, piece: Option<Piece<DockerError>>) -> Result<(), DockerError> {
        match piece {
            Some(Piece::Data(bytes)) => self.current = bytes,
            Some(Piece::End) => self.ended = true,
            Some(Piece::Broken(error)) => return Err(error),
            None => return Err(DockerError::Broken { action: self.action.clone() }),
        }
        Ok(())
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            let next = self.cancel.run_until_cancelled(self.pieces.recv());
            let cancelled = || DockerError::Cancelled { action: self.action.clone() };
            let next = self.handle.block_on(next).ok_or_else(cancelled).map_err(io::Error::other)?;
            self.accept(next).map_err(io::Error::other)?;
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Only the wait for the engine counts as idle: a slow reader of ours is no stall.
async fn pump<S>(mut stream: S, sender: mpsc::Sender<Piece<DockerError>>, action: String, idle: Duration)
where
    S: Stream<Item = Result<Bytes, DockerError>> + Unpin,
{
    loop {
        let piece = match tokio::time::timeout(idle, stream.next()).await {
            Ok(Some(Ok(bytes))) => Piece::Data(bytes),
            Ok(Some(Err(error))) => Piece::Broken(error),
            Ok(None) => Piece::End,
            Err(_) => Piece::Broken(DockerError::Stalled { action: action.clone(), limit: idle }),
        };
        let last = !matches!(piece, Piece::Data(_));
        if sender.send(piece).await.is_err() || last {
            return;
        }
    }
}

/// What watches an upload: whether it moves, and what went wrong on our side of it.
pub(super) struct Watch {
    moved: Arc<Notify>,
    fault: Arc<Mutex<Option<io::Error>>>,
}

/// Runs `produce` on a blocking thread and turns what it writes into the body of a request.
pub(super) fn outgoing<F>(produce: F) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Watch)
where
    F: FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
{
    let (sender, pieces) = mpsc::channel(IN_FLIGHT);
    let watch = Watch { moved: Arc::new(Notify::new()), fault: Arc::new(Mutex::new(None)) };
    let (moved, fault) = (Arc::clone(&watch.moved), Arc::clone(&watch.fault));
    tokio::task::spawn_blocking(move || {
        let mut sink = Sink { sender, buffer: Vec::with_capacity(PIECE) };
        let last = match produce(&mut sink).and_then(|()| sink.flush()) {
            Ok(()) => Piece::End,
            Err(error) => {
                let kind = error.kind();
                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Piece::Broken(io::Error::from(kind))
            }
        };
        // Nobody receives any more when the request has ended first; its answer says why.
        let _ = sink.sender.blocking_send(last);
    });
    (futures_util::stream::unfold(Some(pieces), next_piece).inspect(move |_| moved.notify_one()), watch)
}

type Pieces = mpsc::Receiver<Piece<io::Error>>;

async fn next_piece(pieces: Option<Pieces>) -> Option<(io::Result<Bytes>, Option<Pieces>)> {
    let mut pieces = pieces?;
    match pieces.recv().await {
        Some(Piece::Data(bytes)) => Some((Ok(bytes), Some(pieces))),
        Some(Piece::End) => None,
        Some(Piece::Broken(error)) => Some((Err(error), None)),
        None => Some((Err(io::ErrorKind::UnexpectedEof.into()), None)),
    }
}

impl Watch {
    /// Drives `request` while its body moves.
    pub(super) async fn drive<T>(
        &self,
        action: &str,
        idle: Duration,
        request: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T, DockerError> {
        let mut request = std::pin::pin!(request);
        loop {
            tokio::select! {
                result = &mut request => return result.map_err(|error| self.explain(action, error)),
                moved = tokio::time::timeout(idle, self.moved.notified()) => if moved.is_err() {
                    return Err(DockerError::Stalled { action: action.to_owned(), limit: idle });
                },
            }
        }
    }

    /// A request that broke because our own reader failed is our reader's error. One whose answer came early
    /// is the engine's: our writer then only saw its channel close.
    fn explain(&self, action: &str, error: DockerError) -> DockerError {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        match fault {
            Some(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                DockerError::Local { action: action.to_owned(), source }
            }
            _ => error,
        }
    }
}

struct Sink {
    sender: mpsc::Sender<Piece<io::Error>>,
    buffer: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        self.sender.blocking_send(Piece::Data(full.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_millis(50);

    fn read(mut download: Download) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        download.read_to_end(&mut bytes).map(|_| bytes)
    }

    async fn read_all<S>(stream: S) -> io::Result<Vec<u8>>
    where
        S: Stream<Item = Result<Bytes, DockerError>> + Send + 'static,
    {
        let download = Download::start(stream, "read it".to_owned(), IDLE).await.map_err(io::Error::other)?;
        tokio::task::spawn_blocking(move || read(download)).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_streamed_is_what_is_read() {
        let pieces = ["ab", "", "c"].map(|text| Ok(Bytes::from_static(text.as_bytes())));
        assert_eq!(read_all(futures_util::stream::iter(pieces)).await.unwrap(), b"abc");
    }

    #[tokio::test]
    async fn a_stream_that_stalls_is_an_error_and_no_end() {
        let first = futures_util::stream::iter([Ok(Bytes::from_static(b"ab"))]);
        let error = read_all(first.chain(futures_util::stream::pending())).await.unwrap_err();
        assert!(error.to_string().contains("Nothing moved"), "{error}");
    }

    #[tokio::test]
    async fn a_producer_that_panics_breaks_the_upload() {
        let (body, watch) = outgoing(|_| panic!("on purpose"));
        let request = async {
            let pieces: Vec<_> = body.collect().await;
            assert!(pieces.last().unwrap().is_err());
            Err::<(), _>(DockerError::Broken { action: "put".to_owned() })
        };
        assert!(watch.drive("put", Duration::from_secs(5), request).await.is_err());
    }

    #[tokio::test]
    async fn the_fault_of_our_own_reader_is_named() {
        let (body, watch) = outgoing(|sink| {
            sink.write_all(b"x")?;
            Err(io::Error::other("disk on fire"))
        });
        let request = async {
            let _: Vec<_> = body.collect().await;
            Err::<(), _>(DockerError::Broken { action: "put".to_owned() })
        };
        let error = watch.drive("put", Duration::from_secs(5), request).await.unwrap_err();
        assert!(matches!(error, DockerError::Local { source, .. } if source.to_string() == "disk on fire"));
    }
}
