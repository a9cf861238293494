//! An engine that misbehaves: just enough of the API for a helper and a download through it.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use watchkeeper::docker::Docker;

/// How the download of an archive goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Archive {
    /// There is none, not even an image to make a helper of.
    NoImage,
    Stalls,
    BreaksOff,
}

pub(super) struct Engine {
    _dir: tempfile::TempDir,
    socket: PathBuf,
    accepting: tokio::task::JoinHandle<()>,
}

impl Engine {
    pub(super) fn start(archive: Archive) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, archive));
            }
        });
        Self { _dir: dir, socket, accepting }
    }

    pub(super) async fn docker(&self) -> Docker {
        Docker::connect(Some(&format!("unix://{}", self.socket.display()))).await.unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: UnixStream, archive: Archive) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let line = request.lines().next().unwrap().to_owned();
    if line.starts_with("GET") && line.contains("/archive") {
        return send_archive(stream, archive).await;
    }
    let answer = answer(&line, archive);
    stream.write_all(answer.as_bytes()).await.unwrap();
    // The body of the request is read to its end, so that the client sees the answer and no reset.
    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

fn answer(line: &str, archive: Archive) -> String {
    let json = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    if line.contains("/version") {
        json("200 OK", r#"{"ApiVersion":"1.41","Version":"20.10"}"#)
    } else if line.starts_with("HEAD") {
        // {"name":"data","size":1,"mode":2147484141,"mtime":"2026-01-01T00:00:00Z","linkTarget":""}
        let stat = "eyJuYW1lIjoiZGF0YSIsInNpemUiOjEsIm1vZGUiOjIxNDc0ODQxNDEsIm10aW1lIjoiMjAyNi0wMS0wMVQwMDowMDowMFoiLCJsaW5rVGFyZ2V0IjoiIn0=";
        format!("HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: {stat}\r\nContent-Length: 0\r\n\r\n")
    } else if line.contains("/json") {
        json("200 OK", r#"{"Id":"target","Name":"/target","Image":"sha256:there","Config":{"Image":"p:1"}}"#)
    } else if line.starts_with("POST") && line.contains("/create") {
        if matches!(archive, Archive::NoImage) {
            return json("404 Not Found", r#"{"message":"No such image: sha256:gone"}"#);
        }
        json("201 Created", r#"{"Id":"helper","Warnings":[]}"#)
    } else {
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
    }
}

async fn send_archive(mut stream: UnixStream, archive: Archive) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    match archive {
        Archive::NoImage => stream.write_all(b"0\r\n\r\n").await.unwrap(),
        Archive::BreaksOff => stream.write_all(b"100\r\nab").await.unwrap(),
        Archive::Stalls => std::future::pending().await,
    }
}
