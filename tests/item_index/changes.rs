//! Items come and go: the recall stays, or a rebuild is asked for.

use tercel::index::NO_ITEM;
use tercel::index::item_index::{Admit, Filter, ItemIndex};
use tercel::{Device, Error};

use super::cloud::{Cloud, DIM, approx, recall, rows};

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
