//! Data sources and their correlations. What is not sent of the secrets stays as it is stored.

use serde_json::{Value, json};

use crate::grafana::client::segment;
use crate::grafana::object::{PASSWORDS, nth_of};
use crate::grafana::restore::door::{Door, WriteError, flag, number, text};
use crate::grafana::restore::secrets::Fields;

fn path(uid: &str) -> String {
    format!("/api/datasources/uid/{}", segment(uid))
}

/// A PUT without a field leaves it as it is, so what is empty is said, too.
const TEXTS: [&str; 7] = ["name", "type", "access", "url", "user", "database", "basicAuthUser"];
const FLAGS: [&str; 3] = ["basicAuth", "withCredentials", "isDefault"];

pub(super) async fn write(
    door: &Door,
    uid: &str,
    wanted: &Value,
    secrets: &Fields,
) -> Result<(), WriteError> {
    let there = door.find("look at the data source", &path(uid)).await?;
    if there.as_ref().is_some_and(|there| flag(there, "readOnly")) {
        return Err(WriteError::Refused(
            "it comes from a file on the server, which alone can change it".to_owned(),
        ));
    }
    let mut body = json!({ "uid": uid, "jsonData": wanted.get("jsonData").cloned().unwrap_or(json!({})) });
    for field in TEXTS {
        body[field] = json!(text(wanted, field));
    }
    for field in FLAGS {
        body[field] = json!(flag(wanted, field));
    }
    // As it has them; later ones take them as secrets only.
    for field in PASSWORDS.into_iter().filter(|_| !door.is(9, 0)) {
        body[field] = json!(text(wanted, field));
    }
    if !secrets.is_empty() {
        body["secureJsonData"] =
            secrets.iter().map(|(name, secret)| (name.clone(), json!(secret.expose()))).collect();
    }
    match there {
        None => door.post("create the data source", "/api/datasources", body).await?,
        // No version is sent: an old one would be refused, and a PUT says all of it anyway.
        Some(_) if door.is(9, 0) => door.put("change the data source", &path(uid), body).await?,
        Some(there) => {
            let by_number = format!("/api/datasources/{}", number(&there, "id"));
            door.put("change the data source", &by_number, body).await?
        }
    };
    Ok(())
}

pub(super) async fn remove(door: &Door, uid: &str) -> Result<(), WriteError> {
    door.delete("remove the data source", &path(uid)).await
}

/// A correlation is known by what it leads from, what to, and its label, and which one of those it is: nobody can choose
/// its UID.
pub(super) async fn write_correlation(door: &Door, key: &str, wanted: &Value) -> Result<(), WriteError> {
    let source = text(wanted, "sourceUID");
    let mut body = wanted.clone();
    let all = format!("{}/correlations", path(source));
    match find_correlation(door, key, wanted).await? {
        None => door.post("create the correlation", &all, body).await?,
        Some(uid) => {
            if let Some(fields) = body.as_object_mut() {
                fields.retain(|name, _| !matches!(name.as_str(), "sourceUID" | "targetUID"));
            }
            door.patch("change the correlation", &format!("{all}/{}", segment(&uid)), body).await?
        }
    };
    Ok(())
}

async fn find_correlation(door: &Door, key: &str, wanted: &Value) -> Result<Option<String>, WriteError> {
    let all = format!("{}/correlations", path(text(wanted, "sourceUID")));
    let found = door.find("look at the correlations", &all).await?.unwrap_or_default();
    let is_it =
        |row: &&Value| ["targetUID", "label"].iter().all(|field| text(row, field) == text(wanted, field));
    let mut alike = found.as_array().into_iter().flatten().filter(is_it);
    Ok(alike.nth(nth_of(key) - 1).map(|row| text(row, "uid").to_owned()))
}

pub(super) async fn remove_correlation(door: &Door, key: &str, wanted: &Value) -> Result<(), WriteError> {
    let Some(uid) = find_correlation(door, key, wanted).await? else { return Ok(()) };
    let path = format!("{}/correlations/{}", path(text(wanted, "sourceUID")), segment(&uid));
    door.delete("remove the correlation", &path).await
}
