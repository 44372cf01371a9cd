//! `.safetensors`: the tensor `vectors` (F32, N x dim) and the ids, which have no type of their own there.
//!
//! Integers are the tensor `ids` (I64, N). Of texts, `id_bytes` (U8) has all UTF-8 bytes one after another, and row r's
//! are those from `id_offsets[r]` to `id_offsets[r + 1]` (I64, N + 1). The metadata says which (`ids`: `integer` or
//! `text`).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;

use serde_json::json;

use super::{VectorShape, VectorSink, unfit};
use crate::data::vocabulary::RawId;
use crate::index::Progress;
use crate::index::predictions::IdKind;

/// Bytes of the header, spaces at its end included: it is written last, when the bytes of all texts are known.
const HEADER: usize = 512;
/// Bytes before the tensors: the header and its length.
const START: u64 = 8 + HEADER as u64;

pub(super) fn start(out: BufWriter<File>, shape: VectorShape) -> io::Result<Tensors> {
    let too_many = || unfit(format!("{} rows of {} values are more than a file holds", shape.rows, shape.dim));
    let numbers = match shape.ids {
        IdKind::Text => shape.rows.checked_add(1),
        IdKind::Integer => Some(shape.rows),
    };
    let number_bytes = numbers.and_then(|n| n.checked_mul(8)).ok_or_else(too_many)?;
    let vector_bytes = shape.rows.checked_mul(4).and_then(|n| n.checked_mul(shape.dim as u64)).ok_or_else(too_many)?;
    let texts = number_bytes.checked_add(vector_bytes).filter(|n| n.checked_add(START).is_some());
    let texts = texts.ok_or_else(too_many)?;
    let file = out.into_inner().map_err(|e| e.into_error())?;
    let part = |offset: u64| -> io::Result<Part> {
        Ok(BufWriter::with_capacity(1 << 19, At { file: file.try_clone()?, offset: START + offset }))
    };
    let mut tensors = Tensors {
        shape,
        numbers: part(0)?,
        vectors: part(number_bytes)?,
        texts: part(texts)?,
        ends: [number_bytes, texts],
        text_bytes: 0,
    };
    if shape.ids == IdKind::Text {
        tensors.numbers.write_all(&0i64.to_le_bytes())?;
    }
    Ok(tensors)
}

/// The tensors, each filled at its place: numbers first, so that what has 8 bytes lies at a multiple of 8.
pub(super) struct Tensors {
    shape: VectorShape,
    numbers: Part,
    vectors: Part,
    texts: Part,
    /// Where the numbers and the vectors end.
    ends: [u64; 2],
    text_bytes: u64,
}

type Part = BufWriter<At>;

/// A place in a file that moves on with what is written there.
struct At {
    file: File,
    offset: u64,
}

impl Write for At {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.offset)?;
        self.offset += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl VectorSink for Tensors {
    fn push(&mut self, id: RawId<'_>, vector: &[f32]) -> io::Result<()> {
        let number = match (self.shape.ids, id) {
            (IdKind::Integer, RawId::Integer(number)) => number,
            (IdKind::Integer, RawId::Text(text)) => {
                return Err(unfit(format!("the id `{text}` does not go into a tensor of integers")));
            }
            (IdKind::Text, RawId::Text(text)) => self.push_text(text)?,
            (IdKind::Text, RawId::Integer(number)) => self.push_text(&number.to_string())?,
        };
        self.numbers.write_all(&number.to_le_bytes())?;
        self.vectors.write_all(bytemuck::cast_slice(vector))
    }

    fn finish(mut self: Box<Self>, _: &mut dyn FnMut(Progress)) -> io::Result<()> {
        for part in [&mut self.numbers, &mut self.vectors, &mut self.texts] {
            part.flush()?;
        }
        let mut header = self.header().into_bytes();
        header.resize(HEADER, b' ');
        let file = &self.vectors.get_ref().file;
        file.write_all_at(&(HEADER as u64).to_le_bytes(), 0)?;
        file.write_all_at(&header, 8)
    }
}

impl Tensors {
    /// Adds a text and returns where it ends.
    fn push_text(&mut self, text: &str) -> io::Result<i64> {
        self.texts.write_all(text.as_bytes())?;
        self.text_bytes += text.len() as u64;
        Ok(self.text_bytes as i64)
    }

    fn header(&self) -> String {
        let (VectorShape { rows, dim, ids }, [numbers, vectors]) = (self.shape, self.ends);
        let vector = json!({ "dtype": "F32", "shape": [rows, dim], "data_offsets": [numbers, vectors] });
        match ids {
            IdKind::Integer => json!({
                "__metadata__": { "ids": "integer" },
                "ids": { "dtype": "I64", "shape": [rows], "data_offsets": [0, numbers] },
                "vectors": vector,
            }),
            IdKind::Text => json!({
                "__metadata__": { "ids": "text" },
                "id_offsets": { "dtype": "I64", "shape": [rows + 1], "data_offsets": [0, numbers] },
                "vectors": vector,
                "id_bytes": {
                    "dtype": "U8",
                    "shape": [self.text_bytes],
                    "data_offsets": [vectors, vectors + self.text_bytes],
                },
            }),
        }
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_header_has_room() {
        for ids in [IdKind::Text, IdKind::Integer] {
            let part = || BufWriter::new(At { file: tempfile::tempfile().expect("a temp file"), offset: 0 });
            let (shape, most) = (VectorShape { rows: u64::MAX / 8, dim: usize::MAX, ids }, u64::MAX / 2);
            let (numbers, vectors, texts) = (part(), part(), part());
            let tensors = Tensors { shape, numbers, vectors, texts, ends: [most; 2], text_bytes: most };
            assert!(tensors.header().len() < HEADER, "{}", tensors.header().len());
        }
    }
}
