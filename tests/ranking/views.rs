//! What is new to users, and what they take next: two views of one split, with the baselines beside them.

use tercel::Error;
use tercel::data::dataset::{Dataset, Manifest, Split, write_json};
use tercel::data::repeats::repeats;
use tercel::eval::{Baselines, Evaluator, View, Views, views};

use super::evaluate::{at, run, toy};
use super::fixture::{Scored, Toy};

const DAY: i64 = 86_400;

#[test]
fn an_evaluator_looks_at_one_view_after_the_other() {
    let (_dir, dataset) = toy().write();
    let mut ranker = Scored::new(4, |_, item| item as f32);
    let mut evaluator = Evaluator::open(&dataset, Split::Test, &at(&[2])).unwrap();
    for view in [View::Next, View::Discovery, View::Next] {
        evaluator.look(view);
        let alone = run(&dataset, &mut ranker, &at(&[2]).view(view)).unwrap();
        assert_eq!(evaluator.evaluate(&mut ranker, &mut |_| Ok(())).unwrap(), alone);
        assert_eq!((alone.view, alone.repeated, alone.rows), (view, 1, 6));
        let users = if view == View::Next { 4 } else { 3 };
        assert_eq!(evaluator.values(&mut ranker, "ndcg@2", &mut |_| Ok(())).unwrap().len(), users);
        assert_eq!(alone.definitions.get("R").unwrap().contains("does not have"), view == View::Discovery);
    }
}

#[test]
fn a_view_without_anything_to_find_says_so() {
    let mut toy = toy();
    toy.test = vec![(1, 1), (3, 2), (3, 1), (3, 1)];
    let (_dir, dataset) = toy.write();
    let mut ranker = Scored::new(4, |_, item| item as f32);
    let options = at(&[2]).baselines(Baselines::All);
    let found = run(&dataset, &mut ranker, &options).unwrap();
    assert_eq!((found.users, found.repeating_users, found.relevant, found.repeated, found.rows), (0, 2, 0, 3, 4));
    let nothing = found.nothing.as_ref().unwrap();
    assert!(nothing.contains("all 3 pairs") && nothing.contains("test"), "{nothing}");
    assert!(found.metrics.0.is_empty() && found.popularity.0.is_empty() && found.baselines.0.is_empty());
    assert!(ranker.blocks.is_empty(), "nobody was asked");
    let evaluator = Evaluator::open(&dataset, Split::Test, &options).unwrap();
    assert!(evaluator.values(&mut ranker, "ndcg@2", &mut |_| Ok(())).unwrap().is_empty());
    let found = run(&dataset, &mut ranker, &options.view(View::Next)).unwrap();
    assert_eq!((found.users, found.relevant, &found.nothing), (2, 3, &None));
    assert!(found.value("recall@2").is_some());
}

#[test]
fn the_baselines_are_those_of_their_days_and_of_the_neighbours() {
    let mut toy = Toy::new(30, 6);
    // i1 was popular once; i2 in the last four weeks; i3 in the last one, whose first second does not count.
    let last = 100 * DAY;
    let of = |item: u32, users: std::ops::Range<u32>, time: i64| users.map(move |user| (user, item, time));
    toy.train = of(1, 1..13, 10 * DAY)
        .chain(of(2, 1..9, last - 27 * DAY))
        .chain(of(3, 3..6, last))
        .chain(of(4, 6..10, last - 7 * DAY))
        .chain([(13, 5, last - 28 * DAY), (14, 5, DAY), (13, 6, DAY), (14, 6, DAY), (15, 5, DAY)])
        .collect();
    // u15 has i5, whose neighbour is i6; u20 has nothing.
    toy.test = vec![(15, 6), (20, 3)];
    let (_dir, dataset) = toy.write();
    let mut ranker = Scored::new(6, |_, item| item as f32);
    let found = run(&dataset, &mut ranker, &at(&[1, 6]).baselines(Baselines::All)).unwrap();
    let names: Vec<&str> = found.baselines.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["popular_7_days", "popular_28_days", "item_knn"]);
    let value = |name: &str, metric: &str| found.baselines.get(name).unwrap().get(metric).copied().unwrap();
    // u15: all time 1, 2, 4, 3, 6 (rank 5); 7 days 3, 1, 2, 4, 6: 5; 28 days 2, 4, 3, 1, 6: 5. u20: i3 is at 4 (1, 2, 4,
    // 3, 5), 1 and 3. The neighbours have i6 first for u15, and for u20 what is popular.
    let mean = |a: f64, b: f64| (1.0 / a + 1.0 / b) / 2.0;
    assert_eq!(found.popularity.get("mrr@6"), Some(&mean(5.0, 4.0)));
    assert_eq!(value("popular_7_days", "mrr@6"), mean(5.0, 1.0));
    assert_eq!(value("popular_28_days", "mrr@6"), mean(5.0, 3.0));
    assert_eq!(value("item_knn", "mrr@6"), mean(1.0, 4.0));
    assert_eq!(value("item_knn", "hit_rate@1"), 0.5);
    let recent = run(&dataset, &mut ranker, &at(&[1, 6]).baselines(Baselines::Recent)).unwrap();
    assert_eq!(recent.baselines.0, found.baselines.0[..2]);
    assert_eq!(recent.metrics, found.metrics);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["baselines"]["item_knn"]["hit_rate@1"].as_f64(), Some(0.5));
}

