//! The stand-in as a client meets it: over connections that are kept, side by side, and with the faults that tests
//! order. Asked by the client that the program itself uses.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::grafana::{ADMIN, Builder, Fault, Grafana, Version, What};

/// One that gives up rather than to wait for ever.
fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().timeout(Duration::from_secs(30))
}

async fn send(grafana: &Grafana, method: &str, target: &str, body: &Value) -> reqwest::Result<(u16, String)> {
    // A client follows redirects unless it is told not to.
    let client = client().redirect(reqwest::redirect::Policy::none()).build()?;
    ask(&client, grafana, method, target, body).await
}

async fn ask(
    client: &reqwest::Client,
    grafana: &Grafana,
    method: &str,
    target: &str,
    body: &Value,
) -> reqwest::Result<(u16, String)> {
    let url = format!("{}{target}", grafana.url());
    let request = client.request(method.parse().unwrap(), url).basic_auth(ADMIN.0, Some(ADMIN.1));
    let answer = if body.is_null() { request } else { request.json(body) }.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn folder(uid: &str) -> Value {
    json!({ "uid": uid, "title": uid })
}

#[tokio::test]
async fn thousands_of_dashboards_come_in_pages_over_one_connection() {
    let grafana = Grafana::start(Version::V7_5);
    let start = Instant::now();
    grafana.seed().dashboards(2500, None);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?} for 2,500 dashboards", start.elapsed());
    let client = client().build().unwrap();
    let mut seen = Vec::new();
    for page in 1.. {
        let target = format!("/api/search?type=dash-db&page={page}");
        let (status, body) = ask(&client, &grafana, "GET", &target, &Value::Null).await.unwrap();
        let hits: Vec<Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200);
        if hits.is_empty() {
            break;
        }
        seen.push(hits.len());
    }
    assert_eq!(seen, [1000, 1000, 500]);
    assert_eq!(grafana.count("GET", "/api/search"), 4);
    assert_eq!(grafana.connections(), 1);
}

#[tokio::test]
async fn what_comes_side_by_side_is_counted_side_by_side() {
    let grafana = Builder::default().delay(Duration::from_millis(200)).start();
    let client = client().build().unwrap();
    join_all((0..6).map(|_| ask(&client, &grafana, "GET", "/api/org", &Value::Null))).await;
    assert_eq!(grafana.most_at_once(), 6);
    grafana.forget_requests();
    for _ in 0..3 {
        ask(&client, &grafana, "GET", "/api/org", &Value::Null).await.unwrap();
    }
    assert_eq!((grafana.most_at_once(), grafana.requests().len()), (1, 3));
}

#[tokio::test]
async fn a_fault_happens_where_and_as_often_as_it_was_ordered() {
    let grafana = Grafana::start(Version::V7_5);
    grafana.inject(Fault::new(What::unavailable()).on("GET", "/api/org").after(1).times(2));
    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(send(&grafana, "GET", "/api/org", &Value::Null).await.unwrap().0);
    }
    assert_eq!(got, [200, 503, 503, 200]);
    let statuses: Vec<_> = grafana.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [Some(200), Some(503), Some(503), Some(200)]);
    grafana.inject(Fault::new(What::too_many(7)));
    let answer = reqwest::get(format!("{}/api/health", grafana.url())).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    grafana.heal();
    assert_eq!(send(&grafana, "GET", "/api/health", &Value::Null).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_cut_connection_says_nothing_about_what_was_done() {
    for (what, done) in [(What::CutBefore, false), (What::CutAfter, true), (What::CutHalfway, true)] {
        let grafana = Grafana::start(Version::V7_5);
        grafana.inject(Fault::new(what.clone()).on("POST", "/api/folders"));
        let got = send(&grafana, "POST", "/api/folders", &folder("f")).await;
        assert!(got.is_err(), "{what:?}: {got:?}");
        let (status, _) = grafana.seed().ask("GET", "/api/folders/f", &Value::Null);
        assert_eq!(status == 200, done, "{what:?}");
        assert_eq!(grafana.writes().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_may_be_wrong_late_or_a_page_for_people() {
    let grafana = Grafana::start(Version::V7_5);
    let lost_patience = What::DoneBut { status: 504, body: "<html>504</html>".into() };
    grafana.inject(Fault::new(lost_patience).on("POST", "/api/folders").times(1));
    let got = send(&grafana, "POST", "/api/folders", &folder("f")).await.unwrap();
    assert_eq!(got, (504, "<html>504</html>".into()));
    assert_eq!(grafana.seed().ask("GET", "/api/folders/f", &Value::Null).0, 200, "it is done");

    grafana.inject(Fault::new(What::redirect_to_login()).at("/api/search").times(1));
    let client = client().build().unwrap();
    let (status, page) = ask(&client, &grafana, "GET", "/api/search", &Value::Null).await.unwrap();
    assert_eq!((status, page.starts_with("<!DOCTYPE html>")), (200, true), "the login page, by its redirect");

    grafana.inject(Fault::new(What::Slow(Duration::from_millis(300))).at("/api/org").times(1));
    let start = Instant::now();
    assert_eq!(send(&grafana, "GET", "/api/org", &Value::Null).await.unwrap().0, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn it_may_be_served_below_a_path_and_nowhere_else() {
    let grafana = Builder::default().below("/grafana").start();
    assert_eq!(send(&grafana, "GET", "/api/org", &Value::Null).await.unwrap().0, 200);
    assert_eq!(grafana.count("GET", "/api/org"), 1);
    let besides = reqwest::get(format!("http://127.0.0.1:{}/api/health", grafana.port())).await.unwrap();
    assert_eq!(besides.status(), 404);
}

#[tokio::test]
async fn somebody_else_may_come_between() {
    let grafana = Grafana::start(Version::V7_5);
    grafana.seed().folders(3, None);
    let target = "/api/folders/folder-00000".into();
    let gone = What::Meanwhile { method: "DELETE", target, body: Value::Null };
    grafana.inject(Fault::new(gone).on("GET", "page=2").times(1));
    let mut seen = Vec::new();
    for page in 1..=2 {
        let target = format!("/api/search?limit=2&page={page}");
        let (_, body) = send(&grafana, "GET", &target, &Value::Null).await.unwrap();
        seen.push(serde_json::from_str::<Vec<Value>>(&body).unwrap().len());
    }
    assert_eq!(seen, [2, 0], "the third one moved to the first page, and nobody saw it");
}

#[tokio::test]
async fn a_server_that_goes_away_does_not_wait_for_its_slow_answers() {
    let grafana = Grafana::start(Version::V7_5);
    let url = grafana.url();
    grafana.inject(Fault::new(What::Slow(Duration::from_hours(1))));
    let waiting = tokio::spawn(reqwest::get(format!("{url}/api/health")));
    while grafana.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(grafana);
    assert!(waiting.await.unwrap().is_err());
    assert!(reqwest::get(format!("{url}/api/health")).await.is_err());
}
