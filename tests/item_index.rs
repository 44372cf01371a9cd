//! The index: the recall it was asked for, the items it must and must not give, its file, and its changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tercel::index::item_index::{Admit, Filter, IndexKind, IndexOptions, ItemIndex, QuerySource};
use tercel::index::{Found, Lists, NO_ITEM};
use tercel::rng::Rng;
use tercel::{Device, Error};

const DIM: usize = 16;

fn exact() -> IndexOptions {
    IndexOptions::exact().threads(2)
}

fn approx(recall: f32) -> IndexOptions {
    IndexOptions::approx(recall).threads(2).catalogue("spring")
}

/// Sums of uniform numbers: normal enough.
fn normal(rng: &mut Rng) -> f32 {
    (0..12).map(|_| (rng.next_u64() >> 40) as f32 / (1u64 << 24) as f32).sum::<f32>() - 6.0
}

/// Points about `centers` centres; their lengths vary where `lengths` says so.
struct Cloud {
    centers: Vec<f32>,
    noise: f32,
    lengths: bool,
}

impl Cloud {
    fn new(centers: usize, noise: f32, lengths: bool) -> Cloud {
        let mut rng = Rng::at(7, &[1]);
        Cloud { centers: (0..centers * DIM).map(|_| normal(&mut rng)).collect(), noise, lengths }
    }

    fn draw(&self, rows: usize, stream: u64) -> Vec<f32> {
        let mut rng = Rng::at(7, &[2, stream]);
        let mut out = Vec::with_capacity(rows * DIM);
        for _ in 0..rows {
            let center = rng.below((self.centers.len() / DIM) as u64) as usize;
            let length = if self.lengths { (0.5 * normal(&mut rng)).exp() } else { 1.0 };
            let noise = self.noise;
            let point = self.centers[center * DIM..(center + 1) * DIM].iter();
            out.extend(point.map(|c| (c + noise * normal(&mut rng)) * length));
        }
        out
    }
}

