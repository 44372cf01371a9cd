//! Early stopping: where it is on, the epoch that it keeps, and what it follows.

use std::fs;
use std::path::Path;

use tercel::Error;
use tercel::config::EarlyStopping;
use tercel::data::dataset::{Dataset, Split};
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::files::read_json;
use tercel::train::{TrainEvent, train};

use super::checkerboard::{checkerboard, config, recall_at_1, run};

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
