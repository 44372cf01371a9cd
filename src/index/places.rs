//! Where item rows stand in whatever is searched.

use std::sync::Arc;

use hashbrown::HashMap;

use super::Lists;

/// What item rows are in whatever is searched.
#[derive(Clone)]
pub(crate) enum Places {
    /// Themselves.
    Rows,
    /// Row 1 is at place 0, and so on.
    Whole,
    /// Places of these rows, which ascend.
    Of(Arc<Vec<u32>>),
    /// The place of each row, in any order.
    Shuffled(Arc<HashMap<u32, u32>>),
}

impl Places {
    fn of(&self, row: u32) -> Option<u32> {
        match self {
            Places::Rows => Some(row),
            Places::Whole => row.checked_sub(1),
            Places::Of(rows) => rows.binary_search(&row).ok().map(|place| place as u32),
            Places::Shuffled(places) => places.get(&row).copied(),
        }
    }

    /// Puts ascending places where ascending rows were; rows without one are left out.
    pub(crate) fn translate(&self, lists: &mut Lists) {
        if let Places::Rows = self {
            return;
        }
        let (mut from, mut kept) = (0, 0);
        for end in lists.offsets.iter_mut().skip(1) {
            let start = kept;
            for at in from..*end {
                if let Some(place) = self.of(lists.values[at]) {
                    lists.values[kept] = place;
                    kept += 1;
                }
            }
            if let Places::Shuffled(_) = self {
                lists.values[start..kept].sort_unstable();
            }
            (from, *end) = (*end, kept);
        }
        lists.values.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_rows_become_lists_of_places() {
        let lists = || Lists { offsets: vec![0, 3, 3, 5], values: vec![0, 2, 7, 3, 4] };
        let translated = |places: Places| {
            let mut lists = lists();
            places.translate(&mut lists);
            lists
        };
        assert_eq!(translated(Places::Rows), lists());
        assert_eq!(translated(Places::Whole), Lists { offsets: vec![0, 2, 2, 4], values: vec![1, 6, 2, 3] });
        let of = Places::Of(Arc::new(vec![1, 3, 7]));
        assert_eq!(translated(of), Lists { offsets: vec![0, 1, 1, 2], values: vec![2, 1] });
        let shuffled = Places::Shuffled(Arc::new([(2, 9), (7, 0), (4, 5)].into_iter().collect()));
        assert_eq!(translated(shuffled), Lists { offsets: vec![0, 2, 2, 3], values: vec![0, 9, 5] });
    }
}