/// The k best of one query, in f64, by the definition: score descending, then number ascending.
fn naive(items: &[(u32, &[f32])], query: &[f32], k: usize) -> Vec<(u32, f64)> {
    let score = |v: &[f32]| v.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let mut all: Vec<(u32, f64)> = items.iter().map(|(id, v)| (*id, score(v))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(k);
    all
}

/// The part of the true k best that was found, by score.
fn recall(found: &Found, items: &[(u32, &[f32])], queries: &[f32]) -> f64 {
    let mut hits = 0.0;
    for (i, query) in queries.chunks(DIM).enumerate() {
        let best = naive(items, query, found.k);
        let least = best.last().map_or(f64::NEG_INFINITY, |(_, score)| score - 1e-4 * score.abs());
        let row = &found.scores[i * found.k..(i + 1) * found.k];
        hits += row.iter().filter(|s| f64::from(**s) >= least).count().min(best.len()) as f64 / best.len() as f64;
    }
    hits / (queries.len() / DIM) as f64
}

fn rows(values: &[f32]) -> Vec<(u32, &[f32])> {
    values.chunks(DIM).zip(0..).map(|(v, id)| (id, v)).collect()
}

#[test]
fn keeps_the_recall_that_was_asked_for() {
    for (name, cloud) in [
        ("clustered", Cloud::new(300, 0.5, false)),
        ("hardly clustered", Cloud::new(40, 2.0, false)),
        ("of many lengths", Cloud::new(300, 0.7, true)),
    ] {
        let (items, asked, fresh) = (cloud.draw(30_000, 0), cloud.draw(1000, 1), cloud.draw(300, 2));
        let mut reads = Vec::new();
        for target in [0.8, 0.95] {
            let index = ItemIndex::build(items.clone(), DIM, None, Some(&asked), &approx(target)).expect("builds");
            let measured = index.about().measured.clone().unwrap_or_else(|| panic!("{name}: it has no lists"));
            let said = measured.recall;
            assert!(said.value >= f64::from(target) && said.low <= said.value && said.value <= said.high, "{name}");
            assert_eq!((measured.queries, measured.source, measured.items), (500, QuerySource::Given, 30_000));
            assert_eq!(measured.filtered.iter().map(|f| f.admitted).collect::<Vec<_>>(), [0.01, 0.1, 0.5]);
            assert!(measured.filtered.iter().all(|f| f.recall.value >= f64::from(target)), "{name}: {measured:?}");
            let found = index.search(&fresh, 10, &Filter::default()).expect("finds");
            let real = recall(&found, &rows(&items), &fresh);
            assert!(real > f64::from(target) - 0.02, "{name}, {target}: {real}, the index says {said:?}");
            assert!((real - said.value).abs() < 0.05, "{name}, {target}: {real}, the index says {said:?}");
            reads.push(measured.items_read);
        }
        assert!(reads[0] <= reads[1] && reads[1] < 0.4, "{name}: less recall reads less: {reads:?}");
    }
}

#[test]
fn an_exact_index_is_the_oracle() {
    let cloud = Cloud::new(20, 1.0, true);
    // Eighths: sums are exact, and ties many.
    let eighths = |values: Vec<f32>| values.iter().map(|x| (x * 8.0).round() / 8.0).collect::<Vec<f32>>();
    let (items, queries) = (eighths(cloud.draw(3000, 0)), eighths(cloud.draw(40, 1)));
    let ids: Vec<u32> = (0..3000).map(|i| (i * 7919 + 3) % 100_003).collect();
    let named: Vec<(u32, &[f32])> = ids.iter().copied().zip(items.chunks(DIM)).collect();
    let index = ItemIndex::build(items.clone(), DIM, Some(ids), None, &exact()).expect("builds");
    assert_eq!((index.len(), index.dim(), index.about().lists), (3000, DIM, None));
    for k in [1, 12, 300, 5000] {
        let found = index.search(&queries, k, &Filter::default()).expect("finds");
        for (i, query) in queries.chunks(DIM).enumerate() {
            let best: Vec<u32> = naive(&named, query, k).iter().map(|(id, _)| *id).collect();
            assert!(found.items(i) == best, "query {i}, k {k}");
        }
    }
}

#[test]
fn the_same_answer_for_any_threads_and_any_company() {
    let cloud = Cloud::new(100, 0.8, false);
    let (items, asked) = (cloud.draw(20_000, 0), cloud.draw(600, 1));
    let build = |threads| {
        let options = approx(0.9).threads(threads);
        ItemIndex::build(items.clone(), DIM, None, Some(&asked), &options).expect("builds")
    };
    let (one, three) = (build(1), build(3));
    assert_eq!(one.about(), three.about());
    let all = one.search(&asked, 10, &Filter::default()).expect("finds");
    assert_eq!(all, three.search(&asked, 10, &Filter::default()).expect("finds"));
    for (i, query) in asked.chunks(DIM).enumerate().step_by(29) {
        let alone = one.search(query, 10, &Filter::default()).expect("finds");
        assert_eq!(alone.ids, all.ids[i * 10..(i + 1) * 10], "query {i} alone");
        assert_eq!(alone.scores, all.scores[i * 10..(i + 1) * 10], "query {i} alone");
    }
}

#[test]
fn filters_admit_what_they_say_and_leave_k() {
    let cloud = Cloud::new(100, 0.8, false);
    let (items, asked) = (cloud.draw(20_000, 0), cloud.draw(600, 1));
    let mut index = ItemIndex::build(items.clone(), DIM, None, Some(&asked), &approx(0.9)).expect("builds");
    let queries = &asked[..50 * DIM];
    let named = rows(&items);
    index.set_tag("third", &(0..20_000).filter(|i| i % 3 == 0).collect::<Vec<_>>()).expect("a tag");
    index.set_tag("few", &[5, 17, 400, 19_999, 77_777]).expect("a tag");
    assert_eq!(index.tags().collect::<Vec<_>>(), [("few", 5), ("third", 6667)]);
    let third = || Admit::Tag("third".into());
    let not = |rule| Admit::Not(Box::new(rule));
    type Says = fn(u32) -> bool;
    let rules: [(Admit, Says); 6] = [
        (third(), |i| i % 3 == 0),
        (Admit::Tag("few".into()), |i| [5, 17, 400, 19_999].contains(&i)),
        (Admit::All(vec![third(), not(Admit::Items((0..10_000).collect()))]), |i| i % 3 == 0 && i >= 10_000),
        (Admit::Any(vec![third(), Admit::Items(vec![1, 2])]), |i| i % 3 == 0 || i < 3),
        (not(Admit::Tag("few".into())), |i| ![5, 17, 400, 19_999].contains(&i)),
        (Admit::Any(vec![]), |_| false),
    ];
    for (rule, says) in rules {
        let only = index.admit(&rule).expect("known tags");
        let admitted: Vec<_> = named.iter().copied().filter(|(id, _)| says(*id)).collect();
        assert_eq!(only.len(), admitted.len(), "{rule:?}");
        // Each query skips its first three as well.
        let mut skip = Lists::default();
        for query in queries.chunks(DIM) {
            let mut first: Vec<u32> = naive(&admitted, query, 3).iter().map(|(id, _)| *id).collect();
            first.sort_unstable();
            skip.values.extend(first);
            skip.close();
        }
        let found = index.search(queries, 12, &Filter { skip: Some(&skip), only: Some(&only) }).expect("finds");
        for i in 0..50 {
            let ids = found.items(i);
            assert!(ids.iter().all(|id| says(*id) && !skip.get(i).contains(id)), "{rule:?}, query {i}");
            assert_eq!(ids.len(), 12.min(admitted.len() - skip.get(i).len()), "{rule:?}, query {i}");
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{rule:?}: no item twice");
        }
        if !admitted.is_empty() {
            let found = index.search(queries, 12, &Filter { only: Some(&only), ..Filter::default() }).expect("finds");
            let real = recall(&found, &admitted, queries);
            assert!(real >= 0.88, "{rule:?}: recall {real}");
        }
    }
    // Another index has other items, though it looks the same.
    let other = ItemIndex::build(items.clone(), DIM, None, Some(&asked), &approx(0.9)).expect("builds");
    let foreign = other.admit(&Admit::Items(vec![1, 2])).expect("items");
    let error = index.search(queries, 3, &Filter { only: Some(&foreign), ..Filter::default() }).err();
    assert!(error.is_some_and(|e| e.to_string().contains("belongs to another index")));
    let unknown = index.admit(&Admit::Tag("shoes".into())).expect_err("no such tag").to_string();
    assert!(unknown.contains("`shoes`") && unknown.contains("few, third"), "{unknown}");
}

#[test]
fn exactly_k_where_lists_run_dry() {
    // Everything that a query finds near it is skipped: hundreds of items, in many lists.
    let cloud = Cloud::new(100, 0.3, false);
    let (items, asked) = (cloud.draw(20_000, 0), cloud.draw(400, 1));
    let index = ItemIndex::build(items.clone(), DIM, None, Some(&asked), &approx(0.8)).expect("builds");
    let named = rows(&items);
    let queries = &asked[..4 * DIM];
    let mut skip = Lists::default();
    for (query, skipped) in queries.chunks(DIM).zip([19_995, 19_000, 2_000, 600]) {
        let mut best: Vec<u32> = naive(&named, query, skipped).iter().map(|(id, _)| *id).collect();
        best.sort_unstable();
        skip.values.extend(best);
        skip.close();
    }
    let found = index.search(queries, 12, &Filter { skip: Some(&skip), ..Filter::default() }).expect("finds");
    assert_eq!((0..4).map(|i| found.items(i).len()).collect::<Vec<_>>(), [5, 12, 12, 12]);
}

#[test]
fn queries_and_items_of_odd_values() {
    let cloud = Cloud::new(100, 0.3, false);
    let (mut items, asked) = (cloud.draw(17_000, 0), cloud.draw(400, 1));
    let index = ItemIndex::build(items.clone(), DIM, None, Some(&asked), &approx(0.9)).expect("builds");
    let mut odd = vec![0.0f32; 5 * DIM];
    (odd[DIM], odd[2 * DIM], odd[3 * DIM], odd[4 * DIM]) = (f32::NAN, f32::INFINITY, 1e30, 1e-30);
    let found = index.search(&odd, 3, &Filter::default()).expect("finds");
    assert_eq!(found.items(0), [0, 1, 2], "all scores are zero: by number");
    assert!(found.items(1).is_empty(), "NaN is never returned");
    let first = |sign: f32| {
        let at = |i: usize| sign * items[i * DIM];
        let mut all: Vec<usize> = (0..17_000).collect();
        all.sort_by(|&a, &b| at(b).total_cmp(&at(a)).then(a.cmp(&b)));
        all[..3].iter().map(|&i| i as u32).collect::<Vec<_>>()
    };
    assert_eq!(found.items(3), first(1.0), "a very long query");
    assert!(index.search(&[], 3, &Filter::default()).expect("nothing asked").ids.is_empty());
    assert!(index.search(&odd, 0, &Filter::default()).expect("nothing wanted").ids.is_empty());
    // An item that is no number would never be found: it is refused by its row.
    items[40 * DIM] = f32::NAN;
    let error = ItemIndex::build(items, DIM, None, Some(&asked), &approx(0.9)).unwrap_err();
    assert!(error.to_string().contains("row 40"), "{error}");
}

#[test]
fn duplicates_and_few_distinct_items() {
    // Every item a thousand times: lists without items, ties everywhere.
    let few = Cloud::new(20, 0.0, false).centers;
    let items: Vec<f32> = (0..20_000).flat_map(|i| few[i % 20 * DIM..][..DIM].to_vec()).collect();
    let index = ItemIndex::build(items.clone(), DIM, None, None, &approx(0.9)).expect("builds");
    let found = index.search(&few, 15, &Filter::default()).expect("finds");
    for (i, query) in few.chunks(DIM).enumerate() {
        let best: Vec<u32> = naive(&rows(&items), query, 15).iter().map(|(id, _)| *id).collect();
        assert_eq!(found.items(i), best, "query {i}");
    }
}

#[test]
fn items_come_and_go() {
    let cloud = Cloud::new(100, 0.6, false);
    let (items, asked, more) = (cloud.draw(20_000, 0), cloud.draw(600, 1), cloud.draw(6000, 3));
    let mut index = ItemIndex::build(items.clone(), DIM, None, Some(&asked), &approx(0.9)).expect("builds");
    let queries = &asked[..60 * DIM];
    let mut known: Vec<(u32, &[f32])> = rows(&items);
    let check = |index: &mut ItemIndex, known: &[(u32, &[f32])], what: &str| {
        assert_eq!(index.len(), known.len(), "{what}");
        let found = index.search(queries, 10, &Filter::default()).expect("finds");
        let real = recall(&found, known, queries);
        assert!(real > 0.87, "{what}: recall {real}");
        for (&id, &score) in found.ids.iter().zip(&found.scores) {
            assert!(id != NO_ITEM && known.iter().any(|(of, _)| *of == id), "{what}: {id} {score}");
        }
        let measured = index.measure().expect("measures").expect("it has lists").clone();
        assert!((measured.recall.value - real).abs() < 0.05 && measured.items == known.len() as u64, "{what}");
    };
    assert_eq!(index.remove(&(0..1000).chain([5, 99_999]).collect::<Vec<_>>()), 1000);
    assert_eq!(index.remove(&[3]), 0);
    known.retain(|(id, _)| *id >= 1000);
    check(&mut index, &known, "removed");
    // 100 new ones and 20 in place of old ones: they stay in the tail.
    let ids: Vec<u32> = (30_000..30_100).chain(2000..2020).collect();
    index.add(&ids, &more[..120 * DIM]).expect("adds");
    known.retain(|(id, _)| !ids.contains(id));
    known.extend(ids.iter().copied().zip(more.chunks(DIM)));
    check(&mut index, &known, "added");
    index.remove(&[30_050, 2001]);
    known.retain(|(id, _)| *id != 30_050 && *id != 2001);
    check(&mut index, &known, "an added one removed");
    // Enough to be put into the lists.
    let ids: Vec<u32> = (40_000..45_000).collect();
    index.add(&ids, &more[1000 * DIM..]).expect("adds");
    known.extend(ids.iter().copied().zip(more[1000 * DIM..].chunks(DIM)));
    check(&mut index, &known, "many added");
    assert!(index.rebuild_advised().is_some_and(|why| why.contains("added or removed")));
    let only = index.admit(&Admit::Items(vec![40_000, 1500])).expect("admits");
    index.remove(&[40_000]);
    let stale = index.search(queries, 3, &Filter { only: Some(&only), ..Filter::default() });
    assert!(matches!(stale, Err(Error::Shape { .. })), "a filter of before");
    known.retain(|(id, _)| *id != 40_000);

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("items.index");
    index.save(&path).expect("saves");
    let mut opened = ItemIndex::open(&path, Device::Cpu, 1).expect("opens");
    check(&mut opened, &known, "saved and opened");
}

#[test]
fn recall_that_falls_asks_for_a_rebuild() {
    let cloud = Cloud::new(50, 0.2, false);
    let (items, asked) = (cloud.draw(20_000, 0), cloud.draw(600, 1));
    let mut index = ItemIndex::build(items, DIM, None, Some(&asked), &approx(0.95)).expect("builds");
    assert_eq!(index.rebuild_advised(), None);
    // Most of what the queries find goes; others come that the lists were not made for.
    let found = index.search(&asked, 100, &Filter::default()).expect("finds");
    index.remove(&found.ids);
    let others: Vec<f32> = Cloud::new(3000, 3.0, true).draw(9000, 9).iter().map(|x| x * 0.3).collect();
    index.add(&(50_000..59_000).collect::<Vec<_>>(), &others).expect("adds");
    let said = index.measure().expect("measures").expect("it has lists").recall;
    assert!(index.rebuild_advised().is_some(), "recall {said:?}");
}

#[test]
fn a_file_holds_everything_and_shows_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("items.index");
    let cloud = Cloud::new(30, 0.6, true);
    let (items, asked) = (cloud.draw(16_500, 0), cloud.draw(300, 1));
    for options in [approx(0.9), exact()] {
        let mut index = ItemIndex::build(items.clone(), DIM, None, Some(&asked), &options).expect("builds");
        index.set_tag("new", &[3, 1, 2]).expect("a tag");
        let before = index.search(&asked, 12, &Filter::default()).expect("finds");
        index.save(&path).expect("saves");
        let opened = ItemIndex::open(&path, Device::Cpu, 2).expect("opens");
        assert_eq!(opened.about(), index.about());
        assert_eq!(&ItemIndex::describe(&path).expect("reads"), index.about());
        assert_eq!(opened.tags().collect::<Vec<_>>(), [("new", 3)]);
        assert_eq!(opened.search(&asked, 12, &Filter::default()).expect("finds"), before);
        damage(&path, options.kind);
    }
    let missing = ItemIndex::open(&folder.path().join("none.index"), Device::Cpu, 1).expect_err("none there");
    assert!(missing.to_string().contains("none.index"));
    fs::write(&path, "user,item\n").expect("writes");
    let other = ItemIndex::open(&path, Device::Cpu, 1).expect_err("another file").to_string();
    assert!(other.contains("is not an index"), "{other}");
}

