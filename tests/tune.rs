//! The search for settings: what it leaves, that it is exact, and that nothing but the right rows is read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tercel::data::ingest::{IngestConfig, ingest};
use tercel::settings::TuneSettings;
use tercel::tune::{Chosen, Space, Tune, TuneEvent, TuneSummary, tune};
use tercel::{Config, Dataset, Device, Error, Evaluate, Model, Split};

const SPACE: &str = r#"
    [model]
    temperature = { from = 0.05, to = 0.8, scale = "log" }
    [train]
    batch_size = [32, 64, 128]
    epochs = [3, 6]
"#;

/// Sixty people of three tastes, twelve purchases each, in order of time.
fn dataset(folder: &Path, split: &str) -> Dataset {
    let row = |n: usize| {
        let (user, turn) = (n % 60, n / 60);
        let item = (turn * 7 + user * 2) % 15 * 3 + user % 3;
        format!("u{user},i{item},{}\n", 1_600_000_000 + n)
    };
    let rows: String = (0..60 * 12).map(row).collect();
    fs::write(folder.join("buys.csv"), "user,item,time\n".to_owned() + &rows).unwrap();
    let config = IngestConfig { split: split.parse().unwrap(), ..IngestConfig::default() };
    let data = folder.join("data");
    ingest(&[folder.join("buys.csv")], &data, &config, &|_| {}).unwrap();
    Dataset::open(data).unwrap()
}

fn request(trials: usize, parallel: usize) -> Tune {
    let mut config = Config::default();
    config.model.dim = 8;
    (config.train.device, config.train.threads) = (Device::Cpu, 2);
    let settings = TuneSettings { trials: Some(trials), parallel, metric: "ndcg@10".into(), ..TuneSettings::default() };
    Tune { config, settings, space: Some(Space::from_toml(SPACE, "space").unwrap()), ..Tune::default() }
}

fn run(dataset: &Dataset, out: &Path, request: &Tune) -> TuneSummary {
    tune(dataset, out, request, &AtomicBool::new(false), &mut |_| {}).unwrap()
}

/// Every file of a folder and of the folders in it, by name; a trainer's state has the host's words in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => {
                all.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    all.into_iter()
        .map(|(path, bytes)| (path.strip_prefix(folder).map(Path::to_owned).unwrap_or(path), bytes))
        .collect()
}

#[test]
fn a_search_leaves_settings_a_model_a_table_and_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), "last-per-user:1");
    let out = folder.path().join("tuned");
    let mut events = Vec::new();
    let found = tune(&dataset, &out, &request(8, 2), &AtomicBool::new(false), &mut |event| events.push(event)).unwrap();
    assert_eq!((found.trials, found.failed), (8, 0));
    assert!(found.value >= found.default_value.unwrap(), "{found:?}");
    assert!(found.epochs < found.full_epochs, "halving trains less than everything: {found:?}");
    let names: Vec<String> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    for name in ["tuned.toml", "trials.parquet", "report.html", "tune.json", "search.json", "model"] {
        assert!(names.iter().any(|there| there == name), "{name}: {names:?}");
    }
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(!folder.path().join(".tuned.tuning").exists());

    let settings = Config::from_toml(&fs::read_to_string(&found.settings).unwrap()).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap() as f32;
    assert_eq!(settings.model.temperature, Some(number(&found.chosen["model.temperature"])));
    assert_eq!(settings.train.epochs, found.chosen["train.epochs"].as_u64());
    assert_eq!(settings.model.dim, 8);

    // Validation rows are part of what the model knows.
    let mut model = Model::open(&found.model, Device::Cpu).unwrap();
    let report = model.evaluate(Evaluate::split(Split::Test).k(&[10]), &dataset).unwrap();
    assert!(report.value("recall@10") > report.popularity.get("recall@10").copied(), "{report:?}");
    let rungs = events.iter().filter(|event| matches!(event, TuneEvent::Rung { .. })).count();
    assert_eq!(rungs, 3);
    // Once more in the same place: what a search left is a search's.
    assert_eq!(run(&dataset, &out, &request(8, 1)).chosen, found.chosen);
}

