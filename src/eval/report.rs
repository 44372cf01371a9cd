//! What an evaluation says, as it is printed.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::data::dataset::Split;
use crate::settings::View;

use super::metrics::Metric;

/// A mean over users and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// The lower end of the 95 % bootstrap interval; none where there is no mean over users (coverage), or no
    /// resamples were asked for.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

/// Values with names, in an order that stays: a JSON object.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named(Vec::new())
    }
}

impl<T> Named<T> {
    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// The names and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut named = Named::default();
                while let Some(entry) = map.next_entry()? {
                    named.0.push(entry);
                }
                Ok(named)
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// The figures of a ranker on one split, and what they were made from. As JSON it is the `evaluate` event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(tag = "event", rename = "evaluate")]
pub struct Evaluation {
    /// The split.
    pub split: Split,
    /// What was looked at.
    pub view: View,
    /// Users that the means are over: those with relevant items. 0 where there is [`nothing`](Evaluation::nothing) to
    /// find.
    pub users: u64,
    /// Users of the vocabulary without items in the split.
    pub skipped_users: u64,
    /// Users with items in the split who have them all in training, so that there is nothing that they could discover;
    /// left out. 0 for [`View::Next`].
    pub repeating_users: u64,
    /// Users among `users` that the vocabulary does not have; they are ranked for by their features alone.
    pub cold_users: u64,
    /// Rows of the split.
    pub rows: u64,
    /// Rows whose user is unknown (row 0), so that nobody can be ranked for; left out.
    pub anonymous_rows: u64,
    /// Different pairs of user and item: the sum of |R|.
    pub relevant: u64,
    /// Pairs among them whose item the vocabulary does not have. They count in |R| and can only be missed.
    pub unknown_items: u64,
    /// Different pairs of the split that the training split has too: relevant for [`View::Next`], left out for
    /// [`View::Discovery`].
    pub repeated: u64,
    /// Whether training items may be returned: the view in an older word.
    pub include_seen: bool,
    /// Why there is nothing to find, where that is so: then there are no metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<String>,
    /// `recall@10` and so on, with intervals.
    pub metrics: Named<Estimate>,
    /// The same figures for the items that are most frequent in training.
    pub popularity: Named<f64>,
    /// The same figures for what else needs no model: `popular_7_days` and `popular_28_days`, the items that are most
    /// frequent in the last days of training (where there are times), `item_knn`, the neighbours of what a user has.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub baselines: Named<Named<f64>>,
    /// What each metric means.
    pub definitions: Named<String>,
}

fn is_empty<T>(named: &Named<T>) -> bool {
    named.0.is_empty()
}

impl Evaluation {
    /// The value of a metric such as `ndcg@20`.
    pub fn value(&self, metric: &str) -> Option<f64> {
        self.metrics.get(metric).map(|estimate| estimate.value)
    }
}

/// How each figure is defined, as it is printed.
pub(super) fn definitions(view: View) -> Named<String> {
    let (which, seen) = match view {
        View::Next => ("", "the user's training items may be returned"),
        View::Discovery => (" that the user does not have in training", "the user's training items are not returned"),
    };
    let relevant = format!(
        "the user's distinct items in the split{which}, unknown items included; full catalogue; {seen}; ties by item row"
    );
    let mut named = Named(vec![("R".to_owned(), relevant)]);
    named.0.extend(Metric::ALL.map(|metric| (metric.to_string(), metric.definition().to_owned())));
    named.0.push(("coverage".to_owned(), "distinct items returned to the users / items of the vocabulary".to_owned()));
    named.0.push(("interval".to_owned(), "95 % percentile bootstrap over users".to_owned()));
    named
}
