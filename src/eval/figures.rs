//! What one ranker's lists are worth, added up block by block.

use crate::index::{Found, Lists};
use crate::threads::Threads;
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

/// The values of a block's users, in their order; the block's first user is the `first` of `relevant`.
pub(super) fn of_users(
    threads: &Threads,
    metrics: &Metrics,
    found: &Found,
    relevant: &Lists,
    first: usize,
) -> Vec<Vec<f64>> {
    let users = found.ids.len() / found.k;
    threads.map(vec![(); users], 64, |i, ()| {
        let mut values = Vec::with_capacity(metrics.width());
        metrics.of_user(found.items(i), relevant.get(first + i), &mut values);
        values
    })
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

    /// Adds a block, whose first user is the `first` of `relevant`.
    pub(super) fn add(
        &mut self,
        threads: &Threads,
        metrics: &Metrics,
        found: &Found,
        relevant: &Lists,
        first: usize,
    ) -> Result<()> {
        let users = found.ids.len() / found.k;
        self.users += users as u64;
        // Values are made in parallel and added in the order of the users.
        for values in of_users(threads, metrics, found, relevant, first) {
            self.sums.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value);
            if let Some(bootstrap) = &mut self.bootstrap {
                bootstrap.push(&values);
            }
        }
        for (&k, returned) in self.ks.iter().zip(&mut self.returned) {
            for i in 0..users {
                for &item in found.items(i).iter().take(k) {
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
