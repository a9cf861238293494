//! Threads that work on pieces, and hand them back in any order to whoever holds their ticket.
//!
//! Nothing can hang: a thread that dies drops the piece, and its ticket says so. Nothing can leak: dropping the crew
//! ends its threads and waits for them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::piece::{Piece, Work};

/// Most threads of a crew: each has pieces in memory.
const LARGEST: usize = 8;

pub(super) struct Crew {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

struct Job {
    piece: Piece,
    done: SyncSender<io::Result<Piece>>,
}

/// A piece that is being worked on.
pub(super) struct Ticket(Receiver<io::Result<Piece>>);

impl Ticket {
    /// Waits for the piece.
    pub(super) fn wait(self) -> io::Result<Piece> {
        self.0.recv().unwrap_or_else(|_| Err(io::Error::other("A thread of the archive ended early")))
    }
}

/// As many threads as the machine runs at a time, within reason.
pub(super) fn size() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(LARGEST)
}

/// How many pieces keep `threads` busy while others wait for their turn to be written or read.
pub(super) fn pieces_for(threads: usize) -> usize {
    threads + threads / 2 + 2
}

impl Crew {
    /// Starts `threads` threads, each with work of its own.
    pub(super) fn start(threads: usize, make: &dyn Fn() -> io::Result<Work>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut crew = Self { jobs: Some(jobs), threads: Vec::new(), stop: Arc::default() };
        for _ in 0..threads.max(1) {
            let (queue, stop, work) = (Arc::clone(&queue), Arc::clone(&crew.stop), make()?);
            let thread = thread::Builder::new().name("archive".to_owned());
            crew.threads.push(thread.spawn(move || serve(&queue, &stop, work))?);
        }
        Ok(crew)
    }

    /// Has the piece worked on. Never waits: whoever hands in pieces has a bounded number of them.
    pub(super) fn submit(&self, piece: Piece) -> Ticket {
        let (done, ticket) = mpsc::sync_channel(1);
        if let Some(jobs) = &self.jobs {
            // With nobody left the job is dropped here, and the ticket tells.
            let _ = jobs.send(Job { piece, done });
        }
        Ticket(ticket)
    }

    /// Ends the threads when they are done with the pieces that they have in hand; the others are dropped.
    pub(super) fn abandon(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(queue: &Mutex<Receiver<Job>>, stop: &AtomicBool, mut work: Work) {
    loop {
        // The lock is held while waiting, and let go before the work begins.
        let Ok(Ok(mut job)) = queue.lock().map(|queue| queue.recv()) else { return };
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let worked = work(&mut job.piece);
        // Nobody may want it any more.
        let _ = job.done.send(worked.map(|()| job.piece));
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.abandon();
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // One that panicked has told so through its ticket.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crew(threads: usize, work: fn(&mut Piece) -> io::Result<()>) -> Crew {
        Crew::start(threads, &|| Ok(Box::new(work))).unwrap()
    }

    fn piece(byte: u8) -> Piece {
        Piece { raw: vec![byte], packed: Vec::new() }
    }

    #[test]
    fn every_piece_comes_back_to_its_own_ticket() {
        let crew = crew(4, |piece| {
            piece.packed = piece.raw.repeat(2);
            Ok(())
        });
        let tickets: Vec<Ticket> = (0..100).map(|n| crew.submit(piece(n))).collect();
        for (ticket, n) in tickets.into_iter().zip(0..) {
            assert_eq!(ticket.wait().unwrap().packed, [n, n]);
        }
    }

    #[test]
    fn a_thread_that_panics_is_told_and_the_others_go_on() {
        let crew = crew(2, |piece| if piece.raw == [7] { panic!("on purpose") } else { Ok(()) });
        assert!(crew.submit(piece(7)).wait().is_err());
        assert!(crew.submit(piece(1)).wait().is_ok());
        assert!(crew.submit(piece(7)).wait().is_err());
        // Nobody is left; that is told and not waited for.
        assert!(crew.submit(piece(1)).wait().is_err());
    }

    #[test]
    fn dropping_the_crew_ends_its_threads() {
        let alive = Arc::new(());
        let crew = {
            let alive = Arc::clone(&alive);
            Crew::start(3, &move || {
                let alive = Arc::clone(&alive);
                Ok(Box::new(move |_| {
                    drop(Arc::clone(&alive));
                    Ok(())
                }))
            })
        };
        let crew = crew.unwrap();
        let tickets: Vec<Ticket> = (0..50).map(|n| crew.submit(piece(n))).collect();
        assert_eq!(Arc::strong_count(&alive), 4);
        drop(crew);
        assert_eq!(Arc::strong_count(&alive), 1);
        // Some were worked on and some were not; each ticket knows.
        for ticket in tickets {
            let _ = ticket.wait();
        }
    }

    #[test]
    fn a_crew_that_cannot_be_started_leaves_no_thread() {
        let alive = Arc::new(());
        let started = std::sync::atomic::AtomicUsize::new(0);
        let failed = Crew::start(3, &|| {
            if started.fetch_add(1, Ordering::Relaxed) == 2 {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            let alive = Arc::clone(&alive);
            Ok(Box::new(move |_| {
                drop(Arc::clone(&alive));
                Ok(())
            }))
        });
        assert!(failed.is_err());
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
