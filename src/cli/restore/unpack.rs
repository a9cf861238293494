//! `restore --into` of a Prometheus: only unpacks.

use std::path::Path;

use serde_json::json;

use super::{Args, blocking_choice, examined, failed, reading, text};
use crate::blocking::blocking;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::CliError;
use crate::cli::run_now::signals;
use crate::cli::session::{Session, block_on};
use crate::prometheus::restore::into::into;

/// Unpacks the backup that the arguments mean into this folder, and checks it there.
pub(super) fn unpack(session: &Session, args: &Args, folder: &Path) -> Result<ExitCode, CliError> {
    block_on(async {
        let shutdown = signals()?;
        let chosen = blocking_choice(session, args, &shutdown.cancel).await?;
        let chosen = examined(session, args, chosen, &shutdown.cancel).await?;
        for note in &chosen.source.notes {
            session.out.say(&format!("warning: {note}"));
        }
        let (reading, to) = (reading(session, &shutdown.cancel), folder.to_path_buf());
        let unpacked = blocking(move || {
            let unpacked = into(&chosen.source, &to, &reading);
            unpacked.map(|unpacked| (unpacked, chosen.source.title.clone()))
        });
        let (unpacked, title) = unpacked.await.map_err(|error| failed(&error))?;
        let damaged =
            unpacked.blocks.iter().filter(|block| !block.is_good()).count() + unpacked.left_out.len();
        let document = json!({
            "source": title, "into": folder, "blocks": unpacked.blocks, "left_out": unpacked.left_out,
            "bytes": unpacked.bytes,
        });
        session.out.result(&document, || text::unpacked(&title, folder, &unpacked));
        Ok(if damaged == 0 { ExitCode::Ok } else { ExitCode::Warned })
    })
}