#[test]
fn in_the_view_of_what_comes_next_an_item_is_near_itself() {
    let mut toy = Toy::new(8, 4);
    // Everybody has i1 and i2; u1 has i4 alone.
    toy.train = (2..=8).flat_map(|user| [(user, 1, 5), (user, 2, 5)]).chain([(1, 4, 5)]).collect();
    toy.test = vec![(1, 4), (1, 3)];
    let (_dir, dataset) = toy.write();
    let mut ranker = Scored::new(4, |_, item| item as f32);
    let of = |found: tercel::eval::Evaluation| *found.baselines.get("item_knn").unwrap().get("mrr@4").unwrap();
    let options = at(&[4]).baselines(Baselines::All);
    assert_eq!(of(run(&dataset, &mut ranker, &options.clone().view(View::Next)).unwrap()), 1.0);
    // Nothing is near i4: what is popular, 1, 2, 3, and i4 is left out.
    assert_eq!(of(run(&dataset, &mut ranker, &options).unwrap()), 1.0 / 3.0);
}

#[test]
fn both_views_are_looked_at_where_people_take_things_again() {
    let mut toy = Toy::new(20, 100);
    toy.train = (1..=20).map(|user| (user, user, 5)).collect();
    toy.valid = (0..100).map(|n| (1 + n % 20, 30 + n % 60)).collect();
    toy.test = toy.valid.clone();
    toy.test[7] = (8, 8);
    let (dir, dataset) = toy.write();
    // Nobody has counted: the rows are read.
    assert_eq!(dataset.split(Split::Test).repeats, None);
    assert_eq!(Split::ALL.map(|split| repeats(&dataset, split).unwrap()), [0, 0, 1]);
    assert_eq!(views(&dataset, Split::Valid, None).unwrap(), [View::Discovery]);
    assert_eq!(views(&dataset, Split::Test, None).unwrap(), [View::Discovery, View::Next], "1 of 100 rows");
    assert_eq!(views(&dataset, Split::Train, None).unwrap(), [View::Next], "it knows all of it");
    for (asked, expected) in [
        (Views::Discovery, &[View::Discovery][..]),
        (Views::Next, &[View::Next]),
        (Views::Both, &[View::Discovery, View::Next]),
    ] {
        for split in Split::ALL {
            assert_eq!(views(&dataset, split, Some(asked)).unwrap(), expected);
        }
    }
    // What was counted is believed.
    let manifest = dir.path().join("dataset.json");
    let mut told: Manifest = dataset.manifest().clone();
    told.test.repeats = Some(0);
    write_json(&manifest, &told).unwrap();
    let told = Dataset::open(dir.path()).unwrap();
    assert_eq!(views(&told, Split::Test, None).unwrap(), [View::Discovery]);
    // Not of files that were changed since.
    Dataset::accept(dir.path()).unwrap();
    assert_eq!(views(&Dataset::open(dir.path()).unwrap(), Split::Test, None).unwrap().len(), 2);
    toy.test = vec![(1, 2); 101];
    toy.test[0] = (1, 1);
    assert_eq!(views(&toy.write().1, Split::Test, None).unwrap(), [View::Discovery], "less than 1 %");
    toy.test = vec![(1, 200)];
    assert!(matches!(run(&toy.write().1, &mut Scored::new(4, |_, _| 0.0), &at(&[2])), Err(Error::IdOutOfRange { .. })));
}
