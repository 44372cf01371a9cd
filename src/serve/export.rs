//! A model's vectors: in files, and in memory.

use std::path::PathBuf;
use std::sync::Arc;

use ndarray::Array2;

use super::model::Model;
use super::who::numbers;
use super::{Event, Observer, Who};
use crate::data::vocabulary::{RawId, Vocabulary};
use crate::export::{Exported, VectorShape, VectorWriter, check_path};
use crate::index::predictions::IdKind;
use crate::index::users::BlockOptions;
use crate::index::{Exclude, Lists, Progress, Ranker, Seen, Step, UserBlock, Users};
use crate::table::ReadOptions;
use crate::{Error, Result};

/// Items embedded at a time.
const BLOCK: usize = 4096;
/// Bytes that a block of users may take.
const USER_MEMORY: u64 = 256 << 20;

/// Which vectors to write, and where.
#[derive(Debug)]
#[must_use = "a request does nothing until it is passed to `Model::export`"]
pub struct Export<'a> {
    side: Side,
    files: Vec<PathBuf>,
    observer: Observer<'a>,
}

#[derive(Debug)]
enum Side {
    Users(Who),
    Items,
}

impl<'a> Export<'a> {
    /// All items of the catalogue, in the order of the vocabulary, to each of these files; a file's ending names its
    /// format ([`VectorFormat`](crate::export::VectorFormat)).
    pub fn items<P: Into<PathBuf>>(files: impl IntoIterator<Item = P>) -> Export<'a> {
        Export::new(Side::Items, files)
    }

    /// These users, in their order, as their training histories say them.
    pub fn users<P: Into<PathBuf>>(who: impl Into<Who>, files: impl IntoIterator<Item = P>) -> Export<'a> {
        Export::new(Side::Users(who.into()), files)
    }

    fn new<P: Into<PathBuf>>(side: Side, files: impl IntoIterator<Item = P>) -> Export<'a> {
        Export { side, files: files.into_iter().map(Into::into).collect(), observer: Observer::default() }
    }

    /// Tells `observer` how far it is. An error that it answers ends the call; files that were there before stay.
    pub fn observe<'b>(self, observer: &'b mut dyn FnMut(Event<'_>) -> Result<()>) -> Export<'b>
    where
        'a: 'b,
    {
        Export { side: self.side, files: self.files, observer: Observer::new(observer) }
    }
}

impl Model {
    /// Writes vectors.
    ///
    /// # Errors
    /// As [`VectorWriter`], what the observer answers, or whatever the history or the device gives.
    pub fn export(&mut self, request: Export<'_>) -> Result<Vec<Exported>> {
        let Export { side, files, mut observer } = request;
        files.iter().try_for_each(|file| check_path(file))?;
        match side {
            Side::Items => self.export_items(&files, &mut observer),
            Side::Users(who) => self.export_users(who, &files, &mut observer),
        }
    }

    fn export_items(&mut self, files: &[PathBuf], observer: &mut Observer<'_>) -> Result<Vec<Exported>> {
        let items = Arc::clone(self.items());
        // Row 0 is no item.
        let rows: Vec<u32> = (1..items.rows() as u32).collect();
        let shape = VectorShape { rows: rows.len() as u64, dim: self.width(), ids: IdKind::of(&items.table.ids) };
        let mut writers = Writers::create(files, shape, self.threads())?;
        for block in rows.chunks(BLOCK) {
            let vectors = self.embed_items(block)?;
            let names = block.iter().map(|&row| name(&items, row));
            writers.push(names, vectors.as_slice().unwrap_or_default(), observer)?;
        }
        writers.finish(observer)
    }

