//! Which organisations the credentials reach.

use std::collections::BTreeSet;

use crate::grafana::GrafanaError;
use crate::grafana::client::{GrafanaClient, List};
use crate::grafana::contents::Organisation;

/// What the credentials reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// The version of the server, where it tells it.
    pub version: Option<String>,
    /// The organisations that can be asked, by name.
    pub organisations: Vec<Organisation>,
    /// Those that are there, and that the user is no member of.
    pub closed: Vec<Organisation>,
    /// It administers the server: it sees users and organisations.
    pub server_admin: bool,
}

/// Finds out what the credentials reach. Wrong ones are sent once.
pub async fn reach(client: &GrafanaClient) -> Result<Reach, GrafanaError> {
    let version = client.version().await?;
    let home = client.organisation().await?;
    if client.has_token() {
        return Ok(Reach { version, organisations: vec![home], ..Reach::default() });
    }
    let all = all(client).await?;
    let server_admin = all.is_some();
    let mine = mine(client).await?;
    let ids: Option<BTreeSet<_>> = mine.as_ref().map(|mine| mine.iter().map(|one| one.id).collect());
    let known = all.or(mine).unwrap_or_else(|| vec![home]);
    let is_mine = |one: &Organisation| ids.as_ref().is_none_or(|ids| ids.contains(&one.id));
    let (mut organisations, mut closed): (Vec<_>, Vec<_>) = known.into_iter().partition(is_mine);
    organisations.sort();
    closed.sort();
    Ok(Reach { version, organisations, closed, server_admin })
}

/// All of the server; `None` for who does not administer it.
async fn all(client: &GrafanaClient) -> Result<Option<Vec<Organisation>>, GrafanaError> {
    let list = List::whole("list the organisations", "/api/orgs").in_pages("perpage", 1000).from_page_0();
    match client.list(&list).await {
        Ok(listed) if listed.absent => Ok(None),
        Ok(listed) => Ok(Some(listed.rows.iter().filter_map(Organisation::of).collect())),
        Err(GrafanaError::Refused { status: 403, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Those that the user is a member of.
async fn mine(client: &GrafanaClient) -> Result<Option<Vec<Organisation>>, GrafanaError> {
    let list = List::whole("list its own organisations", "/api/user/orgs").by(&["orgId"]);
    let listed = client.list(&list).await?;
    Ok((!listed.absent).then(|| listed.rows.iter().filter_map(Organisation::of).collect()))
}
