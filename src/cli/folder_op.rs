//! `folder-op`: what this program runs inside a helper container, see [`crate::prometheus::folder_op`].

use std::path::PathBuf;

use super::exit_code::ExitCode;
use crate::prometheus::folder_op;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The data folder
    #[arg(long)]
    root: PathBuf,
    /// The operation, as JSON
    #[arg(long)]
    op: String,
}

/// The reply says whether it was done; the exit code only whether there is a reply.
pub(super) fn run(args: &Args) -> ExitCode {
    let served = folder_op::serve(&args.root, &args.op, &mut std::io::stdout().lock());
    if served.is_ok() { ExitCode::Ok } else { ExitCode::Failed }
}
