//! Vectors of any origin in the files of `tercel export`.
//!
//! `cargo run --example vectors -- DIM FILE… < VALUES` reads fp32 values (little-endian, a row after the other) and writes
//! them to every FILE, with the row numbers as ids; a FILE's ending decides its format.

use std::io::Read;
use std::path::Path;

use tercel::data::vocabulary::RawId;
use tercel::export::{VectorShape, VectorWriter};
use tercel::index::predictions::IdKind;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dim, files @ ..] = arguments.as_slice() else { return Err("DIM FILE… < VALUES".into()) };
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let dim = dim.parse::<usize>()?.max(1);
    let shape = VectorShape { rows: (values.len() / dim) as u64, dim, ids: IdKind::Integer };
    for file in files {
        let mut writer = VectorWriter::create(Path::new(file), shape, 0)?;
        for (row, vector) in (0..).zip(values.chunks_exact(dim)) {
            writer.push(RawId::Integer(row), vector)?;
        }
        println!("{}", serde_json::to_string(&writer.finish(&mut |_| Ok(()))?)?);
    }
    Ok(())
}
