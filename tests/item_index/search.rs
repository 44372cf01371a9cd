//! What is found: with the recall that was asked for, the same for any threads, of odd and equal items too.

use tercel::index::item_index::{Filter, ItemIndex, QuerySource};

use super::cloud::{Cloud, DIM, approx, exact, naive, recall, rows};

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
