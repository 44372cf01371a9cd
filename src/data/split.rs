//! Which split a row belongs to: the rule, and the decision per row.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::dataset::Split;
use crate::rng::mix;
use crate::table::time::{format_time, parse_time};
use crate::{Error, Result};

/// How the rows are split, written `none`, `random:F`, `last-per-user:N`, `time:TEST` or `time:VALID,TEST`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SplitRule {
    /// Every row is a training row, but for those of files that are given for another split.
    #[default]
    None,
    /// By time. Rows before `valid` train, rows from `valid` on and before `test` validate, rows from `test` on test.
    /// Written as dates (midnight UTC), dates with a time of day, or epoch seconds.
    Time {
        /// The first second of the validation split; as `test` where there is no validation split.
        valid: i64,
        /// The first second of the test split.
        test: i64,
    },
    /// The last N rows of each user (by time, then input order) test, the N before them validate, the rest train. A
    /// user keeps at least one training row: of c rows, `min(N, c - 1)` test, then `min(N, what is left - 1)` validate.
    LastPerUser(u32),
    /// Each row by a hash of the seed and its number: this fraction (above 0, below 0.5) tests, as much validates.
    Random(f64),
}

impl FromStr for SplitRule {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bad = |reason: String| Err(Error::config("split", reason));
        match text.split_once(':') {
            None if text == "none" => Ok(SplitRule::None),
            Some(("last-per-user", n)) => match n.parse() {
                Ok(n) if n > 0 => Ok(SplitRule::LastPerUser(n)),
                _ => bad(format!("`{n}` is not a number of rows (1 or more)")),
            },
            Some(("random", fraction)) => match fraction.parse() {
                Ok(f) if f > 0.0 && f < 0.5 => Ok(SplitRule::Random(f)),
                _ => bad(format!(
                    "`{fraction}` is not a fraction between 0 and 0.5 (the test and validation splits get that much each)"
                )),
            },
            Some(("time", times)) => {
                let parse = |t: &str| {
                    parse_time(t.trim().as_bytes()).map_err(|reason| Error::config("split", format!("`{t}` {reason}")))
                };
                let (valid, test) = match times.split_once(',') {
                    Some((valid, test)) => (parse(valid)?, parse(test)?),
                    None => (parse(times)?, parse(times)?),
                };
                if valid > test {
                    return bad(format!("`{times}`: validation starts after test; write time:VALID,TEST"));
                }
                Ok(SplitRule::Time { valid, test })
            }
            _ => bad(format!(
                "`{text}` is not one of none, last-per-user:N, random:FRACTION, time:TEST_START, time:VALID_START,TEST_START"
            )),
        }
    }
}

impl fmt::Display for SplitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SplitRule::None => f.write_str("none"),
            SplitRule::Time { valid, test } if valid == test => write!(f, "time:{}", format_time(*test)),
            SplitRule::Time { valid, test } => write!(f, "time:{},{}", format_time(*valid), format_time(*test)),
            SplitRule::LastPerUser(n) => write!(f, "last-per-user:{n}"),
            SplitRule::Random(fraction) => write!(f, "random:{fraction}"),
        }
    }
}

impl TryFrom<String> for SplitRule {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<SplitRule> for String {
    fn from(rule: SplitRule) -> String {
        rule.to_string()
    }
}

/// The decision per row, once the rule's numbers are known.
pub(crate) enum Splitter {
    Files,
    Time { valid: i64, test: i64 },
    LastPerUser(LastRows),
    Random { seed: u64, test: u64, valid: u64 },
}

impl Splitter {
    /// For every rule but `last-per-user`, which needs [`LastRows`] first.
    pub(crate) fn new(rule: SplitRule, seed: u64) -> Splitter {
        match rule {
            SplitRule::Time { valid, test } => Splitter::Time { valid, test },
            SplitRule::Random(fraction) => {
                // 2^64 as f64; the product of a fraction below 0.5 fits.
                let test = (fraction * 18_446_744_073_709_551_616.0) as u64;
                Splitter::Random { seed, test, valid: test.saturating_mul(2) }
            }
            SplitRule::None | SplitRule::LastPerUser(_) => Splitter::Files,
        }
    }

