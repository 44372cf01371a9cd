//! Ids of a batch, sorted: which rows of a table it touches, and which of its places touch each.

/// Sorted unique ids and where each occurs: `unique[u]` occurs at `positions[starts[u]..starts[u + 1]]` (ascending).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    /// The ids that occur, ascending.
    pub unique: Vec<u32>,
    /// Where each id's positions start; one more entry than `unique` (a lone 0 for no ids).
    pub starts: Vec<u32>,
    /// Places in the list of ids, ascending within an id.
    pub positions: Vec<u32>,
}

/// Memory for [`Segments::build`], reused from batch to batch.
#[derive(Clone, Debug, Default)]
pub struct SortScratch {
    keys: Vec<u64>,
    other: Vec<u64>,
    counts: Vec<u32>,
}

/// The widest digit of the radix sort: 2,048 counters stay in the first-level cache.
const MAX_DIGIT_BITS: u32 = 11;
/// Up to here a comparison sort is faster than clearing and summing the counters.
const SMALL: usize = 96;

impl Segments {
    /// Overwrites the segments with those of `ids` (fewer than 2^32). Allocates nothing once its buffers have grown to
    /// the batch size.
    pub fn build(&mut self, ids: &[u32], scratch: &mut SortScratch) {
        if ids.is_sorted() {
            let keys = (0..).zip(ids).map(|(position, &id): (u64, _)| u64::from(id) << 32 | position);
            return self.collect(ids.len(), keys);
        }
        let max = ids.iter().fold(0, |a, &b| if b > a { b } else { a });
        // Where ids repeat, as those of a feature do, counting them costs less than sorting.
        if ids.len() > SMALL && (max as usize) < ids.len() {
            self.count(ids, max, &mut scratch.counts);
        } else {
            self.collect(ids.len(), scratch.sort(ids.iter().copied()).iter().copied());
        }
    }

    /// A counting sort of ids up to `max`.
    fn count(&mut self, ids: &[u32], max: u32, counts: &mut Vec<u32>) {
        counts.clear();
        counts.resize(max as usize + 1, 0);
        ids.iter().for_each(|&id| counts[id as usize] += 1);
        self.unique.clear();
        self.starts.clear();
        let mut sum = 0;
        for (id, count) in (0..).zip(counts.iter_mut()) {
            if *count > 0 {
                self.unique.push(id);
                self.starts.push(sum);
            }
            (*count, sum) = (sum, sum + *count);
        }
        self.starts.push(sum);
        self.positions.resize(ids.len(), 0);
        for (position, &id) in (0..).zip(ids) {
            let place = &mut counts[id as usize];
            self.positions[*place as usize] = position;
            *place += 1;
        }
    }

    fn collect(&mut self, len: usize, keys: impl Iterator<Item = u64>) {
        self.unique.resize(len, 0);
        self.starts.resize(len + 1, 0);
        self.positions.resize(len, 0);
        self.starts[0] = 0;
        let mut count = 0;
        let mut last = u64::MAX;
        // Without a branch on "is it a new id", which in a batch of Zipf ids is a coin toss: every place writes its id
        // and where its run would end, and a place of the same id writes over both.
        for ((key, position), end) in keys.zip(&mut self.positions).zip(1u32..) {
            *position = key as u32;
            let id = key >> 32;
            count += usize::from(id != last);
            last = id;
            self.unique[count - 1] = id as u32;
            self.starts[count] = end;
        }
        self.unique.truncate(count);
        self.starts.truncate(count + 1);
    }
}

impl SortScratch {
    /// Sorts ids (fewer than 2^32), equal ones by position; gives `id << 32 | position` for each.
    pub(crate) fn sort(&mut self, ids: impl Iterator<Item = u32>) -> &mut [u64] {
        self.keys.clear();
        let mut max = 0;
        self.keys.extend(ids.zip(0u64..).map(|(id, position)| {
            max = max.max(id);
            u64::from(id) << 32 | position
        }));
        sort_by_high_bits(self, max);
        &mut self.keys
    }
}

/// Sorts `scratch.keys` by their high 32 bits, none of which is above `max`; equal ones keep their order. A radix sort
/// from the lowest digit, over as many bits as `max` has.
fn sort_by_high_bits(scratch: &mut SortScratch, max: u32) {
    let SortScratch { keys, other, counts } = scratch;
    if keys.len() <= SMALL {
        keys.sort_unstable();
        return;
    }
    let bits = (u32::BITS - max.leading_zeros()).max(1);
    let passes = bits.div_ceil(MAX_DIGIT_BITS);
    let digit_bits = bits.div_ceil(passes);
    let mask = (1u64 << digit_bits) - 1;
    other.resize(keys.len(), 0);
    counts.clear();
    counts.resize((passes as usize) << digit_bits, 0);
    for &key in keys.iter() {
        for pass in 0..passes {
            let digit = (key >> (32 + pass * digit_bits)) & mask;
            counts[(pass << digit_bits) as usize + digit as usize] += 1;
        }
    }
    for pass in 0..passes {
        let counts = &mut counts[(pass << digit_bits) as usize..][..1 << digit_bits];
        let mut sum = 0;
        for count in counts.iter_mut() {
            (*count, sum) = (sum, sum + *count);
        }
        let shift = 32 + pass * digit_bits;
        for &key in keys.iter() {
            let place = &mut counts[((key >> shift) & mask) as usize];
            other[*place as usize] = key;
            *place += 1;
        }
        std::mem::swap(keys, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn check(ids: &[u32], scratch: &mut SortScratch, segments: &mut Segments) {
        segments.build(ids, scratch);
        let mut expected = BTreeMap::<u32, Vec<u32>>::new();
        for (position, &id) in ids.iter().enumerate() {
            expected.entry(id).or_default().push(position as u32);
        }
        assert_eq!(segments.unique, expected.keys().copied().collect::<Vec<_>>());
        assert_eq!(segments.starts.len(), segments.unique.len() + 1);
        assert_eq!(segments.positions.len(), ids.len());
        for (u, positions) in expected.values().enumerate() {
            let range = segments.starts[u] as usize..segments.starts[u + 1] as usize;
            assert_eq!(&segments.positions[range], positions);
        }
    }

    #[test]
    fn segments_match_an_ordered_map() {
        let (mut scratch, mut segments) = (SortScratch::default(), Segments::default());
        let mut state = 1u64;
        // Sizes around the small-list path, id ranges of one to four passes; the buffers are reused throughout.
        for len in [0, 1, 2, 95, 96, 97, 1000, 8192, 5] {
            for range in [1u64, 2, 300, 2048, 50_000, 1 << 23, 1 << 32] {
                let ids: Vec<u32> = (0..len)
                    .map(|_| {
                        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        ((state >> 32) % range) as u32
                    })
                    .collect();
                check(&ids, &mut scratch, &mut segments);
            }
        }
        check(&[u32::MAX; 200], &mut scratch, &mut segments);
        check(&[1, 1, 2, 7, 7, 7, u32::MAX], &mut scratch, &mut segments);
    }
}
