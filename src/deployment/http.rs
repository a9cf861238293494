//! What an HTTP server answers: its status, a text in its body, a value in its JSON. Where it is asked for its health, an
//! HTML page is no answer, whatever its status: it is how a proxy answers whoever is not logged in.

use serde_json::Value;

use super::{Terms, Verdict, Wrong};
use crate::config::checks::{Answer, JsonValue};
use crate::http::{HttpClient, Reply, excerpt, looks_like_html};

/// Asks for a path, and looks at the answer.
#[derive(Debug, Clone)]
pub struct HttpCheck {
    /// The server.
    pub client: HttpClient,
    /// The path below its URL.
    pub path: String,
    /// What the answer must be.
    pub answer: Answer,
}

impl HttpCheck {
    pub(super) async fn look(&self, terms: Terms) -> Verdict {
        let reply = get(&self.client, &self.path, terms).await?;
        judge(&self.client.url(&self.path), &self.answer, &reply)
    }
}

/// A reply with any status.
pub(super) async fn get(client: &HttpClient, path: &str, terms: Terms) -> Result<Reply, Wrong> {
    client.get(path, terms.limit).await.map_err(|error| Wrong::of(&error, error.hint()))
}

/// A reply that must be JSON with status 200.
pub(super) async fn get_json(client: &HttpClient, path: &str, terms: Terms) -> Result<Value, Wrong> {
    let reply = get(client, path, terms).await?;
    let url = client.url(path);
    status(&url, Some(200), &reply)?;
    json(&url, &reply.body)
}

fn judge(url: &str, answer: &Answer, reply: &Reply) -> Verdict {
    status(url, answer.status, reply)?;
    if answer.no_page && reply.is_page() {
        let wrong =
            Wrong::new(format!("{url} answers {} with an HTML page, not with its health", reply.status));
        return Err(wrong.hint(
            "is that a login page, or a proxy's? set \"health\" of the application to a path that answers in text or \
             JSON, or write a [[job.check]] with a \"body\" that only the right page has",
        ));
    }
    let mut found = vec![format!("{url} answers {}", reply.status)];
    if let Some(text) = &answer.body {
        if !String::from_utf8_lossy(&reply.body).contains(text.as_str()) {
            let is = excerpt(&reply.body);
            return Err(Wrong::new(format!(
                "the answer of {url} does not contain {text:?}; it begins: {is}"
            )));
        }
        found.push(format!("contains {text:?}"));
    }
    if let Some(wanted) = &answer.json {
        found.push(value(url, wanted, &json(url, &reply.body)?)?);
    }
    Ok(found.join(", "))
}

/// The status must be this, or a success where none is named.
pub(super) fn status(url: &str, wanted: Option<u16>, reply: &Reply) -> Result<(), Wrong> {
    let holds = wanted.map_or((200..300).contains(&reply.status), |wanted| wanted == reply.status);
    if holds {
        return Ok(());
    }
    let wanted = wanted.map_or("2xx".to_owned(), |wanted| wanted.to_string());
    let wrong = Wrong::new(format!("{url} answers {}, not {wanted}: {}", reply.status, excerpt(&reply.body)));
    Err(match reply.status {
        401 | 403 => wrong.hint("user and password, or token, of this target in jobs.toml"),
        300..=399 => wrong.hint("redirects are not followed: ask for where it leads to"),
        404 => wrong.hint("is \"path\" right?"),
        _ => wrong,
    })
}

fn json(url: &str, body: &[u8]) -> Result<Value, Wrong> {
    serde_json::from_slice(body).map_err(|error| {
        let wrong = Wrong::new(format!("the answer of {url} is no JSON ({error}): {}", excerpt(body)));
        if looks_like_html(body) { wrong.hint("is that a login page, or a proxy's?") } else { wrong }
    })
}

fn value(url: &str, wanted: &JsonValue, document: &Value) -> Verdict {
    let pointer = &wanted.pointer;
    let Some(value) = document.pointer(pointer) else {
        return Err(Wrong::new(format!("the answer of {url} has no {pointer}")));
    };
    match &wanted.equals {
        Some(equals) if !same(value, equals) => {
            Err(Wrong::new(format!("{pointer} of {url} is {value}, not {equals}")))
        }
        _ => Ok(format!("{pointer} is {value}")),
    }
}

/// 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && a.as_f64() == b.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.into(), called_html: false, retry_after: None }
    }

    fn asked(answer: &Answer, reply: &Reply) -> String {
        judge("http://h/", answer, reply).unwrap_or_else(|wrong| format!("WRONG {}", wrong.text))
    }

    #[test]
    fn a_status_must_be_the_wanted_one_or_else_a_success() {
        let any = Answer::default();
        assert_eq!(asked(&any, &reply(204, "")), "http://h/ answers 204");
        assert_eq!(asked(&any, &reply(500, "oh")), "WRONG http://h/ answers 500, not 2xx: oh");
        let only = Answer { status: Some(401), ..Answer::default() };
        assert_eq!(asked(&only, &reply(401, "")), "http://h/ answers 401");
        assert!(asked(&only, &reply(200, "")).starts_with("WRONG"));
    }

    #[test]
    fn a_page_is_nobodys_health_and_else_as_good_as_any_answer() {
        let page = reply(200, "<!doctype html><title>Log in</title>");
        let health = Answer { no_page: true, ..Answer::default() };
        assert_eq!(
            asked(&health, &page),
            "WRONG http://h/ answers 200 with an HTML page, not with its health"
        );
        assert_eq!(asked(&health, &reply(200, "ok")), "http://h/ answers 200");
        assert_eq!(asked(&health, &reply(200, "{}")), "http://h/ answers 200");
        assert_eq!(asked(&Answer::default(), &page), "http://h/ answers 200");
    }

    #[test]
    fn a_value_in_json_is_compared_and_a_page_is_no_json() {
        let wants = |equals: Option<Value>| Answer {
            json: Some(JsonValue { pointer: "/a/b".into(), equals }),
            ..Answer::default()
        };
        let body = reply(200, r#"{"a":{"b":1}}"#);
        assert_eq!(asked(&wants(None), &body), "http://h/ answers 200, /a/b is 1");
        assert_eq!(asked(&wants(Some(1.0.into())), &body), "http://h/ answers 200, /a/b is 1");
        assert_eq!(asked(&wants(Some("ok".into())), &body), "WRONG /a/b of http://h/ is 1, not \"ok\"");
        assert_eq!(asked(&wants(None), &reply(200, "{}")), "WRONG the answer of http://h/ has no /a/b");
        let page = judge("http://h/", &wants(None), &reply(200, "<html>")).unwrap_err();
        assert!(page.text.contains("no JSON") && page.hint.unwrap().contains("login page"));
    }

    #[test]
    fn a_text_must_be_in_the_body() {
        let wants = Answer { body: Some("ok".into()), ..Answer::default() };
        assert_eq!(asked(&wants, &reply(200, "all ok")), "http://h/ answers 200, contains \"ok\"");
        assert!(asked(&wants, &reply(200, "bad\nmore")).ends_with("it begins: bad"));
    }
}
