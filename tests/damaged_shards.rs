//! Damaged, strange and foreign shards: an error or the values that were written, never a panic or other values.

mod bytes;
mod foreign;
mod no_shard;
mod small;
