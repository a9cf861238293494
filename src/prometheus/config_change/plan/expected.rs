//! What a server has to have loaded after a change, and what it has instead.

use super::SHOWN;
use crate::prometheus::config_change::edit::Scope;
use crate::prometheus::config_change::facts::Facts;
use crate::prometheus::config_change::interval::Interval;
use crate::prometheus::config_change::rules::RuleFile;
use crate::words;

/// What a server has to have loaded afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::prometheus::config_change) enum Expected {
    Interval { scope: Scope, value: Interval },
    Config(Facts),
    Rules { path: String, file: RuleFile },
}

impl Expected {
    /// Where something else is loaded, in words. Rules are none of the configuration's.
    pub(in crate::prometheus::config_change) fn lacks(&self, loaded: &Facts) -> Option<String> {
        match self {
            Self::Interval { scope: Scope::Global, value } => {
                differs("the scrape_interval of global", value, loaded.interval.as_ref())
            }
            Self::Interval { scope: Scope::Job(job), value } => {
                let there = loaded.job(job).and_then(|job| job.interval.as_ref());
                differs(&format!("the scrape_interval of job {job:?}"), value, there)
            }
            Self::Config(wanted) => lacks_of(wanted, loaded),
            Self::Rules { .. } => None,
        }
    }

    /// What was seen when nothing is lacking.
    pub(in crate::prometheus::config_change) fn proven(&self) -> String {
        match self {
            Self::Interval { scope: Scope::Global, value } => {
                format!("the configuration that it has loaded says scrape_interval {value}")
            }
            Self::Interval { scope: Scope::Job(job), value } => {
                format!("the configuration that it has loaded says scrape_interval {value} of job {job:?}")
            }
            Self::Config(facts) => format!(
                "the configuration that it has loaded has the {} of the file, with their intervals",
                words::count(facts.jobs.len(), "scrape job")
            ),
            Self::Rules { path, file } => format!(
                "it has loaded {} of {} from {path}, with their expressions, times, labels and annotations",
                words::count(file.count(), "rule"),
                words::count(file.groups.len(), "group")
            ),
        }
    }
}

fn differs(what: &str, wanted: &Interval, loaded: Option<&Interval>) -> Option<String> {
    match loaded {
        Some(loaded) if loaded == wanted => None,
        Some(loaded) => Some(format!("{what} is {loaded}, and not {wanted}")),
        None => Some(format!("it tells nothing of {what}")),
    }
}

fn lacks_of(wanted: &Facts, loaded: &Facts) -> Option<String> {
    let names = |facts: &Facts| facts.jobs.iter().map(|job| job.name.clone()).collect::<Vec<_>>();
    let (of_file, there) = (names(wanted), names(loaded));
    if of_file != there && !wanted.has_other_files {
        return Some(format!("it has the scrape jobs {}, and not {}", listed(&there), listed(&of_file)));
    }
    let global = wanted.interval.as_ref();
    let global =
        global.and_then(|value| differs("the scrape_interval of global", value, loaded.interval.as_ref()));
    global.or_else(|| {
        wanted.jobs.iter().find_map(|job| {
            let there = loaded.job(&job.name).and_then(|job| job.interval.as_ref());
            differs(&format!("the scrape_interval of job {:?}", job.name), job.interval.as_ref()?, there)
        })
    })
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { words::some(names, SHOWN) }
}
