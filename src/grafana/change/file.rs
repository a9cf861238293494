//! A file with a dashboard in it.

use std::path::Path;

use serde_json::Value;

use super::error::DashboardError;
use super::plain;
use crate::grafana::restore::door::text;

/// A dashboard, as a file has it: alone, or with what Grafana's API puts around it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DashboardFile {
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) dashboard: Value,
}

impl DashboardFile {
    pub(super) fn of(bytes: &[u8], from: &Path) -> Result<Self, DashboardError> {
        let wrong = |problem: String| DashboardError::NoDashboard { path: from.to_owned(), problem };
        let json: Value = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let dashboard = json.get("dashboard").filter(|inner| inner.is_object()).unwrap_or(&json);
        if !dashboard.is_object() {
            return Err(wrong("it is no object".to_owned()));
        }
        if dashboard.get("__inputs").and_then(Value::as_array).is_some_and(|inputs| !inputs.is_empty()) {
            return Err(wrong(
                "it is an export for sharing, whose data sources are only placeholders (__inputs)".to_owned(),
            ));
        }
        let (uid, title) = (text(dashboard, "uid").trim().to_owned(), text(dashboard, "title").to_owned());
        if title.trim().is_empty() {
            return Err(wrong("it has no title".to_owned()));
        }
        if uid.is_empty() {
            return Err(wrong("it has no uid, by which the next change would find it".to_owned()));
        }
        Ok(Self { uid, title, dashboard: plain(dashboard) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DashboardFile, String> {
        DashboardFile::of(text.as_bytes(), Path::new("d.json")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_dashboard_is_read_alone_and_as_the_api_gives_it() {
        let alone = read(r#"{"id": 7, "uid": "u", "title": "T", "version": 3}"#).unwrap();
        let wrapped = read(r#"{"dashboard": {"uid": "u", "title": "T"}, "meta": {"slug": "t"}}"#).unwrap();
        assert_eq!(alone, wrapped);
        assert_eq!((alone.uid.as_str(), alone.title.as_str()), ("u", "T"));
    }

    #[test]
    fn what_is_none_is_told_why() {
        for (text, why) in [
            ("[]", "no object"),
            ("{", "EOF"),
            (r#"{"title": "T"}"#, "no uid"),
            (r#"{"uid": "u"}"#, "no title"),
            (r#"{"uid": "u", "title": "T", "__inputs": [{}]}"#, "__inputs"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(why) && told.contains("d.json"), "{told}");
        }
    }
}
