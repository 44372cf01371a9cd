//! A model and what is asked of it: every request carries all that its answer depends on.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use tercel::data::ingest::{IngestConfig, ingest};
use tercel::eval::{EvaluateOptions, View, evaluate};
use tercel::index::item_index::IndexOptions;
use tercel::index::predictions::PredictionWriter;
use tercel::index::{Found, Lists, Ranker, Seen, UserBlock, Users};
use tercel::train::train;
use tercel::{
    Config, Dataset, Device, Error, Evaluate, Event, Exclude, Export, Index, Items, Model, Note, Recommend, Search,
    Split, Who,
};

/// A dataset and a model in a folder of their own.
struct Shop {
    folder: tempfile::TempDir,
    dataset: Dataset,
}

impl Shop {
    /// Thirty people of two tastes and twenty items with a colour; `split` as ingest has it, `history` as the model does.
    fn new(split: &str, history: usize) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut rows = String::from("user,item,time\n");
        for n in 0..360 {
            let (user, step) = (n % 30, n / 30);
            rows += &format!("u{user},i{},{}\n", (step * 3 + user / 2) % 10 * 2 + user % 2, 1_600_000_000 + n);
        }
        let items: String = (0..20).map(|i| format!("i{i},{}\n", ["red", "blue", "green"][i % 3])).collect();
        fs::write(at("in.csv"), rows).unwrap();
        fs::write(at("items.csv"), "item,colour\n".to_owned() + &items).unwrap();
        let config = IngestConfig {
            split: split.parse().unwrap(),
            item_features: Some(at("items.csv")),
            ..IngestConfig::default()
        };
        ingest(&[at("in.csv")], &at("data"), &config, &|_| {}).unwrap();
        let dataset = Dataset::open(at("data")).unwrap();
        let shop = Shop { folder, dataset };
        shop.train("model", 1, history);
        shop
    }

    fn train(&self, name: &str, seed: u64, history: usize) {
        let mut config = Config::from_toml("[model]\ndim = 8\n[train]\nepochs = 3\nbatch_size = 32").unwrap();
        (config.train.device, config.train.seed, config.model.user.history) = (Device::Cpu, seed, Some(history));
        train(&self.dataset, self.at(name), &config, false, &mut |_| {}).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn model(&self) -> Model {
        Model::load(self.at("model"), Device::Cpu, 1).unwrap()
    }
}

/// A model that gives lists and counts nothing.
struct ListsAlone<'a>(&'a mut Model);

impl Ranker for ListsAlone<'_> {
    fn history_len(&self) -> usize {
        self.0.history_len()
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> tercel::Result<Found> {
        self.0.top_k(users, k, skip)
    }
}

/// What a request writes, and what it says.
fn ask(model: &mut Model, out: &Path, request: Recommend<'_>) -> (String, Vec<String>) {
    let mut said = Vec::new();
    let mut observer = |event: Event<'_>| {
        said.push(match event {
            Event::Progress(_) => return Ok(()),
            Event::IndexOpened { .. } => "opened".to_owned(),
            Event::IndexBuilt { items, .. } => format!("built of {items}"),
            Event::Note(note) => note.to_string(),
            other => format!("{other:?}"),
        });
        Ok(())
    };
    model.recommend(request.observe(&mut observer)).write(out).unwrap();
    (fs::read_to_string(out).unwrap(), said)
}

fn by_user(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        lists.entry(cells[0].to_owned()).or_default().push(cells[2].to_owned());
    }
    lists
}

