//! A configuration as it may be shown: without passwords and what else is secret in it.

use std::ops::Range;

use super::yaml::{Document, Node, What};

/// Keys whose values are secret, as they end.
const SECRET: [&str; 8] =
    ["password", "secret", "token", "credentials", "secret_key", "api_key", "access_key", "routing_key"];
/// In place of a secret.
const SAME: &str = "<secret>";
const OTHER: &str = "<another secret>";

/// Two texts of which the second is to replace the first. What is secret is seen to differ, and no more of it. Where it cannot be
/// told what is, nothing of the text is shown.
pub(super) fn veiled(before: &str, after: &str) -> (String, String) {
    let (old, new) = (secrets(before), secrets(after));
    let known: Vec<&str> = old.iter().flatten().filter_map(|place| before.get(place.clone())).collect();
    let hidden =
        |what: &str| format!("# {what}: it is no YAML, and not shown, for there may be secrets in it\n");
    let first = match old {
        Some(old) => without(before, &old, |_| SAME),
        None => hidden("the file as it is"),
    };
    let second = match new {
        Some(new) => without(after, &new, |text| if known.contains(&text) { SAME } else { OTHER }),
        None => hidden("the new file"),
    };
    (first, second)
}

fn without(text: &str, places: &[Range<usize>], word: impl Fn(&str) -> &'static str) -> String {
    let (mut shown, mut from) = (String::new(), 0);
    for place in places.iter().filter(|place| !place.is_empty()) {
        if let (Some(between), Some(secret)) = (text.get(from..place.start), text.get(place.clone())) {
            shown.push_str(between);
            shown.push_str(word(secret));
            from = place.end;
        }
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    shown
}

/// Where they stand, in their order; nothing where that cannot be told.
fn secrets(text: &str) -> Option<Vec<Range<usize>>> {
    let document = Document::read(text).ok()?;
    let mut found = Vec::new();
    collect(text, &document.root, false, &mut found);
    found.sort_by_key(|place| place.start);
    Some(found)
}

fn collect(text: &str, node: &Node, is_secret: bool, found: &mut Vec<Range<usize>>) {
    match &node.what {
        What::Scalar(..) if is_secret => found.push(trimmed(text, node.place.clone())),
        What::Scalar(value, _) => found.extend(password_of_url(text, value, node.place.clone())),
        What::Alias(_) => {}
        What::List(all) => all.iter().for_each(|one| collect(text, one, is_secret, found)),
        What::Map(pairs) => {
            for (key, value) in pairs {
                let is_secret = is_secret || key.text().is_some_and(is_secret_key);
                collect(text, value, is_secret, found);
            }
        }
    }
}

fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // `secrets` are those of HTTP headers, `credentials` of an authorization.
    key == "secrets" || SECRET.iter().any(|end| key.ends_with(end))
}

/// Without the line end that the place of a block may have behind it.
fn trimmed(text: &str, place: Range<usize>) -> Range<usize> {
    let length = text.get(place.clone()).map_or(0, |piece| piece.trim_end().len());
    place.start..place.start + length
}

/// That of `https://user:PASSWORD@host/`.
fn password_of_url(text: &str, value: &str, place: Range<usize>) -> Option<Range<usize>> {
    if !value.contains("://") {
        return None;
    }
    let written = text.get(place.clone())?;
    let start = written.find("://")? + 3;
    let authority = &written[start..start + written[start..].find('/').unwrap_or(written.len() - start)];
    let (user, _) = authority.rsplit_once('@')?;
    let (name, password) = user.split_once(':')?;
    let start = place.start + start + name.len() + 1;
    Some(start..start + password.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_not_shown_and_seen_to_differ() {
        let before = "a:\n- {username: u, password: 'S3 CRET'} # x\n- bearer_token: abc\n- password_file: /p\n\
                      - url: https://u:S3URL@h/x\n- http_headers: {X: {secrets: [S3HDR]}}\n- client_secret: |\n    S3BLOCK\n- b: 1\n";
        let after = before.replace("abc", "def");
        let (old, new) = veiled(before, &after);
        for text in [&old, &new] {
            assert!(!text.contains("S3") && !text.contains("abc") && !text.contains("def"), "{text}");
            assert!(text.contains("password_file: /p") && text.contains("https://u:<secret>@h/x"), "{text}");
            assert!(text.contains("password: <secret>} # x") && text.ends_with("\n- b: 1\n"), "{text}");
        }
        assert_eq!(new, old.replace("bearer_token: <secret>", "bearer_token: <another secret>"));
        assert!(!veiled("a: [S3", "b: 1").0.contains("S3"));
        assert_eq!(veiled("b: 1", "b: 2"), ("b: 1".to_owned(), "b: 2".to_owned()));
    }
}
