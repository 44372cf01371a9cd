//! What is searched where nobody says: what was seen to matter, as far as the data has it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::axis::{Axis, Range, Scale};
use super::space::{Chosen, Space, as_written, value_of, with};
use crate::Device;
use crate::config::{Config, Negatives, Resolved};
use crate::data::dataset::Dataset;
use crate::data::dataset::LATE;
use crate::data::shape::Shape;
use crate::model::spec::ModelSpec;
use crate::settings::top_k_cost;

/// Numbers of candidates are searched up to what makes a training take so many times as long as the defaults'.
const DEARER: f64 = 4.0;
/// The same on a GPU, which scores thousands of candidates in the time of a few hundred.
const DEARER_ON_A_GPU: f64 = 64.0;
/// Wider embeddings are tried where a user's items tell so many times what popularity tells, and where items are so few that
/// serving stays cheap (`benches/results/defaults.md`, "Wider embeddings").
const WIDE_LIFT: f64 = 3.0;
const FEW_ITEMS: u64 = 20_000;
/// What an example costs beside its scores, in candidates, and what an item of a history does (MovieLens-1M, on one core).
const OTHERS: f64 = 100.0;
const OF_HISTORY: f64 = 5.0;
/// The same on a GPU.
const OTHERS_ON_A_GPU: f64 = 4096.0;
/// K of SoftmaxLoss@K, where it is tried.
const TOP_K: usize = 20;

/// The space for a dataset, without what is `fixed`, and what `config` sets to something else than its default.
pub(super) fn space(
    dataset: &Dataset,
    config: &Config,
    fixed: &BTreeSet<String>,
    shape: &Shape,
    defaults: &Resolved,
) -> Space {
    let manifest = dataset.manifest();
    let log = |from: f64, to: f64| Axis::Range(Range { from, to, scale: Scale::Log, whole: false });
    let even = |from: f64, to: f64| Axis::Range(Range { from, to, scale: Scale::Linear, whole: false });
    let list = |values: &[Value]| Axis::Choices(values.to_vec());
    let dearer = if matches!(config.train.device, Device::Cuda(_)) { DEARER_ON_A_GPU } else { DEARER };
    let epochs = defaults.epochs();
    let mut all = vec![
        ("model.temperature", log(0.04, 0.4)),
        ("model.popularity", even(0.0, 1.0)),
        ("optimizer.lr", log(0.003, 0.03)),
        ("optimizer.weight_decay", log(0.1, 10.0)),
        ("train.epochs", list(&[epochs.div_ceil(3), epochs.div_ceil(2), epochs, 2 * epochs].map(|n| json!(n)))),
        ("train.batch_size", batches(defaults, shape.rows, dearer)),
        ("model.user.id", list(&[json!(true), json!(false)])),
        ("model.user.history", list(&histories(shape))),
    ];
    if f64::from(manifest.items.rows) < dearer * 512.0 || defaults.negatives() == Negatives::Full {
        all.push(("loss.negatives", list(&[json!("in-batch"), json!("full")])));
    }
    if top_k_cost(shape) < 512.0 * epochs as f64 {
        all.push(("loss.top_k", list(&[json!(0), json!(TOP_K)])));
    }
    if shape.items <= FEW_ITEMS
        && shape.held_out.is_some_and(|held_out| held_out.neighbours >= WIDE_LIFT * held_out.popularity)
    {
        all.push(("model.dim", list(&[1, 2, 4].map(|times| json!(times * defaults.model.dim)))));
    }
    for (key, side) in [("model.user.features", &manifest.users), ("model.item.features", &manifest.items)] {
        if !side.features.is_empty() {
            all.push((key, list(&[json!("all"), json!("none")])));
        }
    }
    if !manifest.users.features.is_empty() || !manifest.items.features.is_empty() {
        let hidden = 2 * defaults.model.dim;
        all.push(("model.user.mlp", list(&[json!([]), json!([hidden])])));
        all.push(("model.item.mlp", list(&[json!([]), json!([hidden])])));
    }
    let asked = serde_json::to_value(config).unwrap_or_default();
    let default = serde_json::to_value(Config::default()).unwrap_or_default();
    all.retain(|(key, _)| !fixed.contains(*key) && value_of(&asked, key) == value_of(&default, key));
    Space(all.into_iter().map(|(key, axis)| (key.to_owned(), axis)).collect())
}

/// How many of a user's last items may be read: few where the last ones say more than others.
fn histories(shape: &Shape) -> Vec<Value> {
    let say_more = shape.next.is_some_and(|next| next.last > next.earlier);
    let in_order = (shape.is_ordered() || say_more) && shape.later.is_none_or(|later| later >= LATE);
    let lengths: &[u64] = if in_order { &[0, 1, 2, 3, 5, 20] } else { &[0, 50] };
    lengths.iter().map(|n| json!(n)).collect()
}

/// Sizes of batches: powers of two from 256 as long as they do not make a run too dear.
fn batches(defaults: &Resolved, rows: u64, dearer: f64) -> Axis {
    let usual = defaults.batch_size();
    let sizes = (8..=13).map(|power| 1usize << power);
    let fits = |&size: &usize| size as u64 * 8 <= rows.max(1) && (size as f64) < dearer * 512.0 + usual as f64;
    let mut sizes: Vec<usize> = sizes.filter(fits).chain([usual]).collect();
    sizes.sort_unstable();
    sizes.dedup();
    Axis::Choices(sizes.into_iter().map(|size| json!(size)).collect())
}

/// How many times as long as with the defaults a training takes, by what it scores; None where the settings make no model of
/// this dataset.
pub(super) fn cost(dataset: &Dataset, shape: &Shape, config: &Config, chosen: &Chosen) -> Option<f64> {
    let manifest = dataset.manifest();
    let tried = with(config, chosen).ok().filter(|tried| tried.validate().is_ok())?;
    let resolved = tried.for_shape(shape);
    ModelSpec::new(&resolved, &manifest.users, &manifest.items).ok()?;
    let work = |resolved: &Resolved| {
        let batch = resolved.batch_size();
        let candidates = match resolved.negatives() {
            Negatives::InBatch => batch,
            Negatives::InBatchUniform(more) | Negatives::CrossBatch(more) => batch + more,
            Negatives::Full => manifest.items.rows as usize,
        };
        let others = if matches!(config.train.device, Device::Cuda(_)) { OTHERS_ON_A_GPU } else { OTHERS };
        let history = OF_HISTORY * resolved.history() as f64;
        let ranked = if resolved.top_k() > 0 { top_k_cost(shape) } else { 0.0 };
        ((candidates as f64 + others + history) * resolved.epochs() as f64 + ranked) * resolved.model.dim as f64
    };
    Some(work(&resolved) / work(&config.for_shape(shape)))
}

/// The defaults' values of what is searched.
pub(super) fn defaults(space: &Space, resolved: &Resolved) -> Chosen {
    let all = serde_json::to_value(resolved.config()).unwrap_or_default();
    space.0.keys().map(|key| (key.clone(), as_written(value_of(&all, key)))).collect()
}
