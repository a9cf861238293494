//! A log that nobody reads must not stop the work: its lines wait in a queue for a thread that writes them, and where the
//! queue is full they are dropped, counted, and the loss is told as soon as somebody reads again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

use crate::words;

/// So many lines wait.
const WAITING: usize = 4096;
/// How long the end of the program waits for a reader.
const FLUSH: Duration = Duration::from_secs(5);
/// How often it looks whether there is room in the queue meanwhile.
const LOOK: Duration = Duration::from_millis(10);

enum Message {
    Line(Vec<u8>),
    /// Answer when all before it is written.
    Flush(Sender<()>),
}

/// Where lines are put. Never waits.
#[derive(Clone)]
pub(super) struct Queue {
    messages: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    /// Starts the thread that writes into `sink`. `note`: how a line about the loss of so many is written.
    pub(super) fn before(sink: impl Write + Send + 'static, note: fn(&str) -> String) -> io::Result<Self> {
        Self::with_places(WAITING, sink, note)
    }

    fn with_places(
        places: usize,
        sink: impl Write + Send + 'static,
        note: fn(&str) -> String,
    ) -> io::Result<Self> {
        let (messages, queue) = sync_channel(places);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&queue, &lost, sink, note))?;
        Ok(Self { messages, dropped })
    }

    /// Waits until all lines are written, but not for ever.
    pub(super) fn flush(&self) {
        let end = Instant::now() + FLUSH;
        let (done, is_done) = channel();
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.messages.try_send(message) {
            if Instant::now() > end {
                return;
            }
            message = back;
            std::thread::sleep(LOOK);
        }
        let _ = is_done.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.messages.try_send(Message::Line(line.to_owned())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(queue: &Receiver<Message>, dropped: &AtomicU64, mut sink: impl Write, note: fn(&str) -> String) {
    while let Ok(message) = queue.recv() {
        // What cannot be written nobody can be told of.
        match message {
            Message::Line(line) => drop(sink.write_all(&line)),
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let lost = words::count(usize::try_from(lost).unwrap_or(usize::MAX), "line");
            let text = note(&format!("{lost} of the log were dropped: nobody read it"));
            drop(sink.write_all(text.as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _};

    use super::*;

    fn note(text: &str) -> String {
        format!("{text}\n")
    }

    #[test]
    fn every_line_that_is_read_comes_in_order_and_is_there_after_a_flush() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut queue = Queue::before(writer, note).unwrap();
        for line in 0..1_000 {
            writeln!(queue, "line {line}").unwrap();
        }
        queue.flush();
        drop(queue);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let wanted: Vec<String> = (0..1_000).map(|line| format!("line {line}")).collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up_and_what_was_dropped_is_told_when_somebody_does() {
        let (reader, mut writer) = io::pipe().unwrap();
        // As much as a pipe holds.
        writer.write_all(&vec![b'\n'; 65_536]).unwrap();
        let mut queue = Queue::with_places(8, writer, note).unwrap();
        for _ in 0..100 {
            queue.write_all(b"a line\n").unwrap();
        }
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap).filter(|line| !line.is_empty());
        let told = lines.find(|line| line != "a line").unwrap();
        let dropped: usize = told.split(' ').next().unwrap().parse().unwrap();
        assert!((91..=92).contains(&dropped), "{told}");
        assert!(told.ends_with("lines of the log were dropped: nobody read it"), "{told}");
    }
}
