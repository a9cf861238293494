//! `folder-op`: what this program runs inside a helper container, see [`crate::prometheus::folder_op`].

use std::path::PathBuf;

use super::exit_code::ExitCode;
use crate::prometheus::folder_op;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The data folder
    #[arg(long)]
    root: PathBuf,
    /// The operation, as JSON; without it, one on each line of the standard input
    #[arg(long)]
    op: Option<String>,
}

/// The reply says whether it was done; the exit code only whether there is a reply.
pub(super) fn run(args: &Args) -> ExitCode {
    let out = &mut std::io::stdout().lock();
    let served = match &args.op {
        Some(op) => folder_op::serve(&args.root, op, out),
        None => folder_op::serve_all(&args.root, &mut std::io::stdin().lock(), out),
    };
    if served.is_ok() { ExitCode::Ok } else { ExitCode::Failed }
}
