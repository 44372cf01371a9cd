//! The whole model against finite differences: every kind of input, layer and candidate at once.

use std::sync::Arc;

use super::core::{Core, Fresh};
use super::inputs::{ModelBatch, ModelInputs};
use super::negatives::NegativeSampler;
use super::spec::ModelSpec;
use super::step::Stepper;
use crate::backend::cpu::Cpu;
use crate::backend::{Memory, OptimizerStep, Queue, TableData};
use crate::config::{Combine, Config, LogQ, Negatives, OptimizerKind, Precision, Resolved};
use crate::data::batch::{Cursor, Prepare, Rows};
use crate::data::dataset::{EntityInfo, Feature, FeatureKind, FileInfo};
use crate::data::history::History;
use crate::data::shape::Shape;
use crate::data::vocabulary::FeatureColumn;
use crate::data::writer::ShardWriter;
use crate::index::UserBlock;
use crate::model::features::FeatureRows;
use crate::threads::Threads;

const USERS: [u32; 6] = [1, 2, 3, 1, 2, 3];
const ITEMS: [u32; 6] = [1, 2, 3, 4, 2, 1];
const TIMES: [i64; 6] = [10, 11, 12, 20, 21, 22];
const WEIGHTS: [f32; 6] = [1.0, 0.5, 2.0, 1.0, 0.0, 1.5];
/// Training rows by item row.
const COUNTS: [u64; 5] = [0, 2, 2, 1, 1];

fn entities(rows: u32, features: Vec<Feature>) -> EntityInfo {
    let file = FileInfo { name: "none.arrow".into(), rows: rows.into(), bytes: 0, xxh3: None, footer: None };
    EntityInfo { rows, unseen: 0, unseen_valid: 0, file, unseen_file: None, features }
}

fn feature(name: &str, list: bool) -> Feature {
    let values = vec!["a".into(), "b".into()];
    let kind = match list {
        true => FeatureKind::MultiHot { separator: "|".into(), values },
        false => FeatureKind::Categorical { values },
    };
    Feature { name: name.into(), kind }
}

/// Plain SGD: a step of rate 1 moves a parameter by its gradient.
fn sgd(lr: f32) -> OptimizerStep {
    OptimizerStep {
        kind: OptimizerKind::Sgd,
        lr,
        beta1: 0.0,
        beta2: 0.0,
        eps: 0.0,
        weight_decay: 0.0,
        number: 1,
        seed: 0,
        grad_scale: 1.0,
    }
}

struct Case {
    config: Resolved,
    core: Core<Cpu>,
    stepper: Stepper<Cpu>,
    inputs: ModelInputs,
    batch: ModelBatch,
}

impl Case {
    /// Popularity that is left open adds nothing here.
    fn new(config: &Config) -> Case {
        let mut config = config.clone();
        config.model.popularity.get_or_insert(0.0);
        config.train.batch_size = Some(6);
        let config = &config.for_shape(&Shape::default());
        let users = entities(4, vec![feature("age", false)]);
        let items = entities(5, vec![feature("brand", false), feature("genres", true)]);
        let spec = ModelSpec::new(config, &users, &items).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ShardWriter::create(folder.path(), "train", true, false);
        writer.push(&USERS, &ITEMS, &TIMES, &[]).unwrap();
        let shards: Vec<_> = writer.finish().unwrap().iter().map(|file| folder.path().join(&file.name)).collect();
        let info = History::write(folder.path(), &shards, 4).unwrap();
        let history = History::open(folder.path(), &info, 4, 5).unwrap();
        let inputs = ModelInputs {
            spec: spec.clone(),
            user_features: FeatureRows::new(&spec.user, vec![FeatureColumn::Codes(vec![0, 1, 0, 2])]).unwrap(),
            item_features: vec![
                FeatureColumn::Codes(vec![0, 1, 2, 1, 0]),
                FeatureColumn::Lists { offsets: vec![0, 0, 2, 3, 3, 4], codes: vec![1, 2, 2, 1] },
            ],
            history: Some(Arc::new(history)),
            sampler: NegativeSampler::new(config.negatives(), config.loss.logq, 3, &COUNTS),
            negatives: config.negatives(),
            mask_known: config.loss.mask_known_positives,
        };
        let mut batch = ModelBatch::default();
        let rows = Rows { users: &USERS, items: &ITEMS, timestamps: Some(&TIMES), weights: Some(&WEIGHTS) };
        inputs.prepare(Cursor { epoch: 0, batch: 0 }, rows, &mut batch).unwrap();
        let mut fresh = Fresh { config, seed: 5, threads: &Threads::new(2).unwrap() };
        // Finite differences need all of fp32.
        let cpu = Cpu::new(1, None, Precision::Fp32).unwrap();
        let core = Core::new(cpu, spec, config, &mut fresh, Some(&config.optimizer), &COUNTS).unwrap();
        let stepper = Stepper::new(&core, config, 4, 5).unwrap();
        Case { config: config.clone(), core, stepper, inputs, batch }
    }

