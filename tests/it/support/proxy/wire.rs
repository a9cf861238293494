//! One connection: a thread for what is asked, and one for what is answered.

use std::net::Shutdown;
use std::sync::{Arc, Mutex};

use super::stream::Stream;
use super::{Shared, What};

/// The largest piece that is passed on at once.
const PIECE: usize = 16 << 10;

struct Wire {
    shared: Arc<Shared>,
    client: Stream,
    server: Stream,
    what: Mutex<Option<What>>,
}

/// Whether there is more to come.
#[derive(PartialEq, Eq)]
enum Then {
    More,
    Over,
}

/// Serves a client by threads that end with the connection.
pub(super) fn connect(shared: &Arc<Shared>, client: Stream) {
    let server = if shared.is_gone() { None } else { shared.server.connect().ok() };
    let Some(server) = server else { return client.break_off() };
    let what = Mutex::new(shared.pick(b""));
    let wire = Arc::new(Wire { shared: Arc::clone(shared), client, server, what });
    let asked = Arc::clone(&wire);
    std::thread::spawn(move || asked.requests());
    std::thread::spawn(move || wire.answers());
}

impl Wire {
    fn what(&self) -> Option<What> {
        *self.what.lock().unwrap()
    }

    /// The same, from this request on.
    fn what_of(&self, request: &[u8]) -> Option<What> {
        let mut what = self.what.lock().unwrap();
        if what.is_none() {
            *what = self.shared.pick(request);
            if matches!(*what, Some(What::HalfOpen | What::Passes)) {
                self.shared.hit();
            }
        }
        *what
    }

    /// Both sides have nothing more to say.
    fn close(&self) {
        self.client.end(Shutdown::Both);
        self.server.end(Shutdown::Both);
    }

    fn requests(&self) {
        match self.what() {
            Some(What::Answers(text)) => return self.answer(text),
            Some(What::HalfOpen | What::Passes) => self.shared.hit(),
            _ => {}
        }
        let (mut buffer, mut passed) = (vec![0; PIECE], 0);
        loop {
            match self.client.read(&mut buffer) {
                Ok(0) => return self.server.end(Shutdown::Write),
                Err(_) => return self.close(),
                Ok(count) => {
                    if self.request(&buffer[..count], &mut passed) == Then::Over {
                        return;
                    }
                }
            }
        }
    }

    /// Passes a piece of a request on.
    fn request(&self, piece: &[u8], passed: &mut u64) -> Then {
        if self.shared.is_gone() {
            self.close();
            return Then::Over;
        }
        match self.what_of(piece) {
            Some(What::HalfOpen) => return Then::More,
            Some(What::Answers(text)) => {
                self.answer(text);
                return Then::Over;
            }
            Some(What::RequestHeldAfter(limit)) => {
                let before = until(limit, passed, piece);
                if before < piece.len() {
                    let (first, rest) = piece.split_at(before);
                    let well = self.server.write(first).is_ok() && self.shared.hold();
                    return self.then(well && self.server.write(rest).is_ok());
                }
            }
            _ => {}
        }
        self.then(self.server.write(piece).is_ok())
    }

    fn then(&self, well: bool) -> Then {
        if well {
            return Then::More;
        }
        self.close();
        Then::Over
    }

    fn answer(&self, text: &str) {
        self.shared.hit();
        let _ = self.client.write(text.as_bytes());
        self.close();
    }

    fn answers(&self) {
        let (mut buffer, mut passed) = (vec![0; PIECE], 0);
        loop {
            match self.server.read(&mut buffer) {
                Ok(0) => return self.client.end(Shutdown::Write),
                Err(_) => return self.close(),
                Ok(count) => {
                    if self.reply(&buffer[..count], &mut passed) == Then::Over {
                        return;
                    }
                }
            }
        }
    }

    /// Passes a piece of an answer on.
    fn reply(&self, piece: &[u8], passed: &mut u64) -> Then {
        if self.shared.is_gone() {
            self.close();
            return Then::Over;
        }
        match self.what() {
            Some(What::Late(pause)) => {
                self.shared.hit();
                std::thread::sleep(pause);
            }
            Some(What::Trickles(pause)) => {
                self.shared.hit();
                let each = |byte: &u8| {
                    std::thread::sleep(pause);
                    self.client.write(std::slice::from_ref(byte)).is_ok()
                };
                return self.then(piece.iter().all(each));
            }
            Some(What::HalfOpen) => return Then::More,
            Some(What::DoneBut(text)) => {
                self.answer(text);
                return Then::Over;
            }
            Some(cut @ (What::ResetAfter(limit) | What::ClosedAfter(limit))) => {
                let before = until(limit, passed, piece);
                if before < piece.len() {
                    self.cut(&piece[..before], cut);
                    return Then::Over;
                }
            }
            Some(What::AnswerHeldAfter(limit)) => {
                let before = until(limit, passed, piece);
                if before < piece.len() {
                    let (first, rest) = piece.split_at(before);
                    let well = self.client.write(first).is_ok() && self.shared.hold();
                    return self.then(well && self.client.write(rest).is_ok());
                }
            }
            _ => {}
        }
        self.then(self.client.write(piece).is_ok())
    }

    fn cut(&self, last: &[u8], how: What) {
        let _ = self.client.write(last);
        self.shared.hit();
        self.server.end(Shutdown::Both);
        if matches!(how, What::ResetAfter(_)) {
            self.client.break_off();
        } else {
            self.client.end(Shutdown::Both);
        }
    }
}

/// How much of a piece still passes, where so much may; all of it once more than that has passed.
fn until(limit: u64, passed: &mut u64, piece: &[u8]) -> usize {
    let left = limit.checked_sub(*passed).and_then(|left| usize::try_from(left).ok());
    *passed += piece.len() as u64;
    left.map_or(piece.len(), |left| left.min(piece.len()))
}
