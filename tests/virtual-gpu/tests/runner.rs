//! The runner's exit codes and messages.

use std::process::{Command, Output};

fn runner(args: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_virtual-gpu")).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, text)
}

#[test]
fn the_commands_own_failure_is_passed_on() {
    assert_eq!(runner(&["run", "--", "sh", "-c", "exit 3"]).0.status.code(), Some(3));
    assert_eq!(runner(&["run", "--", "sh", "-c", "kill -9 $$"]).0.status.code(), Some(128 + 9));
}

#[test]
fn a_run_that_tests_nothing_fails() {
    let (output, text) = runner(&["run", "--", "true"]);
    assert_eq!(output.status.code(), Some(86));
    assert!(text.contains("nothing was tested"), "{text}");
}

#[test]
fn a_wrong_command_line_is_told() {
    let (output, text) = runner(&["run", "--streams", "sideways", "--", "true"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("VIRTUAL_GPU_STREAMS: `sideways` is none of serial, early, late, random:SEED"), "{text}");
    let (output, text) = runner(&["run", "--", "./no-such-program"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("./no-such-program"), "{text}");
}

#[test]
fn the_command_finds_the_stand_in_first() {
    let script = "test -e \"${LD_LIBRARY_PATH%%:*}/libcuda.so.1\" && test \"$REQUIRE_CUDA\" = 1 && exit 7";
    assert_eq!(runner(&["run", "--", "sh", "-c", script]).0.status.code(), Some(7));
}
