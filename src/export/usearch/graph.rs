//! The graph: hierarchical navigable small worlds (Malkov and Yashunin 2016), built in rounds.
//!
//! A round looks up the neighbours of its rows in the graph that stands, all at once, then links them in. A round is a
//! fixed part of the rows before it, so that the graph does not depend on the number of threads; rows of one round are
//! compared with one another directly.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use rayon::prelude::*;

use super::links::{Links, WIDTH, width};
use super::mend::{hang_copies, reach_all};
use super::points::Points;
use crate::index::{Progress, Step};
use crate::rng::mix;

/// Rows that a search for neighbours keeps in sight.
const SIGHT: usize = 128;
/// Rows of a round: an eighth of those before it, at most this many.
const ROUND: usize = 512;

/// A row and how far it is; nearer ones come first, equally near ones by row.
#[derive(Clone, Copy, PartialEq)]
struct Near {
    distance: f32,
    row: u32,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Near) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Near) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A finished graph.
pub(super) struct Graph {
    links: Links,
    entry: u32,
}

impl Graph {
    /// Links all rows of `points`.
    ///
    /// # Errors
    /// When threads cannot be started or the lists are too many to count.
    pub(super) fn build(points: &Points, threads: usize, progress: &mut dyn FnMut(Progress)) -> io::Result<Graph> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(io::Error::other)?;
        let (rows, first) = (points.rows(), points.first_copies());
        let distinct: Vec<u32> = (0..).zip(&first).filter(|(row, first)| row == *first).map(|(row, _)| row).collect();
        let mut levels = vec![0; rows];
        for &row in &distinct {
            // One in 16 rows reaches level 1, one in 256 level 2: a row's level is drawn from its number.
            levels[row as usize] = (mix(u64::from(row)).leading_zeros() / WIDTH.ilog2()) as u8;
        }
        let mut graph = Graph { links: Links::new(levels)?, entry: 0 };
        let mut next = 1;
        while next < distinct.len() {
            let end = distinct.len().min(next + (next / 8).clamp(1, ROUND));
            graph.link(points, &pool, &distinct[next..end]);
            next = end;
            progress(Progress { step: Step::Graph, done: next as u64, total: distinct.len() as u64 });
        }
        hang_copies(&mut graph.links, &first);
        reach_all(&mut graph.links, graph.entry);
        Ok(graph)
    }

    pub(super) fn rows(&self) -> usize {
        self.links.rows()
    }

    /// The row that searches start from.
    pub(super) fn entry(&self) -> u32 {
        self.entry
    }

    /// The highest level.
    pub(super) fn top(&self) -> u8 {
        if self.rows() == 0 { 0 } else { self.links.level(self.entry) }
    }

    /// The highest level of a row.
    pub(super) fn level(&self, row: u32) -> u8 {
        self.links.level(row)
    }

    /// Where a row leads on a level that it has.
    pub(super) fn links(&self, level: u8, row: u32) -> &[u32] {
        self.links.get(level, row)
    }

    /// Adds a round of rows.
    fn link(&mut self, points: &Points, pool: &rayon::ThreadPool, round: &[u32]) {
        let chosen: Vec<Vec<Vec<u32>>> = pool.install(|| {
            let search =
                |seen: &mut VisitedRows, (place, &row): (usize, &u32)| self.choose(points, row, &round[..place], seen);
            round.par_iter().enumerate().with_min_len(16).map_init(|| VisitedRows::new(self.rows()), search).collect()
        });
        // Links back: who is new at each end.
        let mut back: Vec<(u8, u32, u32)> = Vec::new();
        for (&row, levels) in round.iter().zip(&chosen) {
            for (level, list) in (0..).zip(levels) {
                self.links.set(level, row, list);
                back.extend(list.iter().map(|&other| (level, other, row)));
            }
        }
        back.sort_unstable();
        let ends: Vec<&[(u8, u32, u32)]> = back.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).collect();
        let lists: Vec<Vec<u32>> = pool.install(|| ends.par_iter().map(|end| self.with_new(points, end)).collect());
        for (end, list) in ends.iter().zip(&lists) {
            self.links.set(end[0].0, end[0].1, list);
        }
        for &row in round {
            if self.links.level(row) > self.links.level(self.entry) {
                self.entry = row;
            }
        }
    }

    /// The links of a new row on each of its levels. `before` are rows of its round that come before it.
    fn choose(&self, points: &Points, row: u32, before: &[u32], seen: &mut VisitedRows) -> Vec<Vec<u32>> {
        let (own, top) = (self.level(row), self.top());
        let mut start = vec![Near { distance: points.distance(row, self.entry), row: self.entry }];
        for level in (own + 1..=top).rev() {
            start = self.search(points, row, start, level, 1, seen);
        }
        let mut lists = vec![Vec::new(); usize::from(own) + 1];
        for level in (0..=own).rev() {
            let mut near = Vec::new();
            if level <= top {
                start = self.search(points, row, start, level, SIGHT, seen);
                near.clone_from(&start);
            }
            let beside = before.iter().filter(|&&other| self.level(other) >= level);
            near.extend(beside.map(|&other| Near { distance: points.distance(row, other), row: other }));
            near.sort_unstable();
            lists[usize::from(level)] = select(points, &near, WIDTH);
        }
        lists
    }

    /// The nearest `sight` rows to `row` on a level, nearest first, as far as links lead there from `start`.
    fn search(
        &self,
        points: &Points,
        row: u32,
        start: Vec<Near>,
        level: u8,
        sight: usize,
        seen: &mut VisitedRows,
    ) -> Vec<Near> {
        seen.clear();
        start.iter().for_each(|near| _ = seen.insert(near.row));
        let mut ahead: BinaryHeap<Reverse<Near>> = start.iter().copied().map(Reverse).collect();
        let mut found: BinaryHeap<Near> = start.into();
        while let Some(Reverse(nearest)) = ahead.pop() {
            if found.len() >= sight && found.peek().is_some_and(|&farthest| nearest > farthest) {
                break;
            }
            for &other in self.links(level, nearest.row) {
                if !seen.insert(other) {
                    continue;
                }
                let near = Near { distance: points.distance(row, other), row: other };
                if found.len() < sight || found.peek().is_some_and(|&farthest| near < farthest) {
                    ahead.push(Reverse(near));
                    found.push(near);
                    if found.len() > sight {
                        found.pop();
                    }
                }
            }
        }
        found.into_sorted_vec()
    }

    /// The links of a row with those that its new neighbours give it: (level, row, new neighbour).
    fn with_new(&self, points: &Points, new: &[(u8, u32, u32)]) -> Vec<u32> {
        let (level, row, _) = new[0];
        let mut list = self.links(level, row).to_vec();
        list.extend(new.iter().map(|&(_, _, other)| other));
        if list.len() <= width(level) {
            return list;
        }
        let near = |&other: &u32| Near { distance: points.distance(row, other), row: other };
        let mut near: Vec<Near> = list.iter().map(near).collect();
        near.sort_unstable();
        select(points, &near, width(level))
    }
}

