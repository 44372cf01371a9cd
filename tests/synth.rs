//! Data with a known answer: its shape, its sameness, and that a model finds what was planted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use tercel::Error;
use tercel::data::dataset::{Dataset, Split};
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::data::shape::Shape;
use tercel::data::vocabulary::RawId;
use tercel::synth::hm::{HmConfig, HmSummary, write};
use tercel::synth::planted::{self, PlantedConfig, PlantedShape, PlantedSummary};
use tercel::train::train;
use tercel::{Config, Device, Evaluate, Exclude, Model, Recommend, Who};

const FILES: [&str; 5] =
    ["transactions_train.csv", "customers.csv", "articles.csv", "truth/customers.csv", "truth/clusters.csv"];

fn synth(folder: &Path, scale: f64, seed: u64, threads: usize) -> HmSummary {
    write(folder, &HmConfig { scale, seed, threads }, &|_, _| {}).expect("writes")
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).expect("a text file").lines().map(str::to_owned).collect()
}

#[test]
fn the_columns_and_counts_of_the_real_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let summary = synth(folder.path(), 0.001, 0, 2);
    assert_eq!((summary.rows, summary.customers, summary.articles), (31_788, 1372, 106));
    let bytes = FILES[..3].iter().map(|f| fs::metadata(folder.path().join(f)).expect("there").len()).sum::<u64>();
    assert_eq!(summary.bytes, bytes);

    let bought = lines(&folder.path().join(FILES[0]));
    assert_eq!(bought[0], "t_dat,customer_id,article_id,price,sales_channel_id");
    assert_eq!(bought.len(), 1 + 31_788);
    let customers = lines(&folder.path().join(FILES[1]));
    assert_eq!(customers[0], "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code");
    let articles = lines(&folder.path().join(FILES[2]));
    assert_eq!(articles[0].split(',').count(), 25, "as many columns as Kaggle's");
    assert_eq!((customers.len(), articles.len()), (1373, 107));
    let mut reader = csv::Reader::from_path(folder.path().join(FILES[2])).expect("opens");
    let known: HashSet<String> = reader.records().map(|r| r.expect("25 columns")[0].to_owned()).collect();
    let ids: HashSet<&str> = customers[1..].iter().map(|line| &line[..64]).collect();
    assert_eq!((known.len(), ids.len()), (106, 1372), "ids are unique");

    let mut day = "2018-09-20";
    let mut months: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    for line in &bought[1..] {
        let cells: Vec<&str> = line.split(',').collect();
        assert!(cells[0] >= day && cells[0] <= "2020-09-22", "{line}: days ascend");
        day = cells[0];
        assert!(ids.contains(cells[1]) && known.contains(cells[2]) && cells[2].len() == 10, "{line}");
        assert!(cells[3].parse::<f64>().is_ok_and(|price| price > 0.0 && price < 0.6), "{line}");
        assert!(cells[4] == "1" || cells[4] == "2", "{line}");
        *months.entry(&cells[0][..7]).or_default().entry(cells[2]).or_default() += 1;
    }
    let came: HashSet<&str> = bought[1..].iter().map(|line| &line[11..75]).collect();
    assert_eq!(came, ids, "every customer comes at least once");
    assert_eq!(months.len(), 25, "every month from September 2018 to September 2020");
    // What sells most changes: seasons and fashions.
    let best = |month: &str| {
        let mut all: Vec<(&u32, &&str)> = months[month].iter().map(|(article, n)| (n, article)).collect();
        all.sort();
        all.iter().rev().take(10).map(|(_, article)| **article).collect::<BTreeSet<_>>()
    };
    let kept = best("2019-07").intersection(&best("2020-01")).count();
    assert!(kept < 6, "{kept} of 10 are the same in July and January");
}

#[test]
fn the_seed_alone_decides() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for (name, seed, threads) in [("one", 3, 1), ("three", 3, 3), ("other", 4, 1)] {
        synth(&at(name), 0.0005, seed, threads);
    }
    for file in FILES {
        let read = |name: &str| fs::read(at(name).join(file)).expect("there");
        assert!(read("one") == read("three"), "{file}: threads change nothing");
        assert!(read("one") != read("other"), "{file}: the seed does");
    }
}

#[test]
fn bad_scales_and_files_that_are_there() {
    let folder = tempfile::tempdir().expect("a folder");
    for scale in [0.0, -1.0, 21.0, f64::NAN] {
        let config = HmConfig { scale, ..HmConfig::default() };
        let error = write(&folder.path().join("new"), &config, &|_, _| {}).expect_err("no such scale");
        assert!(matches!(error, Error::Config { .. }) && error.to_string().contains("1 is H&M's size"), "{error}");
    }
    assert!(!folder.path().join("new").exists());
    fs::write(folder.path().join("customers.csv"), "mine").expect("writes");
    let error = write(folder.path(), &HmConfig { scale: 0.001, ..HmConfig::default() }, &|_, _| {});
    assert!(error.expect_err("a file is there").to_string().contains("customers.csv"));
    assert_eq!(fs::read_to_string(folder.path().join("customers.csv")).expect("there"), "mine");
}

