//! Who leads to whom: the lists of one graph, flat.

use super::super::unfit;
use std::io;

/// Links of a row on a level above the lowest, at most.
pub(super) const WIDTH: usize = 16;
/// Links of a row on the lowest level, at most.
pub(super) const BASE_WIDTH: usize = 32;

/// Links of a row on `level`, at most.
pub(super) const fn width(level: u8) -> usize {
    if level == 0 { BASE_WIDTH } else { WIDTH }
}

/// The lists of every row on every level that it has.
pub(super) struct Links {
    levels: Vec<u8>,
    base: LinkLists,
    upper: LinkLists,
    /// The list of each row's level 1 in `upper`; those of its further levels follow.
    starts: Vec<u32>,
}

struct LinkLists {
    width: usize,
    counts: Vec<u8>,
    slots: Vec<u32>,
}

impl LinkLists {
    fn new(lists: usize, width: usize) -> LinkLists {
        LinkLists { width, counts: vec![0; lists], slots: vec![0; lists * width] }
    }

    fn get(&self, list: usize) -> &[u32] {
        &self.slots[list * self.width..][..usize::from(self.counts[list])]
    }

    fn set(&mut self, list: usize, links: &[u32]) {
        self.slots[list * self.width..][..links.len()].copy_from_slice(links);
        self.counts[list] = links.len() as u8;
    }
}

impl Links {
    /// Empty lists of rows that reach up to `levels`.
    ///
    /// # Errors
    /// When the lists of the upper levels are more than 32 bits count.
    pub(super) fn new(levels: Vec<u8>) -> io::Result<Links> {
        let mut starts = Vec::with_capacity(levels.len());
        let mut upper = 0u32;
        for &level in &levels {
            starts.push(upper);
            upper = upper.checked_add(u32::from(level)).ok_or_else(|| unfit("too many rows for a graph"))?;
        }
        let (base, upper) = (LinkLists::new(levels.len(), BASE_WIDTH), LinkLists::new(upper as usize, WIDTH));
        Ok(Links { levels, base, upper, starts })
    }

    pub(super) fn rows(&self) -> usize {
        self.levels.len()
    }

    /// The highest level of a row.
    pub(super) fn level(&self, row: u32) -> u8 {
        self.levels[row as usize]
    }

    /// The links of a row on a level that it has.
    pub(super) fn get(&self, level: u8, row: u32) -> &[u32] {
        match level.checked_sub(1) {
            None => self.base.get(row as usize),
            Some(above) => self.upper.get(self.starts[row as usize] as usize + usize::from(above)),
        }
    }

    /// Replaces them; `links` are at most [`width`].
    pub(super) fn set(&mut self, level: u8, row: u32, links: &[u32]) {
        match level.checked_sub(1) {
            None => self.base.set(row as usize, links),
            Some(above) => self.upper.set(self.starts[row as usize] as usize + usize::from(above), links),
        }
    }
}