#[test]
fn trials_side_by_side_and_kills_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), "last-per-user:1");
    let whole = folder.path().join("whole");
    run(&dataset, &whole, &request(9, 3));
    let expected = files(&whole);
    for parallel in [1, 2] {
        let out = folder.path().join(format!("by-{parallel}"));
        run(&dataset, &out, &request(9, parallel));
        assert_eq!(files(&out), expected, "{parallel} side by side");
    }
    let out = folder.path().join("killed");
    let (mut calls, mut done) = (0, false);
    while !done {
        // Stopped at every second trial.
        let stop = AtomicBool::new(false);
        let mut trials = 0;
        let again = Tune { resume: calls > 0, ..request(9, 1 + calls % 2) };
        let found = tune(&dataset, &out, &again, &stop, &mut |event| {
            trials += usize::from(matches!(event, TuneEvent::Trial { .. }));
            stop.store(trials >= 2, Ordering::Relaxed);
        });
        match found {
            Ok(_) => done = true,
            Err(error) => assert!(matches!(error, Error::Interrupted { .. }), "{error}"),
        }
        if calls == 0 {
            let refused = tune(&dataset, &out, &request(9, 1), &AtomicBool::new(false), &mut |_| {}).unwrap_err();
            assert!(refused.to_string().contains("unfinished search"), "{refused}");
            let mut other = Tune { resume: true, ..request(9, 1) };
            other.config.train.seed = 1;
            let refused = tune(&dataset, &out, &other, &AtomicBool::new(false), &mut |_| {}).unwrap_err();
            assert!(refused.to_string().contains("a different seed"), "{refused}");
        }
        calls += 1;
        assert!(calls < 30, "no end");
    }
    assert!(calls > 4, "{calls}");
    assert_eq!(files(&out), expected, "killed {calls} times");
}

#[test]
fn a_finished_search_stays_and_an_unfinished_one_can_be_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), "last-per-user:1");
    let out = folder.path().join("tuned");
    let found = run(&dataset, &out, &request(4, 1));
    let before = files(&out);
    let again = Tune { resume: true, ..request(4, 1) };
    let mut events = 0;
    let same = tune(&dataset, &out, &again, &AtomicBool::new(false), &mut |_| events += 1).unwrap();
    assert_eq!((events, files(&out) == before), (0, true), "nothing is done again");
    assert_eq!((same.winner, same.value, &same.chosen), (found.winner, found.value, &found.chosen));
    // Another question is another search.
    let found = run(&dataset, &out, &Tune { resume: true, ..request(5, 1) });
    assert_eq!(found.trials, 5);

    let stop = AtomicBool::new(false);
    let begun = tune(&dataset, &out, &request(6, 1), &stop, &mut |event| {
        if matches!(event, TuneEvent::Trial { .. }) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(begun.unwrap_err(), Error::Interrupted { .. }));
    let place = tercel::tune::unfinished(&out).unwrap().expect("it can be gone on with");
    let so_far = tercel::tune::found(&place).unwrap().expect("a search");
    assert!(!so_far.finished && so_far.planned == Some(6) && so_far.best.is_some(), "{so_far:?}");
    tercel::tune::forget(&out).unwrap();
    assert_eq!((place.exists(), tercel::tune::unfinished(&out).unwrap()), (false, None));
    let left = tercel::tune::found(&out).unwrap().expect("a search");
    assert!(left.finished && left.trials == 5, "the finished one stays: {left:?}");
    assert_eq!(tercel::tune::found(folder.path()).unwrap().map(|found| found.trials), None);
}

#[test]
fn what_is_given_is_not_searched_even_at_its_default() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), "last-per-user:1");
    let given = Tune { fixed: ["model.temperature".to_owned()].into(), ..request(2, 1) };
    let tried = tune(&dataset, folder.path().join("a"), &given, &AtomicBool::new(false), &mut |_| {});
    let error = tried.unwrap_err().to_string();
    assert!(error.starts_with("model.temperature: is both set and in the search space"), "{error}");
    let keys = |fixed: &[&str]| {
        let fixed = fixed.iter().map(ToString::to_string).collect();
        let mut request = Tune { fixed, space: None, ..request(1, 1) };
        request.config.train.epochs = Some(2);
        let mut keys = Vec::new();
        tune(&dataset, folder.path().join("b"), &request, &AtomicBool::new(false), &mut |event| {
            if let TuneEvent::Search { space, .. } = event {
                keys = space.0.keys().cloned().collect();
            }
        })
        .unwrap();
        keys
    };
    let (all, fewer) = (keys(&[]), keys(&["model.user.id"]));
    assert!(all.contains(&"model.user.id".to_owned()) && fewer.len() + 1 == all.len(), "{all:?} {fewer:?}");
    let mut request = Tune { fixed: all.iter().cloned().collect(), space: None, ..request(1, 1) };
    request.config.train.epochs = Some(2);
    let error = tune(&dataset, folder.path().join("c"), &request, &AtomicBool::new(false), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("every setting that could be searched is fixed"), "{error}");
}

