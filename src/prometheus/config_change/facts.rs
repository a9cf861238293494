//! What a configuration says, as far as a change has to know it.

use super::interval::Interval;
use super::yaml::{Document, Node, YamlError};

/// A configuration of Prometheus, as it is written or as the server has loaded it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts {
    pub(super) interval: Option<Interval>,
    pub(super) timeout: Option<Interval>,
    pub(super) jobs: Vec<ScrapeJob>,
    /// The patterns of `rule_files`.
    pub(super) rule_files: Vec<String>,
    /// More jobs are written in other files.
    pub(super) has_other_files: bool,
}

/// One of `scrape_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScrapeJob {
    pub(super) name: String,
    pub(super) interval: Option<Interval>,
    pub(super) timeout: Option<Interval>,
}

impl Facts {
    pub(super) fn of(text: &str) -> Result<Self, YamlError> {
        let document = Document::read(text)?;
        let root = &document.root;
        let global = document.get(root, "global");
        let length = |map: Option<&Node>, key: &str| {
            let text = document.get(map?, key)?.text()?;
            // What is no length of time is told by Prometheus's own check. None at all counts as not written.
            text.parse().ok().filter(|interval: &Interval| !interval.is_zero())
        };
        let job = |node: &Node| {
            let name = document.get(node, "job_name")?.text()?.to_owned();
            let node = Some(node);
            Some(ScrapeJob {
                name,
                interval: length(node, "scrape_interval"),
                timeout: length(node, "scrape_timeout"),
            })
        };
        let list = |key: &str| document.elements(document.get(root, key));
        let pattern = |node: &Node| document.real(node).text().map(str::to_owned);
        Ok(Self {
            interval: length(global, "scrape_interval"),
            timeout: length(global, "scrape_timeout"),
            jobs: list("scrape_configs").iter().filter_map(job).collect(),
            rule_files: list("rule_files").iter().filter_map(pattern).collect(),
            has_other_files: !list("scrape_config_files").is_empty(),
        })
    }

    pub(super) fn job(&self, name: &str) -> Option<&ScrapeJob> {
        self.jobs.iter().find(|job| job.name == name)
    }

    /// Where Prometheus would wait longer for a target than it may: it refuses to load that.
    pub(super) fn too_patient(&self) -> Option<TooPatient> {
        if let (Some(interval), Some(timeout)) = (&self.interval, &self.timeout)
            && timeout.millis() > interval.millis()
        {
            return Some(TooPatient { job: None, timeout: timeout.clone(), interval: interval.clone() });
        }
        self.jobs.iter().find_map(|job| {
            let interval = job.interval.as_ref().or(self.interval.as_ref())?;
            let timeout = job.timeout.as_ref().filter(|timeout| timeout.millis() > interval.millis())?;
            let job = Some(job.name.clone());
            Some(TooPatient { job, timeout: timeout.clone(), interval: interval.clone() })
        })
    }
}

/// A timeout that is above its interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooPatient {
    /// The scrape job; nothing where it is that of all.
    pub job: Option<String>,
    /// `scrape_timeout`
    pub timeout: Interval,
    /// `scrape_interval`
    pub interval: Interval,
}

impl std::fmt::Display for TooPatient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { job, timeout, interval } = self;
        let whose = job.as_ref().map_or_else(|| "global".to_owned(), |job| format!("job {job:?}"));
        write!(f, "the scrape_timeout of {whose}, {timeout}, would be above its scrape_interval, {interval}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_and_merged_is_read() {
        let facts = Facts::of(
            "global: {scrape_interval: 1m, scrape_timeout: '5s'}\nrule_files: [a.yml, \"b/*.yml\"]\n\
             scrape_configs:\n- &a\n  job_name: a\n  scrape_interval: 15s\n- {<<: *a, job_name: b}\n- job_name: c\n",
        )
        .unwrap();
        assert_eq!(facts.interval, "60s".parse().ok());
        assert_eq!(facts.rule_files, ["a.yml", "b/*.yml"]);
        let jobs: Vec<_> = facts.jobs.iter().map(|job| (job.name.as_str(), job.interval.is_some())).collect();
        assert_eq!(jobs, [("a", true), ("b", true), ("c", false)]);
    }

    #[test]
    fn a_timeout_above_its_interval_is_found_as_prometheus_finds_it() {
        let told = |text: &str| Facts::of(text).unwrap().too_patient().map(|found| found.to_string());
        assert_eq!(told("global: {scrape_interval: 5s}"), None, "the default gives way");
        let global = told("global: {scrape_interval: 5s, scrape_timeout: 6s}").unwrap();
        assert!(global.contains("global, 6s") && global.contains("scrape_interval, 5s"), "{global}");
        let job = "scrape_configs: [{job_name: a, scrape_timeout: 20s}]";
        assert!(
            told(&format!("global: {{scrape_interval: 15s}}\n{job}")).unwrap().contains("job \"a\", 20s")
        );
        assert_eq!(told(&format!("global: {{scrape_interval: 20s}}\n{job}")), None);
    }
}