    /// One step of SGD with this rate: the loss before it.
    fn step(&mut self, lr: f32) -> f32 {
        let step = sgd(lr);
        self.stepper.step(&mut self.core, &self.inputs.sampler, &mut self.batch, &step, None).unwrap();
        let mut losses = Vec::new();
        self.core.backend.arrived(true, &mut losses).unwrap();
        losses[0]
    }

    fn parameters(&mut self) -> Vec<(String, &mut Vec<f32>)> {
        let Core { tables, spec, user, item, log_scale, .. } = &mut self.core;
        let tables = spec.tables.iter().zip(tables).map(|(spec, table)| match &mut table.data {
            TableData::F32(values) => (spec.name.clone(), values),
            _ => panic!("an fp32 case"),
        });
        let dense = user.dense_mut().chain(item.dense_mut()).chain([log_scale]);
        tables.chain(dense.map(|dense| (dense.name.clone(), &mut dense.value))).collect()
    }
}

fn check(config: &Config) {
    let mut case = Case::new(config);
    let before: Vec<(String, Vec<f32>)> =
        case.parameters().into_iter().map(|(name, values)| (name, values.clone())).collect();
    case.step(1.0);
    let gradients: Vec<Vec<f32>> = case
        .parameters()
        .into_iter()
        .zip(&before)
        .map(|((_, after), (_, before))| before.iter().zip(after.iter()).map(|(b, a)| b - a).collect())
        .collect();
    let dims: Vec<usize> = case.core.spec.tables.iter().map(|table| table.dim).collect();
    let mut checked = 0;
    for (p, (name, values)) in before.iter().enumerate() {
        for i in 0..values.len() {
            // Row 0 of a table is no parameter.
            let dim = dims.get(p).copied().unwrap_or(0);
            if i < dim || (i % 3 != 0 && values.len() > 40) {
                continue;
            }
            let mut at = |x: f32| {
                for (n, (_, to)) in case.parameters().into_iter().enumerate() {
                    to.copy_from_slice(&before[n].1);
                    if n == p {
                        to[i] += x;
                    }
                }
                // A fresh queue and a fresh estimate of q, as for the step under test.
                case.stepper = Stepper::new(&case.core, &case.config, 4, 5).unwrap();
                f64::from(case.step(0.0))
            };
            let eps = 2e-3;
            let numeric = (at(eps) - at(-eps)) / (2.0 * f64::from(eps));
            let analytic = f64::from(gradients[p][i]);
            let tolerance = 2e-3 + 2e-2 * numeric.abs();
            assert!((numeric - analytic).abs() <= tolerance, "{name}[{i}]: {analytic}, numerically {numeric}");
            checked += usize::from(numeric.abs() > 1e-3);
        }
    }
    assert!(checked > 20, "only {checked} gradients differ from zero");
}

fn config() -> Config {
    let mut config = Config::default();
    config.model.dim = 4;
    config.model.init_std = 0.5;
    config.model.temperature = Some(0.7);
    config.model.learn_temperature = true;
    (config.model.user.id, config.model.user.history) = (Some(true), Some(3));
    config.optimizer.name = OptimizerKind::Sgd;
    config
}

#[test]
fn summed_towers_with_history() {
    check(&config());
}

#[test]
fn concatenated_towers_with_mlp() {
    let mut config = config();
    for tower in [&mut config.model.user, &mut config.model.item] {
        tower.combine = Combine::Concat;
        tower.mlp = vec![8];
    }
    check(&config);
}

#[test]
fn unnormalised_concat_without_hidden_layers_and_known_positives_masked() {
    let mut config = config();
    config.model.normalize = false;
    config.model.user.combine = Combine::Concat;
    config.loss.mask_known_positives = true;
    check(&config);
}

#[test]
fn mixed_full_streaming_and_queued_candidates() {
    for (negatives, logq) in [
        (Negatives::InBatchUniform(5), LogQ::Exact),
        (Negatives::Full, LogQ::Exact),
        (Negatives::InBatch, LogQ::Off),
        (Negatives::InBatch, LogQ::Streaming),
        (Negatives::CrossBatch(4), LogQ::Exact),
    ] {
        let mut config = config();
        config.loss.negatives = Some(negatives);
        config.loss.logq = logq;
        check(&config);
    }
}

