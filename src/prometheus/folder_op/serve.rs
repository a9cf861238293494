//! The command `folder-op`: one operation in, its reply out, as lines of JSON. It is how an operation is performed
//! inside a container.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{FolderFailure, FolderOp, FolderReply, perform};

/// How often a sign of life is given.
const EVERY: Duration = Duration::from_secs(1);

/// Performs the operation that is given as JSON. `{"progress":BYTES}` lines come while bytes are read, and the reply
/// in the last line.
pub fn serve(root: &Path, op: &str, out: &mut dyn Write) -> io::Result<()> {
    let reply = match serde_json::from_str::<FolderOp>(op) {
        Err(e) => FolderReply::Failed(FolderFailure {
            reason: format!("Could not read the operation: {e}"),
            hint: None,
        }),
        Ok(op) => {
            let (mut bytes, mut told) = (0, Instant::now());
            let mut tell = |more: u64| {
                bytes += more;
                if told.elapsed() >= EVERY {
                    told = Instant::now();
                    // Whoever no longer listens will not hear the reply either.
                    let _ = writeln!(out, "{{\"progress\":{bytes}}}").and_then(|()| out.flush());
                }
            };
            perform(root, &op, &mut tell, &CancellationToken::new())
        }
    };
    serde_json::to_writer(&mut *out, &reply)?;
    writeln!(out)?;
    out.flush()
}
