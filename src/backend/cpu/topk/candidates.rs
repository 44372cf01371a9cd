//! The short list of one query.

/// Items that may be among the k best; at least the k best of all that were pushed.
pub(crate) struct TopKCandidates {
    /// See [`key`]: the least is the best.
    keys: Vec<u64>,
    k: usize,
    bar: f32,
    /// Whether items come in ascending order.
    ascending: bool,
}

/// Orders by score descending, then by item ascending; -0 and 0 are equal.
fn key(score: f32, item: u32) -> u64 {
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(!ascending) << 32 | u64::from(item)
}

/// The score of a key.
fn score(key: u64) -> f32 {
    let ascending = !((key >> 32) as u32);
    f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending })
}

impl TopKCandidates {
    /// `ascending`: whether items are going to come in ascending order.
    pub(crate) fn new(k: usize, ascending: bool) -> TopKCandidates {
        TopKCandidates { keys: Vec::new(), k, bar: f32::NEG_INFINITY, ascending }
    }

    /// A list that takes in no score below `bar`.
    pub(crate) fn from_bar(k: usize, bar: f32) -> TopKCandidates {
        TopKCandidates { bar, ..TopKCandidates::new(k, true) }
    }

    /// How long the list may grow before it is cut back: at most this much memory a query, whatever k asks.
    fn limit(&self) -> usize {
        self.k.saturating_mul(2).saturating_add(64)
    }

    /// Takes the items at places `first + j` of the bits j of `hits` for which `row` answers a row that may be given.
    /// Answers the least score that can still matter.
    #[inline(always)]
    pub(crate) fn push(
        &mut self,
        mut hits: u32,
        scores: &[f32],
        first: usize,
        row: impl Fn(u32) -> Option<u32>,
    ) -> f32 {
        while hits != 0 {
            let j = hits.trailing_zeros() as usize;
            hits &= hits - 1;
            // Earlier hits may have raised the bar.
            if scores[j] >= self.bar
                && let Some(row) = row((first + j) as u32)
            {
                self.keys.push(key(scores[j], row));
                if self.keys.len() >= self.limit() {
                    self.cut();
                }
            }
        }
        self.bar
    }

    /// Takes an item in that is known to matter.
    pub(crate) fn insert(&mut self, score: f32, item: u32) {
        self.keys.push(key(score, item));
    }

    /// Cuts the list back to the k best.
    fn cut(&mut self) {
        if self.keys.len() > self.k {
            self.keys.select_nth_unstable(self.k - 1);
            self.keys.truncate(self.k);
            let least = score(self.keys[self.k - 1]);
            // Where items come in ascending order a later one must be better, not as good.
            self.bar = if self.ascending { least.next_up() } else { least };
        }
    }

    /// How many items there are, at least min(k, those pushed).
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Takes over another list's items.
    pub(crate) fn merge(&mut self, other: &TopKCandidates) {
        self.keys.extend_from_slice(&other.keys);
    }

    /// The k best in order, scores and items.
    pub(crate) fn sorted(mut self) -> impl Iterator<Item = (f32, u32)> {
        self.cut();
        self.keys.sort_unstable();
        self.keys.into_iter().map(|key| (score(key), key as u32))
    }

    /// Writes the k best in order; `u32::MAX` and -inf where there are no more.
    pub(crate) fn write(self, ids: &mut [u32], scores: &mut [f32]) {
        ids.fill(u32::MAX);
        scores.fill(f32::NEG_INFINITY);
        for ((id, out), best) in ids.iter_mut().zip(scores).zip(self.sorted()) {
            (*out, *id) = best;
        }
    }
}
