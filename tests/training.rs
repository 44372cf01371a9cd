//! Training as a whole: it learns what can be known, does not depend on threads, stops when it should.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tercel::config::{Dtype, EarlyStopping, LogQ, Negatives, OptimizerKind};
use tercel::data::dataset::{Dataset, Split};
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::files::{read_json, write_json};
use tercel::index::{Lists, Ranker, UserBlock};
use tercel::train::{TrainEvent, TrainSummary, train, train_until};
use tercel::{Config, Device, Error, Evaluate, Model};

const SIZE: u64 = 40;

/// User i has every item of its parity but item i, which is what it buys in the end: the one answer there is.
fn checkerboard(folder: &Path) -> Dataset {
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

fn config() -> Config {
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

fn run(dataset: &Dataset, out: &Path, config: &Config) -> tercel::Result<(TrainSummary, Vec<TrainEvent>)> {
    let mut events = Vec::new();
    let summary = train(dataset, out, config, false, &mut |event| events.push(event))?;
    Ok((summary, events))
}

fn recall_at_1(dataset: &Dataset, model: &Path) -> f64 {
    let mut model = Model::load(model, Device::Cpu, 1).unwrap();
    let report = model.evaluate(Evaluate::split(Split::Test).k(&[1]), dataset).unwrap();
    report.metrics.get("recall@1").unwrap().value
}

#[test]
fn every_way_to_train_finds_the_withheld_item_of_the_checkerboard() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    type Change = fn(&mut Config);
    let ways: [(&str, Change); 13] = [
        ("defaults", |_| {}),
        ("full", |c| c.loss.negatives = Some(Negatives::Full)),
        ("mixed", |c| c.loss.negatives = Some(Negatives::InBatchUniform(32))),
        ("queue", |c| c.loss.negatives = Some(Negatives::CrossBatch(64))),
        ("streaming", |c| c.loss.logq = LogQ::Streaming),
        ("corrected", |c| c.loss.logq = LogQ::Corrected),
        ("learned temperature", |c| c.model.learn_temperature = true),
        ("known positives masked", |c| c.loss.mask_known_positives = true),
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
fn a_run_that_is_stopped_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(2);
    config.train.checkpoint_every = 3;
    run(&dataset, &folder.path().join("whole"), &config).unwrap();
    let out = folder.path().join("stopped");
    let (mut steps, mut stops) = (0, 0);
    loop {
        // Whoever watches wants it to end at every checkpoint.
        let stop = AtomicBool::new(false);
        let ended = train_until(&dataset, &out, &config, true, &stop, &mut |event| {
            if let TrainEvent::Checkpoint { step, .. } = event {
                steps = step;
                stop.store(true, Ordering::Relaxed);
            }
        });
        match ended {
            Err(Error::Interrupted { what }) => {
                assert!(what.contains(&format!("step {steps}")) && what.contains("stopped"), "{what}");
                stops += 1;
            }
            other => break assert_eq!(other.unwrap().steps, steps),
        }
    }
    assert!(stops >= 3, "{stops} stops");
    let parameters = |name: &str| fs::read(folder.path().join(name).join("model.safetensors")).unwrap();
    assert!(parameters("stopped") == parameters("whole"));
}

#[test]
fn an_evaluation_that_is_stopped_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(2);
    run(&dataset, &folder.path().join("whole"), &config).unwrap();
    let out = folder.path().join("stopped");
    let stop = AtomicBool::new(false);
    let mut evaluated = 0;
    let ended = train_until(&dataset, &out, &config, false, &stop, &mut |event| {
        if let TrainEvent::Evaluating { done, users } = event {
            assert!(0 < done && done <= users);
            evaluated = done;
            stop.store(true, Ordering::Relaxed);
        }
        assert!(!matches!(event, TrainEvent::Diagnostics(_)), "it is to stop before that");
    });
    assert!(evaluated > 0 && matches!(ended, Err(Error::Interrupted { .. })), "{ended:?}");
    let resumed = train_until(&dataset, &out, &config, true, &AtomicBool::new(false), &mut |_| {}).unwrap();
    assert!(!resumed.already_finished);
    for file in ["model.safetensors", "metrics.json"] {
        let bytes = |name: &str| fs::read(folder.path().join(name).join(file)).unwrap();
        assert!(bytes("stopped") == bytes("whole"), "{file}");
    }
}

#[test]
fn the_best_epoch_is_compared_with_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(3);
    // So small that no later epoch is better than the first.
    config.optimizer.lr = Some(1e-20);
    config.train.early_stop = Some("ndcg@1,5".parse().unwrap());
    let out = folder.path().join("model");
    let stop = AtomicBool::new(false);
    let ended = train_until(&dataset, &out, &config, false, &stop, &mut |event| {
        stop.store(matches!(event, TrainEvent::Validation { epoch: 2, .. }), Ordering::Relaxed);
    });
    assert!(matches!(ended, Err(Error::Interrupted { .. })), "{ended:?}");
    let best = folder.path().join(".model.training/best.safetensors");
    let whole = fs::read(&best).unwrap();
    let mut bytes = whole.clone();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&best, bytes).unwrap();
    let error = train(&dataset, &out, &config, true, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("best.safetensors: damaged"), "{error}");
    fs::write(&best, whole).unwrap();
    assert_eq!(train(&dataset, &out, &config, true, &mut |_| {}).unwrap().best_epoch, 1);
}

