//! Structures of more than one stem.

use super::{In, arguments};

arguments! { "core/arguments.cuh" with "core/types.cuh":
    /// An operand of a product on tensor cores: rows x width in bf16, and what bf16 rounds away (`lo`, null where
    /// products are not precise).
    struct Operand {
        hi: In<u16>,
        lo: In<u16>,
        rows: u32,
        width: u32,
    }
}
