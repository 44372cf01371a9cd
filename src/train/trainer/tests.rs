//! What the precision of the loss's products does to a whole training.

use std::path::Path;

use super::*;
use crate::backend::cpu::Cpu;
use crate::config::Precision;
use crate::data::ingest::{IngestConfig, ingest};
use crate::{Device, Evaluate, Model};

/// Trains on a sample of real purchases and answers recall@100 of the last three weeks, bought before or not.
fn recall(dataset: &Dataset, out: &Path, config: &Config, bf16: bool) -> f64 {
    let mut cpu = Cpu::new(config.train.threads, None, Precision::Fp32).unwrap();
    if bf16 {
        cpu = cpu.with_bf16();
    }
    let resolved = config.for_shape(&Shape::of(dataset).unwrap());
    Run::start(cpu, dataset, out, &resolved, false, &AtomicBool::new(false), &mut |_| {}).unwrap().run(true).unwrap();
    let mut model = Model::load(out, Device::Cpu, config.train.threads).unwrap();
    let request = Evaluate::split(Split::Test).k(&[100]).include_seen(true).bootstrap(0, 0);
    let report = model.evaluate(request, dataset).unwrap();
    report.metrics.get("recall@100").unwrap().value
}

#[test]
fn recall_in_bf16_is_that_in_fp32() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/complete-journey/transactions.csv.gz");
    let split = "time:2017-12-11".parse().unwrap();
    let columns = |name: &str| Some(name.to_owned());
    let rule = IngestConfig { user: columns("household_id"), item: columns("product_id"), split, ..Default::default() };
    ingest(&[data], &folder.path().join("data"), &rule, &|_| {}).unwrap();
    let dataset = Dataset::open(folder.path().join("data")).unwrap();
    let mut config = Config::default();
    config.model.dim = 16;
    config.train.epochs = Some(3);
    config.train.batch_size = Some(512);
    config.train.device = Device::Cpu;
    let [fp32, bf16] = [false, true].map(|bf16| recall(&dataset, &folder.path().join("model"), &config, bf16));
    println!("recall@100: fp32 {fp32}, bf16 {bf16}, {:+.3} %", (bf16 / fp32 - 1.0) * 100.0);
    assert!(fp32 > 0.1, "nothing was learnt: {fp32}");
    assert!((bf16 - fp32).abs() <= 0.003 * fp32, "recall@100 {bf16} in bf16, {fp32} in fp32");
}
