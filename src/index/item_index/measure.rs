//! How much of the true best a search finds.

use serde::{Deserialize, Serialize};

use super::admit::Admitted;
use super::{Filter, IndexKind, ItemIndex};
use crate::Result;
use crate::index::Found;
use crate::rng::Rng;

/// Mean recall over queries: the part of each query's true best k (by score) that was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// The mean.
    pub value: f64,
    /// The lower end of its 95 % interval (normal approximation over queries).
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Where the queries of a measurement come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuerySource {
    /// They were given: embeddings of users, as a rule.
    Given,
    /// Items stood in for them: none were given. Real queries may find less, or more.
    Items,
}

/// Recall where only a part of the items is admitted, chosen at random.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FilteredRecall {
    /// The part, from 0 to 1.
    pub admitted: f64,
    /// The recall among the admitted.
    pub recall: Recall,
}

/// What a measurement found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measured {
    /// Recall at the index's k.
    pub recall: Recall,
    /// Queries that it is the mean of. The index was set with others.
    pub queries: usize,
    /// Where they come from.
    pub source: QuerySource,
    /// The part of all items whose codes a query reads, on average.
    pub items_read: f64,
    /// Recall under filters.
    pub filtered: Vec<FilteredRecall>,
    /// Items that there were.
    pub items: u64,
}

/// Parts of the items that recall is measured under.
const PARTS: [f64; 3] = [0.01, 0.1, 0.5];
/// Queries of a measurement under a filter, at most.
const FILTERED: usize = 250;
/// Marks the random numbers of filters.
const ADMIT: u64 = u64::from_le_bytes(*b"admit\0\0\0");

impl Recall {
    /// Of the recalls of single queries.
    pub(super) fn of(each: &[f64]) -> Recall {
        let n = each.len().max(1) as f64;
        let value = each.iter().sum::<f64>() / n;
        let variance = each.iter().map(|x| (x - value) * (x - value)).sum::<f64>() / (n - 1.0).max(1.0);
        let half = 1.96 * (variance / n).sqrt();
        Recall { value, low: (value - half).max(0.0), high: (value + half).min(1.0) }
    }
}

/// The recall of each query: `found` beside the `best`. Places count by score: of items with one score any will do.
pub(super) fn recalls(found: &Found, best: &Found) -> Vec<f64> {
    let k = best.k.max(1);
    let one = |(found, best): (&[f32], &[f32])| {
        let there = best.iter().filter(|score| **score > f32::NEG_INFINITY).count();
        match there {
            0 => 1.0,
            _ => found.iter().filter(|score| **score >= best[there - 1]).count().min(there) as f64 / there as f64,
        }
    };
    found.scores.chunks(k).zip(best.scores.chunks(k)).map(one).collect()
}

impl ItemIndex {
    /// Measures recall again, with the queries that the index keeps, among the items of now; exact indexes answer `None`.
    ///
    /// # Errors
    /// Whatever searching gives.
    pub fn measure(&mut self) -> Result<Option<&Measured>> {
        let Some(before) = &self.about.measured else { return Ok(None) };
        let source = before.source;
        let (_, held) = halves(&self.queries, self.dim);
        let measured = self.measured(&held, source)?;
        Ok(Some(self.about.measured.insert(measured)))
    }

    /// Why the index should be built anew; absent where it need not be.
    pub fn rebuild_advised(&self) -> Option<String> {
        let IndexKind::Approx { recall } = self.about.kind else { return None };
        let measured = self.about.measured.as_ref()?;
        if measured.recall.value < f64::from(recall) {
            return Some(format!("its recall is {:.3}, below the target of {recall}", measured.recall.value));
        }
        let changed = self.about.added + self.about.removed;
        (5 * changed > measured.items)
            .then(|| format!("{changed} items were added or removed since its {} were laid out", measured.items))
    }

    pub(super) fn measured(&self, queries: &[f32], source: QuerySource) -> Result<Measured> {
        let (rows, k) = (queries.len() / self.dim, self.about.k);
        let (found, read) = self.search_counted(queries, k, &Filter::default())?;
        let best = self.search_exactly(queries, k, None)?;
        let mut filtered = Vec::new();
        for part in PARTS {
            let only = self.part(part)?;
            let some = &queries[..rows.min(FILTERED) * self.dim];
            let found = self.search(some, k, &Filter { only: Some(&only), ..Filter::default() })?;
            let best = self.search_exactly(some, k, Some(&only))?;
            filtered.push(FilteredRecall { admitted: part, recall: Recall::of(&recalls(&found, &best)) });
        }
        Ok(Measured {
            recall: Recall::of(&recalls(&found, &best)),
            queries: rows,
            source,
            items_read: read as f64 / (rows.max(1) * self.len().max(1)) as f64,
            filtered,
            items: self.len() as u64,
        })
    }

    /// A random part of the items.
    fn part(&self, part: f64) -> Result<Admitted> {
        let mut rng = Rng::at(self.about.seed, &[ADMIT, part.to_bits()]);
        let mut words = |places: usize| -> Vec<u32> {
            let mut bit = |j: usize| u32::from((rng.next_u64() as f64) < part * 2f64.powi(64)) << j;
            (0..places).step_by(32).map(|at| (0..32.min(places - at)).fold(0, |word, j| word | bit(j))).collect()
        };
        let (mut base, tail) = (words(self.base.len()), words(self.tail.len()));
        if let Some(alive) = &self.alive {
            base.iter_mut().zip(alive).for_each(|(word, alive)| *word &= alive);
        }
        self.admitted(base, tail)
    }
}

/// Every other query, and the others.
pub(super) fn halves(queries: &[f32], dim: usize) -> (Vec<f32>, Vec<f32>) {
    let part = |odd: usize| queries.chunks_exact(dim).skip(odd).step_by(2).flatten().copied().collect();
    (part(0), part(1))
}
