//! A split's figures: who is evaluated, what counts, worked by hand.

use proptest::prelude::*;
use tercel::data::dataset::{Dataset, Feature, FeatureKind, Split};
use tercel::data::vocabulary::FeatureColumn;
use tercel::eval::{EvaluateOptions, Evaluation, Evaluator, View, evaluate};
use tercel::index::{Ranker, sample_users};
use tercel::{Error, Result};

use super::fixture::{Scored, Toy};

pub fn run(dataset: &Dataset, ranker: &mut dyn Ranker, options: &EvaluateOptions) -> Result<Evaluation> {
    evaluate(dataset, Split::Test, ranker, options, &mut |_| Ok(()))
}

pub fn at(ks: &[usize]) -> EvaluateOptions {
    EvaluateOptions::at(ks)
}

/// Five known users and one that only the test split has (6); four known items and an unseen one (5).
pub fn toy() -> Toy {
    let mut toy = Toy::new(6, 5);
    (toy.known_users, toy.known_items) = (5, 4);
    // Counts: i1 3, i2 2, i3 1, i4 1.
    toy.train = vec![(1, 1, 10), (2, 1, 11), (3, 1, 12), (3, 2, 13), (4, 2, 14), (5, 4, 15), (2, 3, 16)];
    // u1: i2 and the unseen i5 (once more: R is a set). u3: i4. u5: i4, seen in training, which is no discovery. u6, cold:
    // i1. u2, u4: none.
    toy.test = vec![(1, 2), (3, 4), (1, 5), (6, 1), (1, 5), (5, 4)];
    let colour =
        Feature { name: "colour".into(), kind: FeatureKind::Categorical { values: vec!["red".into(), "blue".into()] } };
    toy.user_features = vec![(colour, FeatureColumn::Codes(vec![0, 1, 1, 2, 1, 0, 2]))];
    toy
}

#[test]
fn a_split_by_hand() {
    let (_dir, dataset) = toy().write();
    // Everybody likes the higher row: 4, 3, 2, 1, less what was seen.
    let mut ranker = Scored::new(4, |_, item| item as f32);
    let found = run(&dataset, &mut ranker, &at(&[2])).unwrap();
    assert_eq!((found.users, found.skipped_users, found.repeating_users, found.cold_users), (3, 2, 1, 1));
    assert_eq!((found.rows, found.relevant, found.unknown_items, found.repeated), (6, 4, 1, 1));
    assert_eq!((found.view, found.include_seen, &found.nothing), (View::Discovery, false, &None));
    // u1 has seen i1: 4, 3; R = {2, 5}: nothing. u3 has seen 1, 2: 4, 3; R = {4}: rank 1. u5 has nothing to discover.
    // u6 has seen nothing: 4, 3; R = {1}: nothing.
    let third = 1.0 / 3.0;
    for (name, value) in [
        ("recall", third),
        ("ndcg", third),
        ("map", third),
        ("mrr", third),
        ("hit_rate", third),
        ("precision", third / 2.0),
    ] {
        assert_eq!(found.value(&format!("{name}@2")), Some(value), "{name}");
    }
    // Items 3 and 4 were returned, of 4.
    assert_eq!(found.value("coverage@2"), Some(0.5));
    // Popularity 1, 2, 3, 4. u1: 2, 3, R = {2, 5}: rank 1. u3: 3, 4, R = {4}: rank 2. u6: 1, 2, R = {1}: rank 1.
    // recall (1/2 + 1 + 1) / 3, mrr (1 + 1/2 + 1) / 3, precision (1 + 1 + 1) / 2 / 3.
    for (name, value) in
        [("recall", 2.5 / 3.0), ("mrr", 2.5 / 3.0), ("hit_rate", 1.0), ("precision", 0.5), ("coverage", 1.0)]
    {
        assert_eq!(found.popularity.get(&format!("{name}@2")), Some(&value), "{name}");
    }
    // ndcg: u1 1 / (1 + 0.63093) = 0.61315, u3 0.63093, u6 1; map: 1/2, 1/2, 1.
    assert!((found.popularity.get("ndcg@2").unwrap() - (0.61315 + 0.63093 + 1.0) / 3.0).abs() < 1e-5);
    assert_eq!(found.popularity.get("map@2"), Some(&(2.0 / 3.0)));
    assert!(found.baselines.0.is_empty());
}

