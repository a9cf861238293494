//! A value of a column, exactly as SQLite has it, whoever brings it here.
//!
//! SQLite writes a REAL with 15 digits where it is made a text of: that is another number. What `quote` writes is read
//! back as the same one.

use super::survey::literal;

/// So many characters of a text are read: no time is longer.
pub(super) const SHOWN: usize = 80;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    /// A blob, or a text that is longer than any time: what it is, and how it begins.
    Other(String, String),
}

impl Value {
    /// Three words that [`Value::read`] takes: SQL.
    pub(super) fn select(column: &str) -> String {
        format!(
            "typeof({column}) || ' ' || coalesce(length(CAST({column} AS BLOB)), 0) || ' ' || CASE typeof({column}) \
             WHEN 'integer' THEN {column} WHEN 'real' THEN quote({column}) ELSE {} END",
            shortened(column)
        )
    }

    /// What [`Value::select`] has selected.
    pub(super) fn read(kind: &str, length: &str, word: &str) -> Option<Self> {
        Some(match kind {
            "null" => Self::Null,
            "integer" => Self::Integer(word.parse().ok()?),
            "real" => Self::Real(word.parse().ok()?),
            kind => {
                let bytes = unhex(word)?;
                let whole = length.parse::<usize>().ok()? <= bytes.len();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                match kind {
                    "text" if whole => Self::Text(text),
                    "text" => Self::Other("long text".to_owned(), text),
                    _ => Self::Other(kind.to_owned(), text),
                }
            }
        })
    }

    /// The word for its type.
    pub(super) fn kind(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "integer",
            Self::Real(_) => "real",
            Self::Text(_) => "text",
            Self::Other(kind, _) => kind,
        }
    }

    /// The same value as an SQL literal; of one that is no time its text.
    pub(super) fn literal(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Integer(number) => number.to_string(),
            // The shortest text that is read back as the same number.
            Self::Real(number) => format!("{number:?}"),
            Self::Text(text) | Self::Other(_, text) => literal(text),
        }
    }
}

/// The first characters of what a column has as text, as one word.
pub(super) fn shortened(column: &str) -> String {
    format!("hex(CAST({} AS BLOB))", begin(column))
}

/// The first characters of what a column has as text.
pub(super) fn begin(column: &str) -> String {
    format!("substr(CAST({column} AS TEXT), 1, {SHOWN})")
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
