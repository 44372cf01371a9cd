//! Any bytes as a table of users: lists for them, or an error.
//!
//! The first byte chooses the format.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use libfuzzer_sys::fuzz_target;
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::{Config, Dataset, Device, Model, Recommend, Who};

const NAMES: [&str; 4] = ["users.csv", "users.jsonl", "users.arrow", "users.parquet"];

fn model() -> &'static (PathBuf, Mutex<Model>) {
    static MODEL: OnceLock<(PathBuf, Mutex<Model>)> = OnceLock::new();
    MODEL.get_or_init(|| {
        // What arrow-rs panics of is caught: the fuzzer must not see it as a crash.
        tercel::guard::hush_guarded_panics();
        let folder = tempfile::tempdir().expect("a temp folder").keep();
        let at = |name: &str| folder.join(name);
        fs::write(at("in.csv"), "user,item\na,x\na,y\nb,y\nb,z\nc,x\n").expect("written");
        fs::write(at("features.csv"), "user,city\na,rome\nb,oslo\nc,rome\n").expect("written");
        let config =
            IngestConfig { threads: 1, user_features: Some(at("features.csv")), ..IngestConfig::default() };
        ingest(&[at("in.csv")], &at("data"), &config, &|_| ()).expect("a dataset");
        let mut config = Config::default();
        config.model.dim = 4;
        config.model.user.history = Some(2);
        (config.train.epochs, config.train.threads) = (Some(1), 1);
        tercel::train::train(&Dataset::open(at("data")).expect("a dataset"), at("model"), &config, false, &mut |_| ())
            .expect("a model");
        let model = Model::load(at("model"), Device::Cpu, 1).expect("a model");
        (folder, Mutex::new(model))
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let (folder, model) = model();
    let file = folder.join(NAMES[usize::from(choice % 4)]);
    fs::write(&file, data).expect("the temp folder is writable");
    let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
    let request = Recommend::top(2).users(Who::Table(file.into()));
    let _ = model.recommend(request).write(folder.join("top.csv"));
});
