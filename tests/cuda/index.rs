//! The index on a CUDA device, beside the same index on the CPU.

use tercel::Device;
use tercel::index::item_index::{Admit, Filter, IndexKind, IndexOptions, ItemIndex};
use tercel::index::{Found, Lists};
use tercel::rng::Rng;

use super::{CUDA, there};

const DIM: usize = 16;
const ITEMS: usize = 6000;
const QUERIES: usize = 48;

fn normal(rng: &mut Rng) -> f32 {
    (0..12).map(|_| (rng.next_u64() >> 40) as f32 / (1u64 << 24) as f32).sum::<f32>() - 6.0
}

/// Items about 20 centres, those of a centre together; of many lengths where `lengths` says so. And queries.
fn catalogue(noise: f32, lengths: bool) -> (Vec<f32>, Vec<f32>) {
    let mut rng = Rng::at(3, &[]);
    let centers: Vec<f32> = (0..20 * DIM).map(|_| normal(&mut rng)).collect();
    let mut draw = |center: usize, spread: f32| -> Vec<f32> {
        let length = (spread * normal(&mut rng)).exp();
        let center = &centers[center * DIM..(center + 1) * DIM];
        center.iter().map(|c| (c + noise * normal(&mut rng)) * length).collect()
    };
    let items = (0..ITEMS).flat_map(|i| draw(i * 20 / ITEMS, if lengths { 1.5 } else { 0.0 })).collect();
    (items, (0..QUERIES).flat_map(|i| draw(i % 20, 0.0)).collect())
}

fn build(items: &[f32], queries: &[f32], kind: IndexKind, device: Device) -> ItemIndex {
    let options = IndexOptions::from(kind).device(device).threads(1);
    // Numbers that are not places, in no order.
    let ids = (0..(items.len() / DIM) as u32).map(|i| (i * 7919 + 1) % 65_537).collect();
    ItemIndex::build(items.to_vec(), DIM, Some(ids), Some(queries), &options).unwrap()
}

/// The part of `best` that was found.
fn recall(found: &Found, best: &Found) -> f64 {
    let lines = found.ids.chunks(found.k).zip(best.ids.chunks(found.k));
    let hits: usize = lines.map(|(found, best)| best.iter().filter(|id| found.contains(id)).count()).sum();
    hits as f64 / best.ids.len() as f64
}

#[test]
fn an_index_keeps_its_recall_cuda() {
    if !there() {
        return;
    }
    for (name, noise, lengths) in [("clustered", 0.3, false), ("of many lengths", 1.0, true)] {
        let (items, queries) = catalogue(noise, lengths);
        let exact = build(&items, &queries, IndexKind::Exact, Device::Cpu);
        let index = build(&items, &queries, IndexKind::Approx { recall: 0.9 }, CUDA);
        let measured = index.about().measured.clone().unwrap();
        assert!(measured.recall.value >= 0.9 && index.about().scan_recall.is_some(), "{name}: {measured:?}");
        // Everybody skips what is best for them, and a few that are not there.
        let best = exact.search(&queries, 5, &Filter::default()).unwrap();
        let mut skip = Lists::default();
        for i in 0..QUERIES {
            let mut list = [best.items(i), &[0, 65_536]].concat();
            list.sort_unstable();
            list.dedup();
            skip.values.extend(list);
            skip.close();
        }
        for part in [1, 2, 10, 100] {
            let rule = Admit::Items((0..65_537).filter(|id| id % part == 0).collect());
            let (only, there) = (index.admit(&rule).unwrap(), exact.admit(&rule).unwrap());
            assert_eq!(only.len(), there.len());
            let ask = |index: &ItemIndex, only| {
                index.search(&queries, 10, &Filter { skip: Some(&skip), only: Some(only) }).unwrap()
            };
            let (found, best) = (ask(&index, &only), ask(&exact, &there));
            let real = recall(&found, &best);
            assert!(real >= 0.88, "{name}, one in {part}: recall {real}");
            for i in 0..QUERIES {
                assert_eq!(found.items(i).len(), best.items(i).len(), "{name}, one in {part}: exactly k");
                assert!(found.items(i).iter().all(|id| id % part == 0 && !skip.get(i).contains(id)), "{name}");
            }
        }
    }
}

