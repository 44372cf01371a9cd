//! What one ranker's lists are worth, added up block by block.

use std::ops::Range;

use crate::index::{Found, Hits, Lists, NO_ITEM};
use crate::{Error, Result};

use super::bootstrap::Bootstrap;
use super::metrics::Metrics;

/// What is known of the lists of a block of users: the lists, or their hits, where those were counted as lists were made.
pub(super) enum Ranked {
    Lists(Found),
    Hits(Hits),
}

/// What one ranker's lists are worth.
pub(super) struct Figures {
    users: u64,
    sums: Vec<f64>,
    pub(super) bootstrap: Option<Bootstrap>,
    /// By item row, the first place that it had in any list; `u32::MAX` where it had none.
    first_places: Vec<u32>,
    ks: Vec<usize>,
}

/// What each of some lists is worth.
pub(super) struct JudgedLists {
    /// Values of a user.
    width: usize,
    /// The users' values, one user's after the other's.
    values: Vec<f64>,
    /// Places of a list.
    k: usize,
    /// The items that were found, place by place. None where hits were counted.
    ids: Vec<u32>,
}

impl JudgedLists {
    /// Judges the lists of users `places` of `ranked`, the first of whom is the `first` of `relevant`.
    pub(super) fn new(
        metrics: &Metrics,
        ranked: &Ranked,
        places: Range<usize>,
        relevant: &Lists,
        first: usize,
    ) -> JudgedLists {
        let mut values = Vec::with_capacity(places.len() * metrics.width());
        for (user, place) in (first..).zip(places.clone()) {
            let relevant = relevant.get(user);
            match ranked {
                Ranked::Lists(found) => metrics.of_user(found.items(place), relevant, &mut values),
                Ranked::Hits(hits) => metrics.of_hits(hits.places(place), relevant.len(), &mut values),
            }
        }
        let (k, ids) = match ranked {
            Ranked::Lists(found) => (found.k, found.ids[places.start * found.k..places.end * found.k].to_vec()),
            Ranked::Hits(hits) => (hits.k, Vec::new()),
        };
        JudgedLists { width: metrics.width(), values, k, ids }
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
            first_places: vec![u32::MAX; items],
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
        for list in lists.ids.chunks_exact(lists.k) {
            let there = list.iter().take_while(|&&item| item != NO_ITEM);
            there.zip(0..).try_for_each(|(&item, place)| self.returned(item as usize, place))?;
        }
        Ok(())
    }

    /// Adds where items came first in lists whose hits were counted: by item row, `u32::MAX` for nowhere.
    pub(super) fn add_places(&mut self, first_places: &[u32]) -> Result<()> {
        let places = first_places.iter().enumerate();
        places.filter(|&(_, &place)| place != u32::MAX).try_for_each(|(item, &place)| self.returned(item, place))
    }

    /// An item was returned at a place.
    fn returned(&mut self, item: usize, place: u32) -> Result<()> {
        let first = self.first_places.get_mut(item).ok_or_else(|| Error::Shape {
            op: "top_k",
            expected: "item rows of the dataset's vocabulary".into(),
            found: format!("row {item}"),
        })?;
        *first = place.min(*first);
        Ok(())
    }

    pub(super) fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.users.max(1) as f64).collect()
    }

    pub(super) fn coverage(&self, at: usize) -> f64 {
        let catalogue = self.first_places.len().saturating_sub(1).max(1);
        let returned = self.first_places.iter().filter(|&&place| (place as usize) < self.ks[at]).count();
        returned as f64 / catalogue as f64
    }
}