/// At most `count` of `near` (nearest first): each is nearer to the row itself than to any that was taken before, so
/// that links lead in all directions; then the nearest of the others.
fn select(points: &Points, near: &[Near], count: usize) -> Vec<u32> {
    let mut selected: Vec<u32> = Vec::with_capacity(count);
    let mut others = Vec::new();
    for candidate in near {
        if selected.len() == count {
            break;
        }
        if selected.iter().all(|&other| candidate.distance < points.distance(candidate.row, other)) {
            selected.push(candidate.row);
        } else {
            others.push(candidate.row);
        }
    }
    let room = count - selected.len();
    selected.extend(others.into_iter().take(room));
    selected
}

/// Rows that a search has met.
struct VisitedRows {
    marks: Vec<u32>,
    mark: u32,
}

impl VisitedRows {
    fn new(rows: usize) -> VisitedRows {
        VisitedRows { marks: vec![0; rows], mark: 0 }
    }

    fn clear(&mut self) {
        self.mark = self.mark.wrapping_add(1);
        if self.mark == 0 {
            self.marks.fill(0);
            self.mark = 1;
        }
    }

    /// Whether it is new.
    fn insert(&mut self, row: u32) -> bool {
        std::mem::replace(&mut self.marks[row as usize], self.mark) != self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Rows around 20 centres, of different lengths; every fifth repeats an earlier one.
    fn points(rows: u32, dim: usize) -> Points {
        let mut points = Points::new(rows as usize, dim).expect("room");
        let draw = |place: &[u64], std: f32| {
            let mut values = vec![0.0; dim];
            Rng::at(7, place).fill_normal(&mut values, std);
            values
        };
        for row in 0..u64::from(rows) {
            let row = if row % 5 == 4 { row / 10 } else { row };
            let centre = draw(&[0, mix(row) % 20], 1.0);
            let length = 1.0 + (mix(row + 1) % 8) as f32 / 16.0;
            let vector = centre.iter().zip(draw(&[1, row], 0.6)).map(|(x, y)| length * (x + y));
            points.push(&vector.collect::<Vec<_>>());
        }
        points
    }

    fn build(points: &Points, threads: usize) -> Graph {
        Graph::build(points, threads, &mut |_| {}).expect("a graph")
    }

    #[test]
    fn searches_find_what_an_exact_search_finds() {
        let points = points(3000, 24);
        let graph = build(&points, 0);
        let mut seen = VisitedRows::new(graph.rows());
        let (mut hits, mut wanted) = (0, 0);
        for row in (0..3000).step_by(10) {
            let mut exact: Vec<f32> = (0..3000).map(|other| points.distance(row, other)).collect();
            exact.sort_unstable_by(f32::total_cmp);
            // As usearch searches by default: down the levels, then with 64 rows in sight.
            let mut start = vec![Near { distance: points.distance(row, graph.entry()), row: graph.entry() }];
            for level in (1..=graph.top()).rev() {
                start = graph.search(&points, row, start, level, 1, &mut seen);
            }
            let found = graph.search(&points, row, start, 0, 64, &mut seen);
            wanted += 10;
            hits += found.iter().take(10).filter(|near| near.distance <= exact[9]).count();
        }
        assert!(hits * 100 >= wanted * 97, "{hits} of {wanted}");
    }

    #[test]
    fn lists_are_whole_and_do_not_depend_on_threads() {
        let points = points(1500, 8);
        let (one, two) = (build(&points, 1), build(&points, 2));
        assert_eq!((one.entry(), one.top()), (two.entry(), two.top()));
        assert!(one.top() >= 1 && (0..1500).all(|row| one.level(row) <= one.top()));
        let mut led_to = vec![false; 1500];
        led_to[one.entry() as usize] = true;
        for row in 0..1500 {
            for level in 0..=one.level(row) {
                let list = one.links(level, row);
                assert_eq!(list, two.links(level, row));
                assert!(list.len() <= width(level));
                assert!(list.iter().all(|&other| other < 1500 && other != row && one.level(other) >= level));
                let mut unique = list.to_vec();
                unique.sort_unstable();
                unique.dedup();
                assert_eq!(unique.len(), list.len(), "row {row}, level {level}");
                if level == 0 {
                    list.iter().for_each(|&other| led_to[other as usize] = true);
                }
            }
        }
        assert!(led_to.iter().all(|&led_to| led_to), "every row can be found");
    }

    #[test]
    fn small_graphs_and_values_that_are_no_numbers() {
        for rows in 0..4 {
            let graph = build(&points(rows, 3), 0);
            assert_eq!(graph.rows(), rows as usize);
            assert!((0..rows).all(|row| rows == 1 || !graph.links(0, row).is_empty()));
        }
        let mut odd = Points::new(40, 2).expect("room");
        for row in 0..40 {
            odd.push(&[[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, 1.0][row % 5], row as f32]);
        }
        assert_eq!(build(&odd, 0).rows(), 40);
        let mut same = Points::new(2000, 2).expect("room");
        (0..2000).for_each(|_| same.push(&[1.0, 2.0]));
        let graph = build(&same, 0);
        let mut met = vec![false; 2000];
        met[0] = true;
        // Parents come before their children.
        (0..2000)
            .for_each(|row| graph.links(0, row).iter().for_each(|&other| met[other as usize] |= met[row as usize]));
        assert!(met.iter().all(|&met| met));
    }
}
