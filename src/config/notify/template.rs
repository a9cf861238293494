//! The body of a webhook: text with `{{field}}` in it, which is right before anything happens.

use std::fmt::Write as _;

/// What can stand between the braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// What happened: `failed`.
    Event,
    /// The first line: `FAILED nightly on host: no space left`.
    Headline,
    /// The whole message, with line ends.
    Text,
    /// The job.
    Job,
    /// Its kind.
    Kind,
    /// Its target, where it has one.
    Target,
    /// This host.
    Host,
    /// The run, where it is about one.
    Run,
    /// Why.
    Reason,
    /// Since when.
    Since,
    /// When this was said.
    At,
    /// `critical`, `warning` or `info`.
    Severity,
    /// How many changes came since the last message and had none of their own.
    Held,
    /// How many runs have failed since the last one that was done.
    Failures,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Event,
        Self::Headline,
        Self::Text,
        Self::Job,
        Self::Kind,
        Self::Target,
        Self::Host,
        Self::Run,
        Self::Reason,
        Self::Since,
        Self::At,
        Self::Severity,
        Self::Held,
        Self::Failures,
    ];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Headline => "headline",
            Self::Text => "text",
            Self::Job => "job",
            Self::Kind => "kind",
            Self::Target => "target",
            Self::Host => "host",
            Self::Run => "run",
            Self::Reason => "reason",
            Self::Since => "since",
            Self::At => "at",
            Self::Severity => "severity",
            Self::Held => "held",
            Self::Failures => "failures",
        }
    }

    /// Whether its value is a number.
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Held | Self::Failures)
    }
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is no such field.
    #[error("there is no field {name:?}")]
    Unknown {
        /// What stands there.
        name: String,
    },
    /// Braces that are opened are not closed.
    #[error("\"{{{{\" is not followed by \"}}}}\"")]
    Open,
    /// What comes of it is not what its content type says.
    #[error("it makes no JSON: {why}")]
    NotJson {
        /// What a reader of JSON says.
        why: String,
    },
}

/// Text with fields in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    is_json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

impl Template {
    /// Reads a template. `is_json`: its values are written as they stand within the quotes of a JSON string, and what
    /// comes of it must be JSON.
    pub fn parse(text: &str, is_json: bool) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or(TemplateError::Open)?;
            pieces.push(Piece::Text(before.to_owned()));
            let name = name.trim();
            let field = Field::ALL.into_iter().find(|field| field.name() == name);
            pieces.push(Piece::Field(field.ok_or_else(|| TemplateError::Unknown { name: name.to_owned() })?));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let template = Self { pieces, is_json };
        if is_json {
            let sample =
                |field: Field| if field.is_number() { "1".to_owned() } else { "a \"b\"\n".to_owned() };
            let made = serde_json::from_str::<serde_json::Value>(&template.render(sample));
            made.map_err(|error| TemplateError::NotJson { why: error.to_string() })?;
        }
        Ok(template)
    }

    /// The text with values in place of its fields.
    pub fn render(&self, value: impl Fn(Field) -> String) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(field) if self.is_json => {
                    let quoted = serde_json::Value::from(value(*field)).to_string();
                    let _ = write!(out, "{}", &quoted[1..quoted.len() - 1]);
                }
                Piece::Field(field) => out.push_str(&value(*field)),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_in_json_and_only_there() {
        let value = |field: Field| format!("\"{}\"\n", field.name());
        let json = Template::parse(r#"{ "text": "{{ headline }}!", "n": {{held}} }"#, true);
        let json = json.unwrap().render(|field| if field.is_number() { "3".into() } else { value(field) });
        assert_eq!(json, r#"{ "text": "\"headline\"\n!", "n": 3 }"#);
        let text = Template::parse("{{job}}: {{reason}}", false).unwrap().render(value);
        assert_eq!(text, "\"job\"\n: \"reason\"\n");
    }

    #[test]
    fn what_is_wrong_with_a_template_is_told_before_anything_happens() {
        let wrong = |text: &str, is_json| Template::parse(text, is_json).unwrap_err().to_string();
        assert_eq!(wrong("{{jop}}", false), "there is no field \"jop\"");
        assert_eq!(wrong("{{job", false), "\"{{\" is not followed by \"}}\"");
        assert!(wrong("{ \"a\": {{job}} }", true).starts_with("it makes no JSON: "));
    }
}
