//! Every way to train learns what can be known, or says why it cannot; what the data chose is kept as numbers.

use std::fs;

use tercel::config::{Dtype, LogQ, Negatives, OptimizerKind};
use tercel::index::{Lists, Ranker, UserBlock};
use tercel::train::train;
use tercel::{Config, Device, Error, Model};

use super::checkerboard::{SIZE, checkerboard, config, recall_at_1, run};

#[test]
fn every_way_to_train_finds_the_withheld_item_of_the_checkerboard() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    type Change = fn(&mut Config);
    let ways: [(&str, Change); 14] = [
        ("defaults", |_| {}),
        ("full", |c| c.loss.negatives = Some(Negatives::Full)),
        ("mixed", |c| c.loss.negatives = Some(Negatives::InBatchUniform(32))),
        ("queue", |c| c.loss.negatives = Some(Negatives::CrossBatch(64))),
        ("streaming", |c| c.loss.logq = LogQ::Streaming),
        ("corrected", |c| c.loss.logq = LogQ::Corrected),
        ("learned temperature", |c| c.model.learn_temperature = true),
        ("known positives masked", |c| c.loss.mask_known_positives = true),
        ("the first place", |c| c.loss.top_k = Some(1)),
        ("adagrad", |c| (c.optimizer.name, c.optimizer.lr) = (OptimizerKind::Adagrad, Some(0.3))),
        ("row-wise adagrad", |c| (c.optimizer.name, c.optimizer.lr) = (OptimizerKind::RowwiseAdagrad, Some(0.3))),
        ("sgd", |c| (c.optimizer.name, c.optimizer.lr) = (OptimizerKind::Sgd, Some(2.0))),
        ("bf16", |c| c.model.dtype = Dtype::Bf16),
        ("fp16 with an MLP", |c| {
            c.model.dtype = Dtype::Fp16;
            c.model.user.mlp = vec![32];
            c.optimizer.lr = Some(0.01);
        }),
    ];
    for (name, change) in ways {
        let mut config = config();
        change(&mut config);
        let out = folder.path().join("model");
        run(&dataset, &out, &config).unwrap();
        assert_eq!(recall_at_1(&dataset, &out), 1.0, "{name}");
    }
}

#[test]
fn a_new_user_with_a_history_is_recommended_to_without_training() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.model.user.id = Some(false);
    config.model.user.history = Some(50);
    let out = folder.path().join("model");
    run(&dataset, &out, &config).unwrap();
    let mut model = Model::load(&out, Device::Cpu, 1).unwrap();
    let items = model.items().clone();
    let row = |item: i64| items.find(tercel::data::vocabulary::RawId::Integer(item)).unwrap();
    // Somebody new, who has every even item but 6, or every odd one but 9.
    for (parity, missing) in [(0, 6), (1, 9)] {
        let history: Vec<u32> =
            (0..SIZE as i64).filter(|item| item % 2 == parity && *item != missing).map(row).collect();
        let mut skip = history.clone();
        skip.sort_unstable();
        let lists = |values: Vec<u32>| Lists { offsets: vec![0, values.len()], values };
        let block = UserBlock { ids: vec![0], features: Vec::new(), history: Some(lists(history)) };
        let found = model.top_k(&block, 1, Some(&lists(skip))).unwrap();
        assert_eq!(found.ids, [row(missing)]);
    }
}

#[test]
fn the_stored_configuration_has_numbers_where_the_data_chose() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = None;
    let out = folder.path().join("model");
    let (summary, _) = run(&dataset, &out, &config).unwrap();
    assert_eq!(summary.epochs, 30, "few rows, many passes");
    let stored: serde_json::Value = serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
    let stored = &stored["config"];
    assert_eq!(
        (stored["train"]["epochs"].as_u64(), stored["optimizer"]["weight_decay"].as_f64()),
        (Some(30), Some(2.0))
    );
    // The settings as they were given are the run's own.
    assert!(train(&dataset, &out, &config, true, &mut |_| {}).unwrap().already_finished);
}

#[test]
fn what_is_not_finite_stops_with_step_and_cause() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.model.normalize = false;
    (config.optimizer.name, config.optimizer.lr) = (OptimizerKind::Sgd, Some(1e30));
    let error = run(&dataset, &folder.path().join("model"), &config).unwrap_err();
    let Error::NonFinite { step, cause, .. } = &error else { panic!("{error}") };
    assert!(*step >= 1 && *step < 20, "{error}");
    assert!(cause.contains("optimizer.lr"), "{error}");
}