/// Changes bytes here and there, and cuts the file off: always an error.
fn damage(path: &Path, kind: IndexKind) {
    let whole = fs::read(path).expect("reads");
    let header = 24 + u32::from_le_bytes([whole[12], whole[13], whole[14], whole[15]]) as usize;
    let places = (0..header).step_by(37).chain((header.next_multiple_of(64)..whole.len()).step_by(whole.len() / 40));
    for at in places.chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(path, &bytes).expect("writes");
        let error = ItemIndex::open(path, Device::Cpu, 1).err();
        assert!(matches!(error, Some(Error::Damaged { .. } | Error::Input { .. })), "{kind:?}, byte {at}: {error:?}");
    }
    for len in [0, 7, 23, 24, header - 1, header, header + 100, whole.len() - 1] {
        fs::write(path, &whole[..len]).expect("writes");
        let error = ItemIndex::open(path, Device::Cpu, 1).err();
        assert!(matches!(error, Some(Error::Damaged { .. } | Error::Input { .. })), "{kind:?}, {len} bytes: {error:?}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(path, &longer).expect("writes");
    assert!(matches!(ItemIndex::open(path, Device::Cpu, 1), Err(Error::Damaged { .. })));
    fs::write(path, &whole).expect("writes");
}

#[test]
fn bad_input_says_what() {
    let build = |values: usize, ids: Option<Vec<u32>>, options: &IndexOptions| {
        ItemIndex::build(vec![0.5; values], DIM, ids, None, options).err().map(|e| e.to_string())
    };
    assert_eq!(build(0, None, &exact()), None, "no items are a catalogue too");
    for (error, words) in [
        (build(DIM + 1, None, &exact()), "rows of 16 values"),
        (build(2 * DIM, Some(vec![1]), &exact()), "2 item numbers"),
        (build(2 * DIM, Some(vec![4, 4]), &exact()), "item 4 in rows 0 and 1"),
        (build(DIM, Some(vec![NO_ITEM]), &exact()), "below 4294967295"),
        (build(DIM, None, &approx(1.0)), "an exact index has recall 1"),
        (build(DIM, None, &approx(f32::NAN)), "recall"),
        (build(DIM, None, &exact().k(0)), "k: 0"),
    ] {
        let error = error.expect("an error");
        assert!(error.contains(words) && !error.contains('\n'), "{error}");
    }
    let index = ItemIndex::build(vec![0.5; 4 * DIM], DIM, None, None, &approx(0.9)).expect("builds");
    assert_eq!((index.about().lists, index.len()), (None, 4));
    assert!(index.search(&[0.0; DIM + 1], 3, &Filter::default()).is_err());
    let ask = |skip: &Lists, k: usize| {
        let found = index.search(&[0.0; DIM], k, &Filter { skip: Some(skip), ..Filter::default() });
        found.err().map_or(String::new(), |error| error.to_string())
    };
    assert!(ask(&Lists::default(), 3).contains("1 skip lists"));
    for values in [vec![3, 1], vec![2, 2]] {
        assert!(ask(&Lists { offsets: vec![0, 2], values }, 3).contains("ascend"));
    }
    let (backwards, outside) = (vec![1, 0], vec![0, 3]);
    for offsets in [backwards, outside] {
        assert!(ask(&Lists { offsets, values: vec![1, 2] }, 3).contains("skip lists"));
    }
    assert!(ask(&Lists { offsets: vec![0, 1], values: vec![1] }, usize::MAX / 2).contains("places in all"));
}

/// Headers that add up to more than there is, each with the checksum that makes it believed.
#[test]
fn a_file_that_lies_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("items.index");
    let cloud = Cloud::new(30, 0.6, true);
    let (items, asked) = (cloud.draw(16_500, 0), cloud.draw(300, 1));
    let mut index = ItemIndex::build(items, DIM, None, Some(&asked), &approx(0.9)).expect("builds");
    index.set_tag("new", &[3, 1, 2]).expect("a tag");
    index.set_tag("old", &[4]).expect("a tag");
    index.save(&path).expect("saves");
    let whole = fs::read(&path).expect("reads");
    let len = u32::from_le_bytes([whole[12], whole[13], whole[14], whole[15]]) as usize;
    let header: serde_json::Value = serde_json::from_slice(&whole[24..24 + len]).expect("JSON");
    let most = serde_json::json!(u64::MAX);
    type Change<'a> = &'a dyn Fn(&mut serde_json::Value);
    let changes: [Change<'_>; 4] = [
        &|h| h["tags"][0][1] = most.clone(),
        &|h| h["tags"][1][1] = serde_json::json!(u64::MAX - 2),
        &|h| h["dim"] = serde_json::json!(1u64 << 40),
        &|h| h["items"] = most.clone() as _,
    ];
    for change in changes {
        let mut lie = header.clone();
        change(&mut lie);
        assert_ne!(lie, header, "the header's names have changed");
        let text = serde_json::to_vec(&lie).expect("JSON");
        let mut bytes = whole[..12].to_vec();
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(xxhash_rust::xxh3::xxh3_64(&text).to_le_bytes());
        bytes.extend(&text);
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        bytes.extend(&whole[(24 + len).next_multiple_of(64)..]);
        fs::write(&path, &bytes).expect("writes");
        let error = ItemIndex::open(&path, Device::Cpu, 1).err();
        assert!(matches!(error, Some(Error::Damaged { .. } | Error::Input { .. })), "{error:?}");
    }
}