#[test]
fn an_exact_index_is_the_cpus_to_the_bit_cuda() {
    if !there() {
        return;
    }
    let (items, queries) = catalogue(0.5, true);
    let mut both = [CUDA, Device::Cpu].map(|device| build(&items, &queries, IndexKind::Exact, device));
    let compare = |both: &[ItemIndex; 2], what: &str| {
        let [device, host] = both.each_ref().map(|index| index.search(&queries, 12, &Filter::default()).unwrap());
        assert_eq!(device.ids, host.ids, "{what}");
        let bits = |found: &Found| found.scores.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&device), bits(&host), "{what}");
        device
    };
    let first = compare(&both, "as built");
    // The best of all queries go, others come, one in the place of another.
    let gone: Vec<u32> = (0..QUERIES).map(|i| first.items(i)[0]).collect();
    let kept = (0..65_537).find(|id| first.ids.contains(id) && !gone.contains(id)).unwrap();
    let long: Vec<f32> = queries[..3 * DIM].iter().map(|x| 50.0 * x).collect();
    for index in &mut both {
        index.remove(&gone);
        index.add(&[70_000, kept, 70_001], &long).unwrap();
    }
    let then = compare(&both, "changed");
    assert!(gone.iter().all(|id| !then.ids.contains(id)) && then.ids.contains(&70_000));
}

#[test]
fn a_file_serves_both_devices_cuda() {
    if !there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.index");
    let (items, queries) = catalogue(0.3, false);
    let expected = build(&items, &queries, IndexKind::Exact, Device::Cpu);
    let expected = expected.search(&queries, 10, &Filter::default()).unwrap();
    for from in [CUDA, Device::Cpu] {
        build(&items, &queries, IndexKind::Approx { recall: 0.9 }, from).save(&path).unwrap();
        for to in [CUDA, Device::Cpu] {
            let index = ItemIndex::open(&path, to, 1).unwrap();
            let real = recall(&index.search(&queries, 10, &Filter::default()).unwrap(), &expected);
            assert!(real >= 0.88, "from {from:?} to {to:?}: recall {real}");
            assert!(to != CUDA || index.about().scan_recall.is_some(), "measured on the device");
        }
    }
}

#[test]
fn biases_are_part_of_every_score_cuda() {
    if !there() {
        return;
    }
    let (items, queries) = catalogue(0.5, false);
    let mut rng = Rng::at(8, &[]);
    let biases: Vec<f32> = (0..ITEMS).map(|i| 2.0 * normal(&mut rng) + if i % 900 == 4 { 25.0 } else { 0.0 }).collect();
    let build = |kind, device| {
        let options = IndexOptions::from(kind).device(device).threads(1);
        let ids = (0..ITEMS as u32).map(|i| (i * 7919 + 1) % 65_537).collect();
        ItemIndex::build_biased(items.clone(), biases.clone(), DIM, Some(ids), Some(&queries), &options).unwrap()
    };
    let mut both = [CUDA, Device::Cpu].map(|device| build(IndexKind::Exact, device));
    for step in 0..2 {
        let [device, host] = both.each_ref().map(|index| index.search(&queries, 12, &Filter::default()).unwrap());
        assert_eq!(device.ids, host.ids, "{step}");
        assert!(device.scores.iter().map(|x| x.to_bits()).eq(host.scores.iter().map(|x| x.to_bits())), "{step}");
        // Then the best go, and others come by their biases alone.
        for index in &mut both {
            index.remove(&(0..QUERIES).map(|i| device.items(i)[0]).collect::<Vec<_>>());
            index.add_biased(&[70_000, 70_001], &[0.0; 2 * DIM], &[60.0, -60.0]).unwrap();
        }
    }
    let found = both[0].search(&queries, 1, &Filter::default()).unwrap();
    assert!((0..QUERIES).all(|i| found.items(i) == [70_000] && found.scores[i] == 60.0));

    let (approx, exact) = (build(IndexKind::Approx { recall: 0.9 }, CUDA), build(IndexKind::Exact, Device::Cpu));
    let ask = |index: &ItemIndex| index.search(&queries, 10, &Filter::default()).unwrap();
    let real = recall(&ask(&approx), &ask(&exact));
    assert!(real >= 0.88, "recall {real}: {:?}", approx.about());
}