#[test]
fn with_seen_items() {
    let (_dir, dataset) = toy().write();
    let mut ranker = Scored::new(4, |_, item| item as f32);
    let options = at(&[2]).view(View::Next);
    let found = run(&dataset, &mut ranker, &options).unwrap();
    // All get 4, 3: u3 and u5 have a hit at rank 1.
    assert_eq!((found.value("mrr@2"), found.value("coverage@2")), (Some(0.5), Some(0.5)));
    assert_eq!((found.repeated, found.include_seen), (1, true));
    assert!(ranker.blocks.iter().all(|block| block.history.is_none()));
}

#[test]
fn rankers_get_features_and_histories() {
    let (_dir, dataset) = toy().write();
    let mut ranker = Scored::new(4, |_, item| item as f32).reading(1);
    run(&dataset, &mut ranker, &at(&[2])).unwrap();
    let [block] = &ranker.blocks[..] else { panic!("one block") };
    // u1, u3, and u6 as row 0 with its own features and no history.
    assert_eq!(block.ids, [1, 3, 0]);
    assert_eq!(block.features, [FeatureColumn::Codes(vec![1, 2, 2])]);
    let history = block.history.as_ref().unwrap();
    assert_eq!((history.offsets.as_slice(), history.values.as_slice()), (&[0, 1, 2, 2][..], &[1, 2][..]));
}

#[test]
fn ties_break_by_row_and_more_places_than_items() {
    let (_dir, dataset) = toy().write();
    let mut ranker = Scored::new(4, |_, _| 0.0);
    let found = run(&dataset, &mut ranker, &at(&[4, 100])).unwrap();
    // All scores equal: 1, 2, 3, 4 less the seen. u1: 2, 3, 4: rank 1. u3: 3, 4: rank 2. u6: rank 1.
    assert_eq!(found.value("mrr@4"), Some(2.5 / 3.0));
    assert_eq!(found.value("mrr@100"), Some(2.5 / 3.0));
    assert_eq!(found.value("precision@4"), Some(0.25));
    assert!((found.value("precision@100").unwrap() - 0.01).abs() < 1e-12);
    assert_eq!(found.value("coverage@100"), Some(1.0));
}

#[test]
fn the_report_is_the_event() {
    let (_dir, dataset) = toy().write();
    let found = run(&dataset, &mut Scored::new(4, |_, item| item as f32), &at(&[2, 1])).unwrap();
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!((json["event"].as_str(), json["split"].as_str()), (Some("evaluate"), Some("test")));
    assert_eq!((json["users"].as_u64(), json["skipped_users"].as_u64()), (Some(3), Some(2)));
    assert_eq!((json["view"].as_str(), json["include_seen"].as_bool()), (Some("discovery"), Some(false)));
    assert!(json.get("nothing").is_none() && json.get("baselines").is_none());
    let recall = &json["metrics"]["recall@2"];
    let number = |key: &str| recall[key].as_f64().unwrap();
    assert!(number("low") <= number("value") && number("value") <= number("high"), "{recall}");
    assert!(number("low") < number("high"));
    assert_eq!(json["metrics"]["coverage@2"]["low"], serde_json::Value::Null);
    assert_eq!(json["popularity"]["recall@2"].as_f64(), Some(2.5 / 3.0));
    let names: Vec<&String> = json["metrics"].as_object().unwrap().keys().collect();
    assert_eq!(names[..7], ["recall@2", "ndcg@2", "map@2", "mrr@2", "hit_rate@2", "precision@2", "recall@1"]);
    for name in ["R", "recall", "ndcg", "map", "mrr", "hit_rate", "precision", "coverage"] {
        assert!(json["definitions"][name].is_string(), "{name}");
    }
    assert_eq!(serde_json::from_value::<Evaluation>(json).unwrap(), found);
}

