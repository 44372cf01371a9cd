use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::LeaveOut::{Drawn, Last, Nothing};
use super::*;
use crate::data::writer::ShardWriter;
use crate::rng::Rng;

const USERS: u32 = 60;
const ITEMS: u32 = 150;

/// A history of `rows` random rows, frequent items first, and every user's items in order of time.
fn random(dir: &Path, rows: usize) -> (History, Vec<Vec<u32>>) {
    let mut rng = Rng::at(rows as u64, &[3]);
    let mut writer = ShardWriter::create(dir, "train", true, false);
    let mut lists = vec![Vec::new(); USERS as usize];
    for time in 0..rows {
        let (user, item) = (rng.below_u32(USERS), rng.below_u32(ITEMS).min(rng.below_u32(ITEMS)));
        writer.push(&[user], &[item], &[time as i64], &[]).unwrap();
        lists[user as usize].push(item);
    }
    let files: Vec<_> = writer.finish().unwrap().iter().map(|file| dir.join(&file.name)).collect();
    let info = History::write(dir, &files, USERS).unwrap();
    (History::open(dir, &info, USERS, ITEMS).unwrap(), lists)
}

/// From the formula, pair by pair.
fn naive(lists: &[Vec<u32>], options: &NeighbourOptions) -> BTreeMap<u32, Vec<(u32, f32)>> {
    let mut users: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
    for (user, list) in lists.iter().enumerate().skip(1) {
        let mut own = BTreeSet::new();
        let left_out = options.leave_out.place(user as u32, list.len());
        let counted = list.iter().enumerate().rev().filter(|(place, _)| Some(*place) != left_out);
        for (_, &item) in counted.filter(|&(_, &item)| item != 0) {
            if own.len() < options.last && own.insert(item) {
                users.entry(item).or_default().insert(user);
            }
        }
    }
    let near = |i: &u32, of_i: &BTreeSet<usize>| {
        let mut all = Vec::new();
        for (&j, of_j) in users.iter().filter(|(j, _)| *j != i) {
            let both = of_i.intersection(of_j).count() as f64;
            if both > 0.0 {
                let size = (of_i.len() as f64 * of_j.len() as f64).sqrt() + f64::from(options.shrink);
                all.push((j, (both / size) as f32));
            }
        }
        all.sort_by(|a: &(u32, f32), b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
        all.truncate(options.nearest);
        all
    };
    users.iter().map(|(i, of_i)| (*i, near(i, of_i))).collect()
}

fn all(neighbours: &Neighbours) -> BTreeMap<u32, Vec<(u32, f32)>> {
    (0..ITEMS).map(|item| (item, neighbours.of(item).to_vec())).filter(|(_, near)| !near.is_empty()).collect()
}

#[test]
fn neighbours_are_those_of_the_formula() {
    let dir = tempfile::tempdir().unwrap();
    let (history, lists) = random(dir.path(), 2_000);
    for (nearest, shrink, last, leave_out) in
        [(100, 10.0, 200, Nothing), (5, 0.0, 200, Last), (7, 3.5, 6, Nothing), (1, 1.0, 1, Drawn), (9, 1.0, 99, Drawn)]
    {
        let options = NeighbourOptions { nearest, shrink, last, leave_out, ..Default::default() };
        let expected: BTreeMap<_, _> =
            naive(&lists, &options).into_iter().filter(|(_, near)| !near.is_empty()).collect();
        for count in [1, 3] {
            let threads = Threads::new(count).unwrap();
            let found = Neighbours::build_by(&threads, &history, USERS, ITEMS, &options).unwrap();
            assert_eq!(all(&found), expected, "{options:?}");
            assert_eq!((found.every(), found.items()), (1, ITEMS as usize));
        }
    }
}

#[test]
fn scores_are_sums_of_similarities() {
    let dir = tempfile::tempdir().unwrap();
    let (history, lists) = random(dir.path(), 800);
    let found = Neighbours::build(&history, USERS, ITEMS, &NeighbourOptions::default()).unwrap();
    let mut scores = vec![0.0; ITEMS as usize];
    found.score([4, 9, ITEMS + 3].into_iter(), &mut scores);
    let of = naive(&lists, &NeighbourOptions::default());
    for (item, &score) in scores.iter().enumerate() {
        let near = |of_item: u32| of[&of_item].iter().find(|(j, _)| *j == item as u32).map_or(0.0, |(_, s)| *s);
        assert_eq!(score, near(4) + near(9), "{item}");
    }
    let users = |item| lists.iter().skip(1).filter(|list| list.contains(&item)).count() as f32;
    assert!((found.own(4) - users(4) / (users(4) + 10.0)).abs() < 1e-6);
    assert_eq!((found.own(0), found.own(ITEMS), found.of(ITEMS)), (0.0, 0.0, &[][..]));
}

#[test]
fn little_memory_keeps_fewer_and_counts_fewer() {
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = random(dir.path(), 2_000);
    let memory = u64::from(ITEMS) * 8 * 2 * 3;
    let options = NeighbourOptions { memory, ..Default::default() };
    let found = Neighbours::build(&history, USERS, ITEMS, &options).unwrap();
    assert!(found.every() > 1, "{}", found.every());
    let kept: Vec<usize> = (0..ITEMS).map(|item| found.of(item).len()).collect();
    assert_eq!(kept.iter().max(), Some(&3));
    let again = Neighbours::build_by(&Threads::new(1).unwrap(), &history, USERS, ITEMS, &options).unwrap();
    assert_eq!(all(&again), all(&found));
}

#[test]
fn one_row_is_drawn_of_each_user_and_every_row_can_be_it() {
    assert_eq!(
        (Nothing.place(3, 9), Last.place(3, 9), Last.place(3, 0), Drawn.place(3, 0)),
        (None, Some(8), None, None)
    );
    let places: BTreeSet<usize> = (0..500).map(|user| Drawn.place(user, 9).unwrap()).collect();
    assert_eq!(places, (0..9).collect());
    assert_eq!(Drawn.place(7, 9), Drawn.place(7, 9));
}
