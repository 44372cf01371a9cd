//! The `tercel` command: one file a subcommand, each a thin layer over the library.

mod about_index;
mod allocator;
mod args;
mod demo;
mod doctor;
mod evaluate;
mod export;
mod flags;
mod index;
mod ingest;
mod inspect;
mod nightly;
mod output;
mod paths;
mod progress;
mod recommend;
mod synth;
mod train;
mod tune;
mod watch;
mod words;

use std::alloc::System;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use allocator::OrExit;
use output::Output;
use tercel::Result;

#[global_allocator]
static MEMORY: OrExit<System> = OrExit(System);

/// Two-tower retrieval: from a file of interactions to the top items for every user.
///
/// Exit codes: 0 success, 2 usage error, 3 bad input data, 4 device error, 1 any other error. An error is one line on
/// stderr that says what happened, where (file, row, column), and what to do.
#[derive(Parser)]
#[command(name = "tercel", version, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    /// Prints one JSON object per line on stdout, and nothing else.
    #[arg(long, global = true)]
    json: bool,
    /// Suppresses the progress bar and log lines; errors are still printed.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Ingest(Box<ingest::Args>),
    Train(Box<train::Args>),
    Tune(Box<tune::Args>),
    Evaluate(evaluate::Args),
    Index(index::Args),
    Recommend(recommend::Args),
    Export(export::Args),
    Nightly(Box<nightly::Args>),
    Inspect(inspect::Args),
    Synth(synth::Args),
    Doctor(doctor::Args),
    Demo(Box<demo::Args>),
}

fn main() -> ExitCode {
    let installed = tercel::mapped::exit_on_cut_files();
    tercel::guard::hush_guarded_panics();
    allocator::speak_of_threads_without_memory();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            eprintln!("{}", args::usage_error(&error));
            return ExitCode::from(2);
        }
        Err(help) => {
            // A reader that has seen enough of the help text may close the pipe.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    progress::init_log(cli.quiet);
    if let Err(error) = installed {
        tracing::warn!("if a file is cut while it is being read, this process will end without a message: {error}");
    }
    let out = Output::new(cli.json);
    match run(&cli.command, &out) {
        Ok(()) => {
            out.done();
            ExitCode::SUCCESS
        }
        Err(error) => {
            let line = format!("error: {}\n", args::in_flags(&args::one_line(&words::error(&error))));
            allocator::one_speaks();
            // Where stderr is closed nobody reads it.
            let _ = std::io::stderr().write_all(line.as_bytes());
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: &Command, out: &Output) -> Result<()> {
    match command {
        Command::Ingest(args) => ingest::run(args, out),
        Command::Train(args) => train::run(args, out),
        Command::Tune(args) => tune::run(args, out),
        Command::Evaluate(args) => evaluate::run(args, out),
        Command::Index(args) => index::run(args, out),
        Command::Recommend(args) => recommend::run(args, out),
        Command::Export(args) => export::run(args, out),
        Command::Nightly(args) => nightly::run(args, out),
        Command::Synth(args) => synth::run(args, out),
        Command::Inspect(args) => inspect::run(args, out),
        Command::Doctor(args) => doctor::run(args, out),
        Command::Demo(args) => demo::run(args, out),
    }
}
