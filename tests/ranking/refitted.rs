//! A model of a refitted dataset, beside the dataset that was refitted.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tercel::data::ingest::{IngestConfig, ingest};
use tercel::eval::Evaluation;
use tercel::train::train;
use tercel::{Config, Dataset, Device, Error, Evaluate, Event, Exclude, Model, Recommend, Split};

/// An original, its refit, and a model that reads histories and was trained on the refit.
struct Shop {
    folder: tempfile::TempDir,
    original: Dataset,
    refit: Dataset,
}

/// Thirty people and twenty items; in validation and in test there are new ones of both kinds.
fn log() -> String {
    let mut rows = String::from("user,item,time\n");
    for n in 0..420 {
        let (user, step) = (n % 30 + n / 300 * 2, n / 30);
        let item = (step * 3 + user / 2) % 10 * 2 + user % 2 + n / 300;
        rows += &format!("u{user},i{item},{}\n", 1_600_000_000 + n);
    }
    rows + "u77,i77,1600000500\n"
}

impl Shop {
    fn new() -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let items: String = (0..30).map(|i| format!("i{i},{}\n", ["red", "blue", "green"][i % 3])).collect();
        fs::write(at("in.csv"), log()).unwrap();
        fs::write(at("items.csv"), "item,colour\n".to_owned() + &items).unwrap();
        let config = IngestConfig {
            split: "time:1600000300,1600000390".parse().unwrap(),
            item_features: Some(at("items.csv")),
            ..IngestConfig::default()
        };
        ingest(&[at("in.csv")], &at("data"), &config, &|_| {}).unwrap();
        let original = Dataset::open(at("data")).unwrap();
        let refit = original.refit(at("refit")).unwrap();
        let shop = Shop { folder, original, refit };
        let manifest = shop.original.manifest();
        assert!(manifest.users.unseen_valid > 0 && manifest.items.unseen_valid > 0);
        assert!(manifest.items.unseen > manifest.items.unseen_valid, "an item that only the test split names");
        let mut config = Config::from_toml("[model]\ndim = 8\n[train]\nepochs = 3\nbatch_size = 32").unwrap();
        (config.train.device, config.model.user.history) = (Device::Cpu, Some(4));
        train(&shop.refit, shop.at("model"), &config, false, &mut |_| {}).unwrap();
        shop
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn model(&self) -> Model {
        Model::load(self.at("model"), Device::Cpu, 1).unwrap()
    }
}

fn evaluate(model: &mut Model, split: Split, dataset: &Dataset) -> (Evaluation, Vec<String>) {
    let mut said = Vec::new();
    let mut observer = |event: Event<'_>| {
        if let Event::Note(note) = event {
            said.push(note.to_string());
        }
        Ok(())
    };
    let request = Evaluate::split(split).k(&[5]).bootstrap(0, 0).observe(&mut observer);
    let found = model.evaluate(request, dataset).unwrap();
    (found, said)
}

#[test]
fn the_test_split_is_the_same_in_both() {
    let shop = Shop::new();
    let mut model = shop.model();
    assert!(model.extends(&shop.original) && !model.extends(&shop.refit));
    let (on_refit, _) = evaluate(&mut model, Split::Test, &shop.refit);
    let (on_original, said) = evaluate(&mut model, Split::Test, &shop.original);
    assert_eq!(on_original, on_refit);
    assert_eq!(said, [] as [&str; 0]);
    assert!(on_original.unknown_items > 0 && on_original.cold_users > 0);
    // Validation's new users are known to the model, not cold; what they had then is seen.
    let of_original = shop.original.manifest();
    assert!(on_original.cold_users < u64::from(of_original.users.unseen));
}

#[test]
fn its_own_rows_are_measured_with_a_warning() {
    let shop = Shop::new();
    let mut model = shop.model();
    for split in [Split::Train, Split::Valid] {
        let (found, said) = evaluate(&mut model, split, &shop.original);
        assert_eq!(found.rows, shop.original.split(split).rows);
        assert_eq!((found.unknown_items, found.cold_users), (0, 0), "{split:?}");
        let expected = format!("the model was also trained on the {} split", split.name());
        assert!(said.len() == 1 && said[0].starts_with(&expected), "{said:?}");
    }
    // An observer may end the call there.
    let mut observer = |event: Event<'_>| match event {
        Event::Note(note) => Err(Error::config("split", note.to_string())),
        _ => Ok(()),
    };
    let request = Evaluate::split(Split::Valid).observe(&mut observer);
    assert!(matches!(model.evaluate(request, &shop.original), Err(Error::Config { .. })));
}

#[test]
fn another_dataset_is_refused() {
    let shop = Shop::new();
    let other = |name: &str, rows: String, split: &str| {
        fs::write(shop.at("other.csv"), rows).unwrap();
        let config = IngestConfig { split: split.parse().unwrap(), ..IngestConfig::default() };
        ingest(&[shop.at("other.csv")], &shop.at(name), &config, &|_| {}).unwrap();
        Dataset::open(shop.at(name)).unwrap()
    };
    let split = "time:1600000300,1600000390";
    let others = [
        other("more", log() + "u1,i1,1600000001\n", split),
        other("less", log().replace("u77,i77,1600000500\n", ""), split),
        other("apart", log(), "time:1600000310,1600000390"),
    ];
    for dataset in &others {
        let error = shop.model().evaluate(Evaluate::split(Split::Test), dataset).unwrap_err();
        assert!(error.to_string().contains("was not trained on"), "{error}");
    }
    // Nor is a model of the original one of the refit, or of what was held out of it.
    let mut config = Config::from_toml("[model]\ndim = 8\n[train]\nepochs = 1\nbatch_size = 32").unwrap();
    config.train.device = Device::Cpu;
    train(&shop.original, shop.at("plain"), &config, false, &mut |_| {}).unwrap();
    let mut plain = Model::load(shop.at("plain"), Device::Cpu, 1).unwrap();
    plain.evaluate(Evaluate::split(Split::Test), &shop.original).unwrap();
    assert!(plain.evaluate(Evaluate::split(Split::Test), &shop.refit).is_err());
}

#[test]
fn what_users_have_in_the_original_is_left_out_of_their_lists() {
    let shop = Shop::new();
    let lists = |exclude, seen: Option<&Dataset>| {
        let request = Recommend::top(40).exclude(exclude);
        let request = if let Some(seen) = seen { request.seen(seen) } else { request };
        shop.model().recommend(request).write(shop.at("out.csv")).unwrap();
        let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in fs::read_to_string(shop.at("out.csv")).unwrap().lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            lists.entry(cells[0].to_owned()).or_default().push(cells[2].to_owned());
        }
        lists
    };
    // Its training rows are both splits'.
    let own = lists(Exclude::Train, None);
    assert_eq!(lists(Exclude::Train, Some(&shop.original)), own);
    assert_eq!(lists(Exclude::Train, Some(&shop.refit)), own);
    let all = lists(Exclude::All, Some(&shop.original));
    assert_eq!(lists(Exclude::All, Some(&shop.refit)), all);
    assert_ne!(all, own);
    for line in log().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert!(all.get(cells[0]).is_none_or(|list| !list.contains(&cells[1].to_owned())), "{line}");
    }
}
