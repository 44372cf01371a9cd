//! Windows: consecutive rows of an epoch's order, read and shuffled.

use super::Inner;
use crate::data::batch::Rows;
use crate::data::shard::{Shard, ShardIndex};
use crate::data::shuffle::{Scatter, apply_swaps};
use crate::rng::Rng;
use crate::{Error, Result, memory};

/// Salts of the random streams: the order of the units, the rows of a window.
const ORDER: u64 = 0x6f72_6465;
const WINDOW: u64 = 0x7769_6e64;

/// Rows that are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unit {
    pub(super) shard: u32,
    pub(super) block: u32,
    /// The first row, counted from the block's.
    pub(super) start: u64,
    pub(super) rows: u64,
}

/// The order of an epoch's units, and where each starts in the epoch's sequence of rows.
pub(super) struct Order {
    units: Vec<u32>,
    starts: Vec<u64>,
}

impl Order {
    pub(super) fn new(inner: &Inner, epoch: u64) -> Order {
        let mut units: Vec<u32> = (0..inner.units.len() as u32).collect();
        if inner.shuffle {
            Rng::at(inner.seed, &[ORDER, epoch]).shuffle(&mut units);
        }
        let mut starts = Vec::with_capacity(units.len());
        let mut sum = 0;
        for &unit in &units {
            starts.push(sum);
            sum += inner.units[unit as usize].rows;
        }
        Order { units, starts }
    }

    /// The pieces of units that make up rows `from..to` of the sequence.
    fn pieces(&self, inner: &Inner, from: u64, to: u64) -> Vec<Unit> {
        let first = self.starts.partition_point(|&start| start <= from).saturating_sub(1);
        let mut pieces = Vec::new();
        for (&unit, &start) in self.units[first..].iter().zip(&self.starts[first..]) {
            if start >= to {
                break;
            }
            let unit = inner.units[unit as usize];
            let (low, high) = (from.max(start), to.min(start + unit.rows));
            if low < high {
                pieces.push(Unit { start: unit.start + (low - start), rows: high - low, ..unit });
            }
        }
        pieces
    }
}

/// What takes the memory.
const WHAT: &str = "the rows that are shuffled together";

/// The rows of a window.
#[derive(Default)]
pub(super) struct Window {
    users: Vec<u32>,
    items: Vec<u32>,
    timestamps: Vec<i64>,
    weights: Vec<f32>,
    has: [bool; 2],
    scatter: Scatter,
}

impl Window {
    /// Rows `from..to` of the window.
    pub(super) fn rows(&self, from: usize, to: usize) -> Option<Rows<'_>> {
        let all = Rows {
            users: &self.users,
            items: &self.items,
            timestamps: self.has[0].then_some(&self.timestamps),
            weights: self.has[1].then_some(&self.weights),
        };
        all.slice(from, to)
    }

    /// Overwrites the window with window `number` of the epoch.
    pub(super) fn build(&mut self, inner: &Inner, order: &Order, epoch: u64, number: u64) -> Result<()> {
        let from = number.saturating_mul(inner.window_rows).min(inner.rows);
        let to = from.saturating_add(inner.window_rows).min(inner.rows);
        let rows = (to - from) as usize;
        self.has = [inner.timestamps, inner.weights];
        memory::resize(&mut self.users, rows, WHAT)?;
        memory::resize(&mut self.items, rows, WHAT)?;
        memory::resize(&mut self.timestamps, if inner.timestamps { rows } else { 0 }, WHAT)?;
        memory::resize(&mut self.weights, if inner.weights { rows } else { 0 }, WHAT)?;
        let mut pieces = order.pieces(inner, from, to);
        let mut rng = Rng::at(inner.seed, &[WINDOW, epoch, number]);
        if inner.shuffle {
            // The rows are shuffled anyway: reading in file order maps each shard once.
            pieces.sort_unstable();
            self.scatter.start(rows, &mut rng);
        }
        let mut mapped: Option<(u32, Shard)> = None;
        let mut done = 0;
        for piece in pieces {
            let index = &inner.shards[piece.shard as usize];
            let shard = match &mapped {
                Some((number, shard)) if *number == piece.shard => shard,
                // The shard before is unmapped here: pages of finished shards do not pile up.
                _ => &mapped.insert((piece.shard, index.map()?)).1,
            };
            let range = piece.start as usize..(piece.start + piece.rows) as usize;
            let rows = shard.part(piece.block as usize, range)?;
            check_ids(inner, index, piece, rows)?;
            if inner.shuffle {
                self.scatter(rows);
            } else {
                self.copy(done, rows);
            }
            done += rows.len();
        }
        if inner.shuffle {
            let Window { users, items, timestamps, weights, scatter, .. } = self;
            scatter.finish(&mut rng, |range, swaps| {
                apply_swaps(&mut users[range.clone()], swaps);
                apply_swaps(&mut items[range.clone()], swaps);
                if inner.timestamps {
                    apply_swaps(&mut timestamps[range.clone()], swaps);
                }
                if inner.weights {
                    apply_swaps(&mut weights[range], swaps);
                }
            });
        }
        Ok(())
    }

    fn scatter(&mut self, rows: Rows<'_>) {
        fn place<T: Copy>(to: &mut [T], places: &[u32], from: &[T]) {
            for (&place, &value) in places.iter().zip(from) {
                to[place as usize] = value;
            }
        }
        let places = self.scatter.places(rows.len());
        place(&mut self.users, places, rows.users);
        place(&mut self.items, places, rows.items);
        place(&mut self.timestamps, places, rows.timestamps.unwrap_or_default());
        place(&mut self.weights, places, rows.weights.unwrap_or_default());
    }

    fn copy(&mut self, at: usize, rows: Rows<'_>) {
        let to = at + rows.len();
        self.users[at..to].copy_from_slice(rows.users);
        self.items[at..to].copy_from_slice(rows.items);
        if let Some(timestamps) = rows.timestamps {
            self.timestamps[at..to].copy_from_slice(timestamps);
        }
        if let Some(weights) = rows.weights {
            self.weights[at..to].copy_from_slice(weights);
        }
    }
}

/// Every id must be below its vocabulary's rows.
fn check_ids(inner: &Inner, index: &ShardIndex, piece: Unit, rows: Rows<'_>) -> Result<()> {
    for (column, ids, limit) in [("user", rows.users, inner.limits[0]), ("item", rows.items, inner.limits[1])] {
        let max = ids.iter().copied().fold(0, u32::max);
        if max < limit {
            continue;
        }
        if let Some((row, &id)) = ids.iter().enumerate().find(|(_, id)| **id >= limit) {
            let first = index.blocks[piece.block as usize].first_row + piece.start;
            return Err(Error::IdOutOfRange {
                path: index.path.clone(),
                row: first + row as u64,
                column,
                id,
                rows: limit,
            });
        }
    }
    Ok(())
}
