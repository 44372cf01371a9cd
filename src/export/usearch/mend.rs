//! What a finished graph still lacks: equal vectors, and rows that nobody leads to.

use super::links::{BASE_WIDTH, Links};

/// Links the rows that repeat an earlier row's vector, on the lowest level. Equal vectors tell no direction: among the
/// others they would fill each other's lists. A search that meets the first of them finds the rest as a tree below it.
///
/// `first`: for each row the first one with the same vector.
pub(super) fn hang_copies(links: &mut Links, first: &[u32]) {
    let mut copies: Vec<(u32, u32)> =
        (0..).zip(first).filter(|(row, first)| row != *first).map(|(row, &first)| (first, row)).collect();
    copies.sort_unstable();
    // One link of a copy leads back, the others on.
    const ON: usize = BASE_WIDTH - 1;
    for same in copies.chunk_by(|a, b| a.0 == b.0) {
        let first = same[0].0;
        let mut list = links.get(0, first).to_vec();
        list.truncate(ON);
        list.push(same[0].1);
        links.set(0, first, &list);
        for (place, &(_, row)) in same.iter().enumerate() {
            let on = same.iter().skip(place * ON + 1).take(ON).map(|&(_, row)| row);
            let list: Vec<u32> = std::iter::once(first).chain(on).collect();
            links.set(0, row, &list);
        }
    }
}

/// Gives rows that no search can reach on the lowest level a link from a neighbour, or a neighbour's neighbour, that has
/// a place left. Short vectors are the last choice of everybody: their links back are the first to go.
pub(super) fn reach_all(links: &mut Links, entry: u32) {
    if links.rows() == 0 {
        return;
    }
    let mut reached = vec![false; links.rows()];
    reach(links, entry, &mut reached);
    for row in 0..links.rows() as u32 {
        if reached[row as usize] {
            continue;
        }
        let near = links.get(0, row);
        let around = near.iter().chain(near.iter().flat_map(|&other| links.get(0, other)));
        let open = |&&other: &&u32| reached[other as usize] && links.get(0, other).len() < BASE_WIDTH;
        if let Some(&from) = around.into_iter().find(open) {
            let mut list = links.get(0, from).to_vec();
            list.push(row);
            links.set(0, from, &list);
            reach(links, row, &mut reached);
        }
    }
}

/// Marks what the lowest level leads to from `start`.
fn reach(links: &Links, start: u32, reached: &mut [bool]) {
    reached[start as usize] = true;
    let mut ahead = vec![start];
    while let Some(row) = ahead.pop() {
        for &other in links.get(0, row) {
            if !std::mem::replace(&mut reached[other as usize], true) {
                ahead.push(other);
            }
        }
    }
}