    fn export_users(&mut self, who: Who, files: &[PathBuf], observer: &mut Observer<'_>) -> Result<Vec<Exported>> {
        let (user_ids, items) = (Arc::clone(self.users()), Arc::clone(self.items()));
        let users = who.find(&user_ids, &items, &self.info().columns, &ReadOptions::default(), false, observer)?;
        let shape = VectorShape { rows: users.len() as u64, dim: self.width(), ids: users.kind() };
        let mut writers = Writers::create(files, shape, self.threads())?;
        self.each_block(&users, |first, vectors| {
            let rows = first..first + vectors.nrows();
            let names = rows.map(|i| users.name(i).ok_or_else(|| missing(i)));
            writers.push(names, vectors.as_slice().unwrap_or_default(), observer)
        })?;
        writers.finish(observer)
    }

    /// The embeddings of users with their training histories, one row each, in memory.
    ///
    /// # Errors
    /// As [`recommend`](Model::recommend) for the users; whatever the history or the device gives.
    pub fn user_vectors(&mut self, who: impl Into<Who>) -> Result<Array2<f32>> {
        let (user_ids, items) = (Arc::clone(self.users()), Arc::clone(self.items()));
        let users = who.into().find(
            &user_ids,
            &items,
            &self.info().columns,
            &ReadOptions::default(),
            false,
            &mut Observer::default(),
        )?;
        let mut values: Vec<f32> = Vec::with_capacity(users.len() * self.width());
        self.each_block(&users, |_, vectors| {
            values.extend(vectors);
            Ok(())
        })?;
        self.rows_of(values, users.len())
    }

    /// The embeddings of all items, or of those with these raw ids, one row each, in memory.
    ///
    /// # Errors
    /// [`Error::Config`] for an id that the model does not know; whatever the device gives.
    pub fn item_vectors(&mut self, ids: Option<&[String]>) -> Result<Array2<f32>> {
        let rows = match ids {
            Some(ids) => numbers(ids, "items", |id| self.items().find(id))?,
            None => (1..self.items().rows() as u32).collect(),
        };
        self.embed_items(&rows)
    }

    /// Embeds users block by block; `found` gets the first user of each block and its vectors.
    fn each_block(&mut self, users: &Users<'_>, mut found: impl FnMut(usize, Array2<f32>) -> Result<()>) -> Result<()> {
        let (seen, history) = (Seen::new(self.history()?), self.history_len());
        let block_options =
            BlockOptions { seen: Some(&seen), exclude: Exclude::None, history, memory: USER_MEMORY, k: 0 };
        let (mut block, mut skip, mut next) = (UserBlock::default(), Lists::default(), 0);
        while next < users.len() {
            let first = next;
            next = users.block(first, &block_options, &mut block, &mut skip)?;
            found(first, self.embed_users(&block)?)?;
        }
        Ok(())
    }
}

fn name(vocabulary: &Vocabulary, row: u32) -> Result<RawId<'_>> {
    vocabulary.raw(row).ok_or_else(|| missing(row as usize))
}

fn missing(row: usize) -> Error {
    Error::Shape { op: "export", expected: "rows of the vocabulary".into(), found: format!("row {row}") }
}

/// The files that one side's vectors go to.
struct Writers {
    writers: Vec<VectorWriter>,
    shape: VectorShape,
    done: u64,
}

impl Writers {
    fn create(files: &[PathBuf], shape: VectorShape, threads: usize) -> Result<Writers> {
        let writers = files.iter().map(|path| VectorWriter::create(path, shape, threads));
        Ok(Writers { writers: writers.collect::<Result<_>>()?, shape, done: 0 })
    }

    fn push<'a>(
        &mut self,
        names: impl Iterator<Item = Result<RawId<'a>>>,
        vectors: &[f32],
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        for (name, vector) in names.zip(vectors.chunks_exact(self.shape.dim)) {
            let name = name?;
            for writer in &mut self.writers {
                writer.push(name, vector)?;
            }
            self.done += 1;
        }
        observer.progress(Progress { step: Step::Vectors, done: self.done, total: self.shape.rows })
    }

    fn finish(self, observer: &mut Observer<'_>) -> Result<Vec<Exported>> {
        self.writers.into_iter().map(|writer| writer.finish(&mut |at| observer.progress(at))).collect()
    }
}