#[test]
fn what_an_earlier_search_found_is_tried_first() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), "last-per-user:1");
    let tried = |earlier: &str| {
        let earlier = serde_json::from_str(earlier).unwrap();
        let mut trials = BTreeMap::new();
        let request = Tune { earlier, ..request(3, 1) };
        tune(&dataset, folder.path().join("tuned"), &request, &AtomicBool::new(false), &mut |event| {
            if let TuneEvent::Trial { trial, chosen, .. } = event {
                trials.insert(trial, chosen);
            }
        })
        .unwrap();
        trials.into_values().collect::<Vec<Chosen>>()
    };
    let afresh = tried("{}");
    let after = tried("{\"model.temperature\": 0.123, \"train.batch_size\": 3}");
    assert_eq!((after.len(), &after[0]), (3, &afresh[0]), "the defaults are tried all the same");
    assert_eq!(after[1]["model.temperature"], 0.123);
    assert_eq!(
        after[1].keys().collect::<Vec<_>>(),
        after[0].keys().collect::<Vec<_>>(),
        "and nothing else is searched"
    );
    // What cannot be used is left out.
    assert_eq!(tried("{\"model.temperature\": -1.0}"), afresh);
}

#[test]
fn a_trial_that_fails_is_a_row_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), "last-per-user:1");
    let space = "[optimizer]\nlr = [0.01, 1e30]\nweight_decay = [0.0, 1e8]\n[model]\nnormalize = [true, false]";
    let request = Tune { space: Some(Space::from_toml(space, "space").unwrap()), ..request(8, 2) };
    let mut reasons = Vec::new();
    let found = tune(&dataset, folder.path().join("tuned"), &request, &AtomicBool::new(false), &mut |event| {
        if let TuneEvent::Trial { failed: Some(reason), .. } = event {
            reasons.push(reason);
        }
    });
    let found = found.unwrap();
    assert!(found.failed > 0 && found.failed == reasons.len(), "{found:?}");
    assert!(reasons.iter().all(|reason| reason.contains("step")), "{reasons:?}");
    let page = fs::read_to_string(folder.path().join("tuned/report.html")).unwrap();
    assert!(page.contains("failed: "), "the page names what failed");
}

#[test]
fn validation_rows_are_held_out_where_there_are_none_and_test_rows_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let of = dataset(folder.path(), "time:1600000600");
    assert_eq!((of.split(Split::Valid).rows, of.split(Split::Test).rows), (0, 120));
    // Whoever reads the test rows finds them damaged.
    let shard = of.path(&of.split(Split::Test).files[0]);
    let bytes = fs::metadata(&shard).unwrap().len();
    fs::write(&shard, vec![7; bytes as usize]).unwrap();
    let of = Dataset::open(of.dir()).unwrap();
    let mut said = String::new();
    let found = tune(&of, folder.path().join("tuned"), &request(6, 2), &AtomicBool::new(false), &mut |event| {
        if let TuneEvent::Search { validation, .. } = event {
            said = validation;
        }
    });
    let found = found.unwrap();
    assert!(said.contains("held out"), "{said}");
    let model = Model::open(&found.model, Device::Cpu).unwrap();
    assert_eq!(model.info().dataset, of.fingerprint(), "trained on all training rows");
}

#[test]
fn time_ends_a_search() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), "last-per-user:1");
    let mut short = request(1, 2);
    (short.settings.trials, short.settings.minutes) = (None, Some(0.000_01));
    let found = run(&dataset, &folder.path().join("tuned"), &short);
    assert!(found.trials <= 6, "{found:?}");
    Model::open(&found.model, Device::Cpu).unwrap();
}
