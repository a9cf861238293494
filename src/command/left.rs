//! What a run has left running whose own process was killed: found by its mark, wherever it went, and ended.

use rustix::process::Signal;
use tokio::time::Instant;
use ulid::Ulid;

use super::{RUN_VARIABLE, TERM_GRACE, TICK, marked};

/// What became of the processes that runs had left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// How many were found.
    pub found: usize,
    /// Those that could not be ended.
    pub alive: Vec<i32>,
}

/// Ends what these runs have left: asks it, and kills it ten seconds later. The runs must be over.
pub async fn end_left(runs: &[Ulid]) -> Left {
    let marks: Vec<String> = runs.iter().map(|run| format!("{RUN_VARIABLE}={run}")).collect();
    let found = signal(&marks, Signal::TERM).len();
    let mut deadline = Instant::now() + TERM_GRACE;
    let mut sent = Signal::TERM;
    loop {
        let alive = marked::all(&marks);
        if alive.is_empty() || (sent == Signal::KILL && Instant::now() > deadline) {
            return Left { found, alive };
        }
        if sent == Signal::KILL || Instant::now() > deadline {
            if sent != Signal::KILL {
                deadline = Instant::now() + TERM_GRACE;
            }
            sent = Signal::KILL;
            signal(&marks, sent);
        }
        tokio::time::sleep(TICK).await;
    }
}

fn signal(marks: &[String], signal: Signal) -> Vec<i32> {
    let all = marked::all(marks);
    for number in &all {
        for mark in marks {
            // Who has ended meanwhile need not be told.
            let _ = marked::signal_one(*number, mark, signal);
        }
    }
    all
}
