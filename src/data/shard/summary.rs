//! What a shard holds, in a few numbers.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3Default;

use super::ShardIndex;
use crate::Result;
use crate::files::OpenedFile;

/// What [`summarise`] finds in a shard.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Rows.
    pub rows: u64,
    /// Record batches.
    pub blocks: u64,
    /// The columns that are read: `user`, `item`, and `timestamp` and `weight` where they are.
    pub columns: Vec<&'static str>,
    /// Whether each record batch has a checksum (which has been compared).
    pub checksums: bool,
    /// The smallest and the largest user, where there are rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<(u32, u32)>,
    /// The smallest and the largest item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<(u32, u32)>,
    /// The smallest and the largest timestamp in seconds, where there are timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamps: Option<(i64, i64)>,
    /// The smallest and the largest weight, where there are weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<(f32, f32)>,
    /// 16 hex digits: the xxh3-64 of the xxh3-64 (little-endian) of each column's values, in the order of `columns`.
    /// It does not depend on how the rows are cut into record batches.
    pub values_xxh3: String,
}

/// Reads a shard from end to end and says what is in it.
///
/// # Errors
/// As [`Shard::open`](super::Shard::open) and [`Shard::block`](super::Shard::block).
pub fn summarise(path: impl AsRef<Path>) -> Result<Summary> {
    Summary::of(ShardIndex::read(OpenedFile::open(path.as_ref())?)?)
}

impl Summary {
    /// Reads a shard from end to end.
    pub(crate) fn of(index: ShardIndex) -> Result<Summary> {
        let index = Arc::new(index);
        let mut summary = Summary {
            rows: index.rows,
            blocks: index.blocks.len() as u64,
            columns: vec!["user", "item"],
            checksums: index.checked,
            users: None,
            items: None,
            timestamps: None,
            weights: None,
            values_xxh3: String::new(),
        };
        let mut hashers: [Xxh3Default; 4] = Default::default();
        index.scan(|_, rows| {
            hashers[0].update(bytemuck::cast_slice(rows.users));
            hashers[1].update(bytemuck::cast_slice(rows.items));
            widen(&mut summary.users, rows.users);
            widen(&mut summary.items, rows.items);
            if let Some(values) = rows.timestamps {
                hashers[2].update(bytemuck::cast_slice(values));
                widen(&mut summary.timestamps, values);
            }
            if let Some(values) = rows.weights {
                hashers[3].update(bytemuck::cast_slice(values));
                widen(&mut summary.weights, values);
            }
            Ok(())
        })?;
        if index.timestamps {
            summary.columns.push("timestamp");
        }
        if index.weights {
            summary.columns.push("weight");
        }
        let there = [true, true, index.timestamps, index.weights];
        let mut all = Xxh3Default::new();
        for (hasher, _) in hashers.iter().zip(there).filter(|(_, there)| *there) {
            all.update(&hasher.digest().to_le_bytes());
        }
        summary.values_xxh3 = format!("{:016x}", all.digest());
        Ok(summary)
    }
}

fn widen<T: Copy + PartialOrd>(range: &mut Option<(T, T)>, values: &[T]) {
    for &value in values {
        let (low, high) = range.get_or_insert((value, value));
        if value < *low {
            *low = value;
        }
        if value > *high {
            *high = value;
        }
    }
}
