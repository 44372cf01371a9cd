//! The committed PTX: written by NVRTC from the sources, and compared with what they give now. NVRTC 11.8 writes it for sm_80,
//! 12.9 for sm_90a, which 11.8 does not know.

use std::fmt;
use std::path::PathBuf;

use super::nvrtc::Nvrtc;
use super::{Result, Toolkit, ToolkitError, files_in, in_parallel, only_for, read, repository, source, stems};

/// How hard it is packed: once, for every build.
const LEVEL: i32 = 19;

/// The architecture of the committed PTX that every device runs: the driver translates it for newer ones.
pub const ARCH: &str = "compute_80";

/// The ISA that the committed PTX for sm_90a is marked with: the first that has its instructions, which every driver from CUDA
/// 12.0 on takes. NVRTC marks it with its own, the newest.
pub const SM_90A_ISA: &str = ".version 8.0\n";

/// The committed PTX of a stem.
pub fn path(stem: &str) -> PathBuf {
    folder().join(format!("{stem}.ptx"))
}

fn packed(stem: &str) -> PathBuf {
    folder().join(format!("{stem}.ptx.zst"))
}

/// Whether this is the text that the library embeds: the committed one, packed with zstd.
pub fn is_packed(stem: &str, text: &str) -> bool {
    let bytes = std::fs::read(packed(stem)).and_then(|bytes| zstd::decode_all(&bytes[..]));
    bytes.is_ok_and(|bytes| bytes == text.as_bytes())
}

fn folder() -> PathBuf {
    repository().join("kernels/ptx")
}

/// The committed PTX of every stem that has some: stem and text, in the order of their names.
///
/// # Errors
/// [`ToolkitError::Io`].
pub fn all() -> Result<Vec<(String, String)>> {
    files_in(&folder(), "ptx")?.into_iter().map(|stem| read(&path(&stem)).map(|text| (stem, text))).collect()
}

/// What the sources give now, per stem in the order of their names.
///
/// # Errors
/// [`ToolkitError::Compile`] with NVRTC's log, [`ToolkitError::Io`], [`ToolkitError::Tool`].
pub fn regenerate(toolkit: &Toolkit) -> Result<Vec<(String, String)>> {
    let (old, new) = (Nvrtc::open(&toolkit.nvrtc_11)?, Nvrtc::open(&toolkit.nvrtc_12)?);
    compile_stems(stems()?, |stem| match only_for(stem) {
        None => old.compile(stem, ARCH),
        Some(arch) => new.compile(stem, arch).and_then(|ptx| marked(stem, &ptx)),
    })
}

/// The PTX of every stem that is not for one architecture alone, from one NVRTC, in the order of their names.
///
/// # Errors
/// As [`regenerate`].
pub fn compile_all(nvrtc: &Nvrtc, arch: &str) -> Result<Vec<(String, String)>> {
    let portable = stems()?.into_iter().filter(|stem| only_for(stem).is_none()).collect();
    compile_stems(portable, |stem| nvrtc.compile(stem, arch))
}

fn compile_stems(
    mut jobs: Vec<String>,
    compile: impl Fn(&str) -> Result<String> + Sync,
) -> Result<Vec<(String, String)>> {
    // The committed text tells how long a stem takes.
    jobs.sort_by_key(|stem| std::cmp::Reverse(std::fs::metadata(path(stem)).map_or(u64::MAX, |file| file.len())));
    let texts = in_parallel(&jobs, |stem| compile(stem))?;
    let mut compiled: Vec<_> = jobs.into_iter().zip(texts).collect();
    compiled.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(compiled)
}

/// PTX marked with [`SM_90A_ISA`]. ptxas takes no instruction that is newer than the mark.
fn marked(stem: &str, ptx: &str) -> Result<String> {
    let parts = ptx.split_once(".version ").and_then(|(before, rest)| Some((before, rest.split_once('\n')?.1)));
    let reason = || format!("the PTX of {stem} has no version");
    let (before, behind) = parts.ok_or_else(|| ToolkitError::Tool { tool: "NVRTC", reason: reason() })?;
    Ok([before, SM_90A_ISA, behind].concat())
}

