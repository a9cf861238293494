//! What counts as the same: two objects of which a restore would make no difference.
//!
//! Servers of different versions say some fields that are empty in different words: those, by name, are in `fields`. All
//! else is compared to the letter: a panel whose minimum is 0 is not one that has none.

mod fields;

use serde_json::{Map, Number, Value, json};

use self::fields::{Reading, defaulted, of_field};
use crate::grafana::object::ObjectType;
pub(super) use crate::grafana::object::REDACTED;

/// How many differences a message names.
const SHOWN: usize = 4;

/// Both say the same, as parts of an object of this type.
pub(super) fn same(kind: ObjectType, wanted: &Value, there: &Value) -> bool {
    differences(kind, wanted, there).is_empty()
}

/// Where two objects say different things, each field of them once: `jsonData.httpMethod`.
pub(in crate::grafana) fn differences(kind: ObjectType, wanted: &Value, there: &Value) -> Vec<String> {
    let both = Both { reading: Reading::Known(kind), wanted: Some(wanted), there: Some(there) };
    let mut all = Vec::new();
    for (name, field) in both.fields().into_iter().flatten() {
        match field.fields().filter(|_| field.reading != both.reading) {
            Some(inner) => {
                let found = inner.iter().filter_map(|(below, one)| Some((below, one.difference()?)));
                all.extend(found.map(|(below, path)| joined([name, *below], path)));
            }
            None => all.extend(field.difference().map(|path| joined([name], path))),
        }
    }
    all
}

/// The first few of many differences.
pub(in crate::grafana) fn named(differences: &[String]) -> String {
    crate::words::some(differences, SHOWN)
}

fn joined<const N: usize>(names: [&str; N], path: Vec<String>) -> String {
    names.into_iter().map(str::to_owned).chain(path).collect::<Vec<_>>().join(".")
}

/// A value of both sides, or what one of them does not have.
#[derive(Debug, Clone, Copy)]
struct Both<'a> {
    reading: Reading,
    wanted: Option<&'a Value>,
    there: Option<&'a Value>,
}

impl<'a> Both<'a> {
    /// The fields of two objects; nothing where one of them is none.
    fn fields(&self) -> Option<Vec<(&'a str, Self)>> {
        let (Some(Value::Object(wanted)), Some(Value::Object(there))) = (self.wanted, self.there) else {
            return None;
        };
        let names = wanted.keys().chain(there.keys().filter(|name| !wanted.contains_key(*name)));
        let field = |name: &'a String| {
            let reading = self.reading.below(name);
            (name.as_str(), Self { reading, wanted: wanted.get(name), there: there.get(name) })
        };
        let told = |(name, field): &(&str, Self)| {
            !(is_nothing(self.reading, name, field.wanted) && is_nothing(self.reading, name, field.there))
        };
        Some(names.map(field).filter(told).collect())
    }

    /// The path to the first difference, from the outside in.
    fn difference(&self) -> Option<Vec<String>> {
        if let Some(fields) = self.fields() {
            return fields
                .into_iter()
                .find_map(|(name, field)| field.difference().map(|path| under(name, path)));
        }
        match (self.wanted, self.there) {
            (Some(Value::Array(wanted)), Some(Value::Array(there))) if wanted.len() == there.len() => {
                let pairs = wanted.iter().zip(there).enumerate();
                pairs.into_iter().find_map(|(place, (wanted, there))| {
                    let (reading, wanted, there) = (self.reading.element(), Some(wanted), Some(there));
                    Some(under(&place.to_string(), Self { reading, wanted, there }.difference()?))
                })
            }
            (wanted, there) if wanted == there => None,
            (Some(Value::Number(wanted)), Some(Value::Number(there))) if same_number(wanted, there) => None,
            _ if self.is_hidden() => None,
            _ => Some(Vec::new()),
        }
    }

    /// Nobody can see whether they are the same; or the backup does not have the secret: what is stored stays, and what is
    /// not is told.
    fn is_hidden(&self) -> bool {
        let (wanted, there) = (self.wanted.and_then(Value::as_str), self.there.and_then(Value::as_str));
        let hidden = wanted == Some(REDACTED)
            || (there == Some(REDACTED) && wanted.is_some_and(|wanted| !wanted.is_empty()));
        self.reading == Reading::Settings && hidden
    }
}

