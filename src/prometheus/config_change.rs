//! Changes of a Prometheus's configuration: its file, its scrape intervals, its rules.
//!
//! A change is planned as data and shown; then it is checked by promtool where there is one, the old file is kept, the new
//! one is written so that the server sees it, loaded, and proven by what the server says that it has loaded. Where any of
//! that fails the old file goes back and is proven in the same way. A note tells the next change of one that was killed.

mod apply;
mod edit;
mod error;
mod facts;
mod interval;
mod journal;
mod place;
mod plan;
mod promtool;
mod rules;
mod site;
mod yaml;

pub use apply::{Changed, apply, take_back_cut};
pub use edit::{EditError, Scope};
pub use error::ChangeError;
pub use facts::TooPatient;
pub use interval::{Interval, IntervalError};
pub use plan::{ChangePlan, Wish};
pub use site::{Cut, Opening, Site};
pub use yaml::YamlError;
