//! Which columns hold the same item.

/// The columns of each id, ascending.
pub(crate) struct Same {
    columns: Vec<u32>,
    /// By column: where its id's columns stand.
    spans: Vec<(u32, u32)>,
}

impl Same {
    pub(crate) fn new(ids: &[u32]) -> Same {
        let mut keys: Vec<u64> = (0..).zip(ids).map(|(c, &id)| u64::from(id) << 32 | c).collect();
        keys.sort_unstable();
        let columns: Vec<u32> = keys.iter().map(|&k| k as u32).collect();
        let mut spans = vec![(0, 0); ids.len()];
        let mut start = 0;
        for group in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
            let end = start + group.len();
            for &c in &columns[start..end] {
                spans[c as usize] = (start as u32, end as u32);
            }
            start = end;
        }
        Same { columns, spans }
    }

    /// The columns with the id of column `c`, itself included.
    pub(crate) fn columns_of(&self, c: usize) -> &[u32] {
        let (from, to) = self.spans[c];
        &self.columns[from as usize..to as usize]
    }
}
