//! `.npy`: a NumPy array, version 1.0 (numpy.lib.format).

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::{Plain, VectorShape};

/// The header is padded so that the values start at a multiple of it.
const ALIGNMENT: usize = 64;

pub(super) fn start(mut out: BufWriter<File>, shape: VectorShape) -> io::Result<Plain> {
    out.write_all(&header(shape))?;
    Ok(Plain(out))
}

/// The magic, the version, the length of the dictionary, the dictionary, spaces, a line end.
fn header(shape: VectorShape) -> Vec<u8> {
    let mut header = b"\x93NUMPY\x01\x00\x00\x00".to_vec();
    let (rows, dim) = (shape.rows, shape.dim);
    let dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    header.extend_from_slice(dictionary.as_bytes());
    header.resize((header.len() + 1).next_multiple_of(ALIGNMENT) - 1, b' ');
    header.push(b'\n');
    // Two numbers and a few words: far below what 16 bits count.
    let length = (header.len() - 10) as u16;
    header[8..10].copy_from_slice(&length.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::predictions::IdKind;

    #[test]
    fn the_header_is_that_of_numpy() {
        for (rows, dim) in [(0, 1), (3, 65), (1_371_980, 65), (u64::MAX, usize::MAX)] {
            let header = header(VectorShape { rows, dim, ids: IdKind::Text });
            assert_eq!(header.len() % ALIGNMENT, 0);
            assert_eq!(&header[..8], b"\x93NUMPY\x01\x00");
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])), header.len() - 10);
            let text = std::str::from_utf8(&header[10..]).expect("ASCII");
            assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (") && text.ends_with('\n'));
            assert!(text.contains(&format!("({rows}, {dim})")), "{text}");
        }
    }
}
