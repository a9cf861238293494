//! The command `folder-op`: an operation in, its reply out, as lines of JSON. It is how operations are performed
//! inside a container.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{FolderFailure, FolderOp, FolderReply, Told, perform};

/// How often a sign of life is given.
const EVERY: Duration = Duration::from_secs(1);

/// Performs operations as [`serve`] does, one on each line of `input`, until that ends.
pub fn serve_all(root: &Path, input: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<()> {
    input.lines().try_for_each(|op| serve(root, &op?, out))
}

/// Performs the operation that is given as JSON. Lines of [`Told`] come meanwhile, with the bytes since the line
/// before, and the reply in the last line.
pub fn serve(root: &Path, op: &str, out: &mut dyn Write) -> io::Result<()> {
    let reply = match serde_json::from_str::<FolderOp>(op) {
        Err(e) => FolderReply::Failed(FolderFailure {
            reason: format!("Could not read the operation: {e}"),
            hint: None,
        }),
        Ok(op) => {
            let (mut bytes, mut since) = (0, Instant::now());
            let mut tell = |told: Told| {
                let told = match told {
                    Told::Bytes(more) => {
                        bytes += more;
                        if since.elapsed() < EVERY {
                            return;
                        }
                        since = Instant::now();
                        Told::Bytes(std::mem::take(&mut bytes))
                    }
                    block @ Told::Block(_) => block,
                };
                // Whoever no longer listens will not hear the reply either.
                let _ = line(out, &told);
            };
            perform(root, &op, &mut tell, &CancellationToken::new())
        }
    };
    line(out, &reply)
}

fn line(out: &mut dyn Write, value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}
