//! The `watchkeeper` program: arguments in, exit code out.

use std::path::Path;
use std::process::ExitCode;

use watchkeeper::prometheus::folder_op::serve;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["folder-op", "--root", root, "--op", op] => {
            match serve(Path::new(root), op, &mut std::io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        _ => ExitCode::SUCCESS,
    }
}
