//! A walk over users: what a block asks of the driver, and that lists that come later are the lists.

use super::step::{alone, counts, entities, features};
use super::*;
use crate::backend::{Backend, Scan};
use crate::config::Config;
use crate::data::shape::Shape;
use crate::data::vocabulary::FeatureColumn;
use crate::index::ahead::UnderWay;
use crate::index::{Found, Lists, Ranker, UserBlock};
use crate::model::core::{Core, Fresh};
use crate::model::rank::{Catalogue, CoreRanker};
use crate::model::spec::ModelSpec;
use crate::threads::Threads;

const USERS: u32 = 900;
/// Enough for a sample and a scan.
const ITEMS: u32 = 3000;
const BLOCK: usize = 70;
const K: usize = 12;

/// A model, and the features of its users and items.
struct Model<B: Backend> {
    core: Core<B>,
    user_columns: Vec<FeatureColumn>,
    item_columns: Vec<FeatureColumn>,
}

impl<B: Backend> Model<B> {
    fn new(backend: B, config: &Config, per_side: usize) -> Model<B> {
        let mut random = Random(11);
        let (user_features, user_columns) = features(&mut random, USERS, per_side);
        let (item_features, item_columns) = features(&mut random, ITEMS, per_side);
        let config = config.for_shape(&Shape::default());
        let (users, items) = (entities(USERS, &user_features), entities(ITEMS, &item_features));
        let spec = ModelSpec::new(&config, &users, &items).expect("a model");
        let threads = Threads::new(1).expect("a thread");
        let mut fresh = Fresh { config: &config, seed: 5, threads: &threads };
        let item_counts: Vec<u64> = (0..u64::from(ITEMS)).collect();
        let core = Core::new(backend, spec, &config, &mut fresh, None, &item_counts).expect("fits");
        Model { core, user_columns, item_columns }
    }

    fn ranker(&mut self, allow: Option<&[u32]>) -> CoreRanker<'_, B> {
        let catalogue = Catalogue::new(&mut self.core, &self.item_columns, ITEMS as usize, allow).expect("fits");
        CoreRanker::new(&mut self.core, catalogue)
    }
}

/// Some users, what a model reads of them, and what they have: many, none, or a few.
fn block(number: u64, columns: &[FeatureColumn], history: usize) -> (UserBlock, Lists) {
    let mut random = Random(number);
    // Row 0, of a user that nobody knows, is among them.
    let ids: Vec<u32> = (0..BLOCK).map(|at| if at == 3 { 0 } else { random.below(USERS as usize) as u32 }).collect();
    let mut lists = |most: usize| {
        let mut lists = Lists::default();
        for _ in 0..BLOCK {
            let mut list: Vec<u32> = (0..random.below(most)).map(|_| random.below(ITEMS as usize) as u32).collect();
            list.sort_unstable();
            list.dedup();
            lists.values.extend(list);
            lists.close();
        }
        lists
    };
    let (skip, history) = (lists(40), (history > 0).then(|| lists(history)));
    let gather = |column: &FeatureColumn| match column {
        FeatureColumn::Codes(codes) => FeatureColumn::Codes(ids.iter().map(|&id| codes[id as usize]).collect()),
        FeatureColumn::Lists { offsets, codes } => {
            let list = |id: u32| &codes[offsets[id as usize] as usize..offsets[id as usize + 1] as usize];
            let ends = ids.iter().scan(0, |end, &id| {
                *end += list(id).len() as u32;
                Some(*end)
            });
            let offsets = std::iter::once(0).chain(ends).collect();
            FeatureColumn::Lists { offsets, codes: ids.iter().flat_map(|&id| list(id)).copied().collect() }
        }
    };
    let features = columns.iter().map(gather).collect();
    (UserBlock { ids, features, history }, skip)
}

/// What is found for blocks that are gathered and ranked as a walk over users does.
fn walked(
    ranker: &mut dyn Ranker,
    columns: &[FeatureColumn],
    numbers: std::ops::Range<u64>,
    mut each: impl FnMut(u64),
) -> Vec<Found> {
    let (reader, history) = (ranker.reader().expect("reads"), ranker.history_len());
    let mut under_way = UnderWay::new();
    let mut all = Vec::new();
    for number in numbers.clone().map(Some).chain([None]) {
        let block = number.map(|number| {
            each(number);
            let (users, skip) = block(number, columns, history);
            (number, reader.gather(users, Some(skip)).expect("fits"))
        });
        if let Some((number, found)) = under_way.rank(ranker, block, K).expect("ranks") {
            assert_eq!(number, numbers.start + all.len() as u64, "in order");
            all.push(found);
        }
    }
    assert_eq!(all.len() as u64, numbers.end - numbers.start);
    all
}

