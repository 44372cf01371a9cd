//! Items that must not be given: rules admit what they say, lists of items are skipped, and k are left.

use std::collections::BTreeSet;

use tercel::index::Lists;
use tercel::index::item_index::{Admit, Filter, ItemIndex};

use super::cloud::{Cloud, DIM, approx, naive, recall, rows};

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
