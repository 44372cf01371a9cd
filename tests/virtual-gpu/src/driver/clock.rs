//! Vector clocks: which operations of which streams surely happened before.

/// For each stream (by slot), the number of its operations that happened before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock(Vec<u64>);

impl Clock {
    /// How many operations of `slot` happened before.
    pub fn get(&self, slot: usize) -> u64 {
        self.0.get(slot).copied().unwrap_or(0)
    }

    /// Raises the entry of `slot` to `seq`.
    pub fn raise(&mut self, slot: usize, seq: u64) {
        if self.0.len() <= slot {
            self.0.resize(slot + 1, 0);
        }
        self.0[slot] = self.0[slot].max(seq);
    }

    /// Takes over all that `other` knows.
    pub fn join(&mut self, other: &Clock) {
        for (slot, &seq) in other.0.iter().enumerate() {
            self.raise(slot, seq);
        }
    }

    /// Whether operation `seq` of `slot` happened before.
    pub fn covers(&self, slot: usize, seq: u64) -> bool {
        self.get(slot) >= seq
    }
}