fn ways() -> [(&'static str, usize, Config); 3] {
    let config = |change: fn(&mut Config)| {
        let mut config = Config::default();
        config.model.dim = 16;
        change(&mut config);
        config
    };
    [
        ("ids alone", 0, config(|_| {})),
        ("features, history", 6, config(|c| c.model.user.history = Some(5))),
        ("layers", 3, config(|c| c.model.user.mlp = vec![24])),
    ]
}

#[test]
fn lists_that_come_later_are_the_lists_cuda() {
    for (way, per_side, config) in ways() {
        let Some(cuda) = device(Precision::Bf16) else { return };
        let mut model = Model::new(cuda, &config, per_side);
        let columns = model.user_columns.clone();
        for allow in [None, Some((1..ITEMS).filter(|row| row % 9 > 0).collect::<Vec<u32>>())] {
            let mut ranker = model.ranker(allow.as_deref());
            let later = walked(&mut ranker, &columns, 0..5, |_| {});
            for (number, later) in later.iter().enumerate() {
                let (users, skip) = block(number as u64, &columns, ranker.history_len());
                let now = ranker.top_k(&users, K, Some(&skip)).expect("ranks");
                assert_eq!(later.ids, now.ids, "{way}, block {number}");
                assert_eq!(bits(&later.scores), bits(&now.scores), "{way}, block {number}");
                for user in 0..BLOCK {
                    let found = now.items(user);
                    let may = |item: &u32| allow.as_ref().is_none_or(|rows| rows.binary_search(item).is_ok());
                    assert!(found.len() == K && found.iter().all(|item| may(item) && !skip.get(user).contains(item)));
                }
            }
        }
    }
}

#[test]
fn a_walk_that_ends_early_leaves_nothing_behind_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut model = Model::new(cuda, &ways()[0].2, 0);
    let mut ranker = model.ranker(None);
    let expected = walked(&mut ranker, &[], 7..9, |_| {});
    let reader = ranker.reader().expect("reads");
    let (users, skip) = block(1, &[], 0);
    assert_eq!(ranker.rank(reader.gather(users, Some(skip)).expect("fits"), K).expect("ranks"), None);
    // Its lists are nobody's; the next walk begins with its own.
    assert_eq!(walked(&mut ranker, &[], 7..9, |_| {}), expected);
}

#[test]
fn nothing_is_waited_for_but_lists_cuda() {
    if device(Precision::Bf16).is_none() || alone("serve::nothing_is_waited_for_but_lists_cuda") {
        return;
    }
    for (way, per_side, config) in ways() {
        let mut model = Model::new(device(Precision::Bf16).expect("there"), &config, per_side);
        let columns = model.user_columns.clone();
        let mut ranker = model.ranker(None);
        let (warm, blocks) = (8, 10);
        let mut before = None;
        walked(&mut ranker, &columns, 0..warm + blocks + 1, |number| match number {
            n if n == warm => before = Some(counts()),
            n if n == warm + blocks => {
                let (Some(Some(before)), Some(after)) = (before.take(), counts()) else {
                    return println!("skipped: this device does not count");
                };
                let number = |of: &serde_json::Value| of.as_u64().unwrap_or(0);
                let more = |name: &str| number(&after[name]) - number(&before[name]);
                let calls = after["calls"].as_object().expect("calls by name").iter();
                let calls: Vec<(&String, f64)> = calls
                    .map(|(name, n)| (name, (number(n) - number(&before["calls"][name])) as f64 / blocks as f64))
                    .filter(|&(_, n)| n > 0.0)
                    .collect();
                println!("{way}: {} driver calls a block, {calls:?}", more("driver_calls") / blocks);
                for name in ["kernel_launches", "copies_to_device", "copies_to_host", "memsets", "allocations"] {
                    println!("{way}: {name}: {} in {blocks} blocks", more(name));
                }
                assert!(more("synchronisations") <= blocks, "{way}: {} waits", more("synchronisations"));
                assert_eq!(more("allocations") + more("frees"), 0, "{way}");
                assert_eq!(more("pinned_allocations"), 0, "{way}");
                assert!(more("driver_calls") <= 55 * blocks, "{way}");
                assert!(more("copies_to_device") <= 2 * blocks, "{way}");
                assert!(more("copies_to_host") <= 3 * blocks, "{way}");
            }
            _ => {}
        });
    }
}

#[test]
fn the_cpu_gives_lists_at_once() {
    const { assert!(!Cpu::LATER) };
    for (way, per_side, config) in ways() {
        let mut model = Model::new(cpu(), &config, per_side);
        let columns = model.user_columns.clone();
        let mut ranker = model.ranker(None);
        for (number, found) in walked(&mut ranker, &columns, 0..3, |_| {}).into_iter().enumerate() {
            let (users, skip) = block(number as u64, &columns, ranker.history_len());
            assert_eq!(ranker.top_k(&users, K, Some(&skip)).expect("ranks"), found, "{way}, block {number}");
        }
    }
}
