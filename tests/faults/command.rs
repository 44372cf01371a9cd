//! Runs the built command, with a fault or without.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// No command of these suites takes a second; one that takes this long waits for something that does not come.
const LONGEST: Duration = Duration::from_secs(120);

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether it had to be ended by us.
    pub hung: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Whether it ended as a program does that is in command of itself: with a code of the contract.
    pub fn died(&self) -> bool {
        self.hung || !matches!(self.code, Some(0..=4))
    }

    /// Whether it failed as it should: one line on stderr that begins with `error: `.
    pub fn refused(&self) -> bool {
        let lines: Vec<&str> = self.stderr.lines().collect();
        matches!(self.code, Some(1..=4)) && lines.len() == 1 && lines[0].starts_with("error: ")
    }

    /// Whether it found its input at fault and said so, in one line.
    pub fn refused_input(&self) -> bool {
        self.refused() && matches!(self.code, Some(2 | 3))
    }

    /// How it ended, in a line.
    pub fn ending(&self) -> String {
        let how = match (self.hung, self.code, self.signal) {
            (true, ..) => "hung".to_owned(),
            (_, Some(code), _) => format!("exit {code}"),
            (_, None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        format!("{how}: {}", self.stderr.lines().take(3).collect::<Vec<_>>().join(" / "))
    }

    fn of(output: Output, hung: bool) -> Run {
        Run {
            code: output.status.code(),
            signal: output.status.signal(),
            hung,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The preloaded library: cargo builds it as a dependency, beside this test.
fn shim() -> PathBuf {
    let here = std::env::current_exe().expect("a test knows its own file");
    let path = here.parent().expect("it lies in a folder").join("libfault_shim.so");
    assert!(path.is_file(), "{} is missing: cargo builds it with the tests", path.display());
    path
}

/// The command in `folder`, quiet, with what `fault` asks for.
pub fn command<S: AsRef<str>>(folder: &Path, args: &[S], fault: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tercel"));
    command.current_dir(folder).args(args.iter().map(AsRef::as_ref)).arg("--quiet");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["FAULT", "FAULT_PROCESS", "RUST_LOG", "RUST_BACKTRACE", "NO_COLOR"] {
        command.env_remove(name);
    }
    if let Some(fault) = fault {
        command.env("LD_PRELOAD", shim()).env("FAULT", fault);
    }
    command
}

/// Runs the command to its end.
pub fn run<S: AsRef<str>>(folder: &Path, args: &[S], fault: Option<&str>) -> Run {
    finish(command(folder, args, fault).spawn().expect("the command starts"))
}

/// Waits for a command's end; ends it where it does not come.
pub fn finish(child: Child) -> Run {
    let process = child.id().to_string();
    let (sender, receiver) = channel();
    let waiting = std::thread::spawn(move || sender.send(child.wait_with_output()));
    let (output, hung) = match receiver.recv_timeout(LONGEST) {
        Ok(output) => (output, false),
        Err(RecvTimeoutError::Timeout) => {
            let _ = Command::new("kill").args(["-KILL", &process]).status();
            (receiver.recv().expect("a killed process ends"), true)
        }
        Err(RecvTimeoutError::Disconnected) => unreachable!("the thread sends before it ends"),
    };
    let _ = waiting.join();
    Run::of(output.expect("the output of a child can be read"), hung)
}

/// A command that waits before every operation of its kind.
pub struct Stepped {
    child: Child,
    said: BufReader<UnixStream>,
    answer: UnixStream,
}

impl Stepped {
    /// Starts it with `stop:N` or `stop-read:N`.
    pub fn start<S: AsRef<str>>(folder: &Path, args: &[S], fault: &str) -> Stepped {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut command = command(folder, args, Some(fault));
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().expect("the command starts");
        // Or its end would stay open in this process, and the end of the command would not be seen.
        drop(command);
        let answer = ours.try_clone().expect("a second handle");
        Stepped { child, said: BufReader::new(ours), answer }
    }

    /// The process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it stops and returns what it is about to do; nothing where it ended.
    pub fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.said.read_line(&mut line) {
            Ok(length) if length > 0 => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }

    /// Lets it go on to where it stops next.
    pub fn go(&mut self) {
        // It may have been ended meanwhile: then there is nobody to answer.
        let _ = self.answer.write_all(b".");
    }

    /// Lets it run to its end.
    pub fn finish(self) -> Run {
        let Stepped { child, said, answer } = self;
        drop((said, answer));
        finish(child)
    }
}

/// What a command does: the calls that can meet a fault.
pub struct Calls {
    /// Directory operations, as `NAME PATH`.
    pub operations: Vec<String>,
    pub writes: u64,
    pub reads: u64,
    /// Allocations of 64 KiB and more, and of 64 bytes and more.
    pub large_allocations: u64,
    pub allocations: u64,
}

/// Runs a command to its end and counts its calls.
pub fn count<S: AsRef<str>>(folder: &Path, args: &[S]) -> (Run, Calls) {
    let log = tempfile::NamedTempFile::new().expect("a temp file");
    let mut fault = OsString::from("count:");
    fault.push(log.path());
    let run = run(folder, args, fault.to_str());
    let text = std::fs::read_to_string(log.path()).expect("the list of calls");
    let number = |word: &str| {
        let mut found = text.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        found.next_back().unwrap_or_else(|| panic!("no {word} in the list of calls"))
    };
    let of = |class: &str| text.lines().filter(|line| line.starts_with(class)).count() as u64;
    let calls = Calls {
        operations: text.lines().filter_map(|line| line.strip_prefix("operation ")).map(str::to_owned).collect(),
        writes: of("write "),
        reads: of("read "),
        large_allocations: number("large-allocations "),
        allocations: number("allocations "),
    };
    (run, calls)
}
