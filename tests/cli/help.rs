//! `--help`, for every subcommand.

use crate::support::{folder, tercel};

const SUBCOMMANDS: [&str; 12] = [
    "ingest",
    "train",
    "tune",
    "evaluate",
    "index",
    "recommend",
    "export",
    "synth",
    "nightly",
    "inspect",
    "doctor",
    "demo",
];

#[test]
fn help_is_there_for_every_subcommand() {
    let folder = folder();
    for name in SUBCOMMANDS {
        let run = tercel(folder.path(), &[name, "--help"]);
        assert_eq!(run.code, 0, "{name}: {}", run.stderr);
        assert!(run.stdout.contains("Examples") && run.stdout.contains("--json"), "{name}: {}", run.stdout);
        let examples = run.stdout.lines().filter(|line| line.trim_start().starts_with(&format!("tercel {name}")));
        assert!(examples.count() >= 2, "{name}: two examples at least");
    }
    assert!(tercel(folder.path(), &["--version"]).stdout.starts_with("tercel "));
    assert_eq!(tercel(folder.path(), &[]).code, 2);
}
