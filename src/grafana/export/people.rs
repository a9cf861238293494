//! Organisations, users, members, teams and service accounts.

use serde_json::{Value, json};

use super::shape::{number, only, text, without};
use super::site::{Found, Shaped, Site};
use crate::grafana::GrafanaError;
use crate::grafana::client::List;
use crate::grafana::contents::{Organisation, Secret};
use crate::grafana::object::ObjectType;

type Gathered = Result<Option<Vec<Found>>, GrafanaError>;

/// The organisations that are exported. A token sees only its own, and asks for it without its number.
pub(super) fn organisations(site: &Site, all: &[Organisation], server_admin: bool) -> Vec<Found> {
    let path = |one: &Organisation| match one.id {
        Some(id) if server_admin => format!("/api/orgs/{id}"),
        _ => "/api/org".to_owned(),
    };
    // Without the rights of an administrator only the organisation that the user stands in tells its address.
    let told = all.iter().filter(|_| server_admin || all.len() == 1 || site.client.has_token());
    told.map(|one| Found::read(&one.name, &one.name, path(one), Value::Null, organisation)).collect()
}

fn organisation(_: &Site, _: &Value, json: &mut Value) -> Shaped {
    if text(json, "name").is_empty() {
        Err("it names no organisation".into())
    } else {
        Ok(Some(without(json.take(), &["id"])))
    }
}

pub(super) async fn users(site: &Site) -> Gathered {
    let list = List::whole("list the users", "/api/users").in_pages("perpage", 1000).by(&["login"]);
    let rows = site.client.list(&list).await?.must_be_there(&site.client, &list)?.rows;
    let user = |row: &Value| {
        let login = text(row, "login");
        let mut body = only(row, &["login", "name", "email", "isAdmin", "isDisabled", "authLabels"]);
        if body["authLabels"].as_array().is_none_or(Vec::is_empty) {
            body = without(body, &["authLabels"]);
        }
        Found::ready(login, login, body)
    };
    Ok(Some(rows.iter().map(user).collect()))
}

pub(super) async fn members(site: &Site) -> Gathered {
    let list = List::whole("list the members", "/api/org/users").by(&["login"]);
    let rows = site.client.list(&list).await?.must_be_there(&site.client, &list)?.rows;
    let member = |row: &Value| {
        let login = text(row, "login");
        Found::ready(login, login, only(row, &["login", "email", "name", "role"]))
    };
    Ok(Some(rows.iter().map(member).collect()))
}

pub(super) async fn teams(site: &Site) -> Gathered {
    let list = List::whole("list the teams", "/api/teams/search").in_pages("perpage", 1000);
    let list = list.at("/teams").by(&["name"]);
    let rows = site.client.list(&list).await?.must_be_there(&site.client, &list)?.rows;
    let found = |row: Value| {
        let (name, path) =
            (text(&row, "name").to_owned(), format!("/api/teams/{}/members", number(&row, "id")));
        Found::read(&name, &name, path, row, team)
    };
    Ok(Some(rows.into_iter().map(found).collect()))
}

fn team(_: &Site, row: &Value, json: &mut Value) -> Shaped {
    let Value::Array(rows) = json else { return Err("no list of members".into()) };
    let member = |row: &Value| {
        let mut kept = json!({
            "login": text(row, "login"), "email": text(row, "email"), "permission": number(row, "permission"),
        });
        if let Some(labels) =
            row.get("labels").filter(|labels| labels.as_array().is_some_and(|l| !l.is_empty()))
        {
            kept["labels"] = labels.clone();
        }
        kept
    };
    let mut members: Vec<Value> = rows.iter().map(member).collect();
    members.sort_by(|a, b| text(a, "login").cmp(text(b, "login")));
    Ok(Some(json!({ "name": text(row, "name"), "email": text(row, "email"), "members": members })))
}

pub(super) async fn service_accounts(site: &Site) -> Gathered {
    let list =
        List::whole("list the service accounts", "/api/serviceaccounts/search").in_pages("perpage", 1000);
    let listed = site.client.list(&list.at("/serviceAccounts").by(&["id"])).await?;
    let account = |row: &Value| {
        let name = text(row, "name");
        Found::ready(name, name, only(row, &["name", "role", "isDisabled", "tokens"]))
    };
    Ok((!listed.absent).then(|| listed.rows.iter().map(account).collect()))
}

/// API keys, which 12 no longer has: they are tokens without an account, and nobody can read one again.
pub(super) async fn api_keys(site: &Site) -> Result<Vec<Secret>, GrafanaError> {
    let list = List::whole("list the API keys", "/api/auth/keys").by(&["name"]);
    let listed = match site.client.list(&list).await {
        // From 9 on they have a permission of their own, which an export can do without.
        Err(GrafanaError::Refused { status: 403, .. }) => return Ok(Vec::new()),
        listed => listed?,
    };
    let key = |row: &Value| Secret {
        organisation: site.organisation.clone(),
        kind: ObjectType::ServiceAccounts,
        key: text(row, "name").to_owned(),
        title: text(row, "name").to_owned(),
        fields: vec![format!("API key ({})", text(row, "role"))],
    };
    Ok(listed.rows.iter().map(key).collect())
}
