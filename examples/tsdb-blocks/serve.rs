//! An exporter of the same series, so that a head lives.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::series::{Set, WINDOW};

/// Answers every request on the port with all series but for the labels that a scrape sets itself, until it is
/// killed. One target of the scrape has all of them, so that the host stays in a label of its own.
pub(crate) fn serve(set: &Set, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let mut columns = Vec::with_capacity(set.series.len());
    let mut samples = Vec::new();
    for series in &set.series {
        set.samples(series, 0, &mut samples);
        columns.push(samples.iter().map(|(_, value)| *value).collect::<Vec<f64>>());
    }
    let most = columns.iter().map(Vec::len).min().unwrap_or(1).min((WINDOW / 15_000) as usize);
    for (scrape, stream) in listener.incoming().enumerate() {
        // One that goes away is none of ours.
        let _ = stream.and_then(|stream| answer(stream, set, &columns, scrape % most));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, set: &Set, columns: &[Vec<f64>], scrape: usize) -> io::Result<()> {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request)?;
    let mut body = String::with_capacity(columns.len() * 128);
    for (series, values) in set.series.iter().zip(columns) {
        let mut labels = set.labels(series);
        let name = labels.next().map_or("", |(_, name)| name);
        let _ = write!(body, "{name}{{");
        for (label, value) in labels.filter(|(label, _)| *label != "job") {
            let _ = write!(body, "{label}=\"{value}\",");
        }
        let _ = writeln!(body, "}} {}", values[scrape]);
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}
