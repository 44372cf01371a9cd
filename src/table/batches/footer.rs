//! What arrow-rs takes on trust from the footer of an Arrow file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use arrow_ipc::{Block, root_as_footer};
use arrow_schema::ArrowError;

/// After the footer: its length and the magic.
const TAIL: u64 = 10;

/// An error unless every block that the footer names lies inside the file of `bytes` bytes. arrow-rs allocates what a
/// block says before it reads: one damaged number would ask for any amount of memory.
pub(super) fn check_blocks(file: &mut File, bytes: u64) -> Result<(), ArrowError> {
    let bad = |what: &str| ArrowError::IpcError(what.to_owned());
    let tail_start = bytes.checked_sub(TAIL).ok_or_else(|| bad("the file is too short for a footer"))?;
    let mut tail = [0; TAIL as usize];
    file.seek(SeekFrom::Start(tail_start))?;
    file.read_exact(&mut tail)?;
    let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    let start = tail_start.checked_sub(length).ok_or_else(|| bad("the footer is longer than the file"))?;
    let mut footer = vec![0; length as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut footer)?;
    file.rewind()?;
    let footer = root_as_footer(&footer).map_err(|e| bad(&format!("the footer cannot be understood: {e}")))?;
    let inside = |block: &Block| {
        let parts = [block.offset(), i64::from(block.metaDataLength()), block.bodyLength()];
        parts.iter().all(|part| *part >= 0)
            && parts.iter().try_fold(0u64, |end, part| end.checked_add(*part as u64)).is_some_and(|end| end <= start)
    };
    let batches = footer.recordBatches().into_iter().flatten();
    match batches.chain(footer.dictionaries().into_iter().flatten()).all(inside) {
        true => Ok(()),
        false => Err(bad("a record batch does not lie inside the file")),
    }
}
