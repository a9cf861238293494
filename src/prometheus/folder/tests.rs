//! Data folders on this host; those in containers are tried with a real engine in `tests/it/docker.rs`.

use super::*;
use crate::config::values::{Auth, Endpoint, Place};

fn target(data_dir: Option<&Path>) -> PrometheusTarget {
    PrometheusTarget {
        name: "main".parse().unwrap(),
        endpoint: Endpoint {
            url: "http://127.0.0.1:9090/".parse().unwrap(),
            auth: Auth::None,
            ca_file: None,
            client_certificate: None,
            insecure: false,
        },
        place: Place::Host { data_dir: data_dir.map(Path::to_owned), service: None },
    }
}

async fn on_host(dir: &Path) -> DataFolder {
    DataFolder::locate(&target(Some(dir)), &Clues::default(), None).await.unwrap()
}

fn tar_of(path: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o640);
    tar.append_data(&mut header, path, content).unwrap();
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn a_host_target_without_a_known_folder_says_what_was_tried() {
    let error = DataFolder::locate(&target(None), &Clues::default(), None).await.unwrap_err();
    assert!(matches!(error, FolderError::Unknown { .. }), "{error}");
    assert!(error.hint().unwrap().contains("data_dir"));
    let error = DataFolder::locate(&target(Some(Path::new("/no/such"))), &Clues::default(), None).await;
    assert!(error.unwrap_err().to_string().contains("the configuration says"));
}

#[tokio::test]
async fn a_stream_is_unpacked_below_and_never_over_something() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("new")).unwrap();
    let folder = on_host(dir.path()).await;
    let tar = || Box::new(std::io::Cursor::new(tar_of("b/c", b"xy")));
    let cancel = CancellationToken::new();
    folder.put("new", tar(), &cancel).await.unwrap();
    assert_eq!(std::fs::read(dir.path().join("new/b/c")).unwrap(), b"xy");
    let again = folder.put("new", tar(), &cancel).await;
    assert!(matches!(again.unwrap_err(), FolderError::Unpack { .. }));
}

#[tokio::test]
async fn a_stream_that_was_cut_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("new")).unwrap();
    let mut tar = tar_of("c", b"xy");
    tar.truncate(1024);
    let folder = on_host(dir.path()).await;
    let cancel = CancellationToken::new();
    assert!(folder.put("new", Box::new(std::io::Cursor::new(tar)), &cancel).await.is_err());
}

#[test]
fn nothing_outside_the_folder_can_be_named() {
    assert_eq!(below("/data/", "snapshots/x").unwrap(), "/data/snapshots/x");
    for relative in ["", "..", "a/../b", "/etc", "a//b", "."] {
        assert!(matches!(below("/data", relative), Err(FolderError::Outside { .. })), "{relative:?}");
    }
}

#[tokio::test]
async fn an_operation_on_the_host_is_performed_here() {
    let dir = tempfile::tempdir().unwrap();
    let folder = on_host(dir.path()).await;
    let reply = folder.run(&FolderOp::Inspect, &CancellationToken::new()).await.unwrap();
    assert!(matches!(reply, FolderReply::Folder(_)), "{reply:?}");
    assert_eq!(folder.reach(), Reach::Direct(dir.path()));
}
