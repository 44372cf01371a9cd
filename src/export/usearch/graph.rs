//! The graph: hierarchical navigable small worlds (Malkov and Yashunin 2016), built in rounds.
//!
//! A round looks up the neighbours of its rows in the graph that stands, all at once, then links them in. A round is a
//! fixed part of the rows before it, so that the graph does not depend on the number of threads; rows of one round are
//! compared with one another directly.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use rayon::prelude::*;

use super::super::{Progress, Step};
use super::links::{Links, WIDTH, width};
use super::points::Points;
use crate::rng::mix;

/// Rows that a search for neighbours keeps in sight.
const SIGHT: usize = 128;
/// Rows of a round: an eighth of those before it, at most this many.
const ROUND: usize = 512;

/// A row and how far it is; nearer ones come first, equal ones by row.
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
        // One in 16 rows reaches level 1, one in 256 level 2: a row's level is drawn from its number.
        let levels = (0..points.rows() as u64).map(|row| (mix(row).leading_zeros() / WIDTH.ilog2()) as u8).collect();
        let mut graph = Graph { links: Links::new(levels)?, entry: 0 };
        let (mut next, rows) = (1.min(points.rows()), points.rows());
        while next < rows {
            let end = rows.min(next + (next / 8).clamp(1, ROUND));
            let round: Vec<u32> = (next as u32..end as u32).collect();
            graph.link(points, &pool, &round);
            next = end;
            progress(Progress { step: Step::Graph, done: next as u64, rows: rows as u64 });
        }
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
                |seen: &mut Seen, (place, &row): (usize, &u32)| self.choose(points, row, &round[..place], seen);
            round.par_iter().enumerate().with_min_len(16).map_init(|| Seen::new(self.rows()), search).collect()
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
    fn choose(&self, points: &Points, row: u32, before: &[u32], seen: &mut Seen) -> Vec<Vec<u32>> {
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
        seen: &mut Seen,
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
    let mut taken: Vec<u32> = Vec::with_capacity(count);
    let mut others = Vec::new();
    for candidate in near {
        if taken.len() == count {
            break;
        }
        if taken.iter().all(|&other| candidate.distance < points.distance(candidate.row, other)) {
            taken.push(candidate.row);
        } else {
            others.push(candidate.row);
        }
    }
    let room = count - taken.len();
    taken.extend(others.into_iter().take(room));
    taken
}

/// Rows that a search has met.
struct Seen {
    marks: Vec<u32>,
    mark: u32,
}

impl Seen {
    fn new(rows: usize) -> Seen {
        Seen { marks: vec![0; rows], mark: 0 }
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
