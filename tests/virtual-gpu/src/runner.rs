//! Puts the stand-in where programs look for libcuda, runs the command, and sums up the report.

mod summary;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use summary::Summary;
use virtual_gpu::driver::{exit, settings};

/// Text of `--help`.
pub const HELP: &str = "\
Runs a command with the virtual GPU as its CUDA driver: kernels are executed from their PTX on the CPU.

Usage: virtual-gpu run [OPTIONS] -- COMMAND [ARGUMENT]...

Options:
  --streams MODE    When streams run: late (default: not before something waits), early, serial, random:SEED
  --order ORDER     Order of a grid's blocks: forward (default), reverse, random:SEED
  --arch VERSION    Compute capability: 8.0 (default), 9.0, 10.0
  --memory BYTES    Device memory (default: 4 GiB)
  --driver VERSION  CUDA version of the driver (default: 12040 for 12.4); newer PTX is refused
  --threads N       Host threads per launch (default: all)
  --budget N        Instructions a warp may issue before it counts as stuck
  --checks 0|1      Look for races and unwritten memory (default: 1)
  --allow FILE      Expected findings, lines of `kernel | kind | reason`
  --leave-out CALL  Have wait (for an event), event, stream or context (synchronise) do nothing: all of them, or with
                    CALL:NUMBER one. A program whose order matters must not come out clean
  --report FILE     Append the report's JSON lines to FILE
  -h, --help        This text

The command's exit code is passed on; where that is 0, 86 says that something was found (or that no process started
the virtual GPU). Each option can be given as a variable too: VIRTUAL_GPU_STREAMS, _ORDER, _ARCH, _MEMORY,
_DRIVER_VERSION, _THREADS, _BUDGET, _CHECKS, _ALLOW, _LEAVE_OUT, _REPORT.

Usage: virtual-gpu ptx [--check]
       virtual-gpu sass [STEM... | --check | --update]

With NVIDIA's compilers (tests/virtual-gpu/toolkit/install.sh; $TERCEL_TOOLKIT names another place):
  ptx               Write kernels/ptx/ from the sources; --check compares, exit code 1 where it differs
  sass              Print what the committed PTX becomes for sm_80, sm_90 and sm_100: registers, spills, instructions;
                    --check holds it to budgets/sass.json, --update makes it the budgets
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// The help text.
    Help,
    /// A run.
    Run(Run),
}

/// A run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Run {
    variables: Vec<(&'static str, OsString)>,
    report: Option<PathBuf>,
    command: Vec<OsString>,
}

/// Reads the command line.
pub fn arguments(args: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let mut args = args;
    let mut run = Run::default();
    match args.next().as_deref().and_then(|a| a.to_str()) {
        Some("run") => {}
        Some("-h" | "--help" | "help") => return Ok(Request::Help),
        Some(other) => return Err(format!("`{other}` is no command: use `run`, `ptx` or `sass`")),
        None => return Err("no command: use `run`, `ptx` or `sass`".into()),
    }
    while let Some(arg) = args.next() {
        let variable = match arg.to_str() {
            Some("--") => {
                run.command = args.collect();
                break;
            }
            Some("-h" | "--help") => return Ok(Request::Help),
            Some("--streams") => "VIRTUAL_GPU_STREAMS",
            Some("--order") => "VIRTUAL_GPU_ORDER",
            Some("--arch") => "VIRTUAL_GPU_ARCH",
            Some("--memory") => "VIRTUAL_GPU_MEMORY",
            Some("--driver") => "VIRTUAL_GPU_DRIVER_VERSION",
            Some("--threads") => "VIRTUAL_GPU_THREADS",
            Some("--budget") => "VIRTUAL_GPU_BUDGET",
            Some("--checks") => "VIRTUAL_GPU_CHECKS",
            Some("--allow") => "VIRTUAL_GPU_ALLOW",
            Some("--leave-out") => "VIRTUAL_GPU_LEAVE_OUT",
            Some("--report") => "VIRTUAL_GPU_REPORT",
            _ => return Err(format!("`{}` is no option", arg.display())),
        };
        let value = args.next().ok_or_else(|| format!("{} needs a value", arg.display()))?;
        match variable {
            "VIRTUAL_GPU_REPORT" => run.report = Some(value.into()),
            _ => run.variables.push((variable, value)),
        }
    }
    if run.command.is_empty() {
        return Err("no command to run: put it after `--`".into());
    }
    // A wrong value is told here and not by each process of the command.
    settings::Settings::from_lookup(|name| {
        let given = run.variables.iter().rev().find(|(variable, _)| *variable == name);
        given.and_then(|(_, value)| value.to_str().map(str::to_owned)).or_else(|| std::env::var(name).ok())
    })?;
    Ok(Request::Run(run))
}

