//! Any bytes as a shard: an error or rows, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tercel::data::shard::Shard;

fuzz_target!(|bytes: &[u8]| {
    let Ok(shard) = Shard::from_bytes("fuzz.arrow", bytes) else { return };
    let mut rows = 0;
    for block in 0..shard.blocks() {
        match shard.block(block) {
            Ok(found) => {
                assert_eq!(found.users.len(), found.items.len());
                assert!(found.timestamps.is_none_or(|column| column.len() == found.len()));
                assert!(found.weights.is_none_or(|column| column.len() == found.len()));
                rows += found.len() as u64;
            }
            Err(_) => return,
        }
    }
    assert_eq!(rows, shard.rows());
});
