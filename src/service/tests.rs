//! Services without an engine and without systemd.

use super::*;

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn commands(stop: &[&str], start: &[&str]) -> Service {
    let url = "http://127.0.0.1:1/".parse().unwrap();
    Service::Commands { stop: argv(stop), start: argv(start), url }
}

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_command_that_fails_says_what_it_said() {
    let service = commands(&["sh", "-c", "echo no such thing >&2; exit 3"], &["true"]);
    let error = service.stop(LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("no such thing") && error.contains('3'), "{error}");
    service.start(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_given_up() {
    let service = commands(&["sleep", "600"], &["true"]);
    let error = service.stop(Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, ServiceError::TimedOut { .. }));
}

#[tokio::test]
async fn a_start_command_that_leaves_a_process_behind_returns() {
    let service = commands(&["true"], &["sh", "-c", "sleep 20 & echo started"]);
    tokio::time::timeout(Duration::from_secs(10), service.start(LIMIT)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_with_a_hint() {
    let error = commands(&["/no/such/program"], &["true"]).stop(LIMIT).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/program"));
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_service_nobody_controls_stops_only_when_nothing_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let service = Service::None { target: "main".to_owned(), url };
    assert_eq!(service.state().await.unwrap(), ServiceState::Running);
    let error = service.stop(LIMIT).await.unwrap_err();
    assert!(error.hint().unwrap().contains("service ="), "{error}");
    drop(listener);
    service.stop(LIMIT).await.unwrap();
    assert_eq!(service.state().await.unwrap(), ServiceState::Stopped);
}

#[test]
fn a_unit_that_waits_for_its_restart_is_not_taken_for_stopped() {
    assert_eq!(of_unit("activating"), ServiceState::Restarting);
    assert_eq!(of_unit("failed"), ServiceState::Stopped);
    assert_eq!(of_unit("unknown"), ServiceState::Unknown);
}
