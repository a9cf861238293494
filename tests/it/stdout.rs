//! Where the output of a command cannot be written.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::support::watchkeeper::{Output, Watchkeeper};

#[test]
fn output_that_cannot_be_written_is_an_error_and_one_that_nobody_reads_on_is_none() {
    let watchkeeper = Watchkeeper::with_config("");
    for arguments in [&["alert-rules"][..], &["--json", "status"], &["man"], &["--help"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output: Output = watchkeeper.command(arguments).stdout(full).output().unwrap().into();
        let output = output.expect(1);
        assert!(output.stderr.contains("error: The output could not be written"), "{output:?}");
        assert!(output.stderr.contains("No space left on device"), "{output:?}");
    }
    let mut child = watchkeeper.command(&["dashboard"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output: Output = child.wait_with_output().unwrap().into();
    assert_eq!(output.expect(0).stderr, "");
}
