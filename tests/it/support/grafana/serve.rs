//! Connections: a thread each, and faults where they were ordered.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::faults::{self, Fault, What};
use super::http::{Answer, Call};
use super::log::Request;
use super::router;
use super::state::State;

/// What the threads share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) faults: Mutex<Vec<Fault>>,
    pub(super) log: Mutex<Vec<Request>>,
    delay: Duration,
    pub(super) below: String,
    in_work: AtomicUsize,
    stopped: AtomicBool,
    pub(super) connections: Mutex<BTreeMap<usize, TcpStream>>,
}

impl Shared {
    pub(super) fn new(state: State, delay: Duration, below: String) -> Self {
        Self {
            state: Mutex::new(state),
            faults: Mutex::default(),
            log: Mutex::default(),
            delay,
            below,
            in_work: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            connections: Mutex::default(),
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for connection in self.connections.lock().unwrap().values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Sleeps, but not longer than the server is there.
    fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.stopped.load(Ordering::SeqCst) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
    }
}

/// Takes connections until the server is to stop.
pub(super) fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, stream) in listener.incoming().flatten().enumerate() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            if let Ok(kept) = stream.try_clone() {
                shared.connections.lock().unwrap().insert(number, kept);
            }
            // The other side may go away whenever it likes.
            let _ = converse(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
            shared.connections.lock().unwrap().remove(&number);
        });
    }
}

fn converse(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(mut call) = Call::read(&mut reader)? {
        if !call.strip(&shared.below) {
            Answer::front(404, "Not found").write(&call, &mut &*stream)?;
            continue;
        }
        let at_once = shared.in_work.fetch_add(1, Ordering::SeqCst) + 1;
        let number = {
            let mut log = shared.log.lock().unwrap();
            log.push(Request::new(&call, at_once));
            log.len() - 1
        };
        shared.sleep(shared.delay);
        let reply = reply(&mut call, shared);
        if let (Reply::Whole(answer), Some(request)) = (&reply, shared.log.lock().unwrap().get_mut(number)) {
            request.status = Some(answer.status);
        }
        // Before the answer is on its way: who has it may send the next request at once.
        shared.in_work.fetch_sub(1, Ordering::SeqCst);
        match reply {
            Reply::Whole(answer) => answer.write(&call, &mut &*stream)?,
            Reply::Half(answer) => {
                let bytes = answer.bytes(&call);
                return (&*stream).write_all(&bytes[..bytes.len() - answer.body.len() / 2 - 1]);
            }
            Reply::Nothing => return Ok(()),
        }
        if call.last {
            return Ok(());
        }
    }
    Ok(())
}

/// What goes back, or how much of it.
enum Reply {
    Whole(Answer),
    Half(Answer),
    Nothing,
}

fn reply(call: &mut Call, shared: &Shared) -> Reply {
    let fault = faults::pick(&mut shared.faults.lock().unwrap(), call);
    match fault {
        Some(What::Answers { status, headers, body }) => {
            return Reply::Whole(faults::answer(status, headers, &body));
        }
        Some(What::CutBefore) => return Reply::Nothing,
        Some(What::Hangs) => {
            while !shared.faults.lock().unwrap().is_empty() && !shared.stopped.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            return Reply::Nothing;
        }
        Some(What::Slow(time)) => shared.sleep(time),
        Some(What::TakesAway(header)) => call.take_away(header),
        Some(What::Meanwhile { method, ref target, ref body }) => {
            let (login, password) = super::ADMIN;
            let who = super::basic(login, password);
            let headers = [("Authorization", who.as_str())];
            let mut other = Call::new(method, target, &headers, body.to_string().as_bytes());
            router::answer(&mut shared.state.lock().unwrap(), &mut other);
        }
        Some(What::DoneBut { .. } | What::CutAfter | What::CutHalfway) | None => {}
    }
    let answer = router::answer(&mut shared.state.lock().unwrap(), call);
    match fault {
        Some(What::DoneBut { status, body }) => Reply::Whole(faults::answer(status, Vec::new(), &body)),
        Some(What::CutAfter) => Reply::Nothing,
        Some(What::CutHalfway) => Reply::Half(answer),
        _ => Reply::Whole(answer),
    }
}
