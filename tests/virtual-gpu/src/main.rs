//! `virtual-gpu run -- COMMAND` runs a command with the virtual GPU as its CUDA driver; `virtual-gpu ptx` and `sass` write
//! and check what NVIDIA's compilers make of the kernels.

mod runner;

use std::process::ExitCode;

use virtual_gpu::toolkit::command::{Ptx, Sass};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let (command, rest) = (words.next(), words.collect::<Vec<_>>());
    let toolkit = match command.as_deref() {
        Some("ptx") => Ptx::from_arguments(&rest).map(|ptx| ptx.execute()),
        Some("sass") => Sass::from_arguments(&rest).map(|sass| sass.execute()),
        _ => return run(),
    };
    match toolkit {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(e)) => wrong(&e.to_string()),
        Err(reason) => wrong(&format!("{reason}\n\n{}", runner::HELP)),
    }
}

fn run() -> ExitCode {
    match runner::arguments(std::env::args_os().skip(1)) {
        Ok(runner::Request::Help) => {
            print!("{}", runner::HELP);
            ExitCode::SUCCESS
        }
        Ok(runner::Request::Run(run)) => match run.execute() {
            Ok(code) => ExitCode::from(code),
            Err(reason) => wrong(&reason),
        },
        Err(reason) => wrong(&format!("{reason}\n\n{}", runner::HELP)),
    }
}

fn wrong(reason: &str) -> ExitCode {
    eprintln!("virtual-gpu: {reason}");
    ExitCode::from(2)
}
