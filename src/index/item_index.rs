//! Items to be found by inner product: exactly, or as nearly as is asked for.
//!
//! An approximate index takes the recall that it has to keep. It is built in inverted lists (items by cluster), searches
//! held-out queries exactly and through its lists, and sets itself so that the part of the true best that it finds is at
//! least that recall, with a margin; what it measured stands in the file with it. Without lists, or where a filter leaves
//! few items, it is exact.
//!
//! ```
//! use tercel::index::item_index::{Admit, Filter, IndexOptions, ItemIndex};
//!
//! # fn main() -> tercel::Result<()> {
//! // Five items on a circle, known by their row numbers.
//! let vectors = vec![1.0, 0.0, 0.8, 0.6, 0.0, 1.0, -0.6, 0.8, -1.0, 0.0];
//! let mut index = ItemIndex::build(vectors, 2, None, None, &IndexOptions::default())?;
//! index.set_tag("shoes", &[1, 2, 4])?;
//! let shoes = index.admit(&Admit::Tag("shoes".into()))?;
//! let found = index.search(&[1.0, 0.1], 2, &Filter { only: Some(&shoes), ..Filter::default() })?;
//! assert_eq!(found.items(0), [1, 2]);
//! # Ok(())
//! # }
//! ```

mod admit;
mod base;
mod bits;
mod build;
mod change;
mod device;
mod engine;
mod file;
mod ivf;
mod measure;
mod options;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

pub use admit::{Admit, Admitted};
pub(crate) use device::AskedOnDevice;
pub use measure::{FilteredRecall, Measured, QuerySource, Recall};
pub use options::{IndexKind, IndexOptions};

use crate::backend::cpu::Cpu;
use crate::backend::cpu::topk::{ItemView, TopKQueries};
use crate::backend::{Memory, Skip};
use crate::index::{Found, Lists};
use crate::slab::Slab;
use crate::{Error, Result};
use base::Base;
use change::Tail;
use device::DeviceQueries;
use engine::SearchEngine;
use ivf::{Effort, Guide, InvertedLists};

/// Items to be found by inner product. An item is known by a number of the caller's, its row in the vocabulary as a rule.
pub struct ItemIndex {
    cpu: Cpu,
    base: Base,
    /// Bit j of word i: the item at place 32 i + j has not been removed; absent, none has.
    alive: Option<Vec<u32>>,
    /// Items that have been added since the base was laid out.
    tail: Tail,
    dim: usize,
    /// Whether each item adds a bias to its scores.
    biased: bool,
    about: About,
    /// The items of each tag, ascending.
    tags: BTreeMap<String, Vec<u32>>,
    /// The place of each number in the base; absent until something is removed.
    places: Option<HashMap<u32, u32>>,
    /// Held-out queries that recall is measured with.
    queries: Slab<f32>,
    /// Changes with the items, and is no other index's: what was made for other items does not fit.
    generation: u64,
    guides: Guides,
    engine: SearchEngine,
}

/// What is known of an index beside its items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct About {
    /// Exact or approximate.
    pub kind: IndexKind,
    /// The k that the recall is meant for.
    pub k: usize,
    /// What catalogue this is, in the caller's words: a model's checksum, a date.
    pub catalogue: String,
    /// The seed of its lists and samples.
    pub seed: u64,
    /// A list is left out where it is expected to hold less than this part of the k best; absent without lists.
    pub missed: Option<f32>,
    /// The recall that the scan on a CUDA device is asked for; absent where it has not been measured on one.
    pub scan_recall: Option<f32>,
    /// How many lists there are; absent for an exact index, and for one that would gain nothing by lists.
    pub lists: Option<usize>,
    /// What was measured last; absent for an exact index.
    pub measured: Option<Measured>,
    /// Items added since the lists were made.
    pub added: u64,
    /// Items removed since the lists were made.
    pub removed: u64,
}

/// Which items a search may give.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Items that each query must not be given: a list for each, ascending and unique.
    pub skip: Option<&'a Lists>,
    /// The only items that may be given; see [`ItemIndex::admit`].
    pub only: Option<&'a Admitted>,
}

/// Guides by k: making one takes longer than a query.
#[derive(Default)]
struct Guides(Mutex<Vec<(usize, Arc<Guide>)>>);

/// How many k a cache of guides serves.
const GUIDES: usize = 4;

impl Guides {
    fn get(&self, k: usize, make: impl FnOnce() -> Guide) -> Arc<Guide> {
        let mut guides = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, guide)) = guides.iter().find(|(of, _)| *of == k) {
            return Arc::clone(guide);
        }
        let guide = Arc::new(make());
        if guides.len() == GUIDES {
            guides.remove(0);
        }
        guides.push((k, Arc::clone(&guide)));
        guide
    }
}

