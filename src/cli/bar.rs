//! Shows a run while it runs: a progress bar on a terminal, a line for each step elsewhere.

mod line;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::screen::{columns, folded};
use super::session::Session;
use crate::progress::{Silent, Sink, Step};
use crate::words::{self, terminal};

/// The sink that suits the terminal and the options. Where nobody watches, the steps stand in the report; `-v` shows
/// them as they end.
pub(super) fn sink(session: &Session) -> Arc<dyn Sink> {
    if session.out.quiet {
        Arc::new(Silent)
    } else if session.out.json {
        Arc::new(Waits)
    } else if io::stderr().is_terminal() {
        Arc::new(Bar::default())
    } else if session.is_verbose() {
        Arc::new(Lines)
    } else {
        Arc::new(Waits)
    }
}

/// A line where nothing happens for a while: whoever waits is to know for what.
struct Waits;

impl Sink for Waits {
    fn step_told(&self, _: &str, _: u64, _: u64, _: &str) {}

    fn step_started(&self, _: &str, _: Option<u64>) {}

    fn step_advanced(&self, _: &str, _: u64) {}

    fn step_finished(&self, _: &Step) {}

    fn warned(&self, _: &str) {}

    fn waits(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{}", terminal(text));
    }
}

/// A line for each step that ended, and for each warning.
struct Lines;

impl Sink for Lines {
    fn step_told(&self, _: &str, _: u64, _: u64, _: &str) {}

    fn step_started(&self, _: &str, _: Option<u64>) {}

    fn step_advanced(&self, _: &str, _: u64) {}

    fn step_finished(&self, step: &Step) {
        let _ = writeln!(io::stderr(), "{}", terminal(&line(step)));
    }

    fn warned(&self, text: &str) {
        let _ = writeln!(io::stderr(), "warning: {}", terminal(text));
    }

    fn waits(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{}", terminal(text));
    }
}

/// One bar, for the step that runs.
#[derive(Default)]
struct Bar {
    running: Mutex<Option<ProgressBar>>,
}

impl Bar {
    fn print(&self, text: &str) {
        match &*self.running.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(|| drop(writeln!(io::stderr(), "{}", terminal(text)))),
            None => drop(writeln!(io::stderr(), "{}", terminal(text))),
        }
    }
}

impl Sink for Bar {
    fn step_started(&self, name: &str, total: Option<u64>) {
        let bar = match total {
            Some(total) => {
                ProgressBar::new(total).with_style(style(&line::of_bytes(columns(io::stderr()), name)))
            }
            None => ProgressBar::new_spinner().with_style(style("{spinner} {wide_msg}")),
        };
        bar.set_message(terminal(name).into_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn step_advanced(&self, _: &str, done: u64) {
        if let Some(bar) = &*self.running.lock().unwrap_or_else(PoisonError::into_inner) {
            // The expected size was an estimate.
            if bar.length().is_some_and(|length| length < done) {
                bar.set_length(done);
            }
            bar.set_position(done);
        }
    }

    fn step_told(&self, name: &str, done: u64, total: u64, current: &str) {
        if let Some(bar) = &*self.running.lock().unwrap_or_else(PoisonError::into_inner) {
            let (name, current) = (printable(name), printable(current));
            if total == 0 {
                bar.set_message(format!("{name}: {current}"));
            } else if bar.length() == Some(total) {
                bar.set_position(done);
                bar.set_message(current);
            } else {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(current);
                let template = line::of_things(columns(io::stderr()), &name, total);
                bar.set_prefix(name);
                bar.set_style(style(&template));
            }
        }
    }

    fn step_finished(&self, step: &Step) {
        if let Some(bar) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
        self.print(&folded(&line(step), columns(io::stderr())));
    }

    fn warned(&self, text: &str) {
        self.print(&format!("warning: {text}"));
    }

    fn waits(&self, text: &str) {
        self.print(text);
    }
}

/// What a server calls something, without what would move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn line(step: &Step) -> String {
    let mut parts = vec![words::duration(Duration::from_millis(step.millis))];
    if step.bytes > 0 {
        parts.push(words::size(step.bytes));
        parts.extend(words::rate(step.bytes, step.millis));
    }
    parts.extend(step.detail.clone());
    format!("  {}: {}", step.name, parts.join(", "))
}