#[test]
fn threads_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(3);
    config.model.user.history = Some(5);
    config.model.item.mlp = vec![32];
    config.model.dtype = Dtype::Bf16;
    let files: Vec<(PathBuf, Vec<u8>)> = [1, 2, 5]
        .map(|threads| {
            config.train.threads = threads;
            let out = folder.path().join(threads.to_string());
            run(&dataset, &out, &config).unwrap();
            (out.clone(), fs::read(out.join("model.safetensors")).unwrap())
        })
        .into();
    assert!(files.iter().all(|(_, bytes)| bytes == &files[0].1));
    config.train.seed = 1;
    let out = folder.path().join("other seed");
    run(&dataset, &out, &config).unwrap();
    assert!(fs::read(out.join("model.safetensors")).unwrap() != files[0].1, "another seed, another model");
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
fn early_stopping_is_on_where_there_is_a_validation_split() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.early_stop = None;
    config.train.epochs = Some(2);
    let out = folder.path().join("model");
    let (_, events) = run(&dataset, &out, &config).unwrap();
    let Some(TrainEvent::Settings(told)) = events.first() else { panic!("{:?} comes first", events.first()) };
    assert_eq!(told.early_stop.to_string(), "ndcg@20,5");
    let keys: Vec<&str> = told.decisions.iter().map(|made| made.key).collect();
    assert!(keys.contains(&"train.early_stop") && keys.contains(&"model.temperature"), "{keys:?}");
    assert!(!keys.contains(&"train.epochs"), "that was set");
    assert_eq!(told.rows, dataset.split(Split::Train).rows);
    let validations = events.iter().filter(|event| matches!(event, TrainEvent::Validation { .. })).count();
    assert_eq!(validations, 2);
    let stored: serde_json::Value = read_json(&out.join("config.json")).unwrap();
    assert_eq!(stored["config"]["train"]["early_stop"], "ndcg@20,5");
    // Told to be off, it is; and without a validation split it is off by itself.
    config.train.early_stop = Some(EarlyStopping::Off);
    let (_, events) = run(&dataset, &out, &config).unwrap();
    assert!(!events.iter().any(|event| matches!(event, TrainEvent::Validation { .. })));
    let alone = folder.path().join("alone");
    let none = IngestConfig { split: "none".parse().unwrap(), ..Default::default() };
    ingest(&[folder.path().join("train.csv")], &alone, &none, &|_| {}).unwrap();
    config.train.early_stop = None;
    let (_, events) = run(&Dataset::open(&alone).unwrap(), &out, &config).unwrap();
    let Some(TrainEvent::Settings(told)) = events.first() else { panic!("{:?} comes first", events.first()) };
    assert_eq!(told.early_stop, EarlyStopping::Off);
    let error = {
        config.train.early_stop = Some("ndcg@20,5".parse().unwrap());
        run(&Dataset::open(&alone).unwrap(), &out, &config).unwrap_err()
    };
    assert!(error.to_string().contains("no validation split"), "{error}");
}

