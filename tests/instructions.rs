//! Results differ between instruction sets: a run goes on only with those that it was begun with.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tercel::config::Instructions;
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::train::{TrainEvent, can_resume, train, train_until};
use tercel::{Config, Dataset, Device, Error};

const ALL: [Instructions; 4] =
    [Instructions::Portable, Instructions::Avx2, Instructions::Avx512, Instructions::Avx512Bf16];

fn dataset(folder: &Path) -> Dataset {
    let rows: String = (0..3000).map(|n| format!("{},{},{}\n", n % 60, n * 7 % 41, 1_500_000_000 + n)).collect();
    fs::write(folder.join("in.csv"), format!("user,item,time\n{rows}")).unwrap();
    let config = IngestConfig { split: "last-per-user:1".parse().unwrap(), ..Default::default() };
    ingest(&[folder.join("in.csv")], &folder.join("data"), &config, &|_| {}).unwrap();
    Dataset::open(folder.join("data")).unwrap()
}

fn config(instructions: Instructions, threads: usize) -> Config {
    let mut config =
        Config::from_toml("[model]\ndim = 20\n[train]\nbatch_size = 64\nepochs = 3\nearly_stop = \"off\"").unwrap();
    config.train.device = Device::Cpu;
    (config.train.instructions, config.train.threads) = (instructions, threads);
    config
}

/// Trains until its first checkpoint.
fn begin(dataset: &Dataset, out: &Path, config: &Config) -> Result<(), Error> {
    let stop = AtomicBool::new(false);
    let ended = train_until(dataset, out, config, false, &stop, &mut |event| {
        if let TrainEvent::Checkpoint { .. } = event {
            stop.store(true, Ordering::Relaxed);
        }
    });
    match ended {
        Err(Error::Interrupted { .. }) => Ok(()),
        other => other.map(|_| ()),
    }
}

fn parameters(model: &Path) -> Vec<u8> {
    fs::read(model.join("model.safetensors")).unwrap()
}

/// Those that this processor has, by name.
fn available(dataset: &Dataset, folder: &Path) -> Vec<Instructions> {
    let mut found = Vec::new();
    for instructions in ALL {
        let out = folder.join(format!("whole-{instructions}"));
        match train(dataset, &out, &config(instructions, 1), false, &mut |_| {}) {
            Ok(_) => found.push(instructions),
            Err(error) => {
                assert!(matches!(&error, Error::Config { field, .. } if field == "train.instructions"), "{error}");
                let words = format!("this processor has no {instructions}; it has portable");
                assert!(error.to_string().contains(&words), "{error}");
                assert_eq!(error.exit_code(), 2);
            }
        }
    }
    assert_eq!(found[0], Instructions::Portable, "every processor has them");
    found
}

#[test]
fn a_run_goes_on_with_the_instructions_that_it_was_begun_with() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let dataset = dataset(at);
    let available = available(&dataset, at);
    for &first in &available {
        let out = at.join(format!("broken-{first}"));
        begin(&dataset, &out, &config(first, 1)).unwrap();
        for second in available.iter().copied().filter(|second| *second != first) {
            let other = config(second, 1);
            assert!(!can_resume(&out, &dataset, &other).unwrap(), "{first} to {second}");
            let error = train(&dataset, &out, &other, true, &mut |_| {}).unwrap_err();
            assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
            let words = [format!("started with {first}"), format!("`train.instructions` to \"{first}\"")];
            assert!(words.iter().all(|words| error.to_string().contains(words)), "{error}");
        }
        // Its own, with another number of threads.
        let same = config(first, 3);
        assert!(can_resume(&out, &dataset, &same).unwrap());
        assert!(!train(&dataset, &out, &same, true, &mut |_| {}).unwrap().already_finished);
        assert!(parameters(&out) == parameters(&at.join(format!("whole-{first}"))), "{first}: the same bits");
        // A finished run needs no more of them.
        let done = train(&dataset, &out, &config(available[0], 1), true, &mut |_| {}).unwrap();
        assert!(done.already_finished);
    }
    // Else they would not have to be told apart.
    if available.len() > 1 {
        let one = |instructions: Instructions| parameters(&at.join(format!("whole-{instructions}")));
        assert!(one(available[0]) != one(available[1]));
    }
}

#[test]
fn those_that_are_chosen_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    let out = folder.path().join("model");
    begin(&dataset, &out, &config(Instructions::Auto, 1)).unwrap();
    let state = fs::read_to_string(folder.path().join(".model.training/trainer.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let named: Instructions = state["path"].as_str().unwrap().parse().unwrap();
    assert_ne!(named, Instructions::Auto);
    assert!(can_resume(&out, &dataset, &config(named, 1)).unwrap());
    train(&dataset, &out, &config(named, 1), true, &mut |_| {}).unwrap();
}
