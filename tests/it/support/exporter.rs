//! An exporter, so that the head holds more than Prometheus's own metrics.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Serves `/metrics` on all addresses (a container asks over the bridge) until it is dropped.
#[derive(Debug)]
pub(crate) struct Exporter {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Starts on a free port.
    pub(crate) fn start() -> Self {
        Self::at(0)
    }

    /// Starts on this port.
    pub(crate) fn at(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()));
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let scrapes = AtomicU64::new(0);
            for stream in listener.incoming().flatten() {
                if seen.load(Ordering::SeqCst) {
                    return;
                }
                let _ = answer(stream, scrapes.fetch_add(1, Ordering::SeqCst));
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

fn answer(mut stream: TcpStream, scrape: u64) -> std::io::Result<()> {
    let mut request = [0; 2048];
    let _ = stream.read(&mut request)?;
    let mut body = String::from("# TYPE wk_live_scrapes_total counter\n");
    for series in 0..20 {
        let value = scrape * (series + 1);
        writeln!(body, "wk_live_scrapes_total{{series=\"{series}\"}} {value}").unwrap();
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n")?;
    write!(stream, "Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
