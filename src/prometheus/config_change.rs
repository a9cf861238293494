//! Changes of a Prometheus's configuration: its file, its scrape intervals, its rules.
//!
//! A change is planned as data and shown; then it is checked by promtool where there is one, the old file is kept, the new
//! one is written so that the server sees it, loaded, and proven by what the server says that it has loaded. Where any of
//! that fails the old file goes back and is proven in the same way. A note tells the next change of one that was killed.

mod apply;
mod back;
mod candidate;
mod edit;
mod error;
mod facts;
mod interval;
mod journal;
mod place;
mod plan;
mod reach;
mod rules;
mod site;
mod veil;
mod yaml;

use crate::config::values::{JobName, TargetName};
use crate::progress::Progress;

pub use apply::{Changed, apply};
pub use back::{keep_cut, take_back_cut};
pub use edit::{EditError, Scope};
pub use error::ChangeError;
pub use facts::TooPatient;
pub use interval::{Interval, IntervalError};
pub use journal::Cut;
pub use plan::{ChangePlan, Wish};
pub use reach::{Opening, Reach};
pub use site::Site;
pub use yaml::YamlError;

/// The name that changes of this target have in the history, as runs of a job have. A change is no run of a job that backs the
/// target up: how well that is, it does not say.
pub fn job_of(target: &TargetName) -> JobName {
    format!("change-prometheus-{target}").parse().unwrap_or_else(|_| target.clone())
}

/// Has promtool look at what is planned, and says who did, or why nobody. What is wrong is an error.
pub async fn check(site: &Site, plan: &ChangePlan, progress: &Progress) -> Result<String, ChangeError> {
    candidate::sweep(&site.reach, progress).await;
    Ok(match candidate::checked(site, plan, progress).await? {
        candidate::Checked::Good(promtool) => {
            let but = promtool.leaves_out(plan.kind).map(|what| format!("; nobody looked at {what}"));
            format!(
                "the promtool {} finds nothing wrong with it{}",
                promtool.whose(),
                but.unwrap_or_default()
            )
        }
        candidate::Checked::Nobody(why) => format!("nobody has checked it: {why}"),
    })
}

/// Where the file of before a change of `path` is, in words.
fn words_of_old(path: &str, backup: Option<&str>) -> String {
    match backup {
        Some(backup) => format!("the old {path} is kept as {backup}"),
        None => format!("before it there was no {path}"),
    }
}
