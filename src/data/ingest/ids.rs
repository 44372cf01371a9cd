//! A dictionary from raw ids to provisional numbers that several threads fill at once.
//!
//! It has 64 parts, each behind a lock; a thread sorts a chunk's keys by part first and takes each lock once per chunk,
//! so locks are cheap and a part's table stays in the cache while it is used. Which number an id gets depends on the
//! threads' timing; final rows are given later, from counts and raw ids alone. A 64-character id costs about 90 bytes.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

const PART_BITS: u32 = 6;
const PARTS: usize = 1 << PART_BITS;
/// Entries of a part: its number and the part's must fit u32, and `u32::MAX` stays free.
const PART_ENTRIES: usize = (1 << (32 - PART_BITS)) - 1;

/// Keys, one after the other.
#[derive(Default)]
pub(super) struct KeyList {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl KeyList {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The caller keeps all keys together below 4 GiB.
    pub(super) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len() as u32);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How long all of them are.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|i| self.get(i))
    }

    fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start as usize..self.ends[i] as usize]
    }
}

/// Working memory of [`Dictionary::resolve`].
#[derive(Default)]
pub(super) struct ResolveScratch {
    hashes: Vec<u64>,
    order: Vec<u32>,
}

/// Texts with numbers from 0, for one thread.
#[derive(Default)]
pub(super) struct Interner {
    table: HashTable<u32>,
    /// Whole hashes: they spare comparisons of bytes, and hashing again when the table grows.
    hashes: Vec<u64>,
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Interner {
    fn range(&self, entry: u32) -> Range<usize> {
        let entry = entry as usize;
        let start = if entry == 0 { 0 } else { self.ends[entry - 1] };
        start as usize..self.ends[entry] as usize
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, entry: u32) -> &[u8] {
        &self.bytes[self.range(entry)]
    }

    /// The text's number, a new one for a new text; None when there is no room.
    pub(super) fn add(&mut self, text: &[u8]) -> Option<u32> {
        self.find_or_add(xxh3_64(text), text)
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let same = |&e: &u32| self.hashes[e as usize] == hash && self.get(e) == key;
        self.table.find(hash, same).copied()
    }

    fn find_or_add(&mut self, hash: u64, key: &[u8]) -> Option<u32> {
        if let Some(entry) = self.find(hash, key) {
            return Some(entry);
        }
        let entry = self.ends.len();
        let end = self.bytes.len() + key.len();
        if entry >= PART_ENTRIES || end > u32::MAX as usize {
            return None;
        }
        self.bytes.extend_from_slice(key);
        self.ends.push(end as u32);
        self.hashes.push(hash);
        self.table.insert_unique(hash, entry as u32, |&e| self.hashes[e as usize]);
        Some(entry as u32)
    }
}

/// The dictionary, while threads fill it.
pub(super) struct Dictionary {
    parts: Vec<Mutex<Interner>>,
}

/// There is no room for more ids.
#[derive(Debug)]
pub(super) struct Full;

impl Dictionary {
    pub(super) fn new() -> Dictionary {
        Dictionary { parts: (0..PARTS).map(|_| Mutex::default()).collect() }
    }

    /// Appends each key's number to `out`. `turn` spreads the threads over the parts.
    pub(super) fn resolve(
        &self,
        keys: &KeyList,
        turn: usize,
        scratch: &mut ResolveScratch,
        out: &mut Vec<u32>,
    ) -> Result<(), Full> {
        let base = out.len();
        out.resize(base + keys.len(), 0);
        let out = &mut out[base..];
        scratch.hashes.clear();
        scratch.hashes.extend((0..keys.len()).map(|i| xxh3_64(keys.get(i))));
        // A counting sort of the positions by part. A key that repeats the one before it takes its number.
        let repeats = |i: usize| i > 0 && scratch.hashes[i] == scratch.hashes[i - 1] && keys.get(i) == keys.get(i - 1);
        let mut starts = [0usize; PARTS + 1];
        for i in 0..keys.len() {
            if !repeats(i) {
                starts[part_of(scratch.hashes[i]) + 1] += 1;
            }
        }
        for p in 0..PARTS {
            starts[p + 1] += starts[p];
        }
        scratch.order.clear();
        scratch.order.resize(starts[PARTS], 0);
        let mut fill = starts;
        for i in 0..keys.len() {
            if !repeats(i) {
                let at = &mut fill[part_of(scratch.hashes[i])];
                scratch.order[*at] = i as u32;
                *at += 1;
            }
        }
        for turned in 0..PARTS {
            let p = (turned + turn) % PARTS;
            let positions = &scratch.order[starts[p]..starts[p + 1]];
            if positions.is_empty() {
                continue;
            }
            let mut part = self.parts[p].lock().unwrap_or_else(PoisonError::into_inner);
            for &i in positions {
                let i = i as usize;
                let entry = part.find_or_add(scratch.hashes[i], keys.get(i)).ok_or(Full)?;
                out[i] = entry << PART_BITS | p as u32;
            }
        }
        for i in 0..keys.len() {
            if repeats(i) {
                out[i] = out[i - 1];
            }
        }
        Ok(())
    }

