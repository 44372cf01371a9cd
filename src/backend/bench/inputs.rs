//! What a loader thread makes of a batch's rows for a model with features.

use std::sync::Arc;

use super::Bench;
use crate::backend::cpu::Cpu;
use crate::config::{Config, Precision};
use crate::data::batch::{Cursor, Prepare, Rows};
use crate::data::dataset::{EntityInfo, Feature, FeatureKind, FileInfo};
use crate::data::shape::Shape;
use crate::data::vocabulary::FeatureColumn;
use crate::model::features::FeatureRows;
use crate::model::inputs::{ModelBatch, ModelInputs};
use crate::model::negatives::NegativeSampler;
use crate::model::spec::ModelSpec;
use crate::rng::Rng;

const USERS: u32 = 1_400_000;
const ITEMS: u32 = 105_000;

/// `count` features of `rows` entities, with 4 to 4,096 values each.
fn features(rows: u32, count: usize, rng: &mut Rng) -> (EntityInfo, Vec<FeatureColumn>) {
    let sizes = (0..count).map(|n| 4usize << (n % 11));
    let named = sizes.clone().enumerate().map(|(n, size)| {
        let values = (1..size).map(|value| value.to_string()).collect();
        Feature { name: format!("f{n}"), kind: FeatureKind::Categorical { values } }
    });
    let features = named.collect();
    let columns = sizes.map(|size| FeatureColumn::Codes((0..rows).map(|_| rng.below(size as u64) as u32).collect()));
    let columns = columns.collect();
    let file = FileInfo { name: "none.arrow".into(), rows: rows.into(), bytes: 0, xxh3: None, footer: None };
    (EntityInfo { rows, unseen: 0, unseen_valid: 0, file, unseen_file: None, features }, columns)
}

/// Prepares one batch of uniform ids: candidates, lookups, plans and biases of a model with so many features, half of
/// them the users'.
pub fn batch_inputs(features_in_all: usize, batch: usize) -> Bench {
    let mut rng = Rng::at(1, &[]);
    let (users, user_features) = features(USERS, features_in_all / 2, &mut rng);
    let (items, item_features) = features(ITEMS, features_in_all - features_in_all / 2, &mut rng);
    let mut config = Config::default();
    config.train.batch_size = Some(batch);
    let config = config.for_shape(&Shape::default());
    let spec = ModelSpec::new(&config, &users, &items).expect("a model");
    let counts: Vec<u64> = (0..u64::from(ITEMS)).collect();
    let sampler = NegativeSampler::new(config.negatives(), config.loss.logq, 1, &counts);
    let negatives = config.negatives();
    let user_features = FeatureRows::new(&spec.user, user_features).expect("memory for features");
    let inputs =
        ModelInputs { spec, user_features, item_features, history: None, sampler, negatives, mask_known: false };
    let mut draw = |rows: u32| (0..batch).map(|_| 1 + rng.below(u64::from(rows) - 1) as u32).collect();
    let (users, items): (Vec<u32>, Vec<u32>) = (draw(USERS), draw(ITEMS));
    let mut out = ModelBatch::default();
    let mut at = Cursor::default();
    let cpu = Arc::new(Cpu::new(1, None, Precision::Bf16).expect("a thread"));
    Bench::new(&cpu, move || {
        let rows = Rows { users: &users, items: &items, timestamps: None, weights: None };
        inputs.prepare(at, rows, &mut out).expect("a batch");
        at.batch += 1;
    })
}
