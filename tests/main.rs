//! The tests of the library and of the command: one binary, a module for each subject.
//!
//! `cargo test --features cli --test integration -- ranking::` runs those of one. `Cargo.toml` has the targets
//! that stand alone, and says why.

/// The command from outside: its output, its exit codes, its files.
#[cfg(feature = "cli")]
mod cli;
/// A mapped file that is cut while it is read ends the process with a line that names it, not with a signal.
#[cfg(feature = "cli")]
mod cut_files;
/// Damaged, strange and foreign shards: an error or the values that were written, never a panic or other values.
mod damaged_shards;
/// The same seed, the same bits, whatever the thread count and wherever a run starts.
mod determinism;
/// The documents name files and items that exist, and no file of tests is left out.
mod documents;
/// Files of vectors: what is written can be read, whole or not at all.
mod export;
/// The command under faults: killed, stopped, starved and lied to at every call that it makes.
#[cfg(feature = "cli")]
mod faults;
/// The oracle's gradients against finite differences, all in f64.
mod gradients;
/// Files that claim more than they hold, and values that are no numbers: typed errors, before memory is asked for.
mod hostile;
/// Ingest, from files to datasets.
mod ingest;
/// Results differ between instruction sets: a run goes on only with those that it was begun with.
mod instructions;
/// The index: the recall it was asked for, the items it must and must not give, its file, and its changes.
mod item_index;
/// Limits of the system: little memory, few threads.
#[cfg(feature = "cli")]
mod limits;
/// `tercel nightly`: one go, killed and run again, changed and run again.
#[cfg(feature = "cli")]
mod nightly;
/// A host without an NVIDIA driver gets a typed error, never a panic and never a silent fall back.
mod no_cuda;
/// Paths that are not UTF-8, through every subcommand.
#[cfg(feature = "cli")]
mod odd_names;
/// Evaluation and recommendation: metrics, views, baselines, intervals, blocks of users, allow-lists, predictions files.
mod ranking;
/// A training run that is killed again and again ends bit for bit where the unbroken run ends.
#[cfg(feature = "cli")]
mod resume;
/// Data with a known answer: its shape, its sameness, and that a model finds what was planted.
mod synth;
/// What people's files really look like: each example is read by the command and by the library, which agree.
#[cfg(feature = "cli")]
mod tables;
/// Training as a whole: it learns what can be known, does not depend on threads, stops when it should.
mod training;
/// The search for settings: what it leaves, that it is exact, and that nothing but the right rows is read.
mod tune;
/// `unsafe` stays in its few rooms, and each block says why it holds.
mod unsafe_blocks;

// What several of them use.

/// A test that runs alone: this binary, started again for it, with a process of its own that may be limited or killed.
#[cfg(unix)]
mod alone;
/// Runs the built command, makes small inputs and a small model for it, and reads the lists that it writes.
#[cfg(feature = "cli")]
mod support;
