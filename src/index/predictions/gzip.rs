//! Gzip in pieces that any thread can pack: one stream of deflate blocks, each piece flushed to a whole byte.

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// What stands before the blocks: deflate, no name, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The least that more room is made for.
const ROOM: usize = 1 << 12;

/// Packed text.
pub(crate) struct GzipPiece {
    blocks: Vec<u8>,
    crc: Crc,
}

impl GzipPiece {
    pub(super) fn pack(text: &[u8]) -> io::Result<GzipPiece> {
        let mut crc = Crc::new();
        crc.update(text);
        Ok(GzipPiece { blocks: deflate(text, FlushCompress::Sync)?, crc })
    }
}

/// Deflate blocks that know nothing of those before.
fn deflate(text: &[u8], flush: FlushCompress) -> io::Result<Vec<u8>> {
    let mut pack = Compress::new(Compression::default(), false);
    let mut blocks = Vec::with_capacity(text.len() / 4 + ROOM);
    loop {
        let status = pack.compress_vec(&text[pack.total_in() as usize..], &mut blocks, flush)?;
        // A flush is done when it leaves room.
        if status == Status::StreamEnd || blocks.len() < blocks.capacity() {
            return Ok(blocks);
        }
        blocks.reserve(blocks.len() / 2 + ROOM);
    }
}

/// A gzip file that is made of pieces.
pub(super) struct GzipFile<W: Write> {
    out: W,
    crc: Crc,
}

impl<W: Write> GzipFile<W> {
    pub(super) fn start(mut out: W) -> io::Result<GzipFile<W>> {
        out.write_all(&HEADER)?;
        Ok(GzipFile { out, crc: Crc::new() })
    }

    pub(super) fn append(&mut self, piece: &GzipPiece) -> io::Result<()> {
        self.crc.combine(&piece.crc);
        self.out.write_all(&piece.blocks)
    }

    /// Writes the last block, which is empty, and the sums.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&deflate(&[], FlushCompress::Finish)?)?;
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn pieces_are_one_member() {
        // What packs well, what does not (more than the room that is made for it), and nothing at all.
        let noise: Vec<u8> = (0..70_000_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        let alike = vec![b'x'; 100_000];
        let cases: [Vec<&[u8]>; 3] = [vec![], vec![&b"a,b\n"[..]], vec![&alike[..], &[], &noise[..], &b"end"[..]]];
        for texts in &cases {
            let mut file = GzipFile::start(Vec::new()).unwrap();
            for text in texts {
                file.append(&GzipPiece::pack(text).unwrap()).unwrap();
            }
            let packed = file.finish().unwrap();
            // A decoder that reads one member, and not a byte is left.
            let (mut text, mut left) = (Vec::new(), &packed[..]);
            flate2::bufread::GzDecoder::new(&mut left).read_to_end(&mut text).unwrap();
            assert!(text == texts.concat() && left.is_empty());
        }
    }
}