impl fmt::Debug for ItemIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemIndex")
            .field("items", &self.len())
            .field("dim", &self.dim)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl ItemIndex {
    /// How many items can be found.
    pub fn len(&self) -> usize {
        self.base.alive(self.alive.as_deref()) + self.tail.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The width of the vectors.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether each item adds a bias of its own to its scores.
    pub fn has_biases(&self) -> bool {
        self.biased
    }

    /// What is known of it: its kind, its settings, and what was measured.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The best `k` items of each query (`queries`: rows x D) that `filter` lets through: score descending, then item
    /// number ascending. A score is the inner product with the item's vector, and the item's bias. Each gets k items
    /// whenever k may be given; a query gets the same answer whatever others are asked with it, and whatever the number
    /// of threads. Ask many at once: each list is then read from memory once for all of them.
    ///
    /// # Errors
    /// [`Error::Shape`] when the queries are no rows of D values or their answers cannot be counted, when there are not as
    /// many skip lists or one does not ascend, or when the filter was made for another index, or before items were added or
    /// removed.
    pub fn search(&self, queries: &[f32], k: usize, filter: &Filter<'_>) -> Result<Found> {
        Ok(self.search_counted(queries, k, filter)?.0)
    }

    /// [`search`](ItemIndex::search), and how many items of the base were read.
    fn search_counted(&self, queries: &[f32], k: usize, filter: &Filter<'_>) -> Result<(Found, u64)> {
        let rows = self.rows_of(queries)?;
        let skip = self.checked(rows, k, filter)?;
        if let SearchEngine::Cuda(device) = &self.engine {
            let there = device.cuda.upload(queries.to_vec())?;
            let queries = DeviceQueries { queries: &there, rows };
            let found = self.search_on(device, &queries, k, filter, self.scan_recall())?;
            return Ok((found, (self.len() * rows) as u64));
        }
        let mut found = Found::empty(rows, k)?;
        let search = TopKQueries { queries, rows, k, view: ItemView { skip, ..ItemView::default() } };
        let read = match filter.only {
            None => self.search_base(&mut found, &search, self.alive.as_deref(), &self.guides)?,
            Some(Admitted { narrow: Some(narrow), .. }) => narrow.exact(&self.cpu, &mut found, &search)?,
            Some(only) => self.search_base(&mut found, &search, Some(&only.base), &only.guides)?,
        };
        self.search_tail(&mut found, &search, filter.only)?;
        Ok((found, read))
    }

    /// Whether a search can be asked for this, and what its skip lists are.
    fn checked<'f>(&self, rows: usize, k: usize, filter: &Filter<'f>) -> Result<Option<Skip<'f>>> {
        if rows.checked_mul(k).is_none_or(|places| places > MOST_PLACES) {
            return Err(shape(format!("at most {MOST_PLACES} places in all"), format!("{rows} queries x {k}")));
        }
        let skip = filter.skip.map(|skip| check_skip(skip, rows)).transpose()?;
        if filter.only.is_some_and(|only| only.generation != self.generation) {
            let found = "a stale filter: the index changed after it was created, or it belongs to another index; create it again";
            return Err(shape("a filter of this index in its current state", found));
        }
        Ok(skip)
    }

    /// The exact answer.
    fn search_exactly(&self, queries: &[f32], k: usize, only: Option<&Admitted>) -> Result<Found> {
        let rows = self.rows_of(queries)?;
        if let SearchEngine::Cuda(device) = &self.engine {
            let there = device.cuda.upload(queries.to_vec())?;
            let queries = DeviceQueries { queries: &there, rows };
            return self.search_on(device, &queries, k, &Filter { only, ..Filter::default() }, 1.0);
        }
        let mut found = Found::empty(rows, k)?;
        let allowed = only.map_or(self.alive.as_deref(), |only| Some(&only.base));
        let search = TopKQueries { queries, rows, k, view: ItemView { allowed, ..ItemView::default() } };
        self.base.exact(&self.cpu, &mut found, &search)?;
        self.search_tail(&mut found, &search, only)?;
        Ok(found)
    }

    /// Searches the base: through its lists where they pay, otherwise all of it. `guides` are those of `allowed`.
    fn search_base(
        &self,
        found: &mut Found,
        search: &TopKQueries<'_>,
        allowed: Option<&[u32]>,
        guides: &Guides,
    ) -> Result<u64> {
        let search = TopKQueries { view: ItemView { allowed, ..search.view }, ..*search };
        let (cpu, k) = (&self.cpu, search.k);
        let make = |lists: &InvertedLists| lists.guide(cpu, k, self.effort(), allowed, &self.queries);
        let guide = |lists: &InvertedLists| guides.get(k, || make(lists));
        self.base.search(cpu, found, &search, guide)
    }

    /// Takes in what the tail has.
    fn search_tail(&self, found: &mut Found, search: &TopKQueries<'_>, only: Option<&Admitted>) -> Result<()> {
        if self.tail.len() == 0 {
            return Ok(());
        }
        let mut fresh = Found::empty(search.rows, search.k)?;
        self.tail.search(&self.cpu, &mut fresh, search, only.map(|only| only.tail.as_slice()))?;
        found.merge(&fresh);
        Ok(())
    }

    fn effort(&self) -> Effort {
        Effort { missed: self.about.missed.unwrap_or(0.0) }
    }

    fn rows_of(&self, queries: &[f32]) -> Result<usize> {
        let rows = queries.len() / self.dim.max(1);
        if rows * self.dim != queries.len() {
            return Err(shape(format!("queries of {} values", self.dim), format!("{} values", queries.len())));
        }
        Ok(rows)
    }
}

/// The places that one search may have in all.
const MOST_PLACES: usize = isize::MAX as usize / 8;

/// Skip lists, if there is one for each of `rows` queries and each ascends.
fn check_skip(skip: &Lists, rows: usize) -> Result<Skip<'_>> {
    let offsets = &skip.offsets;
    let inside = offsets.windows(2).all(|w| w[0] <= w[1]) && offsets.last().is_none_or(|&end| end <= skip.values.len());
    if skip.len() != rows || !inside {
        return Err(shape(format!("{rows} skip lists"), format!("{} lists", skip.len())));
    }
    match (0..rows).find(|&i| !skip.get(i).is_sorted_by(|a, b| a < b)) {
        Some(i) => Err(shape("ascending skip lists without duplicates", format!("list {i}, which is not"))),
        None => Ok(Skip { offsets, items: &skip.values }),
    }
}

/// A number that no other index has, and that this one did not have before.
fn new_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn shape(expected: impl Into<String>, found: impl ToString) -> Error {
    Error::Shape { op: "index", expected: expected.into(), found: found.to_string() }
}
