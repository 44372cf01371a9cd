//! The settings that win on a dataset, found by a search.
//!
//! A search tries settings on the validation split by successive halving: many short trainings, the best quarter goes on from
//! its own checkpoints, and so to the end of their epochs. What is tried is drawn by chance first, then where the good
//! ones were (Parzen estimator). At last the winner is trained on the training and validation rows
//! together. The test split is not read.
//!
//! A search is exact: the same seed gives the same trials and the same figures for any number of trials side by side, and a
//! killed one goes on to the same end. (With a time limit, how many trials there are depends on the host's speed; it is
//! settled once and kept.)

mod axis;
mod charts;
mod events;
mod found;
mod html;
mod ladder;
mod output;
mod page;
mod plan;
mod rows;
mod run;
mod sample;
mod search;
mod space;
mod state;
mod suggest;
mod table;
mod trial;
mod worth;

pub use axis::{Axis, Range, Scale};
pub use events::{TuneEvent, TuneSummary};
pub use found::{Best, SearchReport, found, unfinished};
pub(crate) use output::WORK;
pub use plan::SearchPlan;
pub use run::{Tune, forget, tune};
pub use space::{Chosen, Space};
pub use state::{Figure, Trial};

use crate::eval::Metric;
use crate::eval::metrics::check_k;
use crate::settings::View;

/// A metric as it is asked for: `ndcg@10`, `next.recall@20`, and in which view, where that is said.
pub(crate) fn metric(text: &str) -> Result<(Option<View>, Metric, usize), String> {
    let parsed = || {
        let (view, name) = match text.split_once('.') {
            Some((view, name)) => (Some(view.parse().ok()?), name),
            None => (None, text),
        };
        let (name, k) = name.split_once('@')?;
        Some((view, name.parse().ok()?, k.parse().ok().filter(|&k| check_k(k).is_ok())?))
    };
    parsed().ok_or_else(|| {
        format!(
            "`{text}` is not a metric; use recall, ndcg, map, mrr, hit_rate or precision with @k, as in ndcg@10, optionally \
             with a view, as in next.ndcg@10"
        )
    })
}
