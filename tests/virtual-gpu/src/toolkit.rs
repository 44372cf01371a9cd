//! NVIDIA's compilers as pip installs them (`toolkit/install.sh`): the committed PTX is written and checked with them,
//! and the machine code that it becomes is held to budgets. Neither needs a GPU.

pub mod budget;
pub mod command;
pub mod committed;
pub mod figures;
pub mod flow;
pub mod nvrtc;
pub mod ptxas;
pub mod sass;
#[path = "../../../src/backend/cuda/source.rs"]
mod source;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolkitError {
    /// There is no toolkit, or it is not complete.
    #[error("no CUDA toolkit (tests/virtual-gpu/toolkit/install.sh): {missing} was not found")]
    Missing {
        /// The first file that was looked for in vain.
        missing: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The compiler refused a source.
    #[error("{stem} for {arch}: {log}")]
    Compile {
        /// The stem of `kernels/<stem>/<stem>.cu`.
        stem: String,
        /// `compute_XX` or `sm_XX`.
        arch: String,
        /// What the compiler said.
        log: String,
    },
    /// A tool failed, or wrote what this program cannot read.
    #[error("{tool}: {reason}")]
    Tool {
        /// Its name.
        tool: &'static str,
        /// Its words, or what was expected.
        reason: String,
    },
    /// The budget file cannot be read.
    #[error("{path}: {reason}")]
    Budgets {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Result of this module.
pub type Result<T> = std::result::Result<T, ToolkitError>;

/// Where the compilers lie.
#[derive(Clone, Debug)]
pub struct Toolkit {
    /// NVRTC 11.8: it writes the committed PTX.
    pub nvrtc_11: PathBuf,
    /// NVRTC 12.9, with the newer front end: it writes the committed PTX for compute capability 9.0.
    pub nvrtc_12: PathBuf,
    /// ptxas 12.9.
    pub ptxas: PathBuf,
    /// nvdisasm 13.5.
    pub nvdisasm: PathBuf,
}

impl Toolkit {
    /// Looks in the Python environment `$TERCEL_TOOLKIT`, or else in `.toolkit/` of the repository.
    ///
    /// # Errors
    /// [`ToolkitError::Missing`].
    pub fn find() -> Result<Toolkit> {
        let folder = std::env::var_os("TERCEL_TOOLKIT").filter(|folder| !folder.is_empty());
        let folder = folder.map_or_else(|| repository().join(".toolkit"), PathBuf::from);
        let python = std::fs::read_dir(folder.join("lib")).ok().and_then(|entries| {
            let versions = entries.filter_map(|entry| Some(entry.ok()?.path()));
            versions.map(|version| version.join("site-packages/nvidia")).find(|nvidia| nvidia.is_dir())
        });
        let nvidia = python.ok_or_else(|| ToolkitError::Missing { missing: folder.clone() })?;
        let file = |name: &str| {
            let path = nvidia.join(name);
            if path.is_file() { Ok(path) } else { Err(ToolkitError::Missing { missing: path }) }
        };
        Ok(Toolkit {
            nvrtc_11: file("cuda_nvrtc/lib/libnvrtc.so.11.2")?,
            nvrtc_12: file("cuda_nvrtc/lib/libnvrtc.so.12")?,
            ptxas: file("cuda_nvcc/bin/ptxas")?,
            nvdisasm: file("cu13/bin/nvdisasm")?,
        })
    }

    /// As [`find`](Toolkit::find), for tests: without a toolkit it says that the test is skipped, and with
    /// `REQUIRE_CUDA_TOOLKIT=1` it panics.
    pub fn find_or_skip() -> Option<Toolkit> {
        match Toolkit::find() {
            Ok(toolkit) => Some(toolkit),
            Err(e) if std::env::var_os("REQUIRE_CUDA_TOOLKIT").is_some_and(|required| required == "1") => panic!("{e}"),
            Err(_) => {
                eprintln!("skipped: no CUDA toolkit (tests/virtual-gpu/toolkit/install.sh)");
                None
            }
        }
    }
}

/// The one architecture that a stem's source is for (`compute_90a`); `None` where every device from sm_80 on runs it.
pub fn only_for(stem: &str) -> Option<&'static str> {
    source::only_for(stem)
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.ancestors().nth(2).unwrap_or(crate_folder).to_owned()
}

/// Reads a text file.
fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| ToolkitError::Io { path: path.to_owned(), source })
}

/// The stems: folders of `kernels/` with a source of their name, and `<folder>_sm90a` where there is a source for compute
/// capability 9.0 alone, in the order of their names.
///
/// # Errors
/// [`ToolkitError::Io`].
pub fn stems() -> Result<Vec<String>> {
    let kernels = repository().join("kernels");
    let io = |source| ToolkitError::Io { path: kernels.clone(), source };
    let mut stems = Vec::new();
    for entry in std::fs::read_dir(&kernels).map_err(io)? {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        let both = [format!("{name}_sm90a"), name];
        stems.extend(both.into_iter().filter(|stem| kernels.join(source::path(stem)).is_file()));
    }
    stems.sort_unstable();
    Ok(stems)
}

/// The names, without the extension, of a folder's files with that extension, in order.
fn files_in(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(|source| ToolkitError::Io { path: folder.to_owned(), source })?;
    let mut stems = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| ToolkitError::Io { path: folder.to_owned(), source })?.path();
        if path.extension().is_some_and(|found| found == extension) {
            stems.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
        }
    }
    stems.sort_unstable();
    Ok(stems)
}

/// `work` for every job, on as many threads as the host has cores; results in the order of the jobs. Put the longest
/// jobs first.
fn in_parallel<J: Sync, T: Send>(jobs: &[J], work: impl Fn(&J) -> Result<T> + Sync) -> Result<Vec<T>> {
    // Compilers recurse deeply into templates: more than a thread's 2 MiB.
    const STACK_BYTES: usize = 64 << 20;
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<T>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let run = || {
                while let Some(i) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < jobs.len()) {
                    let result = work(&jobs[i]);
                    *results[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(result);
                }
            };
            std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run).expect("a thread can start");
        }
    });
    let done = results.into_iter().map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
    done.map(|result| result.expect("every job was taken by a thread")).collect()
}