/// A committed file that is not what the sources give.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// There is a source and no PTX.
    Missing {
        /// The stem.
        stem: String,
    },
    /// There is PTX and no source.
    WithoutSource {
        /// The stem.
        stem: String,
    },
    /// The texts differ.
    Line {
        /// The stem.
        stem: String,
        /// The first line that differs, from 1.
        line: usize,
        /// It, as committed; nothing behind the end.
        committed: Option<String>,
        /// It, as the sources give it; nothing behind the end.
        generated: Option<String>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Missing { stem } => write!(f, "kernels/ptx/{stem}.ptx is missing"),
            Difference::WithoutSource { stem } => {
                write!(f, "kernels/ptx/{stem}.ptx has no kernels/{}", source::path(stem))
            }
            Difference::Line { stem, line, committed, generated } => {
                let words = |line: &Option<String>| line.as_ref().map_or("no line".into(), |line| format!("{line:?}"));
                let (committed, generated) = (words(committed), words(generated));
                write!(f, "kernels/ptx/{stem}.ptx:{line}: {committed} is committed, the sources give {generated}")
            }
        }
    }
}

/// Where the committed files differ from what [`regenerate`] gave: the first line of each.
///
/// # Errors
/// [`ToolkitError::Io`].
pub fn differences(generated: &[(String, String)]) -> Result<Vec<Difference>> {
    let committed = all()?;
    let mut differences = Vec::new();
    for (stem, text) in generated {
        match committed.iter().find(|(found, _)| found == stem) {
            None => differences.push(Difference::Missing { stem: stem.clone() }),
            Some((_, old)) => differences.extend(first_difference(stem, old, text)),
        }
    }
    let orphans = committed.iter().filter(|(stem, _)| generated.iter().all(|(source, _)| source != stem));
    differences.extend(orphans.map(|(stem, _)| Difference::WithoutSource { stem: stem.clone() }));
    Ok(differences)
}

fn first_difference(stem: &str, committed: &str, generated: &str) -> Option<Difference> {
    if committed == generated {
        return None;
    }
    // Split at the newlines alone: a carriage return is a difference too.
    let (mut old, mut new) = (committed.split('\n'), generated.split('\n'));
    let mut line = 0;
    loop {
        line += 1;
        let (a, b) = (old.next(), new.next());
        if a != b {
            let (committed, generated) = (a.map(str::to_owned), b.map(str::to_owned));
            return Some(Difference::Line { stem: stem.into(), line, committed, generated });
        }
    }
}

/// Writes what has changed and removes what has no source. Returns a line for each file that it touched.
///
/// # Errors
/// [`ToolkitError::Io`].
pub fn write(generated: &[(String, String)]) -> Result<Vec<String>> {
    let mut touched = Vec::new();
    for difference in differences(generated)? {
        let (Difference::Missing { stem } | Difference::WithoutSource { stem } | Difference::Line { stem, .. }) =
            &difference;
        let path = path(stem);
        let (done, what) = match generated.iter().find(|(source, _)| source == stem) {
            Some((_, text)) => (std::fs::write(&path, text), format!("{} lines written", text.lines().count())),
            None => {
                let both = std::fs::remove_file(&path).and_then(|()| std::fs::remove_file(packed(stem)));
                (both, "removed: it has no source".into())
            }
        };
        done.map_err(|source| ToolkitError::Io { path, source })?;
        touched.push(format!("kernels/ptx/{stem}.ptx: {what}"));
    }
    for (stem, text) in generated.iter().filter(|(stem, text)| !is_packed(stem, text)) {
        let path = packed(stem);
        let done = zstd::encode_all(text.as_bytes(), LEVEL).and_then(|bytes| std::fs::write(&path, bytes));
        done.map_err(|source| ToolkitError::Io { path, source })?;
        touched.push(format!("kernels/ptx/{stem}.ptx.zst: packed"));
    }
    Ok(touched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        let line = |line, committed: Option<&str>, generated: Option<&str>| {
            let (committed, generated) = (committed.map(str::to_owned), generated.map(str::to_owned));
            Some(Difference::Line { stem: "x".into(), line, committed, generated })
        };
        assert_eq!(first_difference("x", "a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("x", "a\nb\nc", "a\nB\nC"), line(2, Some("b"), Some("B")));
        assert_eq!(first_difference("x", "a\r\n", "a\n"), line(1, Some("a\r"), Some("a")));
        // Behind the last newline there is an empty line, so that its absence shows.
        assert_eq!(first_difference("x", "a", "a\n"), line(2, None, Some("")));
    }
}
