use super::*;
use crate::data::history::History;
use crate::data::writer::ShardWriter;
use crate::eval::neighbours::NeighbourOptions;
use crate::rng::Rng;

const ITEMS: u32 = 60;

fn neighbours() -> Arc<Neighbours> {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Rng::at(5, &[]);
    let mut writer = ShardWriter::create(dir.path(), "train", false, false);
    for _ in 0..600 {
        writer.push(&[rng.below_u32(40)], &[rng.below_u32(ITEMS / 2) + rng.below_u32(ITEMS / 2)], &[], &[]).unwrap();
    }
    let files: Vec<_> = writer.finish().unwrap().iter().map(|file| dir.path().join(&file.name)).collect();
    let info = History::write(dir.path(), &files, 40).unwrap();
    let history = History::open(dir.path(), &info, 40, ITEMS).unwrap();
    let options = NeighbourOptions { nearest: 8, ..Default::default() };
    Arc::new(Neighbours::build(&history, 40, ITEMS, &options).unwrap())
}

/// By the definition, item after item.
fn naive(near: &Neighbours, history: &[u32], skip: &[u32], own: bool, k: usize, popular: &[u32]) -> Vec<u32> {
    let mut distinct = history.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let mut scored = Vec::new();
    for item in (1..ITEMS).filter(|item| !skip.contains(item)) {
        let mut score = 0.0;
        for &had in &distinct {
            score += near.of(had).iter().find(|(other, _)| *other == item).map_or(0.0, |(_, similarity)| *similarity);
        }
        if own && distinct.contains(&item) {
            score += near.own(item);
        }
        if score > 0.0 {
            scored.push((item, score));
        }
    }
    scored.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
    let mut list: Vec<u32> = scored.into_iter().map(|(item, _)| item).take(k).collect();
    for &item in popular.iter().filter(|item| !skip.contains(item)) {
        if list.len() < k && !list.contains(&item) {
            list.push(item);
        }
    }
    list
}

#[test]
fn lists_are_those_of_the_definition() {
    let near = neighbours();
    let counts: Vec<u64> = (0..u64::from(ITEMS)).map(|item| item * 7 % 11).collect();
    let popular = Popularity::new(&counts, None);
    let mut rng = Rng::at(6, &[]);
    let (mut history, mut skip) = (Lists::default(), Lists::default());
    for user in 0..300 {
        let had: Vec<u32> = (0..user % 6).map(|_| rng.below_u32(ITEMS)).collect();
        history.values.extend(&had);
        history.close();
        let mut had: Vec<u32> = had.into_iter().filter(|item| *item > 0).collect();
        had.sort_unstable();
        had.dedup();
        skip.values.extend(&had);
        skip.close();
    }
    let block = UserBlock { ids: vec![0; 300], history: Some(history.clone()), ..UserBlock::default() };
    for (own, skip, k) in [(false, Some(&skip), 12), (true, None, 12), (true, None, 100)] {
        let mut ranker = ItemKnn::new(near.clone(), popular.clone(), own);
        let found = ranker.top_k(&block, k, skip).unwrap();
        for user in 0..300 {
            let skipped = skip.map_or(&[][..], |skip| skip.get(user));
            let expected = naive(&near, history.get(user), skipped, own, k, popular.order());
            assert_eq!(found.items(user), expected, "user {user}");
            assert!(found.scores[user * k..(user + 1) * k].is_sorted_by(|a, b| a >= b));
        }
        ranker.threads = Threads::new(1).unwrap();
        assert_eq!(ranker.top_k(&block, k, skip).unwrap(), found);
    }
}

#[test]
fn what_is_of_another_block_is_refused() {
    let mut ranker = ItemKnn::new(neighbours(), Popularity::new(&[0, 1], None), false);
    let block = UserBlock { ids: vec![0; 2], ..UserBlock::default() };
    assert!(matches!(ranker.top_k(&block, 1, None), Err(Error::Shape { .. })));
    let history = Some(Lists { offsets: vec![0, 0, 0], values: Vec::new() });
    let block = UserBlock { history, ..block };
    assert!(matches!(ranker.top_k(&block, 1, Some(&Lists::default())), Err(Error::Shape { .. })));
    assert_eq!(ranker.top_k(&block, 1, None).unwrap().ids, [1, 1]);
}