#[test]
fn no_resamples_no_intervals() {
    let (_dir, dataset) = toy().write();
    let options = at(&[2]).bootstrap(0, 0);
    let found = run(&dataset, &mut Scored::new(4, |_, item| item as f32), &options).unwrap();
    assert!(found.metrics.iter().all(|(_, estimate)| estimate.low.is_none() && estimate.high.is_none()));
}

#[test]
fn nothing_to_evaluate_on() {
    let mut toy = toy();
    toy.test.clear();
    let (_dir, dataset) = toy.write();
    let error = run(&dataset, &mut Scored::new(4, |_, _| 0.0), &at(&[2])).unwrap_err();
    assert!(matches!(error, Error::Input { .. }), "{error}");
    // Rows of nobody in particular alone are nothing either; beside others they are counted and left out.
    toy.test = vec![(0, 1)];
    assert!(Evaluator::open(&toy.write().1, Split::Test, &at(&[2])).is_err());
    toy.test = vec![(0, 1), (1, 0), (1, 2)];
    let (_dir, dataset) = toy.write();
    let found = run(&dataset, &mut Scored::new(4, |_, _| 0.0), &at(&[2])).unwrap();
    assert_eq!((found.rows, found.anonymous_rows, found.users, found.unknown_items), (3, 1, 1, 1));
    // i2 at rank 1 of R = {unknown, i2}.
    assert_eq!(found.value("recall@2"), Some(0.5));
}

#[test]
fn what_cannot_be_evaluated() {
    let (_dir, dataset) = toy().write();
    let mut ranker = Scored::new(4, |_, item| item as f32);
    assert!(matches!(run(&dataset, &mut ranker, &at(&[0])), Err(Error::Config { .. })));
    let tight = at(&[2]).memory(40);
    assert!(matches!(run(&dataset, &mut ranker, &tight), Err(Error::Memory { needed: 48, allowed: 40, .. })));
    let tight = at(&[2]).memory(4000);
    assert!(matches!(run(&dataset, &mut ranker, &tight), Err(Error::Memory { .. })));
    // A ranker for another catalogue.
    let mut other = Scored::new(9, |_, item| item as f32);
    assert!(matches!(run(&dataset, &mut other, &at(&[2])), Err(Error::Shape { .. })));
    let mut damaged = toy();
    damaged.test.push((2, 6));
    let error = run(&damaged.write().1, &mut ranker, &at(&[2])).unwrap_err();
    assert!(matches!(error, Error::IdOutOfRange { column: "item", row: 6, id: 6, rows: 6, .. }), "{error}");
}

#[test]
fn a_sample_is_spread_over_the_vocabulary() {
    let mut toy = Toy::new(100, 3);
    toy.train = (1..=100).map(|user| (user, 1 + user % 3, i64::from(user))).collect();
    let (_dir, dataset) = toy.write();
    let blocks = sample_users(&dataset, 10, 2).unwrap();
    let [(block, skip)] = &blocks[..] else { panic!("one block") };
    assert_eq!(block.ids, [1, 11, 21, 31, 41, 51, 61, 71, 81, 91]);
    assert_eq!(skip.values, [2, 3, 1, 2, 3, 1, 2, 3, 1, 2]);
    assert_eq!(block.history.as_ref().unwrap(), skip);
    assert_eq!(sample_users(&dataset, 1000, 0).unwrap()[0].0.len(), 100);
}

