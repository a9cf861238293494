//! The log: text or JSON lines on stderr, and the last lines of each run for its record.
//!
//! This is the only room that knows `tracing-subscriber`. Secrets cannot get here: a `Secret` shows itself to nobody.

mod unread;

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};
use ulid::Ulid;

use crate::history::LogLine;
use crate::runner::{LogBook, STEP_LOG_TARGET};
use unread::Queue;

/// How the log is written.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// As JSON lines.
    pub json: bool,
    /// How much: `-q` is less than 0, `-v` is 1, `-vv` 2.
    pub verbosity: i8,
    /// What `WATCHKEEPER_LOG` says, in place of the verbosity: `watchkeeper=debug`.
    pub filter: Option<String>,
    /// Steps and warnings are shown in another way, by a command that somebody watches: leave them out. Else work never
    /// waits for whoever reads the log: lines that find no place are dropped, and their number is told.
    pub steps_shown: bool,
    /// With colours.
    pub colour: bool,
}

/// Writes what is left of the log when it is dropped.
#[must_use = "what waits to be written when the program ends is lost"]
pub struct Log(Option<Queue>);

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.flush();
        }
    }
}

/// Starts the log of this process, which lasts until what is returned is dropped. Lines of runs also go to `book`.
pub fn start(options: &Options, book: Arc<LogBook>) -> Log {
    let level = match options.verbosity {
        i8::MIN..=-1 => "error",
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    let mut directives = format!("warn,watchkeeper={level}");
    if options.steps_shown {
        let _ = write!(directives, ",{STEP_LOG_TARGET}=off");
        if options.verbosity <= 0 {
            directives = format!("error,watchkeeper=error,{STEP_LOG_TARGET}=off");
        }
    }
    let filter = options.filter.clone().unwrap_or(directives);
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("warn,watchkeeper=info"));
    let queue = if options.steps_shown { None } else { queue(options.json) };
    let writer = match queue.clone() {
        Some(queue) => BoxMakeWriter::new(move || queue.clone()),
        None => BoxMakeWriter::new(io::stderr),
    };
    let format = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(options.colour);
    let format = if options.json { format.json().boxed() } else { format.with_target(false).boxed() };
    let keep = Keep(book).with_filter(EnvFilter::new("warn,watchkeeper=debug"));
    // A second start, in a test, changes nothing.
    let _ = tracing_subscriber::registry().with(keep).with(format.with_filter(filter)).try_init();
    if queue.is_some() {
        // The standard hook writes to stderr itself, and would wait for a reader.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    }
    Log(queue)
}

/// A queue before stderr. Its descriptor is one of its own: who holds the lock of [`io::stderr`] while nobody reads keeps
/// everybody else from it.
fn queue(json: bool) -> Option<Queue> {
    let stderr = io::stderr().as_fd().try_clone_to_owned().ok()?;
    Queue::before(File::from(stderr), if json { json_note } else { text_note }).ok()
}

fn text_note(text: &str) -> String {
    format!("{} WARN {text}\n", Timestamp::now())
}

fn json_note(text: &str) -> String {
    let line = serde_json::json!({
        "timestamp": Timestamp::now(), "level": "WARN", "fields": { "message": text }, "target": "watchkeeper",
    });
    format!("{line}\n")
}

/// Hands the lines of runs to the log book.
struct Keep(Arc<LogBook>);

/// The run that a span belongs to.
struct RunOf(Ulid);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keep {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut find = FindRun(None);
        attributes.record(&mut find);
        if let (Some(run), Some(span)) = (find.0, context.span(id)) {
            span.extensions_mut().insert(RunOf(run));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(scope) = context.event_scope(event) else { return };
        let Some(run) = scope.from_root().find_map(|span| span.extensions().get::<RunOf>().map(|run| run.0))
        else {
            return;
        };
        let mut words = Words(String::new());
        event.record(&mut words);
        let level = event.metadata().level().to_string();
        self.0.push(run, LogLine { at: Timestamp::now(), level, text: words.0 });
    }
}

struct FindRun(Option<Ulid>);

impl Visit for FindRun {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "run" {
            self.0 = Ulid::from_string(format!("{value:?}").trim_matches('"')).ok();
        }
    }
}

/// The message, then the other fields.
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.0.insert_str(0, &text);
        } else if text != "None" {
            let _ = write!(self.0, " {}={text}", field.name());
        }
    }
}
