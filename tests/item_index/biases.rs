//! Items that each add a bias to their scores: searched, changed, filtered, kept in a file, with the recall that was asked
//! for.

use std::fs;

use tercel::index::item_index::{Admit, Filter, IndexOptions, ItemIndex};
use tercel::{Device, Error};

use super::cloud::{Cloud, DIM, approx, exact, naive, recall, rows};

/// Vectors with a column more, 1 for queries and the bias for items, say the same without biases.
struct Biased {
    cloud: Cloud,
    items: Vec<f32>,
    biases: Vec<f32>,
    asked: Vec<f32>,
}

impl Biased {
    /// `bias` gives the bias of the item with a number and a number from 0 to 1 that is its own.
    fn new(items: usize, bias: impl Fn(usize, f32) -> f32) -> Biased {
        let cloud = Cloud::new(100, 0.6, false);
        let (items, asked) = (cloud.draw(items, 0), cloud.draw(600, 1));
        let mut rng = tercel::rng::Rng::at(5, &[9]);
        let mut own = || (rng.next_u64() >> 40) as f32 / (1u64 << 24) as f32;
        let biases = (0..items.len() / DIM).map(|i| bias(i, own())).collect();
        Biased { cloud, items, biases, asked }
    }

    fn build(&self, options: &IndexOptions) -> ItemIndex {
        let (items, biases) = (self.items.clone(), self.biases.clone());
        ItemIndex::build_biased(items, biases, DIM, None, Some(&self.asked), options).expect("builds")
    }
}

/// A part of an index with biases as the oracle knows it: numbers, vectors and biases.
type Known<'a> = Vec<(u32, &'a [f32], f32)>;

/// The part of the true k best that was found, by score.
fn recall_of(index: &ItemIndex, known: &Known<'_>, queries: &[f32], filter: &Filter<'_>) -> f64 {
    let found = index.search(queries, 10, filter).expect("finds");
    let mut hits = 0.0;
    for (i, query) in queries.chunks(DIM).enumerate() {
        let product = |v: &[f32]| v.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let mut all: Vec<(f64, u32)> = known.iter().map(|(id, v, b)| (product(v) + f64::from(*b), *id)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let least = all[9.min(all.len() - 1)].0;
        let row = &found.scores[i * 10..(i + 1) * 10];
        for (id, score) in found.items(i).iter().zip(row) {
            let real = all.iter().find(|(_, of)| of == id).expect("an item of the index").0;
            assert!((f64::from(*score) - real).abs() <= 1e-5 * real.abs().max(10.0), "item {id}: {score}, not {real}");
        }
        hits += row.iter().filter(|s| f64::from(**s) >= least - 1e-4 * least.abs()).count().min(10) as f64 / 10.0;
    }
    hits / (queries.len() / DIM) as f64
}

fn known(of: &Biased) -> Known<'_> {
    rows(&of.items).into_iter().zip(&of.biases).map(|((id, row), &bias)| (id, row, bias)).collect()
}

#[test]
fn keeps_the_recall_whatever_the_biases_are() {
    type Bias = fn(usize, f32) -> f32;
    let cases: [(&str, Bias); 5] = [
        ("none counts", |_, _| 0.0),
        ("of one size", |_, _| -7.0),
        // A few items are bought by everybody, most by hardly anyone.
        ("of popularity", |_, own| 2.0 * (1.0 / (own + 0.01)).ln()),
        ("one in 500 far out", |i, own| if i % 500 == 7 { 20.0 + own } else { own }),
        ("one in 500 beyond all", |i, own| if i % 500 == 7 { 1000.0 + own } else { own }),
    ];
    for (name, bias) in cases {
        let all = Biased::new(20_000, bias);
        let fresh = all.cloud.draw(200, 2);
        for target in [0.8, 0.95] {
            let index = all.build(&approx(target));
            assert!(index.has_biases() && index.dim() == DIM);
            let real = recall_of(&index, &known(&all), &fresh, &Filter::default());
            let about = index.about();
            let said = about.measured.as_ref().map(|measured| (measured.recall.value, measured.items_read));
            println!("{name}, {target}: recall {real}, lists {:?}, measured {said:?}", about.lists);
            assert!(real > f64::from(target) - 0.03, "{name}, {target}: recall {real}, the index says {said:?}");
            if let Some(measured) = &about.measured {
                assert!(measured.recall.value >= f64::from(target), "{name}: {measured:?}");
                assert!(measured.filtered.iter().all(|f| f.recall.value >= f64::from(target)), "{name}: {measured:?}");
            }
            if name != "one in 500 beyond all" {
                assert!(about.lists.is_some() && said.is_some_and(|(_, read)| read < 0.35), "{name}: no lists");
            }
        }
    }
}