#[test]
fn one_request_does_not_change_the_next() {
    let shop = Shop::new("last-per-user:1", 0);
    let out = shop.at("out.csv");
    let mut model = shop.model();
    let everything = || Recommend::top(20).exclude(Exclude::None);
    let (whole, _) = ask(&mut model, &out, everything());
    assert!(by_user(&whole).values().all(|list| list.len() == 20));
    let blue: Vec<String> = (0..20).filter(|i| i % 3 == 1).map(|i| format!("i{i}")).collect();
    for search in [Search::Exact, Search::approx()] {
        let (found, _) = ask(&mut model, &out, everything().tags(["colour=blue"]).index(search));
        for list in by_user(&found).values() {
            let mut list = list.clone();
            list.sort();
            let mut blue = blue.clone();
            blue.sort();
            assert_eq!(list, blue, "{search:?}");
        }
        let few = everything().items(["i1", "i2", "i4"]).tags(["colour=blue"]).index(search);
        let (found, _) = ask(&mut model, &out, few);
        assert!(by_user(&found).values().all(|list| list.len() == 2), "{search:?}");
        let (again, _) = ask(&mut model, &out, everything().index(search));
        assert_eq!(again, whole, "{search:?}: no filter is left behind");
    }
    let index = model.index(&IndexOptions::exact()).unwrap();
    assert_eq!(ask(&mut model, &out, everything().index(&index)).0, whole);
    let (found, _) = ask(&mut model, &out, everything().index(&index).tags(["colour=blue"]));
    assert!(by_user(&found).values().all(|list| list.len() == blue.len()));
}

#[test]
fn a_model_knows_how_long_a_history_it_reads() {
    let shop = Shop::new("last-per-user:1", 4);
    let mut model = shop.model();
    assert_eq!(model.history_len(), 4);
    // In one place and in the other: the same figures, and the same lists whoever holds the training rows.
    let request = Evaluate::split(Split::Test).k(&[5]).bootstrap(0, 0);
    let asked = model.evaluate(request, &shop.dataset).unwrap();
    let options = EvaluateOptions::at(&[5]).bootstrap(0, 0);
    assert_eq!(asked, evaluate(&shop.dataset, Split::Test, &mut model, &options, &mut |_| Ok(())).unwrap());
    let out = shop.at("out.csv");
    let own = ask(&mut model, &out, Recommend::top(5).exclude(Exclude::Train)).0;
    assert_eq!(own, ask(&mut model, &out, Recommend::top(5).exclude(Exclude::Train).seen(&shop.dataset)).0);
    // New users with other histories get other lists: the history is read, not taken for empty.
    fs::write(shop.at("new.csv"), "user,item\na,i0\na,i2\na,i4\nb,i1\nb,i3\nb,i5\nc,\n").unwrap();
    let request = Recommend::top(5).users(shop.at("new.csv")).exclude(Exclude::None);
    let (found, said) = ask(&mut model, &out, request);
    let lists: Vec<_> = by_user(&found).into_values().collect();
    assert!(lists[0] != lists[1] && lists[1] != lists[2], "{lists:?}");
    assert!(said.iter().any(|line| line.contains("3 of 3 users are new")), "{said:?}");
}

#[test]
fn the_index_is_found_checked_and_built_by_one_rule() {
    let shop = Shop::new("last-per-user:1", 0);
    let (out, file) = (shop.at("out.csv"), shop.at("model/items.index"));
    let approx = |recall| Recommend::top(5).exclude(Exclude::Train).index(Search::Approx { recall });
    let exact = ask(&mut shop.model(), &out, Recommend::top(5).exclude(Exclude::Train)).0;
    let mut model = shop.model();
    assert_eq!(ask(&mut model, &out, approx(0.9)), (exact.clone(), vec!["built of 20".to_owned()]));
    assert_eq!(ask(&mut model, &out, approx(0.9)).1, Vec::<String>::new(), "it is in use");
    assert_eq!(ask(&mut shop.model(), &out, approx(0.9)), (exact.clone(), vec!["opened".to_owned()]));

    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let (lists, said) = ask(&mut shop.model(), &out, approx(0.9));
    assert!(said[0].contains("items.index") && said[0].contains("damaged"), "{said:?}");
    assert_eq!((lists, &said[1..]), (exact.clone(), &["built of 20".to_owned()][..]));
    assert_eq!(ask(&mut shop.model(), &out, approx(0.9)).1, ["opened"], "mended");

    shop.train("other", 2, 0);
    fs::copy(&file, shop.at("other/items.index")).unwrap();
    let mut other = Model::load(shop.at("other"), Device::Cpu, 1).unwrap();
    let (_, said) = ask(&mut other, &out, approx(0.9));
    assert!(said[0].contains("for another model") && said[1] == "built of 20", "{said:?}");

    // A folder in its place: it cannot be read, nor be written.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let (lists, said) = ask(&mut shop.model(), &out, approx(0.9));
    assert_eq!((lists, said.len()), (exact, 3), "{said:?}");
    assert!(said[2].contains("the index was not saved"), "{said:?}");

    let index = other.index(&IndexOptions::exact()).unwrap();
    let request = Recommend::top(5).index(&index);
    let error = shop.model().recommend(request).write(&out).unwrap_err();
    assert!(matches!(&error, Error::Config { field, .. } if field == "index"), "{error}");
    for recall in [0.0, 1.0, f32::NAN] {
        let error = shop.model().recommend(approx(recall)).write(&out).unwrap_err();
        assert!(matches!(&error, Error::Config { field, .. } if field == "recall"), "{error}");
    }
}