/// Towers that say nothing leave the popularity alone: the loss and the ranking are known.
#[test]
fn popularity_is_part_of_every_score() {
    let mut config = config();
    config.model.user.history = Some(0);
    config.model.init_std = 0.0;
    config.model.popularity = Some(0.5);
    for (negatives, columns, corrected) in
        [(Negatives::InBatch, &ITEMS[..], 1.0), (Negatives::Full, &[1, 2, 3, 4], 0.0)]
    {
        config.loss.negatives = Some(negatives);
        let mut case = Case::new(&config);
        let log_share = |item: u32| (4.0 * COUNTS[item as usize] as f64 / 6.0).ln();
        let log_q = |item: u32| (COUNTS[item as usize] as f64 / 6.0).ln();
        let score = |item: u32| 0.5 * log_share(item) - corrected * log_q(item);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (&item, &weight) in ITEMS.iter().zip(&WEIGHTS) {
            // The row's own column, and those of other items.
            let others = columns.iter().filter(|&&column| column != item).map(|&column| score(column).exp());
            let all = others.sum::<f64>() + score(item).exp();
            sum += f64::from(weight) * (all.ln() - score(item));
            weights += f64::from(weight);
        }
        let loss = f64::from(case.step(0.0));
        assert!((loss - sum / weights).abs() < 1e-6, "{negatives:?}: {loss}, by hand {}", sum / weights);

        let features = case.inputs.item_features.clone();
        let items = super::rank::embed_items(&mut case.core, &features, &[1, 2, 3, 4]).unwrap();
        assert_eq!(items, [0.0; 16]);
        let biases = super::item_bias::biases(&case.core, &[1, 2, 3, 4]).unwrap().unwrap();
        for (item, &bias) in (1..).zip(&biases) {
            assert!((f64::from(bias) - 0.7 * 0.5 * log_share(item)).abs() < 1e-6, "item {item}: {bias}");
        }
        let users = UserBlock { ids: vec![1, 2], features: vec![FeatureColumn::Codes(vec![1, 0])], history: None };
        let catalogue = super::rank::Catalogue::new(&mut case.core, &features, 5, Some(&[1, 3, 4])).unwrap();
        let found = catalogue.top_k(&mut case.core, &users, 2, None).unwrap();
        assert_eq!(found.ids, [1, 3, 1, 3]);
        assert_eq!(found.scores, [biases[0], biases[2]].repeat(2), "of zeros and the bias");
        assert_eq!(super::rank::embed_users(&mut case.core, &users).unwrap(), [0.0; 8]);
    }
}

#[test]
fn rows_come_sorted_by_item_but_for_a_queue() {
    let sorted = [(1, 1, 1.0), (3, 1, 1.5), (2, 2, 0.5), (2, 2, 0.0), (3, 3, 2.0), (1, 4, 1.0)];
    let given = [0, 1, 2, 3, 4, 5].map(|row| (USERS[row], ITEMS[row], WEIGHTS[row]));
    for (negatives, rows) in [(Negatives::InBatchUniform(3), sorted), (Negatives::CrossBatch(4), given)] {
        let mut config = config();
        config.loss.negatives = Some(negatives);
        let batch = Case::new(&config).batch;
        let found = batch.users.iter().zip(&batch.items).zip(&batch.weights);
        assert_eq!(found.map(|((&user, &item), &weight)| (user, item, weight)).collect::<Vec<_>>(), rows);
        assert_eq!(batch.candidates[..6], batch.items);
        assert!(batch.candidates[6..].is_sorted());
    }
}