/// Extreme biases are not to be lost, whether they come with the first items or later.
#[test]
fn items_with_biases_come_and_go() {
    let all = Biased::new(20_000, |_, own| 3.0 * own);
    let queries = &all.asked[..40 * DIM];
    let mut index = all.build(&approx(0.9));
    assert!(index.about().lists.is_some());
    let mut known = known(&all);
    let check = |index: &ItemIndex, known: &Known<'_>, what: &str| {
        assert_eq!(index.len(), known.len(), "{what}");
        let real = recall_of(index, known, queries, &Filter::default());
        assert!(real > 0.87, "{what}: recall {real}");
    };
    check(&index, &known, "as built");
    index.remove(&(0..1000).collect::<Vec<_>>());
    known.retain(|(id, ..)| *id >= 1000);
    // New items, others in the place of old ones with another bias: in the tail.
    let more = all.cloud.draw(6000, 3);
    let ids: Vec<u32> = (30_000..30_080).chain(2000..2020).collect();
    let biases: Vec<f32> = (0..100).map(|i| if i % 2 == 0 { 30.0 } else { -30.0 }).collect();
    index.add_biased(&ids, &more[..100 * DIM], &biases).expect("adds");
    known.retain(|(id, ..)| !ids.contains(id));
    known.extend(ids.iter().zip(more.chunks(DIM)).zip(&biases).map(|((&id, row), &bias)| (id, row, bias)));
    check(&index, &known, "added");
    // Enough to be put into lists that were made for other biases: a few of them above all others.
    let ids: Vec<u32> = (40_000..45_000).collect();
    let biases: Vec<f32> = (0..5000).map(|i| if i % 250 == 0 { 90.0 } else { 1.5 }).collect();
    index.add_biased(&ids, &more[1000 * DIM..], &biases).expect("adds");
    known.extend(ids.iter().zip(more[1000 * DIM..].chunks(DIM)).zip(&biases).map(|((&id, row), &b)| (id, row, b)));
    check(&index, &known, "many added");
    for query in queries.chunks(DIM) {
        let found = index.search(query, 10, &Filter::default()).expect("finds");
        assert!(
            found.items(0).iter().all(|id| *id >= 40_000 && id % 250 == 0),
            "the best of all: {:?}",
            found.items(0)
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("items.index");
    index.save(&path).expect("saves");
    let opened = ItemIndex::open(&path, Device::Cpu, 1).expect("opens");
    check(&opened, &known, "saved and opened");
    let ask = |index: &ItemIndex| index.search(queries, 12, &Filter::default()).expect("finds");
    assert_eq!(ask(&opened), ask(&index), "the same bits");
    // Built again, its lists fit what is there now. Filters leave the items with the largest biases out, or nothing else.
    let ids = known.iter().map(|(id, ..)| *id).collect();
    let values = known.iter().flat_map(|(_, row, _)| *row).copied().collect();
    let biases = known.iter().map(|(.., bias)| *bias).collect();
    let index =
        ItemIndex::build_biased(values, biases, DIM, Some(ids), Some(&all.asked), &approx(0.9)).expect("builds");
    let best = Admit::Items((40_000..45_000).filter(|id| id % 250 == 0).collect());
    for rule in [best.clone(), Admit::Not(Box::new(best))] {
        let only = index.admit(&rule).expect("admits");
        let left: Known<'_> = known
            .iter()
            .copied()
            .filter(|(id, ..)| (*id >= 40_000 && id % 250 == 0) == matches!(rule, Admit::Items(_)))
            .collect();
        let real = recall_of(&index, &left, queries, &Filter { only: Some(&only), ..Filter::default() });
        assert!(real > 0.87, "{rule:?}: recall {real}");
    }
}

#[test]
fn an_exact_index_is_the_oracle_of_vectors_with_a_column_more() {
    // Eighths: sums are exact, and ties many.
    let eighths = |values: &[f32]| values.iter().map(|x| (x * 8.0).round() / 8.0).collect::<Vec<f32>>();
    let all = Biased::new(3000, |i, own| (8.0 * own).round() + if i % 3 == 0 { 0.125 } else { 0.0 });
    let (items, queries) = (eighths(&all.items), eighths(&all.asked[..40 * DIM]));
    let wide: Vec<f32> = items.chunks(DIM).zip(&all.biases).flat_map(|(v, b)| v.iter().copied().chain([*b])).collect();
    let ids: Vec<u32> = (0..3000).map(|i| (i * 7919 + 3) % 100_003).collect();
    let named: Vec<(u32, &[f32])> = ids.iter().copied().zip(wide.chunks(DIM + 1)).collect();
    let index = ItemIndex::build_biased(items, all.biases.clone(), DIM, Some(ids), None, &exact()).expect("builds");
    for k in [1, 12, 300, 5000] {
        let found = index.search(&queries, k, &Filter::default()).expect("finds");
        for (i, query) in queries.chunks(DIM).enumerate() {
            let query: Vec<f32> = query.iter().copied().chain([1.0]).collect();
            let best = naive(&named, &query, k);
            assert!(found.items(i).iter().eq(best.iter().map(|(id, _)| id)), "query {i}, k {k}");
            assert!(found.scores[i * k..].iter().zip(&best).all(|(score, best)| f64::from(*score) == best.1), "{i}");
        }
    }
}

#[test]
fn zero_biases_are_as_good_as_none() {
    let all = Biased::new(18_000, |_, _| 0.0);
    let with = all.build(&approx(0.9));
    let without = ItemIndex::build(all.items.clone(), DIM, None, Some(&all.asked), &approx(0.9)).expect("builds");
    let fresh = all.cloud.draw(200, 2);
    let ask = |index: &ItemIndex| {
        recall(&index.search(&fresh, 10, &Filter::default()).expect("finds"), &rows(&all.items), &fresh)
    };
    let (a, b) = (ask(&with), ask(&without));
    assert!((a - b).abs() < 0.05, "recall {a} with, {b} without");
    let read = |index: &ItemIndex| index.about().measured.as_ref().expect("lists").items_read;
    assert!(read(&with) < 1.3 * read(&without), "{} items read, {} without", read(&with), read(&without));
}

#[test]
fn biases_that_do_not_fit_are_refused_by_their_words() {
    let items = vec![0.5; 4 * DIM];
    let build = |biases: Vec<f32>| {
        let built = ItemIndex::build_biased(items.clone(), biases, DIM, None, None, &exact());
        built.err().map_or(String::new(), |error| error.to_string())
    };
    assert!(build(vec![0.0; 3]).contains("4 biases"));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(build(vec![0.0, 0.0, bad, 0.0]).contains("row 2"), "{bad}");
    }
    let mut with = ItemIndex::build_biased(items.clone(), vec![0.0; 4], DIM, None, None, &exact()).expect("builds");
    let mut without = ItemIndex::build(items.clone(), DIM, None, None, &exact()).expect("builds");
    let error = |result: tercel::Result<()>| result.err().map_or(String::new(), |error| error.to_string());
    assert!(error(with.add(&[9], &items[..DIM])).contains("a bias for each item"));
    assert!(error(without.add_biased(&[9], &items[..DIM], &[1.0])).contains("without biases"));
    assert!(error(with.add_biased(&[9], &items[..DIM], &[1.0, 2.0])).contains("1 biases"));
    assert!(error(with.add_biased(&[9], &items[..DIM], &[f32::INFINITY])).contains("finite biases"));
    assert_eq!((with.len(), without.len()), (4, 4));
}

#[test]
fn an_index_of_an_older_format_says_to_build_it_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("items.index");
    let mut index = Biased::new(50, |_, own| own).build(&exact());
    index.save(&path).expect("saves");
    let mut bytes = fs::read(&path).expect("reads");
    assert_eq!(bytes[8..12], 2u32.to_le_bytes());
    bytes[8] = 1;
    fs::write(&path, &bytes).expect("writes");
    let refused = ItemIndex::open(&path, Device::Cpu, 1).expect_err("format 1");
    assert!(matches!(refused, Error::Input { .. }), "{refused:?}");
    let words = refused.to_string();
    assert!(
        words.contains("format 1") && words.contains("build it again") && words.contains("tercel index"),
        "{words}"
    );
}
