//! JSON of which there is only one form.

use serde_json::{Map, Value};

/// The value with sorted names, indented so that a line is a difference, and a line end behind it.
pub fn canonical(value: &Value) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(&sorted(value))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Sorted by itself: whether a map of `serde_json` is, hangs on what some other crate asks of it.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            let fields = names.into_iter().map(|name| (name.clone(), sorted(&fields[name])));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_were_read() {
        let numbers = "[\n  1,\n  1.0,\n  0.1,\n  1e-7,\n  -3,\n  18446744073709551615,\n  4.35,\n  0.30000000000000004\n]\n";
        let value: Value = serde_json::from_str(numbers).unwrap();
        assert_eq!(String::from_utf8(canonical(&value).unwrap()).unwrap(), numbers);
    }
}
