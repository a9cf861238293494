//! Changes of configurations that were cut: begun, neither proven nor taken back, and nobody is at it.

use super::View;
use crate::config::Config;
use crate::prometheus::config_change::{ChangeError, Cut, job_of};
use crate::runner::{Lock, Locks};
use crate::words;

/// A change that was cut, or a note of one that cannot be read.
#[derive(Debug, Clone, serde::Serialize)]
pub struct CutChange {
    /// Of which Prometheus.
    pub target: String,
    /// What is known of it.
    pub cut: Option<Cut>,
    /// What has become of it, in a sentence.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl CutChange {
    /// What has become of it, and what to do.
    pub fn words(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default();
        format!("{}{hint}", self.text)
    }
}

/// Those of all targets.
pub(super) fn all(view: View<'_>) -> Vec<CutChange> {
    cut_changes(view.config)
}

/// Those of all targets: nothing but the program's own folder is looked at.
pub fn cut_changes(config: &Config) -> Vec<CutChange> {
    let locks = Locks::new(&config.state_dir);
    let of_target = |name| {
        let look = || Cut::of(&config.state_dir, name).transpose();
        let first = look()?;
        // Whoever is at it holds the lock until its note is gone.
        if locks.is_held(&Lock::Job(job_of(name))) {
            return None;
        }
        // It may have ended well between the two.
        look().is_some().then(|| told(name.to_string(), first, config))
    };
    config.prometheus.keys().filter_map(of_target).collect()
}

fn told(target: String, cut: Result<Cut, ChangeError>, config: &Config) -> CutChange {
    match cut {
        Ok(cut) => {
            let text = cut.words(&words::time(cut.began, &config.timezone));
            CutChange { target, text, hint: Some(cut.hint()), cut: Some(cut) }
        }
        Err(error) => CutChange { target, text: words::chain(&error), hint: error.hint(), cut: None },
    }
}
