//! Whether users get lists of their own: a collapsed model gives everybody the same.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Found;

/// Counts equal lists over a stream of blocks: 16 bytes per distinct list.
#[derive(Clone, Debug, Default)]
pub struct ListCounter {
    users: u64,
    lists: HashMap<u64, u64>,
}

/// How alike the users' lists are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Diversity {
    /// Users whose lists were looked at.
    pub users: u64,
    /// Different lists, order included.
    pub distinct_lists: u64,
    /// The share of users whose list another user has too, in [0, 1].
    pub identical_share: f64,
    /// The share of users who have the most common list, in [0, 1].
    pub most_common_share: f64,
}

impl ListCounter {
    /// Adds the users of a block.
    pub fn push(&mut self, found: &Found) {
        for row in found.ids.chunks_exact(found.k.max(1)) {
            self.add(xxhash_rust::xxh3::xxh3_64(bytemuck::cast_slice(row)));
        }
    }

    /// Adds a user by the hash of its places, empty ones included.
    pub(crate) fn add(&mut self, hash: u64) {
        self.users += 1;
        *self.lists.entry(hash).or_default() += 1;
    }

    /// What the lists so far say.
    pub fn diversity(&self) -> Diversity {
        let share = |users: u64| if self.users > 0 { users as f64 / self.users as f64 } else { 0.0 };
        Diversity {
            users: self.users,
            distinct_lists: self.lists.len() as u64,
            identical_share: share(self.lists.values().filter(|&&users| users > 1).sum()),
            most_common_share: share(self.lists.values().copied().max().unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_counted_over_blocks() {
        let mut counter = ListCounter::default();
        let found = |ids: &[u32]| Found { k: 2, ids: ids.to_vec(), scores: vec![0.0; ids.len()] };
        counter.push(&found(&[1, 2, 2, 1, 1, 2]));
        counter.push(&found(&[1, 2, 3, 4]));
        // [1, 2] three times, [2, 1] and [3, 4] once.
        let expected = Diversity { users: 5, distinct_lists: 3, identical_share: 0.6, most_common_share: 0.6 };
        assert_eq!(counter.diversity(), expected);
        assert_eq!(ListCounter::default().diversity(), Diversity::default());
    }
}