/// Scores without any pattern.
fn noise(seed: u32, user: u32, item: u32) -> f32 {
    let mixed = (user.wrapping_mul(0x9E37_79B1) ^ item.wrapping_mul(0x85EB_CA77) ^ seed).wrapping_mul(0xC2B2_AE3D);
    ((mixed ^ (mixed >> 15)) % 8) as f32
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However users are cut into blocks, the figures are those of a loop over users.
    #[test]
    fn blocks_do_not_matter(
        train in proptest::collection::vec((1..20_u32, 1..12_u32, 0..50_i64), 1..80),
        test in proptest::collection::vec((1..24_u32, 1..15_u32), 1..60),
        seed: u32,
        include_seen: bool,
    ) {
        let mut toy = Toy::new(24, 15);
        (toy.known_users, toy.known_items, toy.train, toy.test) = (20, 12, train, test);
        let (_dir, dataset) = toy.write();
        let mut ranker = Scored::new(12, |user, item| noise(seed, user, item)).reading(3);
        let view = if include_seen { View::Next } else { View::Discovery };
        let options = at(&[3]).view(view);
        let whole = run(&dataset, &mut ranker, &options).unwrap();
        // Room for two users at a time.
        let narrow = options.clone().memory(70_000);
        let before = ranker.blocks.len();
        prop_assert_eq!(whole.nothing.is_some(), whole.users == 0);
        prop_assert_eq!(&run(&dataset, &mut ranker, &narrow).unwrap(), &whole);
        let sizes: Vec<usize> = ranker.blocks[before..].iter().map(|block| block.ids.len()).collect();
        prop_assert!(sizes.iter().all(|&size| size <= 2), "{:?}", sizes);
        for (name, estimate) in whole.metrics.iter() {
            prop_assert!((0.0..=1.0).contains(&estimate.value), "{} {}", name, estimate.value);
        }

        let mut users: Vec<u32> = toy.test.iter().map(|row| row.0).collect();
        users.sort_unstable();
        users.dedup();
        let (mut recall, mut judged) = (0.0, 0);
        for &user in &users {
            let row = if user <= 20 { user } else { 0 };
            let mut relevant: Vec<u32> = toy.test.iter().filter(|r| r.0 == user).map(|r| r.1).collect();
            relevant.sort_unstable();
            relevant.dedup();
            let seen = |item: &u32| toy.train.iter().any(|r| r.0 == user && r.1 == *item);
            relevant.retain(|item| include_seen || !seen(item));
            if relevant.is_empty() {
                continue;
            }
            judged += 1;
            let mut items: Vec<u32> = (1..=12).filter(|item| include_seen || !seen(item)).collect();
            items.sort_by(|&a, &b| noise(seed, row, b).total_cmp(&noise(seed, row, a)).then(a.cmp(&b)));
            recall += items.iter().take(3).filter(|item| relevant.contains(item)).count() as f64 / relevant.len() as f64;
        }
        prop_assert_eq!((whole.users, whole.repeating_users), (judged, users.len() as u64 - judged));
        if judged > 0 {
            prop_assert!((whole.value("recall@3").unwrap() - recall / judged as f64).abs() < 1e-12);
        }
    }
}

#[test]
fn a_metric_of_every_user() {
    let (_dir, dataset) = toy().write();
    let evaluator = Evaluator::open(&dataset, Split::Test, &at(&[2, 3])).unwrap();
    let mut ranker = Scored::new(4, |_, item| item as f32);
    let figures = evaluator.evaluate(&mut ranker, &mut |_| Ok(())).unwrap();
    for name in figures.metrics.iter().map(|(name, _)| name).filter(|name| !name.starts_with("coverage")) {
        let values = evaluator.values(&mut ranker, name, &mut |_| Ok(())).unwrap();
        assert_eq!(values.len() as u64, figures.users);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean - figures.value(name).unwrap()).abs() < 1e-12, "{name}");
    }
    // In the order of the users, whatever the ranker: u3 alone has a hit.
    let hits = evaluator.values(&mut ranker, "hit_rate@2", &mut |_| Ok(())).unwrap();
    assert_eq!(hits.iter().position(|&hit| hit == 1.0), Some(1));
    for unknown in ["coverage@2", "ndcg@7", "ndcg", ""] {
        let error = evaluator.values(&mut ranker, unknown, &mut |_| Ok(())).unwrap_err();
        assert!(matches!(&error, Error::Config { .. }) && error.to_string().contains("ndcg@3"), "{error}");
    }
}
