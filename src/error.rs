//! One error type: what went wrong, where, and what to do about it.

use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where (file, row, column) and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A setting that cannot be used, alone or with the others.
    #[error("{field}: {reason}")]
    Config {
        /// The setting, by its name (`train.batch_size`, `k`).
        field: String,
        /// What is wrong and what would do.
        reason: String,
    },
    /// One row of an input file cannot be read.
    #[error("{}: row {row}, column {column}: {reason}", .path.display())]
    Row {
        /// The input file.
        path: PathBuf,
        /// The line (text formats) or row (Arrow, Parquet), counted from 1; a header line counts.
        row: u64,
        /// The column's name.
        column: String,
        /// What is wrong and what would do.
        reason: String,
    },
    /// An input file, as a whole, cannot be used.
    #[error("{}: {reason}", .path.display())]
    Input {
        /// The input file or folder.
        path: PathBuf,
        /// What is wrong and what would do.
        reason: String,
    },
    /// A column is missing or has another type.
    #[error("{}: column {column}: expected {expected}, found {found}", .path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The type that is needed.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A shard, vocabulary or dataset file is damaged.
    #[error("{}: damaged at {at}: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file (footer, record batch, column, JSON key).
        at: String,
        /// What does not hold.
        reason: String,
    },
    /// An id of a shard lies outside its vocabulary.
    #[error("{}: row {row}, column {column}: id {id}, but its vocabulary has {rows} rows", .path.display())]
    IdOutOfRange {
        /// The shard.
        path: PathBuf,
        /// The row in the shard, from 0.
        row: u64,
        /// `user` or `item`.
        column: &'static str,
        /// The offending id.
        id: u32,
        /// Rows of the vocabulary.
        rows: u32,
    },
    /// Two things that must fit together do not.
    #[error("{op}: expected {expected}, found {found}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The shape that is needed.
        expected: String,
        /// The shape that was given.
        found: String,
    },
    /// A model folder or checkpoint cannot be used.
    #[error("{}: {reason}", .path.display())]
    Checkpoint {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The caller requested cancellation.
    #[error("{what} was interrupted")]
    Interrupted {
        /// What was, and how it goes on.
        what: String,
    },
    /// Training produced NaN or infinity.
    #[error("{what} is not finite at step {step}: {cause}")]
    NonFinite {
        /// The loss, a gradient or a table.
        what: String,
        /// The training step, from 0.
        step: u64,
        /// The likely cause and what to try.
        cause: String,
    },
    /// A memory cap cannot be kept.
    #[error("{what} needs {needed} bytes, but the limit is {allowed}: {advice}")]
    Memory {
        /// What asked for memory.
        what: String,
        /// Bytes that are needed at least.
        needed: u64,
        /// Bytes that are allowed.
        allowed: u64,
        /// What to change.
        advice: String,
    },
    /// The system gave no more memory.
    #[error(
        "out of memory: {what} need {needed} bytes; provide more memory, or use fewer `threads`, a smaller `memory` or a smaller `batch_size`"
    )]
    OutOfMemory {
        /// What asked for memory, a plural.
        what: String,
        /// Bytes that were asked for.
        needed: u64,
    },
    /// Threads cannot be started.
    #[error("cannot start {count} threads: {reason}; use fewer `threads`, or raise the process and memory limits")]
    Threads {
        /// How many.
        count: usize,
        /// What the operating system said.
        reason: String,
    },
    /// The device has not enough memory left.
    #[error(
        "{device} has no room for {what}: {needed} bytes needed, {free} free; use a smaller batch, a narrower model, 16-bit tables (model.dtype) or the device `cpu`"
    )]
    DeviceMemory {
        /// The device.
        device: String,
        /// What asked for memory.
        what: String,
        /// Bytes that were asked for.
        needed: u64,
        /// Bytes that were free then.
        free: u64,
    },
    /// A kernel does not compile for this device.
    #[error(
        "the kernels of `{stem}` do not compile for this device: {log} (TERCEL_PTX=embedded uses the PTX shipped with Tercel)"
    )]
    KernelCompile {
        /// The source file's stem.
        stem: String,
        /// The compiler's words.
        log: String,
    },
    /// There is no CUDA device to use on this host.
    #[error("CUDA is not available: {reason}; use the device `cpu` (or `auto`)")]
    CudaUnavailable {
        /// Why not: no driver, no device, or not built in.
        reason: String,
    },
    /// The CUDA driver reported an error.
    #[error("CUDA: {op}: {message}")]
    Cuda {
        /// The operation or kernel.
        op: String,
        /// The driver's words.
        message: String,
    },
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Error::Io { path: path.as_ref().to_owned(), source }
    }

    /// An [`Error::Config`] about the setting `field`.
    pub fn config(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Config { field: field.into(), reason: reason.into() }
    }

    /// An [`Error::Input`] about `path`.
    pub fn input(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Error::Input { path: path.as_ref().to_owned(), reason: reason.into() }
    }

    /// An [`Error::Damaged`] file.
    pub fn damaged(path: impl AsRef<Path>, at: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Damaged { path: path.as_ref().to_owned(), at: at.into(), reason: reason.into() }
    }

    /// An [`Error::Checkpoint`] that cannot be used.
    pub fn checkpoint(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Error::Checkpoint { path: path.as_ref().to_owned(), reason: reason.into() }
    }

    /// The exit code of the `tercel` command for this error: 2 bad usage, 3 bad input data,
    /// 4 device trouble, 1 anything else.
    pub fn exit_code(&self) -> u8 {
        use std::io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, UnexpectedEof};
        match self {
            Error::Config { .. } => 2,
            Error::Row { .. }
            | Error::Input { .. }
            | Error::Schema { .. }
            | Error::Damaged { .. }
            | Error::IdOutOfRange { .. }
            | Error::Checkpoint { .. } => 3,
            Error::Io { source, .. } => match source.kind() {
                NotFound | IsADirectory | NotADirectory | InvalidData | UnexpectedEof => 3,
                _ => 1,
            },
            Error::CudaUnavailable { .. }
            | Error::Cuda { .. }
            | Error::DeviceMemory { .. }
            | Error::KernelCompile { .. } => 4,
            Error::Shape { .. }
            | Error::NonFinite { .. }
            | Error::Memory { .. }
            | Error::OutOfMemory { .. }
            | Error::Threads { .. }
            | Error::Interrupted { .. } => 1,
        }
    }
}
