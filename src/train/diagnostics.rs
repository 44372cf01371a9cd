//! Is this model any good, and if training failed, why: what people otherwise find out in production.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::backend::{Backend, TableData};
use crate::data::dataset::{Dataset, Split};
use crate::eval::{Estimate, Evaluation};
use crate::index::diversity::{Diversity, ListCounter};
use crate::index::{Ranker, sample_users};
use crate::model::core::Core;
use crate::model::inputs::ModelBatch;
use crate::settings::View;
use crate::{Error, Result};

/// Users whose lists are compared with each other.
const SAMPLE: usize = 10_000;

/// What the trained model looks like.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnostics {
    /// The split that `metrics` were measured on, where there is one.
    pub split: Option<Split>,
    /// The view that `metrics` are of: the first one that has anything to find.
    pub view: Option<View>,
    /// The model's figures on it.
    pub metrics: BTreeMap<String, f64>,
    /// The 95 % bootstrap intervals of those that are means over users.
    pub intervals: BTreeMap<String, [f64; 2]>,
    /// The popularity baseline's figures on it.
    pub popularity: BTreeMap<String, f64>,
    /// Every view that was looked at, those without anything to find included.
    pub evaluations: Vec<Evaluation>,
    /// How alike the top-10 lists of (up to 10,000) users are.
    #[serde(flatten)]
    pub lists: Diversity,
    /// Seconds by which the training split reaches past the first test row; 0 when they do not overlap or there are no
    /// timestamps.
    pub train_test_overlap_seconds: i64,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

impl Diagnostics {
    pub(super) fn new(dataset: &Dataset, evaluations: Vec<Evaluation>, lists: Diversity) -> Diagnostics {
        let train_end = dataset.split(Split::Train).last_timestamp;
        let test_start = dataset.split(Split::Test).first_timestamp;
        let overlap = match (train_end, test_start) {
            (Some(end), Some(start)) => end.saturating_sub(start).max(0),
            _ => 0,
        };
        let interval = |metric: &Estimate| metric.low.zip(metric.high).map(|(low, high)| [low, high]);
        let found = || evaluations.iter().filter(|evaluation| evaluation.nothing.is_none());
        let (split, view, metrics, intervals, popularity) = match found().next() {
            Some(e) => (
                Some(e.split),
                Some(e.view),
                e.metrics.iter().map(|(name, metric)| (name.clone(), metric.value)).collect(),
                e.metrics.iter().filter_map(|(name, metric)| Some((name.clone(), interval(metric)?))).collect(),
                e.popularity.iter().map(|(name, value)| (name.clone(), *value)).collect(),
            ),
            None => (None, None, BTreeMap::new(), BTreeMap::new(), BTreeMap::new()),
        };
        let mut warnings = Vec::new();
        if lists.users > 1 && lists.most_common_share > 0.5 {
            warnings.push(format!(
                "{:.0} % of the users get the same list: the model has collapsed; check the temperature and logq",
                100.0 * lists.most_common_share
            ));
        }
        let one = found().count() == 1;
        for evaluation in found() {
            let (model, baseline) = (evaluation.value("ndcg@10"), evaluation.popularity.get("ndcg@10").copied());
            if let (Some(model), Some(baseline)) = (model, baseline)
                && model <= baseline
            {
                let view = if one { String::new() } else { format!(" in the view `{}`", evaluation.view) };
                warnings.push(format!(
                    "the model does not beat the popularity baseline{view}: ndcg@10 {model:.4}, popularity {baseline:.4}"
                ));
            }
        }
        if overlap > 0 {
            warnings.push(format!(
                "training rows extend {:.1} days past the first test row: metrics are optimistic if time matters",
                overlap as f64 / 86_400.0
            ));
        }
        Diagnostics {
            split,
            view,
            metrics,
            intervals,
            popularity,
            evaluations,
            lists,
            train_test_overlap_seconds: overlap,
            warnings,
        }
    }
}

/// How alike the top-10 lists of a sample of users are, evenly spaced over the vocabulary, seen items left out.
pub(super) fn diversity(dataset: &Dataset, ranker: &mut dyn Ranker) -> Result<Diversity> {
    let mut counter = ListCounter::default();
    for (users, seen) in sample_users(dataset, SAMPLE, ranker.history_len())? {
        counter.push(&ranker.top_k(&users, 10, Some(&seen))?);
    }
    Ok(counter.diversity())
}

/// The error for a loss that is NaN or infinite: looks where the first bad number stands, in the outputs only while they
/// are those of the `batch` in question.
pub(super) fn non_finite<B: Backend>(
    core: &Core<B>,
    loss: f32,
    batch: Option<&ModelBatch>,
    step: u64,
) -> Result<Error> {
    let mut scale = [0.0];
    core.backend.read(&mut scale, &core.log_scale.value, 0)?;
    let output = |tower: &crate::model::tower::Tower<B>, rows: usize| -> Result<bool> {
        let values = core.backend.host(tower.output(), rows * tower.spec.dim)?;
        Ok(values.iter().all(|x| x.is_finite()))
    };
    let all = |rows: fn(&ModelBatch) -> usize| batch.map_or(0, rows);
    let cause = if batch.is_some_and(|batch| batch.weights.iter().any(|w| !w.is_finite())) {
        "a sample weight of the batch is not finite".to_owned()
    } else if !scale[0].exp().is_finite() || scale[0].exp() == 0.0 {
        format!("the temperature became {}; lower optimizer.lr or fix the temperature", (-scale[0]).exp())
    } else if !output(&core.user, all(|batch| batch.rows))? {
        "the user tower's outputs overflowed; lower optimizer.lr or set optimizer.clip_norm".to_owned()
    } else if !output(&core.item, all(|batch| batch.candidates.len()))? {
        "the item tower's outputs overflowed; lower optimizer.lr or set optimizer.clip_norm".to_owned()
    } else if batch.is_none() {
        "outputs or scores overflowed; lower optimizer.lr, set optimizer.clip_norm or raise model.temperature"
            .to_owned()
    } else {
        "the scores overflowed; raise model.temperature, set model.normalize or lower optimizer.lr".to_owned()
    };
    Ok(Error::NonFinite { what: format!("the loss ({loss})"), step, cause })
}

/// No checkpoint is written with NaN or infinity in it.
pub(super) fn check_finite<B: Backend>(core: &Core<B>, step: u64) -> Result<()> {
    let b = &core.backend;
    let bad = |what: &str| Error::NonFinite {
        what: format!("parameter {what}"),
        step,
        cause: "an update overflowed; lower optimizer.lr, raise optimizer.eps or set optimizer.clip_norm".into(),
    };
    for (spec, table) in core.spec.tables.iter().zip(&core.tables) {
        let len = spec.rows * spec.dim;
        let finite = match &table.data {
            TableData::F32(buf) => b.host(buf, len)?.iter().all(|x| x.is_finite()),
            TableData::Bf16(buf) => b.host(buf, len)?.iter().all(|x| x.is_finite()),
            TableData::F16(buf) => b.host(buf, len)?.iter().all(|x| x.is_finite()),
        };
        if !finite {
            return Err(bad(&spec.name));
        }
    }
    for dense in core.dense() {
        if !b.host(&dense.value, dense.len)?.iter().all(|x| x.is_finite()) {
            return Err(bad(&dense.name));
        }
    }
    Ok(())
}