#[test]
fn rows_of_the_unknown_item_weigh_nothing() {
    for negatives in [Negatives::InBatch, Negatives::Full] {
        let mut config = config();
        config.loss.negatives = Some(negatives);
        let mut case = Case::new(&config);
        let rows = Rows { users: &USERS, items: &[1, 2, 0, 4, 0, 1], timestamps: Some(&TIMES), weights: None };
        case.inputs.prepare(Cursor { epoch: 0, batch: 0 }, rows, &mut case.batch).unwrap();
        assert_eq!(case.batch.items, [0, 0, 1, 1, 2, 4]);
        assert_eq!(case.batch.weights, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        assert!(case.step(1.0).is_finite());
        assert!(case.parameters().iter().all(|(_, values)| values.iter().all(|x| x.is_finite())));
    }
}

#[test]
fn the_queue_holds_the_latest_items_and_serves_them() {
    let mut config = config();
    config.loss.negatives = Some(Negatives::CrossBatch(4));
    let mut case = Case::new(&config);
    let alone = case.step(0.0);
    assert_eq!(case.stepper.queue.ids, [3, 4, 2, 1]);
    assert_eq!(case.stepper.queue.next, 0);
    let with_queue = case.step(0.0);
    assert!(with_queue > alone, "{with_queue} with four more candidates, {alone} without");
    let queued = case.core.backend.host(&case.stepper.candidates, 4 * 4).unwrap();
    let items = case.core.backend.host(case.core.item.output(), 6 * 4).unwrap();
    assert_eq!(queued[..], items[2 * 4..]);
}

#[test]
fn clipping_scales_the_whole_gradient() {
    let moved = |clip: Option<f32>| {
        let mut case = Case::new(&config());
        let before: Vec<f32> = case.parameters().into_iter().flat_map(|(_, values)| values.clone()).collect();
        let step = sgd(1.0);
        case.stepper.step(&mut case.core, &case.inputs.sampler, &mut case.batch, &step, clip).unwrap();
        let after: Vec<f32> = case.parameters().into_iter().flat_map(|(_, values)| values.clone()).collect();
        before.iter().zip(after).map(|(b, a)| f64::from(b - a)).collect::<Vec<_>>()
    };
    let (free, clipped, loose) = (moved(None), moved(Some(0.01)), moved(Some(1e6)));
    assert_eq!(free, loose);
    let ratio = clipped.iter().zip(&free).filter(|(_, f)| f.abs() > 1e-2).map(|(c, f)| c / f).collect::<Vec<_>>();
    assert!(ratio.len() > 10 && ratio.iter().all(|r| (r - ratio[0]).abs() < 1e-3 && *r < 0.5), "{ratio:?}");
}

/// The gradient of SoftmaxLoss@K is that of a loss whose rows have these weights: none goes through them.
#[test]
fn top_k_weighs_rows_by_constants() {
    for negatives in [Negatives::InBatch, Negatives::Full, Negatives::CrossBatch(4), Negatives::InBatchUniform(5)] {
        let mut config = config();
        (config.model.popularity, config.loss.negatives) = (Some(0.5), Some(negatives));
        config.loss.top_k = Some(2);
        let mut case = Case::new(&config);
        let plain = case.step(0.0);
        case.stepper.top_k.as_mut().unwrap().thresholds = vec![0.3, -0.4, f32::NEG_INFINITY, 0.6];
        // The queue as the first step left it would be other candidates.
        let thresholds = std::mem::take(&mut case.stepper.top_k.as_mut().unwrap().thresholds);
        case.stepper = Stepper::new(&case.core, &case.config, 4, 5).unwrap();
        case.stepper.top_k.as_mut().unwrap().thresholds = thresholds.clone();
        let weighed = case.step(0.0);
        assert_ne!(plain, weighed);

        let (u, v) = (case.core.user.output(), case.core.item.output());
        let (users, items, plain) = (&case.batch.users, &case.batch.items, &case.batch.weights);
        let weights: Vec<f32> = (0..6)
            .map(|row| {
                let column = if negatives == Negatives::Full { items[row] as usize - 1 } else { row };
                let dot: f32 = (0..4).map(|d| u[row * 4 + d] * v[column * 4 + d]).sum();
                let popular = 0.7 * case.core.popularity[items[row] as usize];
                let margin = (dot + popular - thresholds[users[row] as usize]) / 0.3;
                plain[row] / (1.0 + (-margin).exp())
            })
            .collect();
        let mut of_two = (0..6).filter(|&row| users[row] == 2);
        assert!(of_two.all(|row| weights[row] == plain[row]), "a user without a K-th best item keeps its weights");
        let moved = |case: &mut Case| {
            case.step(1.0);
            case.parameters().into_iter().flat_map(|(_, values)| values.clone()).collect::<Vec<f32>>()
        };
        case.stepper = Stepper::new(&case.core, &case.config, 4, 5).unwrap();
        case.stepper.top_k.as_mut().unwrap().thresholds = thresholds;
        let with_top_k = moved(&mut case);
        config.loss.top_k = Some(0);
        let mut given = Case::new(&config);
        given.batch.weights = weights;
        for (a, b) in with_top_k.iter().zip(moved(&mut given)) {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(0.1), "{negatives:?}: {a}, with given weights {b}");
        }
    }
}
