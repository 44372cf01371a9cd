//! From a model to files of vectors: every item, every user, block by block.

use std::path::Path;

use super::{Exported, Progress, Shape, Step, VectorWriter};
use crate::data::vocabulary::{RawId, Vocabulary};
use crate::index::filter::Seen;
use crate::index::predictions::IdKind;
use crate::index::users::{Reading, Users};
use crate::index::{Lists, UserBlock};
use crate::model::TwoTower;
use crate::{Error, Result};

/// Items embedded at a time.
const BLOCK: usize = 4096;
/// Bytes that a block of users may take.
const USER_MEMORY: u64 = 256 << 20;

/// Writes the vectors of all items of the catalogue, in the order of the vocabulary, to every file of `out`; each in
/// the format that its ending names. `threads` as in [`VectorWriter::create`].
///
/// # Errors
/// As [`VectorWriter`], or whatever the device reports.
pub fn export_items<P: AsRef<Path>>(
    model: &mut TwoTower,
    out: &[P],
    threads: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Exported>> {
    let items = std::sync::Arc::clone(model.items());
    // Row 0 is no item.
    let rows: Vec<u32> = (1..items.rows() as u32).collect();
    let shape = Shape { rows: rows.len() as u64, dim: model.width(), ids: IdKind::of(&items.table.ids) };
    let mut writers = Writers::create(out, shape, threads)?;
    for block in rows.chunks(BLOCK) {
        let vectors = model.embed_items(block)?;
        let names = block.iter().map(|&row| name(&items, row));
        writers.push(names, vectors.as_slice().unwrap_or_default(), progress)?;
    }
    writers.finish(progress)
}

/// Writes the vectors of `users`, in their order, to every file of `out`. `seen` has the histories, for a model that
/// reads them ([`TwoTower::history`]).
///
/// # Errors
/// As [`VectorWriter`], or whatever the history or the device gives.
pub fn export_users<P: AsRef<Path>>(
    model: &mut TwoTower,
    users: &Users<'_>,
    seen: Option<&Seen>,
    out: &[P],
    threads: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Exported>> {
    let shape = Shape { rows: users.len() as u64, dim: model.width(), ids: users.kind() };
    let mut writers = Writers::create(out, shape, threads)?;
    let reading = Reading { seen, exclude_seen: false, history: model.history_len(), memory: USER_MEMORY, k: 0 };
    let (mut block, mut skip, mut next) = (UserBlock::default(), Lists::default(), 0);
    while next < users.len() {
        let first = next;
        next = users.block(first, &reading, &mut block, &mut skip)?;
        let vectors = model.embed_users(&block)?;
        let names = (first..next).map(|i| users.name(i).ok_or_else(|| missing(i)));
        writers.push(names, vectors.as_slice().unwrap_or_default(), progress)?;
    }
    writers.finish(progress)
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
    shape: Shape,
    done: u64,
}

impl Writers {
    fn create<P: AsRef<Path>>(out: &[P], shape: Shape, threads: usize) -> Result<Writers> {
        let writers = out.iter().map(|path| VectorWriter::create(path.as_ref(), shape, threads));
        Ok(Writers { writers: writers.collect::<Result<_>>()?, shape, done: 0 })
    }

    fn push<'a>(
        &mut self,
        names: impl Iterator<Item = Result<RawId<'a>>>,
        vectors: &[f32],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        for (name, vector) in names.zip(vectors.chunks_exact(self.shape.dim)) {
            let name = name?;
            for writer in &mut self.writers {
                writer.push(name, vector)?;
            }
            self.done += 1;
        }
        progress(Progress { step: Step::Vectors, done: self.done, rows: self.shape.rows });
        Ok(())
    }

    fn finish(self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Exported>> {
        self.writers.into_iter().map(|writer| writer.finish(progress)).collect()
    }
}
