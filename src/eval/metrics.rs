//! What one user's list is worth.
//!
//! R is the set of the user's relevant items, `hits` the relevant ones among the first k of the list. A list that is
//! shorter than k is treated as if its last places held irrelevant items.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The largest k that is evaluated.
pub use crate::settings::MAX_K;

/// Whether a list may have this length.
///
/// # Errors
/// [`Error::Config`] where it may not.
pub fn check_k(k: usize) -> Result<()> {
    crate::settings::limits::list_length(&k).map_err(|reason| Error::config("k", reason))
}

/// A metric of one user's list. The figure of a split is its mean over users (macro).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// hits / |R|. Not capped: with |R| > k even the best list stays below 1.
    Recall,
    /// The sum of 1 / log2(rank + 1) over hits, divided by the same sum over the first min(k, |R|) ranks.
    Ndcg,
    /// The sum of the precision at each hit's rank, divided by min(k, |R|).
    Map,
    /// 1 / rank of the first hit; 0 without one.
    Mrr,
    /// 1 with a hit, 0 without.
    HitRate,
    /// hits / k, also where fewer than k items can be returned.
    Precision,
}

impl Metric {
    /// Every metric, in the order in which they are printed.
    pub const ALL: [Metric; 6] =
        [Metric::Recall, Metric::Ndcg, Metric::Map, Metric::Mrr, Metric::HitRate, Metric::Precision];

    /// `recall`, `ndcg`, `map`, `mrr`, `hit_rate` or `precision`; `@k` follows in reports.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Recall => "recall",
            Metric::Ndcg => "ndcg",
            Metric::Map => "map",
            Metric::Mrr => "mrr",
            Metric::HitRate => "hit_rate",
            Metric::Precision => "precision",
        }
    }

    /// The definition in one line, for reports.
    pub fn definition(self) -> &'static str {
        match self {
            Metric::Recall => "hits / |R|, not capped at k; mean over users",
            Metric::Ndcg => "binary gains, discount 1/log2(rank+1), ideal list of min(k,|R|) items; mean over users",
            Metric::Map => "sum of the precision at each hit / min(k,|R|); mean over users",
            Metric::Mrr => "1 / rank of the first hit, 0 without one; mean over users",
            Metric::HitRate => "share of users with a hit",
            Metric::Precision => "hits / k; mean over users",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Metric::ALL.into_iter().find(|m| m.name() == text).ok_or_else(|| {
            Error::config("metric", format!("`{text}` is not one of recall, ndcg, map, mrr, hit_rate, precision"))
        })
    }
}

/// Computes every metric at several k, with the discounts looked up.
#[derive(Clone, Debug)]
pub struct Metrics {
    ks: Vec<usize>,
    /// `ideal[n]`: the sum of the first n discounts.
    ideal: Vec<f64>,
}

impl Metrics {
    /// Prepares for these k.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no k, one is 0 or above [`MAX_K`], or one stands twice.
    pub fn new(ks: &[usize]) -> Result<Metrics> {
        let bad = |reason: String| Err(Error::config("k", reason));
        for (i, &k) in ks.iter().enumerate() {
            check_k(k)?;
            if ks[..i].contains(&k) {
                return bad(format!("{k} stands twice"));
            }
        }
        let Some(&max) = ks.iter().max() else {
            return bad("no list length given; 10 and 20 are usual".into());
        };
        let mut ideal = vec![0.0; max + 1];
        for n in 0..max {
            ideal[n + 1] = ideal[n] + discount(n + 1);
        }
        Ok(Metrics { ks: ks.to_vec(), ideal })
    }

    /// The k, in the order given.
    pub fn ks(&self) -> &[usize] {
        &self.ks
    }

    /// The largest k: the length of the lists that are needed.
    pub fn max_k(&self) -> usize {
        self.ideal.len() - 1
    }

    /// Values per user: k x [`Metric::ALL`].
    pub fn width(&self) -> usize {
        self.ks.len() * Metric::ALL.len()
    }

    /// The names of the values, such as `recall@10`, in their order: for each k every metric.
    pub fn names(&self) -> impl Iterator<Item = (Metric, usize)> {
        self.ks.iter().flat_map(|&k| Metric::ALL.into_iter().map(move |metric| (metric, k)))
    }

    /// One user's values, each in [0, 1], in the order of [`names`](Metrics::names): appended to `out`.
    ///
    /// `list` holds the items found, best first, none twice. `relevant` holds R ascending and unique. An empty R gives
    /// zeros; such users are not to be averaged over.
    pub fn of_user(&self, list: &[u32], relevant: &[u32], out: &mut Vec<f64>) {
        let found = list.iter().enumerate().filter(|(_, item)| relevant.binary_search(item).is_ok());
        self.of_hits(found.map(|(place, _)| place), relevant.len(), out);
    }

    /// [`of_user`](Metrics::of_user) from the places (from 0, ascending) of the list's hits and |R|.
    pub(super) fn of_hits(&self, places: impl Iterator<Item = usize> + Clone, relevant: usize, out: &mut Vec<f64>) {
        for &k in &self.ks {
            let (mut hits, mut gain, mut precisions, mut first) = (0_usize, 0.0, 0.0, 0.0);
            for place in places.clone().take_while(|&place| place < k) {
                let rank = place + 1;
                hits += 1;
                gain += discount(rank);
                precisions += hits as f64 / rank as f64;
                if hits == 1 {
                    first = 1.0 / rank as f64;
                }
            }
            let best = k.min(relevant);
            let part = |value: f64, of: f64| if of > 0.0 { (value / of).min(1.0) } else { 0.0 };
            for metric in Metric::ALL {
                out.push(match metric {
                    Metric::Recall => part(hits as f64, relevant as f64),
                    Metric::Ndcg => part(gain, self.ideal[best]),
                    Metric::Map => part(precisions, best as f64),
                    Metric::Mrr => first,
                    Metric::HitRate => f64::from(u8::from(hits > 0)),
                    Metric::Precision => hits as f64 / k as f64,
                });
            }
        }
    }
}

/// What a hit at `rank` (from 1) adds to the gain.
fn discount(rank: usize) -> f64 {
    1.0 / ((rank + 1) as f64).log2()
}