    /// Ends the filling.
    pub(super) fn freeze(self) -> Ids {
        let parts: Vec<Interner> =
            self.parts.into_iter().map(|part| part.into_inner().unwrap_or_else(PoisonError::into_inner)).collect();
        Ids { parts }
    }
}

fn part_of(hash: u64) -> usize {
    // The table takes its bucket from the low bits and its tag from the top ones.
    (hash >> 40) as usize & (PARTS - 1)
}

/// The finished dictionary.
pub(super) struct Ids {
    parts: Vec<Interner>,
}

impl Ids {
    /// Every provisional number is below this.
    pub(super) fn bound(&self) -> usize {
        self.parts.iter().map(|part| part.ends.len()).max().unwrap_or(0) << PART_BITS
    }

    /// Provisional numbers, in no useful order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.parts
            .iter()
            .enumerate()
            .flat_map(|(p, part)| (0..part.ends.len() as u32).map(move |e| e << PART_BITS | p as u32))
    }

    /// The raw id.
    pub(super) fn get(&self, number: u32) -> &[u8] {
        self.parts[number as usize & (PARTS - 1)].get(number >> PART_BITS)
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = xxh3_64(key);
        let p = part_of(hash);
        self.parts[p].find(hash, key).map(|entry| entry << PART_BITS | p as u32)
    }
}

/// The integer that this text is the one canonical spelling of: no sign but `-`, no leading zero.
pub(super) fn canonical_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    canonical.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_agree_on_numbers() {
        let dictionary = Dictionary::new();
        let numbers: Vec<Vec<u32>> = std::thread::scope(|scope| {
            let dictionary = &dictionary;
            let run = |turn: usize| {
                move || {
                    let (mut keys, mut scratch, mut out) = (KeyList::default(), ResolveScratch::default(), Vec::new());
                    for block in 0..20u64 {
                        keys.clear();
                        for i in 0..1000u64 {
                            keys.push(format!("user-{}", (i / 2 * 7919 + block * 31) % 5000).as_bytes());
                        }
                        dictionary.resolve(&keys, turn, &mut scratch, &mut out).unwrap();
                    }
                    out
                }
            };
            let threads: Vec<_> = (0..3).map(|t| scope.spawn(run(t * 21))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(numbers.iter().all(|n| n == &numbers[0] && n.len() == 20_000));
        let ids = dictionary.freeze();
        assert_eq!(ids.get(numbers[0][0]), b"user-0");
        assert_eq!(ids.find(b"user-0"), Some(numbers[0][0]));
        assert_eq!(ids.find(b"user-9999"), None);
        let all: Vec<u32> = ids.iter().collect();
        assert!(all.iter().all(|&n| (n as usize) < ids.bound() && ids.find(ids.get(n)) == Some(n)));
        let mut distinct = numbers[0].clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn integers_have_one_spelling() {
        for (text, value) in
            [("0", 0), ("7", 7), ("-7", -7), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(canonical_integer(text.as_bytes()), Some(value));
        }
        for text in ["", "-", "-0", "00", "07", "+7", " 7", "7 ", "7.0", "1e3", "9223372036854775808", "a"] {
            assert_eq!(canonical_integer(text.as_bytes()), None, "{text}");
        }
    }
}
