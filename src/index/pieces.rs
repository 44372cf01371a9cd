//! Found lists, cut into the pieces of a file.

use super::predictions::encode::PieceCut;
use super::{Found, NO_ITEM};

/// Lists of consecutive users, as item rows and scores. The first list may have begun in the piece before.
#[derive(Debug, Default)]
pub(super) struct ListPiece {
    /// The first user.
    first: usize,
    /// Places of the first user's list that stand before this piece.
    before: usize,
    /// Where each user's places end.
    ends: Vec<usize>,
    ids: Vec<u32>,
    scores: Vec<f32>,
    /// A hash of each list that begins here.
    pub(super) hashes: Vec<u64>,
}

/// Some places of a user's list.
pub(super) struct ListPart<'a> {
    pub(super) user: usize,
    /// Places that stand before.
    pub(super) before: usize,
    pub(super) ids: &'a [u32],
    pub(super) scores: &'a [f32],
}

impl ListPiece {
    fn starting(first: usize, before: usize) -> ListPiece {
        ListPiece { first, before, ..ListPiece::default() }
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = ListPart<'_>> {
        (0..self.ends.len()).map(|at| {
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            let places = start..self.ends[at];
            ListPart {
                user: self.first + at,
                before: if at == 0 { self.before } else { 0 },
                ids: &self.ids[places.clone()],
                scores: &self.scores[places],
            }
        })
    }
}

/// Cuts lists as they come.
pub(super) struct ListCutter {
    cut: PieceCut,
    piece: ListPiece,
    /// Users with fewer places than were asked for.
    pub(super) short_users: u64,
}

impl ListCutter {
    pub(super) fn new(cut: PieceCut) -> ListCutter {
        ListCutter { cut, piece: ListPiece::default(), short_users: 0 }
    }

    /// Adds the lists of a block whose first user is `first`; `give` gets each piece that is full, and says whether more
    /// are wanted. False where none are.
    pub(super) fn push(&mut self, first: usize, found: &Found, give: &dyn Fn(ListPiece) -> bool) -> bool {
        let k = found.k;
        for (user, (ids, scores)) in (first..).zip(found.ids.chunks(k).zip(found.scores.chunks(k))) {
            let places = ids.iter().position(|&id| id == NO_ITEM).unwrap_or(k);
            self.short_users += u64::from(places < k);
            self.piece.hashes.push(xxhash_rust::xxh3::xxh3_64(bytemuck::cast_slice(ids)));
            let mut before = 0;
            loop {
                let end = before + self.cut.take(places - before);
                let piece = &mut self.piece;
                piece.ids.extend_from_slice(&ids[before..end]);
                piece.scores.extend_from_slice(&scores[before..end]);
                piece.ends.push(piece.ids.len());
                before = end;
                if self.cut.is_full() {
                    let next = if before < places {
                        ListPiece::starting(user, before)
                    } else {
                        ListPiece::starting(user + 1, 0)
                    };
                    if !give(std::mem::replace(&mut self.piece, next)) {
                        return false;
                    }
                }
                if before == places {
                    break;
                }
            }
        }
        true
    }

    /// What is left.
    pub(super) fn rest(&mut self) -> ListPiece {
        std::mem::take(&mut self.piece)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// The pieces of lists 1; 2, 3; none; 4, 5, 6; 7, given in blocks of `block` users.
    fn cut(rows: usize, whole_users: bool, block: usize) -> Vec<Vec<(usize, usize, Vec<u32>)>> {
        const N: u32 = NO_ITEM;
        let ids = [[1, N, N], [2, 3, N], [N, N, N], [4, 5, 6], [7, N, N]];
        let mut cutter = ListCutter::new(PieceCut::new(rows, whole_users));
        let pieces = RefCell::new(Vec::new());
        let give = |piece: ListPiece| {
            let parts = piece.parts().map(|part| {
                assert_eq!(part.scores, part.ids.iter().map(|&id| id as f32).collect::<Vec<_>>());
                (part.user, part.before, part.ids.to_vec())
            });
            pieces.borrow_mut().push(parts.collect());
            true
        };
        for (at, ids) in ids.chunks(block).enumerate() {
            let ids = ids.concat();
            let scores = ids.iter().map(|&id| id as f32).collect();
            assert!(cutter.push(at * block, &Found { k: 3, ids, scores }, &give));
        }
        assert_eq!(cutter.short_users, 4);
        give(cutter.rest());
        pieces.into_inner()
    }

    #[test]
    fn rows_are_cut_where_they_are_whatever_the_blocks() {
        let expected = [
            vec![(0, 0, vec![1]), (1, 0, vec![2])],
            vec![(1, 1, vec![3]), (2, 0, vec![]), (3, 0, vec![4])],
            vec![(3, 1, vec![5, 6])],
            vec![(4, 0, vec![7])],
        ];
        for block in [1, 2, 5] {
            assert_eq!(cut(2, false, block), expected, "{block}");
        }
        // A piece that ends with a user's list leaves nothing of it, and lists longer than a piece go on and on.
        assert_eq!(
            cut(1, false, 5)[3..6],
            [[(2, 0, vec![]), (3, 0, vec![4])].to_vec(), vec![(3, 1, vec![5])], vec![(3, 2, vec![6])]]
        );
        assert_eq!(cut(7, false, 5).len(), 2);
        assert!(cut(7, false, 5)[1].is_empty());
    }

    #[test]
    fn lines_by_user_are_not_cut() {
        let whole = cut(2, true, 2);
        let users: Vec<Vec<usize>> = whole.iter().map(|piece| piece.iter().map(|part| part.0).collect()).collect();
        assert_eq!(users, [vec![0, 1], vec![2, 3], vec![4]]);
        assert!(whole.iter().flatten().all(|part| part.1 == 0));
    }

    #[test]
    fn nothing_is_cut_once_nobody_wants_it() {
        let mut cutter = ListCutter::new(PieceCut::new(1, false));
        let found = Found { k: 1, ids: vec![1, 2, 3], scores: vec![0.0; 3] };
        let given = std::cell::Cell::new(0);
        let give = |_| {
            given.set(given.get() + 1);
            false
        };
        assert!(!cutter.push(0, &found, &give));
        assert_eq!(given.get(), 1);
    }
}
