//! The short list of one query while scores are known within bounds only.

/// An item whose score lies between `low` and `high`; once it is known, both are it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub item: u32,
    pub low: f32,
    pub high: f32,
}

impl Entry {
    pub(super) fn is_known(&self) -> bool {
        self.low == self.high
    }
}

/// Entries that a list may hold; a list that cannot be cut below that is given up.
const MOST: usize = 4096;

/// Items that may be among the k best.
pub(super) struct Shortlist {
    entries: Vec<Entry>,
    /// The k-th best score is at least this.
    bar: f32,
    k: usize,
    /// Entries at which the list is cut.
    limit: usize,
}

impl Shortlist {
    pub(super) fn new(k: usize) -> Shortlist {
        Shortlist { entries: Vec::new(), bar: f32::NEG_INFINITY, k, limit: 2 * k + 64 }
    }

    /// What a score must reach to matter.
    #[inline(always)]
    pub(super) fn bar(&self) -> f32 {
        self.bar
    }

    /// Takes an item in; answers whether the list must be cut now.
    #[inline(always)]
    pub(super) fn push(&mut self, entry: Entry) -> bool {
        self.entries.push(entry);
        self.entries.len() >= self.limit
    }

    /// Learns the scores of the k entries with the best lower bounds by `score`, raises the bar to the least of them,
    /// and drops what cannot reach it. Answers false where too many are left: then the bounds are of no use.
    pub(super) fn cut(&mut self, score: &mut impl FnMut(&mut [Entry])) -> bool {
        if self.k < self.entries.len() {
            self.entries.select_nth_unstable_by(self.k - 1, |a, b| b.low.total_cmp(&a.low));
            let best = &mut self.entries[..self.k];
            score(best);
            let least = best.iter().fold(f32::INFINITY, |m, e| m.min(e.low));
            self.bar = self.bar.max(least);
            self.entries.retain(|e| e.high >= self.bar);
        }
        self.limit = self.limit.max(2 * self.entries.len());
        self.limit <= MOST
    }

    /// Learns every score that is left; the entries are then the k best at least.
    pub(super) fn finish(mut self, score: &mut impl FnMut(&mut [Entry])) -> Vec<Entry> {
        self.cut(score);
        score(&mut self.entries);
        self.entries
    }
}