/// The stand-in library: beside this program, or in cargo's folder of dependencies. The newer one counts: `cargo test`
/// leaves a fresh library in the second place only.
fn library() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|e| format!("where am I? {e}"))?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let places = [folder.join("libvirtual_gpu.so"), folder.join("deps/libvirtual_gpu.so")];
    let modified = |path: &&PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    places.iter().filter(|p| p.is_file()).max_by_key(modified).cloned().ok_or_else(|| {
        let [first, second] = &places;
        format!("the library is neither {} nor {}", first.display(), second.display())
    })
}

impl Run {
    /// Runs the command; returns the exit code for this program.
    pub fn execute(&self) -> Result<u8, String> {
        let folder =
            tempfile::Builder::new().prefix("virtual-gpu-").tempdir().map_err(|e| format!("no folder: {e}"))?;
        let library = library()?;
        for name in ["libcuda.so.1", "libcuda.so"] {
            let link = folder.path().join(name);
            std::os::unix::fs::symlink(&library, &link).map_err(|e| format!("{}: {e}", link.display()))?;
        }
        let report = self.report.clone().or_else(|| std::env::var_os("VIRTUAL_GPU_REPORT").map(PathBuf::from));
        let report = report.unwrap_or_else(|| folder.path().join("report.jsonl"));
        let report = std::path::absolute(&report).map_err(|e| format!("{}: {e}", report.display()))?;
        // The report may have lines of earlier runs.
        let start = std::fs::metadata(&report).map_or(0, |m| m.len());
        let mut path = vec![folder.path().to_owned()];
        path.extend(std::env::var_os("LD_LIBRARY_PATH").iter().flat_map(std::env::split_paths));
        let path = std::env::join_paths(path).map_err(|e| format!("LD_LIBRARY_PATH: {e}"))?;
        let (program, args) = self.command.split_first().ok_or("no command to run")?;
        let mut command = Command::new(program);
        command.args(args).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("LD_LIBRARY_PATH", path).env("VIRTUAL_GPU_REPORT", &report);
        command.env("VIRTUAL_GPU_FAIL", "1").env("REQUIRE_CUDA", "1");
        let status = command.status().map_err(|e| format!("{}: {e}", program.display()))?;
        let summary = Summary::read(&report, start)?;
        eprint!("{summary}");
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(match u8::try_from(code).unwrap_or(1) {
            0 if summary.has_findings() => exit::CODE as u8,
            code => code,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, String> {
        arguments(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_become_variables() {
        let run = Run {
            variables: vec![("VIRTUAL_GPU_STREAMS", "random:3".into()), ("VIRTUAL_GPU_ARCH", "9.0".into())],
            report: Some("r.jsonl".into()),
            command: vec!["cargo".into(), "test".into(), "--lib".into()],
        };
        let line = "run --streams random:3 --arch 9.0 --report r.jsonl -- cargo test --lib";
        assert_eq!(read(line).unwrap(), Request::Run(run));
        assert_eq!(read("--help").unwrap(), Request::Help);
    }

    #[test]
    fn a_wrong_line_is_told() {
        assert!(read("run cargo test").unwrap_err().contains("`cargo` is no option"));
        assert!(read("run --streams").unwrap_err().contains("needs a value"));
        assert!(read("run --streams late").unwrap_err().contains("no command to run"));
        assert!(read("run --arch 7.5 -- true").unwrap_err().contains("none of 8.0, 9.0, 10.0"));
    }
}
