//! What an access costs the memory system: sectors of global memory, wavefronts of shared memory.

use super::warp::{LANES, lanes};

/// 32-byte sectors that a warp's accesses of `bytes` (naturally aligned) touch, and how few the same bytes need.
pub(crate) fn sectors(address: &[u64; LANES], mask: u32, bytes: u64) -> (u64, u64) {
    let (mut last, mut last_sector, mut distinct, mut count) = (0, u64::MAX, 0, 0);
    for i in lanes(mask) {
        let a = address[i];
        if distinct > 0 && a < last {
            return sectors_unsorted(address, mask, bytes);
        }
        distinct += u64::from(distinct == 0 || a != last);
        count += u64::from(a >> 5 != last_sector);
        (last, last_sector) = (a, a >> 5);
    }
    (count, (distinct * bytes).div_ceil(32))
}

fn sectors_unsorted(address: &[u64; LANES], mask: u32, bytes: u64) -> (u64, u64) {
    let mut sorted = [0; LANES];
    let mut n = 0;
    for i in lanes(mask) {
        sorted[n] = address[i];
        n += 1;
    }
    sorted[..n].sort_unstable();
    let (mut distinct, mut count) = (1, 1);
    for pair in sorted[..n].windows(2) {
        distinct += u64::from(pair[0] != pair[1]);
        count += u64::from(pair[0] >> 5 != pair[1] >> 5);
    }
    (count, (distinct * bytes).div_ceil(32))
}

/// Passes over the 32 banks of 4 bytes that a warp's accesses of `bytes` take, and how few the same bytes need.
/// Accesses of 8 bytes are served a half-warp at a time, those of 16 a quarter-warp.
pub(crate) fn wavefronts(offset: &[u32; LANES], mask: u32, bytes: u32) -> (u64, u64) {
    let lanes_at_once = if bytes > 4 { 128 / bytes } else { 32 };
    let (mut count, mut distinct_bytes) = (0, 0);
    let mut from = 0;
    while from < 32 {
        let part = if lanes_at_once == 32 { u32::MAX } else { ((1u32 << lanes_at_once) - 1) << from };
        if mask & part != 0 {
            let (wavefronts, words) = phase(offset, mask & part, bytes);
            count += wavefronts;
            distinct_bytes += words * 4;
        }
        from += lanes_at_once;
    }
    // Lanes of different phases that read the same words count those words more than once: that is what they cost.
    (count.max(1), distinct_bytes.div_ceil(128).max(1))
}

/// Wavefronts and distinct words of lanes that are served together.
fn phase(offset: &[u32; LANES], mask: u32, bytes: u32) -> (u64, u64) {
    let words = bytes.div_ceil(4);
    // One word per bank: no conflict. The same word again is a broadcast.
    let mut banks = [u32::MAX; 32];
    let mut distinct = 0;
    for i in lanes(mask) {
        for w in offset[i] / 4..offset[i] / 4 + words {
            let bank = &mut banks[(w % 32) as usize];
            if *bank != w {
                if *bank != u32::MAX {
                    return conflicts(offset, mask, words);
                }
                *bank = w;
                distinct += 1;
            }
        }
    }
    (1, distinct)
}

/// The same for lanes that do meet in a bank.
#[inline(never)]
fn conflicts(offset: &[u32; LANES], mask: u32, words: u32) -> (u64, u64) {
    let mut sorted = [0u32; 64];
    let mut n = 0;
    for i in lanes(mask) {
        for k in 0..words {
            sorted[n] = offset[i] / 4 + k;
            n += 1;
        }
    }
    let all = &mut sorted[..n];
    all.sort_unstable();
    let mut banks = [0u8; 32];
    let mut distinct = 0;
    let mut last = None;
    for &mut w in all {
        if last != Some(w) {
            banks[(w % 32) as usize] += 1;
            distinct += 1;
        }
        last = Some(w);
    }
    (u64::from(*banks.iter().max().unwrap_or(&1)), distinct)
}