/// A model trained on it finds the planted clusters: its lists come from the customers' own two, and the test week's
/// purchases are found better than by popularity.
#[test]
fn a_model_finds_what_was_planted() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    synth(&at("hm"), 0.004, 0, 2);
    let config = IngestConfig { split: "time:2020-09-16".parse().expect("a rule"), ..Default::default() };
    ingest(&[at("hm")], &at("data"), &config, &|_| {}).expect("ingests");
    let dataset = Dataset::open(at("data")).expect("a dataset");
    let columns: Vec<&str> = dataset.manifest().users.features.iter().map(|f| f.name.as_str()).collect();
    assert!(columns.contains(&"age") && columns.contains(&"club_member_status"), "{columns:?}");
    let toml = "[model]\ndim = 16\nuser.features = []\nitem.features = []\n[train]\nepochs = 8\nseed = 1";
    let mut config = Config::from_toml(toml).expect("a configuration");
    config.train.device = Device::Cpu;
    train(&dataset, at("model"), &config, false, &mut |_| {}).expect("trains");
    let mut model = Model::load(at("model"), Device::Cpu, 0).expect("loads");

    let report = model.evaluate(Evaluate::split(Split::Test).include_seen(true), &dataset).expect("evaluates");
    let (found, popular) = (report.metrics.get("recall@10").expect("there").value, report.popularity.get("recall@10"));
    let popular = popular.copied().expect("there");
    assert!(found > 1.3 * popular, "recall@10 {found}, popularity {popular}");

    let cells = |file: &str| -> Vec<Vec<String>> {
        lines(&at("hm").join(file))[1..].iter().map(|l| l.split(',').map(str::to_owned).collect()).collect()
    };
    let truth: HashMap<String, [String; 2]> =
        cells("truth/customers.csv").into_iter().map(|c| (c[0].clone(), [c[1].clone(), c[2].clone()])).collect();
    let mut cluster_of: HashMap<String, String> = HashMap::new();
    for line in cells("truth/clusters.csv") {
        cluster_of.insert(line[2].clone(), line[0].clone());
    }
    let users = model.users().clone();
    let some = Who::ids((1..1000).filter_map(|row| users.raw(row)));
    let request = Recommend::top(10).users(some).exclude(Exclude::None);
    model.recommend(request).write(at("top.csv")).expect("recommends");
    let (mut own, mut all) = (0, 0);
    for line in &lines(&at("top.csv"))[1..] {
        let cells: Vec<&str> = line.split(',').collect();
        assert!(users.find(RawId::Text(cells[0])).is_some());
        let clusters = &truth[cells[0]];
        own += u32::from(cluster_of.get(cells[2]).is_some_and(|cluster| clusters.contains(cluster)));
        all += 1;
    }
    let (share, clusters) = (f64::from(own) / f64::from(all), 4.0);
    assert!(share > 1.5 * 2.0 / clusters, "{share} of the lists come from the customers' own clusters");
}

/// Rows of a CSV file, by their cells, without the header.
fn table(path: &Path) -> Vec<Vec<i64>> {
    let cells = |line: &String| line.split(',').map(|cell| cell.parse().expect("a number")).collect();
    lines(path)[1..].iter().map(cells).collect()
}

fn planted(folder: &Path, shape: PlantedShape, seed: u64) -> PlantedSummary {
    let config = PlantedConfig { shape, users: 300, items: 200, rows: 9_000, seed };
    planted::write(folder, &config, &|_, _| {}).expect("writes")
}

/// Users with their items in order of time.
fn by_user(rows: &[Vec<i64>]) -> BTreeMap<i64, Vec<i64>> {
    let mut users = BTreeMap::<i64, Vec<i64>>::new();
    rows.iter().for_each(|row| users.entry(row[0]).or_default().push(row[1]));
    users
}

/// What ingest finds in planted purchases.
fn shape_of(folder: &Path) -> Shape {
    let data = folder.join("data");
    ingest(&[folder.join("purchases.csv")], &data, &IngestConfig::default(), &|_| {}).expect("ingests");
    Shape::of(&Dataset::open(&data).expect("a dataset")).expect("it has one")
}

#[test]
fn planted_purchases_are_as_many_as_asked_for_and_the_same_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for shape in [PlantedShape::Clusters, PlantedShape::Drift, PlantedShape::Sequences, PlantedShape::Repeats] {
        let [once, twice, other] = ["once", "twice", "other"].map(|name| at(&format!("{shape}-{name}")));
        let summary = planted(&once, shape, 1);
        assert_eq!((summary.rows, summary.users, summary.items), (9_000, 300, 200));
        assert_eq!(summary.bytes, fs::metadata(once.join("purchases.csv")).expect("there").len());
        planted(&twice, shape, 1);
        planted(&other, shape, 2);
        for file in ["purchases.csv", "truth/users.csv", "truth/items.csv"] {
            let bytes = |folder: &Path| fs::read(folder.join(file)).expect("there");
            assert!(bytes(&once) == bytes(&twice), "{shape}: {file}");
        }
        assert!(fs::read(once.join("purchases.csv")).unwrap() != fs::read(other.join("purchases.csv")).unwrap());
        let rows = table(&once.join("purchases.csv"));
        assert_eq!((rows.len(), by_user(&rows).len()), (9_000, 300), "everybody comes");
        assert!(rows.windows(2).all(|pair| pair[0][0] < pair[1][0] || pair[0][2] <= pair[1][2]), "in order of time");
        assert!(rows.iter().all(|row| (0..200).contains(&row[1])));
        let error = planted::write(&once, &PlantedConfig { shape, users: 9, items: 20, rows: 9, seed: 0 }, &|_, _| {});
        assert!(error.is_err(), "nothing is written over");
    }
}

