//! Connections that nobody can hold open: a request must come whole within some seconds, an answer must be taken within some,
//! and a connection that says nothing is closed. Only so many are open at once; for who comes then the one is closed that has
//! been without a whole request for the longest time.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

use super::places::{Place, Places};

/// How long a request may take to come, and an answer to be taken.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a connection may be silent after an answer. A Prometheus keeps its own open from one scrape to the next.
const SILENCE: Duration = Duration::from_mins(3);
/// So many connections at once.
const MOST: usize = 64;

/// A listener that keeps to these limits.
#[derive(Debug)]
pub struct Limited {
    listener: TcpListener,
    places: Places,
}

impl Limited {
    pub(super) async fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, places: Places::new(MOST) })
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Connection::new(stream, self.places.take().await), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(&self.listener)
    }
}

/// A connection that ends by itself.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    does: Does,
    deadline: Pin<Box<Sleep>>,
    place: Place,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Nothing, after an answer.
    Rest,
    /// A request comes.
    Ask,
    /// An answer goes.
    Answer,
}

impl Connection {
    fn new(stream: TcpStream, place: Place) -> Self {
        // Who has just come is to ask at once.
        Self { stream, does: Does::Ask, deadline: Box::pin(tokio::time::sleep(REQUEST)), place }
    }

    /// Does something else from now on; a request that goes on coming gains no time by it.
    fn turn_to(&mut self, does: Does) {
        if self.does != does {
            self.does = does;
            let within = if does == Does::Rest { SILENCE } else { REQUEST };
            self.deadline.as_mut().reset(Instant::now() + within);
            self.place.set_idle(does != Does::Answer);
        }
    }

    /// What is not ready, until it is too late.
    fn or_late<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_pending() && self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.turn_to(Does::Ask);
            // Bytes that trickle in never leave anything to wait for; the time is over all the same.
            if self.deadline.is_elapsed() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        // Who is being answered is through with that first.
        if polled.is_pending() && self.does != Does::Answer && self.place.poll_lost(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.or_late(polled, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.turn_to(Does::Answer);
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.or_late(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if polled.is_ready() && self.does == Does::Answer {
            self.turn_to(Does::Rest);
        }
        self.or_late(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn pair() -> (Connection, TcpStream) {
        let mut listener = Limited::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (connection, _) = Listener::accept(&mut listener).await;
        tokio::time::pause();
        (connection, client)
    }

    #[tokio::test]
    async fn a_request_that_trickles_in_gains_no_time() {
        let (mut connection, mut client) = pair().await;
        let start = Instant::now();
        let asks = async move {
            while client.write_all(b"G").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let mut byte = [0];
        let answers = async {
            loop {
                if let Err(error) = connection.read_exact(&mut byte).await {
                    return error;
                }
            }
        };
        let error = tokio::select! {
            error = answers => error,
            () = asks => panic!("the client gave up"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((10..13).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_connection_may_rest_after_an_answer_for_as_long_as_a_scrape_is_away_and_no_longer() {
        let (mut connection, mut client) = pair().await;
        client.write_all(b"GET").await.unwrap();
        let mut request = [0; 3];
        connection.read_exact(&mut request).await.unwrap();
        connection.write_all(b"answer").await.unwrap();
        connection.flush().await.unwrap();
        let start = Instant::now();
        let error = connection.read_exact(&mut request).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 180));
        drop(client);
    }
}
