//! The log: text or JSON lines on stderr, and the last lines of each run for its record.
//!
//! This is the only room that knows `tracing-subscriber`. Secrets cannot get here: a `Secret` shows itself to nobody.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};
use ulid::Ulid;

use crate::history::LogLine;
use crate::runner::{LogBook, STEP_LOG_TARGET};

/// How the log is written.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// As JSON lines.
    pub json: bool,
    /// How much: `-q` is less than 0, `-v` is 1, `-vv` 2.
    pub verbosity: i8,
    /// What `WATCHKEEPER_LOG` says, in place of the verbosity: `watchkeeper=debug`.
    pub filter: Option<String>,
    /// Steps and warnings are shown in another way: leave them out.
    pub steps_shown: bool,
    /// With colours.
    pub colour: bool,
}

/// Starts the log of this process. Lines of runs also go to `book`.
pub fn start(options: &Options, book: Arc<LogBook>) {
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
    let format = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(options.colour);
    let format = if options.json { format.json().boxed() } else { format.with_target(false).boxed() };
    let keep = Keep(book).with_filter(EnvFilter::new("warn,watchkeeper=debug"));
    // A second start, in a test, changes nothing.
    let _ = tracing_subscriber::registry().with(keep).with(format.with_filter(filter)).try_init();
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