/// What nobody can find stops nothing: the last epoch is kept, as without early stopping.
#[test]
fn a_validation_split_with_nothing_to_find_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows: String = (0..400).map(|n| format!("{},{}\n", n % 20, n % 19)).collect();
    fs::write(at("train.csv"), format!("user,item\n{rows}")).unwrap();
    fs::write(at("valid.csv"), "user,item\n1,900\n2,901\n").unwrap();
    let rule = IngestConfig { valid: vec![at("valid.csv")], ..Default::default() };
    ingest(&[at("train.csv")], &at("data"), &rule, &|_| {}).unwrap();
    let dataset = Dataset::open(at("data")).unwrap();
    let mut config = config();
    (config.train.epochs, config.train.early_stop) = (Some(8), None);
    let (summary, _) = run(&dataset, &at("open"), &config).unwrap();
    assert_eq!((summary.epochs, summary.best_epoch), (8, 8));
    config.train.early_stop = Some(EarlyStopping::Off);
    run(&dataset, &at("off"), &config).unwrap();
    let bytes = |name: &str| fs::read(at(name).join("model.safetensors")).unwrap();
    assert!(bytes("open") == bytes("off"));
    // The record of such epochs is read back.
    config.train.early_stop = None;
    assert!(train(&dataset, at("open"), &config, true, &mut |_| {}).unwrap().already_finished);
}

#[test]
fn early_stopping_keeps_the_best_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(60);
    config.train.early_stop = Some("ndcg@1,3".parse().unwrap());
    let out = folder.path().join("model");
    let (summary, events) = run(&dataset, &out, &config).unwrap();
    assert!(summary.epochs < 60, "the metric cannot rise past 1");
    assert_eq!(summary.epochs, summary.best_epoch + 3);
    let stops = events.iter().filter(|event| matches!(event, TrainEvent::EarlyStop { .. })).count();
    let validations = events.iter().filter(|event| matches!(event, TrainEvent::Validation { .. })).count();
    assert_eq!((stops, validations as u64), (1, summary.epochs));
    assert_eq!(recall_at_1(&dataset, &out), 1.0);
}

