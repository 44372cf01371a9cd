//! What one ranker's lists are worth, added up block by block.

use std::ops::Range;

use crate::index::{Found, Lists, NO_ITEM};
use crate::{Error, Result};

use super::bootstrap::Bootstrap;
use super::metrics::Metrics;

/// What one ranker's lists are worth.
pub(super) struct Figures {
    users: u64,
    sums: Vec<f64>,
    pub(super) bootstrap: Option<Bootstrap>,
    /// For each k which item rows were returned.
    returned: Vec<Vec<bool>>,
    ks: Vec<usize>,
}

/// Lists, and what each is worth.
pub(super) struct JudgedLists {
    /// Values of a user.
    width: usize,
    /// The users' values, one user's after the other's.
    values: Vec<f64>,
    /// Places of a list.
    k: usize,
    /// The items that were found, place by place.
    ids: Vec<u32>,
}

impl JudgedLists {
    /// Judges the lists of users `places` of `found`, the first of whom is the `first` of `relevant`.
    pub(super) fn new(
        metrics: &Metrics,
        found: &Found,
        places: Range<usize>,
        relevant: &Lists,
        first: usize,
    ) -> JudgedLists {
        let mut values = Vec::with_capacity(places.len() * metrics.width());
        for (user, place) in (first..).zip(places.clone()) {
            metrics.of_user(found.items(place), relevant.get(user), &mut values);
        }
        let ids = found.ids[places.start * found.k..places.end * found.k].to_vec();
        JudgedLists { width: metrics.width(), values, k: found.k, ids }
    }

    /// The values of each user.
    pub(super) fn users(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }
}

impl Figures {
    pub(super) fn new(metrics: &Metrics, items: usize, bootstrap: Option<Bootstrap>) -> Figures {
        Figures {
            users: 0,
            sums: vec![0.0; metrics.width()],
            bootstrap,
            returned: vec![vec![false; items]; metrics.ks().len()],
            ks: metrics.ks().to_vec(),
        }
    }

    /// Adds the next users.
    pub(super) fn add(&mut self, lists: &JudgedLists) -> Result<()> {
        for values in lists.users() {
            self.users += 1;
            self.sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            if let Some(bootstrap) = &mut self.bootstrap {
                bootstrap.push(values);
            }
        }
        for (&k, returned) in self.ks.iter().zip(&mut self.returned) {
            for list in lists.ids.chunks_exact(lists.k) {
                for &item in list.iter().take(k).take_while(|&&item| item != NO_ITEM) {
                    *returned.get_mut(item as usize).ok_or_else(|| Error::Shape {
                        op: "top_k",
                        expected: "item rows of the dataset's vocabulary".into(),
                        found: format!("row {item}"),
                    })? = true;
                }
            }
        }
        Ok(())
    }

    pub(super) fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.users.max(1) as f64).collect()
    }

    pub(super) fn coverage(&self, at: usize) -> f64 {
        let catalogue = self.returned[at].len().saturating_sub(1).max(1);
        self.returned[at].iter().filter(|&&returned| returned).count() as f64 / catalogue as f64
    }
}