    /// The split of row number `row` (from 0, in input order), of which `file` is the split that its file was given
    /// for.
    #[inline]
    pub(crate) fn split(&self, file: Split, user: u32, time: i64, row: u64) -> Split {
        match self {
            Splitter::Files => file,
            Splitter::Time { valid, test } => {
                if time >= *test {
                    Split::Test
                } else if time >= *valid {
                    Split::Valid
                } else {
                    Split::Train
                }
            }
            Splitter::Random { seed, test, valid } => {
                let hash = mix(seed.wrapping_add(mix(row)));
                if hash < *test {
                    Split::Test
                } else if hash < *valid {
                    Split::Valid
                } else {
                    Split::Train
                }
            }
            Splitter::LastPerUser(rows) => rows.split(user, time, row),
        }
    }
}

/// A row's place in its user's order.
type Key = (i64, u64);

/// The last rows of every user: where their validation and test rows start. Memory: 16 bytes per row that does not
/// train, and 32 per user.
pub(crate) struct LastRows {
    n: u64,
    /// A min-heap per user: `heaps[starts[u]..starts[u] + filled[u]]` are the greatest keys so far.
    heaps: Vec<Key>,
    starts: Vec<u64>,
    filled: Vec<u32>,
    counts: Vec<u32>,
    /// Where each user's validation and test rows start; filled by `finish`.
    bounds: Vec<[Key; 2]>,
}

const NEVER: Key = (i64::MAX, u64::MAX);

impl LastRows {
    /// `counts[u]`: rows of user u.
    pub(crate) fn new(n: u32, counts: Vec<u32>) -> LastRows {
        let n = u64::from(n);
        let mut starts = Vec::with_capacity(counts.len() + 1);
        let mut total = 0;
        starts.push(0);
        for &count in &counts {
            total += u64::from(count.saturating_sub(1)).min(2 * n);
            starts.push(total);
        }
        LastRows {
            n,
            heaps: vec![NEVER; total as usize],
            starts,
            filled: vec![0; counts.len()],
            counts,
            bounds: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, user: u32, time: i64, row: u64) {
        let u = user as usize;
        let heap = &mut self.heaps[self.starts[u] as usize..self.starts[u + 1] as usize];
        let filled = self.filled[u] as usize;
        let key = (time, row);
        if filled < heap.len() {
            heap[filled] = key;
            let mut at = filled;
            while at > 0 && heap[at] < heap[(at - 1) / 2] {
                heap.swap(at, (at - 1) / 2);
                at = (at - 1) / 2;
            }
            self.filled[u] += 1;
        } else if heap.first().is_some_and(|least| key > *least) {
            heap[0] = key;
            let mut at = 0;
            loop {
                let (left, right) = (2 * at + 1, 2 * at + 2);
                let mut least = at;
                if left < heap.len() && heap[left] < heap[least] {
                    least = left;
                }
                if right < heap.len() && heap[right] < heap[least] {
                    least = right;
                }
                if least == at {
                    break;
                }
                heap.swap(at, least);
                at = least;
            }
        }
    }

    /// To be called when every row was pushed.
    pub(crate) fn finish(mut self) -> Splitter {
        let mut bounds = Vec::with_capacity(self.counts.len());
        for u in 0..self.counts.len() {
            let heap = &mut self.heaps[self.starts[u] as usize..self.starts[u + 1] as usize];
            heap.sort_unstable();
            let tests = u64::from(self.counts[u].saturating_sub(1)).min(self.n) as usize;
            let valid = heap.first().copied().unwrap_or(NEVER);
            let test = heap.get(heap.len() - tests).copied().unwrap_or(NEVER);
            bounds.push([valid, test]);
        }
        self.heaps = Vec::new();
        self.starts = Vec::new();
        self.filled = Vec::new();
        self.bounds = bounds;
        Splitter::LastPerUser(self)
    }

    fn split(&self, user: u32, time: i64, row: u64) -> Split {
        let [valid, test] = self.bounds[user as usize];
        let key = (time, row);
        if key >= test {
            Split::Test
        } else if key >= valid {
            Split::Valid
        } else {
            Split::Train
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Split::{Test, Train, Valid};

    #[test]
    fn rules_print_as_they_are_read() {
        for text in [
            "none",
            "last-per-user:3",
            "random:0.1",
            "time:2017-12-04,2017-12-11",
            "time:2017-12-04 10:30:00,2017-12-11",
            "time:2017-12-04",
        ] {
            assert_eq!(text.parse::<SplitRule>().unwrap().to_string(), text);
        }
        assert_eq!("time:10,86400".parse::<SplitRule>().unwrap(), SplitRule::Time { valid: 10, test: 86400 });
        for bad in ["", "nothing", "last-per-user:0", "random:0.5", "random:nan", "time:", "time:2,1", "time:x,y"] {
            let error = bad.parse::<SplitRule>().unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{bad}: {error}");
        }
    }

    #[test]
    fn time_bounds_belong_to_the_later_split() {
        let splitter = Splitter::new(SplitRule::Time { valid: 10, test: 20 }, 0);
        let splits: Vec<_> = [9, 10, 19, 20].map(|t| splitter.split(Train, 0, t, 0)).into();
        assert_eq!(splits, [Train, Valid, Valid, Test]);
    }

    #[test]
    fn the_last_rows_of_each_user() {
        // User 0 has five rows out of order and with a tie, user 1 three, user 2 two, user 3 one, user 4 none.
        let rows = [(0, 50), (0, 10), (0, 30), (0, 30), (0, 20), (1, 7), (1, 7), (1, 7), (2, 9), (2, 1), (3, 4)];
        let mut last = LastRows::new(1, vec![5, 3, 2, 1, 0]);
        for (row, (user, time)) in rows.iter().enumerate() {
            last.push(*user, *time, row as u64);
        }
        let splitter = last.finish();
        let splits: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(row, (user, time))| splitter.split(Train, *user, *time, row as u64))
            .collect();
        assert_eq!(splits, [Test, Train, Train, Valid, Train, Train, Valid, Test, Test, Train, Train]);
    }

    #[test]
    fn the_last_two_rows_with_too_few_rows() {
        let mut last = LastRows::new(2, vec![6, 4, 3]);
        let rows: Vec<(u32, i64)> =
            [(0, 6), (1, 4), (2, 3)].iter().flat_map(|&(u, c)| (0..c).map(move |t| (u, t))).collect();
        for (row, (user, time)) in rows.iter().enumerate() {
            last.push(*user, *time, row as u64);
        }
        let splitter = last.finish();
        let splits: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(row, (user, time))| splitter.split(Train, *user, *time, row as u64))
            .collect();
        assert_eq!(splits[..6], [Train, Train, Valid, Valid, Test, Test]);
        assert_eq!(splits[6..10], [Train, Valid, Test, Test]);
        assert_eq!(splits[10..], [Train, Test, Test]);
    }

    #[test]
    fn random_is_a_function_of_seed_and_row() {
        let splitter = Splitter::new(SplitRule::Random(0.1), 7);
        let count = |split| (0..100_000).filter(|&row| splitter.split(Train, 0, 0, row) == split).count();
        assert!((9_500..10_500).contains(&count(Test)), "{}", count(Test));
        assert!((9_500..10_500).contains(&count(Valid)), "{}", count(Valid));
        let other = Splitter::new(SplitRule::Random(0.1), 8);
        assert!((0..1000).any(|row| other.split(Train, 0, 0, row) != splitter.split(Train, 0, 0, row)));
    }
}