#[test]
fn early_stopping_and_the_card_follow_the_view_that_has_something_to_find() {
    let folder = tempfile::tempdir().unwrap();
    // Everybody buys again what they had, and the last user something new, too.
    let rows: String = (0..200).map(|n| format!("u{},i{},{}\n", n % 20, n % 7, 1_600_000_000 + n)).collect();
    let [train_file, again, new] = ["train.csv", "again.csv", "new.csv"].map(|name| folder.path().join(name));
    fs::write(&train_file, format!("user,item,time\n{rows}u20,i1,1600000500\n")).unwrap();
    fs::write(&again, format!("user,item,time\n{rows}")).unwrap();
    fs::write(&new, format!("user,item,time\n{rows}u20,i3,1600001000\n")).unwrap();
    let dataset = |valid: &Path, name: &str| {
        let config = IngestConfig { valid: vec![valid.to_owned()], ..Default::default() };
        ingest(std::slice::from_ref(&train_file), &folder.path().join(name), &config, &|_| {}).unwrap();
        Dataset::open(folder.path().join(name)).unwrap()
    };
    let (again, new) = (dataset(&again, "again"), dataset(&new, "new"));
    let watched = |dataset: &Dataset, metric: &str, out: &str| {
        let mut config = config();
        config.train.epochs = Some(2);
        config.train.early_stop = Some(format!("{metric},3").parse().unwrap());
        let (_, events) = run(dataset, &folder.path().join(out), &config)?;
        let views = events.iter().filter_map(|event| match event {
            TrainEvent::Validation { view, .. } => Some(view.name()),
            _ => None,
        });
        let told = events.iter().filter(|event| matches!(event, TrainEvent::Watching { .. })).count();
        Ok::<_, Error>((views.collect::<Vec<_>>(), told))
    };
    assert_eq!(watched(&again, "ndcg@5", "a").unwrap(), (vec!["next"; 2], 1), "said once");
    assert_eq!(watched(&again, "next.ndcg@5", "b").unwrap(), (vec!["next"; 2], 0));
    assert_eq!(watched(&new, "ndcg@5", "c").unwrap(), (vec!["discovery"; 2], 0));
    assert_eq!(watched(&new, "discovery.ndcg@5", "d").unwrap(), (vec!["discovery"; 2], 0));
    assert_eq!(watched(&new, "next.ndcg@5", "e").unwrap(), (vec!["next"; 2], 0));
    let error = watched(&again, "discovery.ndcg@5", "f").unwrap_err().to_string();
    assert!(error.contains("train.early_stop") && error.contains("next.ndcg@5"), "{error}");

    let [one, both] = ["a", "c"].map(|name| fs::read_to_string(folder.path().join(name).join("README.md")).unwrap());
    let count = |card: &str, words: &str| card.matches(words).count();
    assert_eq!((count(&one, "| ndcg@10 |"), count(&one, "nothing to find")), (1, 1), "{one}");
    assert_eq!((count(&both, "| ndcg@10 |"), count(&both, "nothing to find")), (2, 0), "{both}");
    let metrics: serde_json::Value = read_json(&folder.path().join("a/metrics.json")).unwrap();
    let found = &metrics["diagnostics"];
    assert_eq!((&found["view"], &found["evaluations"][0]["users"]), (&"next".into(), &0.into()));
    assert_eq!(found["metrics"]["ndcg@10"], found["evaluations"][1]["metrics"]["ndcg@10"]["value"]);
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

#[test]
fn a_folder_with_an_unfinished_or_another_run_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(2);
    let out = folder.path().join("model");
    run(&dataset, &out, &config).unwrap();
    // Finished: a resume has nothing to do, a new run replaces it.
    let again = train(&dataset, &out, &config, true, &mut |_| {}).unwrap();
    assert!(again.already_finished);
    config.model.dim = 8;
    let error = train(&dataset, &out, &config, true, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("model.dim"), "{error}");
    run(&dataset, &out, &config).unwrap();
    // Unfinished, which lies beside the model's place: only a resume goes on.
    let draft = folder.path().join(".model.training");
    fs::rename(&out, &draft).unwrap();
    let state: serde_json::Value = read_json(&draft.join("trainer.json")).unwrap();
    let stands = |epoch: u64| {
        let mut state = state.clone();
        state["finished"] = false.into();
        state["cursor"]["epoch"] = epoch.into();
        write_json(&draft.join("trainer.json"), &state).unwrap();
    };
    stands(2);
    let error = run(&dataset, &out, &config).unwrap_err();
    assert!(error.to_string().contains("set `resume`"), "{error}");
    // A place that the run never has.
    stands(7);
    let error = train(&dataset, &out, &config, true, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("epoch 7"), "{error}");
    stands(2);
    // No reader takes it.
    let error = Model::load(&out, Device::Cpu, 1).unwrap_err();
    assert!(error.to_string().contains(".model.training contains an unfinished run"), "{error}");
    // Damaged: neither is taken for whole.
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    };
    flip(&draft.join("model.safetensors"));
    assert!(train(&dataset, &out, &config, true, &mut |_| {}).is_err());
    flip(&draft.join("model.safetensors"));
    train(&dataset, &out, &config, true, &mut |_| {}).unwrap();
    flip(&out.join("model.safetensors"));
    assert!(train(&dataset, &out, &config, true, &mut |_| {}).is_err());
    assert!(Model::load(&out, Device::Cpu, 1).is_err());
}