/// What is said of a request.
fn notes(model: &mut Model, out: &Path, request: Recommend<'_>) -> Vec<String> {
    ask(model, out, request).1
}

#[test]
fn what_the_caller_should_know_is_said() {
    let shop = Shop::new("last-per-user:1", 0);
    let (out, dataset) = (shop.at("out.csv"), shop.dataset.clone());
    let mut model = shop.model();
    assert_eq!(notes(&mut model, &out, Recommend::top(3)), [Note::TrainingItemsOnly.to_string()]);
    assert!(notes(&mut model, &out, Recommend::top(3).seen(&dataset)).is_empty());
    assert!(notes(&mut model, &out, Recommend::top(3).exclude(Exclude::Train)).is_empty());
    assert!(notes(&mut model, &out, Recommend::top(3).exclude(Exclude::None)).is_empty());
    let some = Recommend::top(3).seen(&dataset).items(["i1", "i2", "x", "y"]);
    assert_eq!(notes(&mut model, &out, some), ["2 of 4 items are not in the model (the first is `x`)"]);
    fs::write(shop.at("stock.txt"), "i1\nz\n").unwrap();
    let some = Recommend::top(3).seen(&dataset).items(shop.at("stock.txt"));
    let said = notes(&mut model, &out, some);
    assert!(said[0].contains("stock.txt: 1 of 2 items") && said.len() == 1, "{said:?}");
    // A dataset without other splits: nothing is missing.
    let whole = Shop::new("none", 0);
    assert!(notes(&mut whole.model(), &out, Recommend::top(3)).is_empty());
}

#[test]
fn items_of_all_splits_are_left_out_by_default() {
    let shop = Shop::new("last-per-user:2", 0);
    let (out, dataset) = (shop.at("out.csv"), shop.dataset.clone());
    let mut model = shop.model();
    // Everybody has all ten items of its taste, in one split or another.
    let bought = |user: &str| {
        let parity = user[1..].parse::<usize>().unwrap() % 2;
        move |item: &String| item[1..].parse::<usize>().unwrap() % 2 == parity
    };
    let all = by_user(&ask(&mut model, &out, Recommend::top(20).seen(&dataset)).0);
    assert!(all.len() == 30 && all.iter().all(|(user, list)| list.len() == 10 && !list.iter().any(bought(user))));
    let train = by_user(&ask(&mut model, &out, Recommend::top(20).seen(&dataset).exclude(Exclude::Train)).0);
    assert!(train.values().any(|list| list.len() > 10), "what was held out may come back");
    let none = by_user(&ask(&mut model, &out, Recommend::top(20).seen(&dataset).exclude(Exclude::None)).0);
    assert!(none.values().all(|list| list.len() == 20));
}

#[test]
fn what_cannot_be_asked() {
    let shop = Shop::new("last-per-user:1", 0);
    let out = shop.at("out.csv");
    let mut model = shop.model();
    let mut refused = |request: Recommend<'_>, name: &str| {
        let error = model.recommend(request).write(&out).unwrap_err();
        assert!(matches!(&error, Error::Config { field, .. } if field == name), "{name}: {error}");
        assert!(!out.exists());
    };
    refused(Recommend::top(0), "k");
    refused(Recommend::top(1025), "k");
    refused(Recommend::top(3).users(["u1", "nobody"]), "users");
    refused(Recommend::top(3).items(["none", "at all"]), "items");
    refused(Recommend::top(3).items(Items::ids(Vec::<String>::new())), "items");
    refused(Recommend::top(3).tags(["colour=red", "colour=blue"]), "tag");
    refused(Recommend::top(3).tags(["size=1"]), "tag");
    refused(Recommend::top(3).by_user(true), "by_user");
    for ks in [&[][..], &[0], &[1025], &[5, 5]] {
        let error = model.evaluate(Evaluate::split(Split::Test).k(ks), &shop.dataset).unwrap_err();
        assert!(matches!(&error, Error::Config { field, .. } if field == "k"), "{error}");
    }
    let other = Shop::new("last-per-user:2", 0);
    let error = model.evaluate(Evaluate::split(Split::Test), &other.dataset).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
}

