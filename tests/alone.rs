//! A test that runs alone: this binary, started again for it, with a process of its own that may be limited or killed.

use std::process::{Command, Output};

/// Starts this binary again for one test of `module` (its `module_path!()`), after these words of a shell.
pub fn command(shell: &str, module: &str, test: &str) -> Command {
    // The path begins with the binary's name, a test's name does not.
    let (_, module) = module.split_once("::").expect("tests are in modules");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell} exec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe().expect("a test knows its own file"));
    command.args([&format!("{module}::{test}"), "--exact", "--nocapture", "--test-threads=1"]);
    command
}

/// Waits for its end, of whatever kind, and demands that the test was found.
pub fn output(command: &mut Command) -> Output {
    let output = command.output().expect("a shell starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let found = said.lines().any(|line| line == "running 1 test");
    assert!(found, "{command:?} runs no test: {said}{}", String::from_utf8_lossy(&output.stderr));
    output
}
