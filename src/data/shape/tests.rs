//! The shape of small data by hand, and of random data in the plainest way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::data::writer::ShardWriter;
use crate::eval::neighbours::LeaveOut;
use crate::rng::Rng;

/// User, item, time.
type Row = (u32, u32, i64);

fn history(dir: &Path, rows: &[Row], times: bool, users: u32, items: u32) -> History {
    let mut writer = ShardWriter::create(dir, "train", times, false);
    let column = |of: fn(&Row) -> u32| rows.iter().map(of).collect::<Vec<u32>>();
    let stamps: Vec<i64> = if times { rows.iter().map(|row| row.2).collect() } else { Vec::new() };
    writer.push(&column(|row| row.0), &column(|row| row.1), &stamps, &[]).unwrap();
    let files: Vec<_> = writer.finish().unwrap().iter().map(|file| dir.join(&file.name)).collect();
    let info = History::write(dir, &files, users).unwrap();
    History::open(dir, &info, users, items).unwrap()
}

fn measured(rows: &[Row], times: bool, users: u32, items: u32) -> Shape {
    let dir = tempfile::tempdir().unwrap();
    let history = history(dir.path(), rows, times, users, items);
    let pairs: BTreeSet<(u32, u32)> = rows.iter().map(|row| (row.0, row.1)).collect();
    let repeats = (rows.len() - pairs.len()) as u64;
    let held_out = HeldOutRows { valid_rows: 3, later: None };
    let by =
        |threads| Shape::measure(&Threads::new(threads).unwrap(), &history, users, items, repeats, &held_out).unwrap();
    let (shape, other) = (by(1), by(3));
    assert_eq!(shape, other, "the same for any number of threads");
    shape
}

#[test]
fn a_small_shop_by_hand() {
    // User 1 takes item 1 twice; user 3 has nothing; two rows of user 2 share their time.
    let rows = [(1, 1, 10), (1, 2, 20), (1, 1, 30), (1, 3, 40), (2, 1, 10), (2, 1, 10)];
    let shape = measured(&rows, true, 4, 4);
    assert_eq!((shape.rows, shape.users, shape.items, shape.valid_rows), (6, 3, 3, 3));
    assert_eq!((shape.user_rows, shape.user_rows_median, shape.item_rows), (2.0, 2, 2.0));
    assert_eq!(shape.repeats, 0.3333, "2 of 6");
    assert_eq!(shape.timed, Some(0.75), "3 of 4 that follow another");
    // Counts 1, 1, 4: (-2 * 1 + 0 * 1 + 2 * 4) / (3 * 6).
    assert_eq!(shape.gini, 0.3333);
    assert!(shape.is_ordered());
    assert_eq!(shape.next, None, "nobody has five rows");
    let new = [1, 2, 1, 3][LeaveOut::Drawn.place(1, 4).unwrap()] != 1;
    assert_eq!(shape.held_out.map(|asked| asked.users), new.then_some(1), "what a user has more than once is not new");
}

#[test]
fn without_times_nothing_is_said_of_order() {
    let shape = measured(&[(1, 1, 0), (1, 2, 0)], false, 2, 3);
    assert_eq!((shape.timed, shape.next, shape.is_ordered()), (None, None, false));
    let popularity = HeldOut { users: 1, neighbours: 0.0, popularity: 1.0 };
    assert_eq!(shape.held_out, Some(popularity), "one of two is asked for, and it is all there is");
}

#[test]
fn order_needs_half_of_the_rows_to_have_a_time_of_their_own() {
    let of = |times: [i64; 3]| measured(&[(1, 1, times[0]), (1, 2, times[1]), (1, 3, times[2])], true, 2, 4);
    assert_eq!((of([1, 1, 1]).timed, of([1, 1, 1]).is_ordered()), (Some(0.0), false));
    assert_eq!((of([1, 1, 2]).timed, of([1, 1, 2]).is_ordered()), (Some(0.5), true));
    assert_eq!(of([1, 2, 3]).timed, Some(1.0));
}

#[test]
fn nothing_has_a_shape_too() {
    assert_eq!(measured(&[], true, 1, 1), Shape { valid_rows: 3, ..Shape::default() });
    let one = measured(&[(1, 1, 5)], true, 2, 2);
    assert_eq!((one.user_rows, one.gini, one.timed, one.next), (1.0, 0.0, Some(0.0), None));
    assert_eq!(one.held_out, None);
}

fn random(seed: u64) -> Vec<Row> {
    let mut rng = Rng::at(seed, &[]);
    (0..4_000)
        .map(|_| {
            let (user, item) = (rng.below_u32(90), rng.below_u32(70).min(rng.below_u32(70)));
            (user, item, rng.below(3_000) as i64)
        })
        .collect()
}

