//! What a scan must do at least, for tests that compare counters with it.

use std::cell::Cell;

use super::form::Form;
use super::plan::{self, Sample, Tile};
use super::sm90a;
use crate::Result;
use crate::backend::cuda::{Buf, Cuda};

thread_local! {
    static PASSED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Items that Hopper's scans let pass in `work`, over all queries of this thread, and what `work` gives. The counts are
/// waited for.
pub(crate) fn passed<T>(work: impl FnOnce() -> T) -> (u64, T) {
    PASSED.set(Some(0));
    let done = work();
    (PASSED.take().unwrap_or_default(), done)
}

/// Adds what a scan counted, where somebody asks.
pub(super) fn count_passed(cuda: &Cuda, counts: &Buf<u32>) -> Result<()> {
    let Some(passed) = PASSED.get() else { return Ok(()) };
    let mut host = vec![0; counts.len()];
    cuda.download(&mut host, counts, 0)?;
    PASSED.set(Some(passed + host.into_iter().map(u64::from).sum::<u64>()));
    Ok(())
}

/// The grid of a scan of all items for the lists.
pub(crate) fn scan_grid(form: Form, dim: usize, items: usize, queries: usize, multiprocessors: usize) -> [usize; 3] {
    let tile = Tile::of(form, form.row_bytes(dim), queries);
    [queries.div_ceil(tile.queries), tile.splits(queries, items, multiprocessors), 1]
}

/// Sectors of 32 bytes that a scan of all items must read: every block of queries reads each item's row once, and every
/// part of the items reads each query's row once.
pub(crate) fn scan_sectors(form: Form, dim: usize, items: usize, queries: usize, splits: usize) -> u64 {
    let bytes = form.row_bytes(dim);
    let tile = Tile::of(form, bytes, queries);
    let scales = if form == Form::Int8 { items * 4 } else { 0 };
    ((queries.div_ceil(tile.queries) * (items * bytes + scales) + splits * queries * bytes) / 32) as u64
}

/// Multiplications and additions of whole tiles on tensor cores.
pub(crate) fn scan_operations(form: Form, dim: usize, items: usize, queries: usize) -> u64 {
    let tile = Tile::of(form, form.row_bytes(dim), queries);
    let (rows, columns) = (queries.next_multiple_of(tile.queries), items.next_multiple_of(tile.items));
    let width = match form {
        Form::Bf16 => dim.next_multiple_of(16),
        Form::Int8 => dim.next_multiple_of(32),
    };
    2 * rows as u64 * columns as u64 * width as u64
}

/// Bytes that packing must move: fp32 rows in and out, bf16 rows out.
pub(crate) fn pack_bytes(dim: usize, items: usize) -> u64 {
    (items * (dim * 4 + dim.next_multiple_of(8) * 4 + Form::Bf16.row_bytes(dim))) as u64
}

/// Bytes that preparing bf16 queries for the scan must move: fp32 rows in, out in fp32 and bf16; three values a query.
pub(crate) fn prepare_bytes(dim: usize, queries: usize) -> u64 {
    (queries * (dim * 4 + dim.next_multiple_of(16) * 4 + Form::Bf16.row_bytes(dim) + 12)) as u64
}

/// The grid of Hopper's scan of all items for queries that skip none.
pub(crate) fn panel_grid(cuda: &Cuda, dim: usize, items: usize, queries: usize, k: usize, biased: bool) -> [usize; 3] {
    let sample = Sample::of(items, k).expect("there is one");
    let rank = plan::rank(k, sample.part(items));
    let size = sm90a::size(cuda, (items, dim, biased), (queries, k), &sample, rank);
    sm90a::PanelPlan::new(&size).expect("it serves this").grid(queries)
}
