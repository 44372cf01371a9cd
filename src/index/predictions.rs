//! The PREDICTIONS file: user, rank, item, score, with raw ids, one row per place; or one line per user.
//!
//! A file is made of pieces (row groups, record batches, stretches of text) that are encoded (`encode.rs`) on any thread and
//! [appended](file) in order. A piece ends after a number of rows: who encodes it, and when, changes no byte.

use std::fmt;
use std::path::Path;

use arrow_schema::DataType;

use crate::data::vocabulary::{RawId, RawIds};
use crate::{Error, Result};

pub(crate) mod columns;
pub(crate) mod encode;
pub(crate) mod file;
mod format;
mod gzip;
pub(crate) mod text;

use encode::{Encoding, PieceCut, PieceEncoder};
use file::PredictionFile;
use format::PredictionFormat;

/// The type of a column of raw ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// UTF-8 text.
    Text,
    /// 64-bit integers.
    Integer,
}

impl IdKind {
    /// The type of a vocabulary's ids.
    pub fn of(ids: &RawIds) -> IdKind {
        match ids {
            RawIds::Text { .. } => IdKind::Text,
            RawIds::Integer(_) => IdKind::Integer,
        }
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            IdKind::Text => DataType::Utf8,
            IdKind::Integer => DataType::Int64,
        }
    }
}

/// One place of a user's list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place<'a> {
    /// The item.
    pub item: RawId<'a>,
    /// Its score.
    pub score: f32,
}

/// Whether predictions can be written under this name: what can be known of it before the work. `by_user` as in
/// [`PredictionWriter::create`].
///
/// # Errors
/// [`Error::Config`] for an ending that names no format, or one that has no lines by user; [`Error::Input`] when `path`
/// is a folder.
pub fn check_path(path: &Path, by_user: bool) -> Result<()> {
    if path.is_dir() {
        return Err(Error::input(path, "is a folder; name a file in it for the predictions"));
    }
    match PredictionFormat::of(path)? {
        PredictionFormat::JsonLines(_) => Ok(()),
        _ if by_user => Err(Error::config(
            "by_user",
            format!("requires .jsonl (optionally with .gz or .zst); `{}` has one row per item", path.display()),
        )),
        _ => Ok(()),
    }
}

/// Writes predictions user by user, in bounded memory. The file is there when [`finish`](PredictionWriter::finish) has
/// returned; dropped before, or after an error, the writer leaves what was there untouched.
pub struct PredictionWriter {
    file: PredictionFile,
    encoding: Encoding,
    cut: PieceCut,
    /// The piece that is being filled.
    piece: Option<PieceEncoder>,
}

impl fmt::Debug for PredictionWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PredictionWriter").field("path", &self.file.path()).finish_non_exhaustive()
    }
}

impl PredictionWriter {
    /// Starts the file at `path`. Its name decides the format: `.arrow`, `.parquet`, `.csv` or `.jsonl`; `.gz` or
    /// `.zst` after the last two compresses. Arrow and Parquet columns have the types `users` and `items`.
    ///
    /// A file has a row for every place of every user: user, rank (from 1), item, score. With `by_user`, JSON lines
    /// have a line for every user, for a store of keys and values: `{"user":…,"items":[…],"scores":[…]}`, best first.
    ///
    /// # Errors
    /// [`Error::Config`] for another ending, or one that `by_user` does not go with; [`Error::Input`] when `path` is a
    /// folder or its folder does not exist; [`Error::Io`].
    pub fn create(path: &Path, users: IdKind, items: IdKind, by_user: bool) -> Result<PredictionWriter> {
        let (file, encoding) = PredictionFile::create(path, users, items, by_user)?;
        Ok(PredictionWriter { cut: encoding.cut(), file, encoding, piece: None })
    }

    /// Adds a user and its list, best first.
    ///
    /// # Errors
    /// [`Error::Input`] when a text id goes to an integer column, [`Error::Io`].
    pub fn push(&mut self, user: RawId<'_>, places: &[Place<'_>]) -> Result<()> {
        let mut rank = 0;
        loop {
            let part = self.cut.take(places.len() - rank);
            self.add(user, rank, &places[rank..rank + part]).map_err(|e| self.file.failed(e))?;
            rank += part;
            if self.cut.is_full() {
                self.append()?;
            }
            if rank == places.len() {
                return Ok(());
            }
        }
    }

    fn add(&mut self, user: RawId<'_>, before: usize, places: &[Place<'_>]) -> std::io::Result<()> {
        let piece = match &mut self.piece {
            Some(piece) => piece,
            none => none.insert(self.encoding.piece()?),
        };
        piece.push(user, before, places)
    }

    fn append(&mut self) -> Result<()> {
        let Some(piece) = self.piece.take() else { return Ok(()) };
        let encoded = piece.finish().map_err(|e| self.file.failed(e))?;
        self.file.append(encoded)
    }

    /// Ends the file and puts it in its place. Returns its rows: places, or users where it is by user.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<u64> {
        self.append()?;
        self.file.finish()
    }
}
