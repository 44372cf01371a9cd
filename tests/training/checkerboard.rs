//! Data with one answer, and short trainings on it.

use std::fs;
use std::path::Path;

use tercel::config::EarlyStopping;
use tercel::data::dataset::{Dataset, Split};
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::train::{TrainEvent, TrainSummary, train};
use tercel::{Config, Device, Evaluate, Model};

pub const SIZE: u64 = 40;

/// User i has every item of its parity but item i, which is what it buys in the end: the one answer there is.
pub fn checkerboard(folder: &Path) -> Dataset {
    let (mut train, mut test) = (String::from("user,item,time\n"), String::from("user,item,time\n"));
    for user in 0..SIZE {
        for item in (user % 2..SIZE).step_by(2) {
            let row = format!("{user},{item},{}\n", 1_600_000_000 + (user * 7 + item * 13) % 500);
            if item == user { test += &row } else { train += &row }
        }
    }
    let [train_file, test_file] = ["train.csv", "test.csv"].map(|name| folder.join(name));
    fs::write(&train_file, train).unwrap();
    fs::write(&test_file, &test).unwrap();
    let config = IngestConfig { valid: vec![test_file.clone()], test: vec![test_file], ..Default::default() };
    ingest(&[train_file], &folder.join("data"), &config, &|_| {}).unwrap();
    Dataset::open(folder.join("data")).unwrap()
}

pub fn config() -> Config {
    let mut config = Config::default();
    config.model.dim = 16;
    config.train.batch_size = Some(64);
    config.train.epochs = Some(30);
    config.train.device = Device::Cpu;
    config.optimizer.lr = Some(0.02);
    // The validation rows are the test's: what is stopped early is said where it matters.
    config.train.early_stop = Some(EarlyStopping::Off);
    config
}

pub fn run(dataset: &Dataset, out: &Path, config: &Config) -> tercel::Result<(TrainSummary, Vec<TrainEvent>)> {
    let mut events = Vec::new();
    let summary = train(dataset, out, config, false, &mut |event| events.push(event))?;
    Ok((summary, events))
}

pub fn recall_at_1(dataset: &Dataset, model: &Path) -> f64 {
    let mut model = Model::load(model, Device::Cpu, 1).unwrap();
    let report = model.evaluate(Evaluate::split(Split::Test).k(&[1]), dataset).unwrap();
    report.metrics.get("recall@1").unwrap().value
}