fn under(name: &str, path: Vec<String>) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(path).collect()
}

impl Reading {
    /// How what stands in a field is compared.
    fn below(self, name: &str) -> Self {
        match self {
            Self::Known(kind) => of_field(kind, name),
            other => other.element(),
        }
    }

    /// How what stands in a list, or deeper, is compared.
    const fn element(self) -> Self {
        match self {
            Self::Letter(_) => Self::Letter(&[]),
            other => other,
        }
    }
}

/// A field of which a server makes no difference between this and nothing.
fn is_nothing(reading: Reading, name: &str, value: Option<&Value>) -> bool {
    let Some(value) = value else { return true };
    let filled_in = match reading {
        Reading::Known(kind) => defaulted(kind),
        Reading::Letter(filled_in) => filled_in,
        Reading::Settings => &[],
    };
    filled_in.contains(&name)
        && match value {
            Value::Object(fields) => {
                fields.iter().all(|(name, value)| is_nothing(reading.below(name), name, Some(value)))
            }
            other => is_empty(other),
        }
}

/// As Go reads a field that is missing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.values().all(is_empty),
    }
}

/// `1` and `1.0` are one number, whoever wrote them.
fn same_number(wanted: &Number, there: &Number) -> bool {
    let whole = |number: &Number| (number.as_i64(), number.as_u64());
    match (whole(wanted), whole(there)) {
        ((None, None), _) | (_, (None, None)) => {
            let (Some(wanted), Some(there)) = (wanted.as_f64(), there.as_f64()) else { return false };
            wanted.to_bits() == there.to_bits()
        }
        // A float does not tell large ones apart.
        (wanted, there) => wanted == there,
    }
}

/// The object without what makes no difference, so that what is the same is the same bytes: what a server fills in, what
/// is hidden, and how a number is written.
pub(super) fn normal(kind: ObjectType, value: &Value) -> Value {
    normal_as(Reading::Known(kind), value)
}

fn normal_as(reading: Reading, value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(|one| normal_as(reading.element(), one)).collect(),
        Value::Object(fields) => {
            let hidden =
                |name: &str, value: &Value| reading.below(name) == Reading::Settings && value == REDACTED;
            let told = fields
                .iter()
                .filter(|(name, value)| !is_nothing(reading, name, Some(value)) && !hidden(name, value));
            let told = told.map(|(name, value)| (name.clone(), normal_as(reading.below(name), value)));
            Value::Object(told.collect::<Map<_, _>>())
        }
        Value::Number(number) if number.as_i64().is_none() && number.as_u64().is_none() => {
            number.as_f64().map_or(Value::Null, plain_number)
        }
        other => other.clone(),
    }
}

/// A float that is a whole number, as that.
fn plain_number(number: f64) -> Value {
    let text = format!("{number}");
    text.parse::<i64>().map_or_else(|_| json!(number), |whole| json!(whole))
}