#[test]
fn planted_sizes_have_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    for (users, items, rows, field) in [(0, 20, 9, "users"), (9, 19, 9, "items"), (9, 20, 8, "rows")] {
        let config = PlantedConfig { shape: PlantedShape::Drift, users, items, rows, seed: 0 };
        let error = planted::write(&folder.path().join("out"), &config, &|_, _| {}).expect_err("it cannot be");
        assert!(error.to_string().starts_with(field), "{error}");
    }
    let config = PlantedConfig { shape: PlantedShape::Drift, users: 9, items: 20, rows: 9, seed: 0 };
    assert_eq!(planted::write(&folder.path().join("out"), &config, &|_, _| {}).expect("one each").rows, 9);
}

#[test]
fn planted_clusters_are_the_users_own() {
    let folder = tempfile::tempdir().expect("a folder");
    planted(folder.path(), PlantedShape::Clusters, 0);
    let truth = |file: &str| -> HashMap<i64, i64> {
        table(&folder.path().join(file)).iter().map(|row| (row[0], row[1])).collect()
    };
    let (users, items) = (truth("truth/users.csv"), truth("truth/items.csv"));
    let rows = table(&folder.path().join("purchases.csv"));
    let own = rows.iter().filter(|row| users[&row[0]] == items[&row[1]]).count();
    // Four of five, and a quarter of the rest.
    assert!((0.82..0.88).contains(&(own as f64 / 9_000.0)), "{own} of 9,000");
    assert_eq!(users.values().collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn planted_drift_brings_new_items() {
    let folder = tempfile::tempdir().expect("a folder");
    planted(folder.path(), PlantedShape::Drift, 0);
    let items = table(&folder.path().join("truth/items.csv"));
    let rows = table(&folder.path().join("purchases.csv"));
    // The newest twenty of the items that are there at a row's time.
    let newest = |row: &&Vec<i64>| {
        let there = items.iter().filter(|item| item[1] <= row[2]).map(|item| item[0]).max().expect("some are");
        assert!(row[1] <= there, "{row:?}: it is not there yet");
        row[1] > there - 20
    };
    let new = rows.iter().filter(newest).count();
    assert!((0.8..0.92).contains(&(new as f64 / 9_000.0)), "{new} of 9,000");
}

#[test]
fn planted_sequences_follow_from_the_last_two_items() {
    let folder = tempfile::tempdir().expect("a folder");
    planted(folder.path(), PlantedShape::Sequences, 0);
    let follows: BTreeSet<(i64, i64)> =
        table(&folder.path().join("truth/items.csv")).iter().map(|row| (row[0], row[1])).collect();
    let users = by_user(&table(&folder.path().join("purchases.csv")));
    let after = |gap: usize| {
        let pairs = users.values().flat_map(|items| items.windows(gap + 1).map(|window| (window[0], window[gap])));
        let hits: Vec<bool> = pairs.map(|pair| follows.contains(&pair)).collect();
        hits.iter().filter(|hit| **hit).count() as f64 / hits.len() as f64
    };
    assert!((0.48..0.56).contains(&after(1)), "{}", after(1));
    // Three of ten, and followers' followers by chance.
    assert!((0.28..0.38).contains(&after(2)), "{}", after(2));
    assert!(after(4) < 0.2, "{}", after(4));
    let next = shape_of(folder.path()).next.expect("there are times");
    assert!(next.last > 1.3 * next.all && next.last > 2.0 * next.popularity, "{next:?}");
}

#[test]
fn planted_repeats_are_favourites() {
    let folder = tempfile::tempdir().expect("a folder");
    planted(folder.path(), PlantedShape::Repeats, 0);
    let favourites: BTreeSet<Vec<i64>> = table(&folder.path().join("truth/users.csv")).into_iter().collect();
    let rows = table(&folder.path().join("purchases.csv"));
    let own = rows.iter().filter(|row| favourites.contains(&row[..2])).count();
    assert!((0.69..0.74).contains(&(own as f64 / 9_000.0)), "{own} of 9,000");
    let shape = shape_of(folder.path());
    let repeated: usize =
        by_user(&rows).values().map(|items| items.len() - items.iter().collect::<BTreeSet<_>>().len()).sum();
    assert!((shape.repeats - repeated as f64 / 9_000.0).abs() < 1e-4 && shape.repeats > 0.5, "{}", shape.repeats);
}