#[test]
fn every_call_can_be_watched_and_stopped() {
    let shop = Shop::new("last-per-user:1", 0);
    let out = shop.at("out.csv");
    fs::write(&out, "yesterday's").unwrap();
    let mut model = shop.model();
    let mut stop = |event: Event<'_>| match event {
        Event::Progress(at) if at.done > 0 && at.done == at.total => Err(Error::Interrupted { what: "it".into() }),
        _ => Ok(()),
    };
    let stopped = |error: Error| assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    stopped(model.recommend(Recommend::top(3).observe(&mut stop)).write(&out).unwrap_err());
    // Everybody buys again what they had.
    let next = Evaluate::split(Split::Test).view(View::Next);
    stopped(model.evaluate(next.observe(&mut stop), &shop.dataset).unwrap_err());
    let file = shop.at("items.npy");
    stopped(model.export(Export::items([&file]).observe(&mut stop)).unwrap_err());
    assert_eq!((fs::read_to_string(&out).unwrap(), file.exists()), ("yesterday's".into(), false));
}

#[test]
fn vectors_rank_as_recommend_does() {
    let shop = Shop::new("last-per-user:1", 3);
    let mut model = shop.model();
    let (users, items) = (model.user_vectors(["u3", "u8"]).unwrap(), model.item_vectors(None).unwrap());
    let scores = users.dot(&items.t());
    let out = shop.at("out.csv");
    let request = Recommend::top(1).users(Who::ids(["u3", "u8"])).exclude(Exclude::None);
    let found = by_user(&ask(&mut model, &out, request).0);
    for (row, user) in ["u3", "u8"].iter().enumerate() {
        let best = (0..items.nrows()).max_by(|&a, &b| scores[[row, a]].total_cmp(&scores[[row, b]])).unwrap();
        assert_eq!(model.items().raw(best as u32 + 1).unwrap().to_string(), found[*user][0]);
    }
    assert!(matches!(model.item_vectors(Some(&["none".into()])), Err(Error::Config { .. })));
}

#[test]
fn types_that_people_pass_around() {
    fn passes<T: Send + Debug>() {}
    passes::<Model>();
    passes::<Index>();
    passes::<Dataset>();
    passes::<Seen>();
    passes::<Users<'_>>();
    passes::<PredictionWriter>();
    passes::<tercel::export::VectorWriter>();
    let shop = Shop::new("none", 0);
    assert!(format!("{:?}", shop.model()).contains("items: 20"));
}

#[test]
fn hits_counted_where_lists_are_made_give_the_figures_of_the_lists() {
    let shop = Shop::new("last-per-user:3", 4);
    let mut model = shop.model();
    for view in [View::Discovery, View::Next] {
        // Lists of several words that no catalogue fills, k in no order, blocks of few users and of all.
        for (ks, memory) in [(&[40, 3, 20][..], 1 << 20), (&[1, 10], 512 << 20)] {
            let options = EvaluateOptions::at(ks).view(view).memory(memory).bootstrap(200, 3);
            let of = |ranker: &mut dyn Ranker| {
                let evaluation = evaluate(&shop.dataset, Split::Test, ranker, &options, &mut |_| Ok(())).unwrap();
                (serde_json::to_string(&evaluation).unwrap(), evaluation)
            };
            let (counted, listed) = (of(&mut model), of(&mut ListsAlone(&mut model)));
            assert_eq!(counted, listed, "{view:?}, k {ks:?}");
            assert!(counted.1.metrics.iter().any(|(_, estimate)| estimate.value > 0.0));
        }
    }
}