/// A secret is not shown somewhere in it.
pub(super) fn is_redacted(value: &Value) -> bool {
    match value {
        Value::String(text) => text == REDACTED,
        Value::Array(all) => all.iter().any(is_redacted),
        Value::Object(all) => all.values().any(is_redacted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use ObjectType::{ContactPoints, Dashboards, DataSources, LibraryPanels, Policies, RuleGroups};

    fn first(kind: ObjectType, wanted: &Value, there: &Value) -> Option<String> {
        differences(kind, wanted, there).into_iter().next()
    }

    #[test]
    fn a_field_that_a_server_fills_in_may_be_empty_or_not_there_and_no_other_one() {
        let route = json!({ "receiver": "a", "continue": false, "routes": [], "group_by": null });
        assert!(same(Policies, &route, &json!({ "receiver": "a" })));
        assert!(same(Policies, &json!({ "receiver": "a" }), &route));
        assert!(!same(Policies, &route, &json!({ "receiver": "a", "continue": true })));
        assert!(!same(Policies, &json!({ "receiver": "", "new": 0 }), &json!({})));
        let source = json!({ "name": "p", "url": "", "basicAuth": false, "jsonData": {} });
        assert!(same(DataSources, &source, &json!({ "name": "p", "jsonData": null })));
    }

    #[test]
    fn what_only_a_panel_or_a_plugin_understands_is_compared_to_the_letter() {
        let of = |kind, field: &str, value: Value| (kind, json!({ field: value }));
        let values = [json!(0), json!(false), json!(""), json!([]), json!({}), json!(null), json!(1)];
        let parts = [
            (Dashboards, "dashboard"),
            (LibraryPanels, "model"),
            (DataSources, "jsonData"),
            (ContactPoints, "settings"),
        ];
        for (kind, field) in parts {
            let bare = of(kind, field, json!({ "x": 1 })).1;
            for (place, value) in values.iter().enumerate() {
                let with = of(kind, field, json!({ "x": 1, "y": value })).1;
                assert_eq!(first(kind, &with, &bare), Some(format!("{field}.y")), "{value}");
                assert_eq!(first(kind, &bare, &with), Some(format!("{field}.y")), "{value}");
                let deep = |value: &Value| of(kind, field, json!({ "l": [{ "y": value }] })).1;
                for (other, another) in values.iter().enumerate() {
                    assert_eq!(same(kind, &deep(value), &deep(another)), place == other, "{value} {another}");
                }
            }
        }
        assert!(!same(DataSources, &json!({ "jsonData": { "manageAlerts": false } }), &json!({})));
        let query = |model: Value| json!({ "rules": [{ "data": [{ "refId": "A", "queryType": "", "model": model }] }] });
        let plain = json!({ "rules": [{ "data": [{ "refId": "A", "model": {} }] }] });
        assert!(same(RuleGroups, &query(json!({})), &plain));
        assert!(!same(RuleGroups, &query(json!({ "instant": false })), &plain));
        let model = json!({ "model": { "title": "t", "description": "" } });
        assert!(same(LibraryPanels, &model, &json!({ "model": { "title": "t" } })));
    }

    #[test]
    fn a_number_is_the_same_however_it_is_written_and_only_that_number() {
        let of = |number: Value| json!({ "dashboard": { "n": number } });
        assert!(same(Dashboards, &of(json!(1)), &of(json!(1.0))));
        assert!(!same(
            Dashboards,
            &of(json!(9_007_199_254_740_993_u64)),
            &of(json!(9_007_199_254_740_992_u64))
        ));
        assert_eq!(normal(Dashboards, &of(json!(1))), normal(Dashboards, &of(json!(1.0))));
        assert_ne!(normal(Dashboards, &of(json!(0))), normal(Dashboards, &json!({ "dashboard": {} })));
    }

    #[test]
    fn each_field_that_differs_is_named_by_its_path_once() {
        let wanted = json!({ "name": "a", "jsonData": { "list": [{ "a": 1 }, { "a": 2 }], "x": 1 } });
        let there = json!({ "name": "b", "jsonData": { "list": [{ "a": 0 }, { "a": 3 }], "x": 1 } });
        let mut found = differences(DataSources, &wanted, &there);
        found.sort();
        assert_eq!(found, ["jsonData.list.0.a", "name"]);
        assert_eq!(first(DataSources, &json!({ "a": [1] }), &json!({ "a": [1, 1] })).as_deref(), Some("a"));
        assert_eq!(first(DataSources, &json!({}), &json!({ "a": true })).as_deref(), Some("a"));
        assert_eq!(first(DataSources, &json!({ "a": "1" }), &json!({ "a": 1 })).as_deref(), Some("a"));
        let many: Vec<String> = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).into();
        assert_eq!(named(&many), "a, b, c, d and 2 more");
    }

    #[test]
    fn a_secret_that_is_not_shown_makes_no_difference_where_secrets_are_and_only_there() {
        let of = |settings: Value| json!({ "settings": settings });
        let (shown, hidden) = (of(json!({ "password": "right" })), of(json!({ "password": REDACTED })));
        assert!(same(ContactPoints, &shown, &hidden));
        assert!(same(ContactPoints, &hidden, &shown));
        assert!(same(ContactPoints, &hidden, &of(json!({}))));
        assert!(!same(ContactPoints, &of(json!({})), &hidden));
        assert!(is_redacted(&json!([{ "a": { "password": REDACTED } }])) && !is_redacted(&shown));
        let note = |text: &str| json!({ "dashboard": { "title": text } });
        assert!(
            !same(Dashboards, &note(REDACTED), &note("A")) && !same(Dashboards, &note("A"), &note(REDACTED))
        );
    }
}