#[test]
fn counts_are_those_of_plain_loops() {
    let mut rows = random(1);
    let shape = measured(&rows, true, 90, 70);
    rows.sort_by_key(|row| (row.0, row.2));
    let lists: BTreeMap<u32, Vec<Row>> = rows.iter().fold(BTreeMap::new(), |mut lists, row| {
        lists.entry(row.0).or_insert_with(Vec::new).push(*row);
        lists
    });
    // User 0 is nobody in particular: their rows follow nothing.
    let somebody = || lists.iter().filter(|(user, _)| **user > 0).map(|(_, list)| list);
    let moved: usize = somebody().map(|list| list.windows(2).filter(|pair| pair[0].2 != pair[1].2).count()).sum();
    let followers: usize = somebody().map(|list| list.len() - 1).sum();
    assert_eq!(shape.timed, Some(share(moved as u64, followers as u64)));
    let mut known: Vec<u64> = (1..90).map(|user| lists.get(&user).map_or(0, Vec::len) as u64).collect();
    known.sort_unstable();
    assert_eq!(shape.user_rows_median, known[44]);
    let mut counts = [0u64; 70];
    rows.iter().for_each(|row| counts[row.1 as usize] += 1);
    let pairs = counts[1..].iter().flat_map(|a| counts[1..].iter().map(|b| a.abs_diff(*b)));
    let (n, sum) = (69.0, counts[1..].iter().sum::<u64>() as f64);
    // The mean difference of all pairs, halved, beside the mean.
    assert!((shape.gini - pairs.sum::<u64>() as f64 / (2.0 * n * sum)).abs() < 1e-4, "{}", shape.gini);
}

#[test]
fn the_last_items_explain_the_next_where_that_is_planted() {
    // A walk around 200 items, from anywhere, one to three items at a time.
    let mut rng = Rng::at(4, &[]);
    let mut rows = Vec::new();
    for user in 1..=1_500 {
        let mut at = rng.below_u32(200);
        for time in 0..12 {
            rows.push((user, at + 1, time));
            at = (at + 1 + rng.below_u32(3)) % 200;
        }
    }
    let next = measured(&rows, true, 1_501, 201).next.unwrap();
    assert!(next.last > 0.9 && next.last >= next.all && next.last > 1.5 * next.earlier, "{next:?}");
    assert!(next.popularity < 0.3, "{next:?}");
    // With the same rows in an order without meaning all items say more than two.
    let mut shuffled = rows;
    for row in &mut shuffled {
        row.2 = rng.below(1 << 40) as i64;
    }
    let shape = measured(&shuffled, true, 1_501, 201);
    let (mixed, held_out) = (shape.next.unwrap(), shape.held_out.unwrap());
    assert!(mixed.all > mixed.last, "{mixed:?}");
    assert!((mixed.last / mixed.earlier - 1.0).abs() < 0.1, "{mixed:?}");
    assert!((held_out.neighbours / mixed.all - 1.0).abs() < 0.1, "{mixed:?}, {held_out:?}");
}

#[test]
fn nobody_is_told_what_was_counted_from_their_own_next_item() {
    // Everybody's last item is one that nobody else has: no neighbour can know it.
    let rows: Vec<Row> = (1..=40)
        .flat_map(|user| (1..=5).map(move |item| (user, if item < 5 { item } else { 4 + user }, item.into())))
        .collect();
    let shape = measured(&rows, true, 41, 45);
    let next = shape.next.unwrap();
    assert_eq!((next.users, next.last, next.earlier, next.all), (40, 0.0, 0.0, 0.0));
    // Of a draw only what others have too can be told.
    let shared = (1..=40).filter(|&user| LeaveOut::Drawn.place(user, 5) != Some(4)).count() as f64;
    let held_out = shape.held_out.unwrap();
    assert_eq!((held_out.users, held_out.neighbours), (40, share(shared as u64, 40)));
}

#[test]
fn a_manifest_with_other_counts_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("buys.csv"), dir.path().join("data"));
    let rows: String = (0..200).map(|n| format!("{},{},{}\n", n % 20, n % 7, 1_600_000_000 + n)).collect();
    std::fs::write(&file, format!("user,item,time\n{rows}")).unwrap();
    let config = crate::data::ingest::IngestConfig::default();
    crate::data::ingest::ingest(&[file], &data, &config, &|_| {}).unwrap();
    let stored = Shape::of(&Dataset::open(&data).unwrap()).unwrap();
    assert_eq!(Dataset::open(&data).unwrap().manifest().shape.as_ref(), Some(&stored));
    let path = data.join("dataset.json");
    let change = |to: &dyn Fn(&mut Shape)| {
        let mut manifest: crate::data::dataset::Manifest = crate::files::read_json(&path).unwrap();
        to(manifest.shape.as_mut().unwrap());
        crate::files::write_json(&path, &manifest).unwrap();
        Shape::of(&Dataset::open(&data).unwrap()).unwrap()
    };
    assert_eq!(change(&|shape| shape.gini = 0.25).gini, 0.25, "what ingest has left is taken");
    assert_eq!(change(&|shape| shape.rows += 1), stored, "of other rows it is measured");
    // By hand, or of an earlier version.
    Dataset::accept(&data).unwrap();
    let accepted = Dataset::open(&data).unwrap();
    assert_eq!((accepted.manifest().shape.as_ref(), Shape::of(&accepted).unwrap()), (None, stored));
}
