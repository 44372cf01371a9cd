//! `.faiss`: an `IndexFlatIP`, as faiss's `write_index` lays it out; `read_index` reads it.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::{Plain, VectorShape, unfit};

/// What `read_index` knows an `IndexFlatIP` by.
const FOURCC: &[u8; 4] = b"IxFI";
/// Two fields that faiss writes and does not read.
const UNUSED: i64 = 1 << 20;
/// `METRIC_INNER_PRODUCT`.
const INNER_PRODUCT: i32 = 0;

pub(super) fn start(mut out: BufWriter<File>, shape: VectorShape) -> io::Result<Plain> {
    out.write_all(&header(shape)?)?;
    Ok(Plain(out))
}

/// Everything before the values: d, ntotal, two unused fields, is_trained, the metric, and the number of values.
fn header(shape: VectorShape) -> io::Result<Vec<u8>> {
    let rows = i64::try_from(shape.rows).ok();
    let values = shape.rows.checked_mul(shape.dim as u64).filter(|values| values.checked_mul(4).is_some());
    let (Ok(dim), Some(rows), Some(values)) = (i32::try_from(shape.dim), rows, values) else {
        return Err(unfit(format!("{} rows of {} values are more than faiss counts", shape.rows, shape.dim)));
    };
    let mut header = FOURCC.to_vec();
    header.extend(dim.to_le_bytes());
    header.extend(rows.to_le_bytes());
    header.extend(UNUSED.to_le_bytes());
    header.extend(UNUSED.to_le_bytes());
    header.push(1);
    header.extend(INNER_PRODUCT.to_le_bytes());
    header.extend(values.to_le_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::predictions::IdKind;

    #[test]
    fn the_header_is_that_of_faiss() {
        // What faiss 1.15.1 writes before the values of 30 vectors with 5 values each.
        let theirs =
            "49784649 05000000 1e00000000000000 0000100000000000 0000100000000000 01 00000000 9600000000000000";
        let ours = header(VectorShape { rows: 30, dim: 5, ids: IdKind::Text }).expect("it fits");
        let ours: String = ours.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(ours, theirs.replace(' ', ""));
        for (rows, dim) in [(u64::MAX, 1), (1 << 60, 64), (1, 1 << 31)] {
            assert!(header(VectorShape { rows, dim, ids: IdKind::Text }).is_err());
        }
    }
}
