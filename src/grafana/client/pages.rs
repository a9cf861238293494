//! Lists that come in pages.
//!
//! A short page does not say that it is the last one, since a server may give less than it was asked for; and a page
//! that is full does not say that there is another, since a server that does not know `page` (`/api/folders` of 7.5.5)
//! gives the first one for ever. So a list ends with a page that brings nothing new, and where the server tells how
//! many there are, that is compared.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Call, GrafanaClient};
use crate::grafana::GrafanaError;

/// No list is longer; a server that makes up new rows for ever is not followed for ever.
const MOST: usize = 1_000_000;

/// A list, and how it is asked for.
#[derive(Debug, Clone)]
pub struct List {
    /// Completes "Cannot …".
    pub action: String,
    /// The path, with a query where it has one.
    pub path: String,
    /// Where the rows are in the answer, as a JSON pointer; empty where the answer itself is the list.
    pub rows: &'static str,
    /// The name of the parameter for the size of a page, and the size; `None` where there are no pages.
    pub size: Option<(&'static str, usize)>,
    /// The number of the first page.
    pub first: usize,
    /// What tells two rows apart: the first of these fields that a row has.
    pub key: &'static [&'static str],
}

/// A list that was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// Each row once, in the order in which they came.
    pub rows: Vec<Value>,
    /// This version has no such list.
    pub absent: bool,
}

impl Listed {
    /// Where every version has the list: it is not there because this is no Grafana, or because something before it
    /// hides a part of it.
    pub fn must_be_there(self, client: &GrafanaClient, list: &List) -> Result<Self, GrafanaError> {
        if self.absent {
            let call = Call::get(&list.action, &list.path);
            return Err(client.not_grafana(&call, "it has no such list, and every Grafana has it"));
        }
        Ok(self)
    }
}

impl List {
    /// A list without pages.
    pub fn whole(action: &str, path: &str) -> Self {
        let (action, path) = (action.to_owned(), path.to_owned());
        Self { action, path, rows: "", size: None, first: 1, key: &["uid", "id", "name"] }
    }

    /// A list in pages of this size; the parameter has another name everywhere.
    #[must_use]
    pub fn in_pages(self, parameter: &'static str, size: usize) -> Self {
        Self { size: Some((parameter, size)), ..self }
    }

    /// Some servers count from 0 here and some from 1: who begins with 0 misses nothing.
    #[must_use]
    pub fn from_page_0(self) -> Self {
        Self { first: 0, ..self }
    }

    /// The rows are here in the answer, and `totalCount` may stand beside them.
    #[must_use]
    pub fn at(self, rows: &'static str) -> Self {
        Self { rows, ..self }
    }

    /// Rows are told apart by this.
    #[must_use]
    pub fn by(self, key: &'static [&'static str]) -> Self {
        Self { key, ..self }
    }

    fn page(&self, number: usize) -> Call {
        let Some((parameter, size)) = self.size else { return Call::get(&self.action, &self.path) };
        let mark = if self.path.contains('?') { '&' } else { '?' };
        Call::get(&self.action, &format!("{}{mark}{parameter}={size}&page={number}", self.path))
    }

    fn key_of(&self, row: &Value) -> Option<String> {
        let field = self
            .key
            .iter()
            .find_map(|name| row.get(name).filter(|value| !value.is_null() && *value != ""))?;
        Some(field.as_str().map_or_else(|| field.to_string(), str::to_owned))
    }
}

impl GrafanaClient {
    /// Reads all of a list. A list that is not there in this version is empty and says so; every other failure is one.
    pub async fn list(&self, list: &List) -> Result<Listed, GrafanaError> {
        let (mut listed, mut seen, mut total) = (Listed::default(), BTreeSet::new(), None);
        for number in list.first.. {
            let call = list.page(number);
            let answer = self.exchange(&call).await?;
            if answer.route_is_absent() && number == list.first {
                return Ok(Listed { rows: Vec::new(), absent: true });
            }
            let json = self.expect_success(&call, answer)?;
            let rows = self.rows(list, &call, &json)?;
            total = told_total(list, &json).or(total);
            let (came, before) = (rows.len(), listed.rows.len());
            for row in rows {
                let key = list.key_of(row).ok_or_else(|| self.not_grafana(&call, "a row has no name"))?;
                if seen.insert(key) {
                    listed.rows.push(row.clone());
                }
            }
            let (got, size) = (listed.rows.len(), list.size.map_or(0, |(_, size)| size));
            // Page 1 is the first one once more where pages count from 1.
            if number == 1 && list.first == 0 && got == before && came >= size {
                continue;
            }
            if came > 0 && got == before && number > list.first && came >= size {
                // Full, and nothing new: what comes behind it stays unseen.
                let (action, url) = (list.action.clone(), self.url());
                return Err(GrafanaError::NoPages { action, url, got });
            }
            if list.size.is_none() || got == before || got > MOST {
                break;
            }
        }
        self.must_be_all(list, &listed, total)?;
        Ok(listed)
    }

    fn rows<'a>(&self, list: &List, call: &Call, json: &'a Value) -> Result<&'a [Value], GrafanaError> {
        match json.pointer(list.rows) {
            Some(Value::Array(rows)) => Ok(rows),
            // Go writes an empty list as null where nobody made one.
            Some(Value::Null) if json.is_object() => Ok(&[]),
            Some(other) => Err(self.not_grafana(call, format!("{} in the place of a list", kind(other)))),
            None => Err(self.not_grafana(call, format!("it has no {:?}", list.rows))),
        }
    }

    fn must_be_all(&self, list: &List, listed: &Listed, total: Option<u64>) -> Result<(), GrafanaError> {
        let got = listed.rows.len();
        match total.filter(|total| usize::try_from(*total).unwrap_or(usize::MAX) > got) {
            None => Ok(()),
            Some(total) => {
                let (action, url) = (list.action.clone(), self.url());
                Err(GrafanaError::Incomplete { action, url, total, got })
            }
        }
    }
}

/// `totalCount`, which stands beside the rows.
fn told_total(list: &List, json: &Value) -> Option<u64> {
    let beside = list.rows.rsplit_once('/').map_or("", |(above, _)| above);
    json.pointer(beside)?.get("totalCount")?.as_u64()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
