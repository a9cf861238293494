//! The client for Grafana, against the stand-in: what it sends again, and what never.

use serde_json::json;
use watchkeeper::config::values::{Auth, Endpoint, Secret};
use watchkeeper::grafana::GrafanaError;
use watchkeeper::grafana::client::{Call, Credentials, GrafanaClient};
use watchkeeper::grafana::contents::Organisation;

use crate::support::grafana::{Fault, Grafana, Role, Version, What};

fn client(grafana: &Grafana, credentials: Credentials) -> GrafanaClient {
    let url = grafana.url().parse().unwrap();
    let endpoint =
        Endpoint { url, auth: Auth::None, ca_file: None, client_certificate: None, insecure: false };
    GrafanaClient::new(&endpoint, credentials, 8).unwrap()
}

fn admin(password: &str) -> Credentials {
    Credentials::Basic("admin".into(), Secret::new(password))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn after_a_401_nothing_is_sent_any_more_by_any_clone() {
    let grafana = Grafana::start(Version::V10);
    let client = client(&grafana, admin("wrong"));
    let other = client.clone();
    block_on(async {
        for client in [&client, &other, &client] {
            assert!(matches!(client.organisation().await, Err(GrafanaError::Denied { .. })));
        }
    });
    assert_eq!(grafana.requests().len(), 1);
    // The right password still works: nobody was locked out.
    assert!(block_on(self::client(&grafana, admin("admin")).organisation()).is_ok());
}

#[test]
fn what_may_have_been_done_is_not_done_twice() {
    let grafana = Grafana::start(Version::V10);
    let client = client(&grafana, admin("admin"));
    let team = || Call::post("make a team", "/api/teams", json!({ "name": "ops" }));
    for what in [What::DoneBut { status: 503, body: String::new() }, What::CutAfter] {
        grafana.inject(Fault::new(what).on("POST", "/api/teams").times(1));
        let error = block_on(client.exchange(&team())).unwrap_err();
        assert!(error.is_undecided(), "{error}");
    }
    assert_eq!(grafana.count("POST", "/api/teams"), 2);
    grafana.inject(Fault::new(What::too_many(0)).on("POST", "/api/teams").times(2));
    assert_eq!(block_on(client.exchange(&team())).unwrap().status, 409);
    assert_eq!(grafana.count("POST", "/api/teams"), 5, "what was turned away is sent again");
    grafana.inject(Fault::new(What::unavailable()).on("POST", "/api/teams").times(1));
    assert_eq!(block_on(client.exchange(&team().repeatable())).unwrap().status, 409);
}

#[test]
fn a_token_of_one_organisation_does_not_enter_another() {
    let grafana = Grafana::start(Version::V7_5);
    let id = grafana.seed().make("/api/orgs", &json!({ "name": "Second" }))["orgId"].as_i64();
    let second = Organisation { name: "Second".into(), id };
    let token = Credentials::Token(Secret::new(grafana.token(1, Role::Admin)));
    let entered = block_on(client(&grafana, token).enter(&second));
    assert!(matches!(entered, Err(GrafanaError::OtherOrganisation { .. })), "{entered:?}");
    let entered = block_on(client(&grafana, admin("admin")).enter(&second)).unwrap();
    assert_eq!(block_on(entered.organisation()).unwrap(), second);
}
