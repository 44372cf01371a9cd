//! Matrix descriptors: where an operand's elements lie in shared memory.

/// An operand in shared memory, 128-byte swizzle: rows of 128 bytes in groups of 8, in which the 16-byte chunk `c` of
/// row `r` lies at chunk `c ^ r % 8`, by address bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    start: u32,
    leading: u32,
    stride: u32,
}

impl Descriptor {
    /// Reads a descriptor of an operand; what is wrong with it otherwise. `chunks`: the 16-byte chunks that it takes of a
    /// row of 128 bytes.
    pub fn read(bits: u64, chunks: u32) -> Result<Descriptor, String> {
        let field = |at: u32| ((bits >> at & 0x3fff) as u32) << 4;
        let (swizzle, base_offset) = (bits >> 62, bits >> 49 & 7);
        if swizzle != 1 {
            let name = ["none", "128 bytes", "64 bytes", "32 bytes"][swizzle as usize];
            return Err(format!("swizzle {name}; only that of 128 bytes is known to be right"));
        }
        if base_offset != 0 {
            return Err(format!("base offset {base_offset}; only 0 is supported"));
        }
        let d = Descriptor { start: field(0), leading: field(16), stride: field(32) };
        // The swizzle goes by address bits: a tile begins at a multiple of 1,024 bytes, an operand inside its first row.
        if d.start >> 7 & 7 != 0 || d.start % 128 + 16 * chunks > 128 {
            return Err(format!("start {} does not fit the first row of a tile at a multiple of 1,024 bytes", d.start));
        }
        if !d.stride.is_multiple_of(1024) {
            return Err(format!("stride {} is no multiple of the 1,024 bytes of a group", d.stride));
        }
        Ok(d)
    }

    /// The address of 16 bytes of a matrix whose rows hold k: `row`, and which 16 bytes of k.
    #[inline(always)]
    pub fn k_major(&self, row: u32, chunk: u32) -> u32 {
        swizzled(self.start + row / 8 * self.stride + row % 8 * 128 + chunk * 16)
    }

    /// The address of 8 columns of a 16-bit matrix whose rows hold one k each: `k`, and which 8 columns.
    #[inline(always)]
    pub fn mn_major(&self, k: u32, eight: u32) -> u32 {
        swizzled(self.start + eight / 8 * self.leading + k / 8 * self.stride + k % 8 * 128 + eight % 8 * 16)
    }

    /// Appends the addresses of all 16-byte chunks of rows (or columns) `first..first + count`.
    pub fn chunks(&self, mn_major: bool, first: u32, count: u32, to: &mut Vec<u32>) {
        if mn_major {
            for k in 0..16 {
                to.extend((first / 8..(first + count) / 8).map(|eight| self.mn_major(k, eight)));
            }
        } else {
            to.extend((first..first + count).flat_map(|row| [self.k_major(row, 0), self.k_major(row, 1)]));
        }
    }
}

#[inline(always)]
fn swizzled(at: u32) -> u32 {
    at ^ (at >> 7 & 7) << 4
}
