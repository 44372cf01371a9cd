//! What an index is not built of and not asked, and the words that say so.

use tercel::index::item_index::{Filter, IndexOptions, ItemIndex};
use tercel::index::{Lists, NO_ITEM};

use super::cloud::{DIM, approx, exact};

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
