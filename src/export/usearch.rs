//! `.usearch`: vectors and an HNSW graph over them, as usearch's `save` lays them out since 2.10; `Index.restore` and
//! `load` read it.
//!
//! The file: rows and bytes of a row (u32), the vectors, a head of 64 bytes, the graph's numbers, the level of every
//! row (i16), and for every row its key (u64), its level and its lists of links, lowest level first: a count and as
//! many places as the level may have (u32). A key is a row of the file. Searches with `exact=True` read the vectors
//! alone.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::{VectorShape, VectorSink, unfit};
use crate::data::vocabulary::RawId;
use crate::index::Progress;

mod graph;
mod links;
mod mend;
mod points;

use graph::Graph;
use points::Points;

/// Bytes of the head.
const HEAD: usize = 64;
/// The format's version: major, minor, patch.
const VERSION: [u16; 3] = [2, 10, 0];
/// The metric `ip`, scalars of type f32, keys of type u64, links of type u32.
const KINDS: [u8; 4] = [b'i', 11, 14, 15];

pub(super) fn start(mut out: BufWriter<File>, shape: VectorShape, threads: usize) -> io::Result<UsearchFile> {
    let bytes = shape.dim.checked_mul(4).and_then(|bytes| u32::try_from(bytes).ok());
    // Links are 32 bits wide, and all ones is no row.
    let rows = u32::try_from(shape.rows).ok().filter(|&rows| rows < u32::MAX);
    let (Some(rows), Some(bytes)) = (rows, bytes) else {
        return Err(unfit(format!("{} rows of {} values are more than usearch counts here", shape.rows, shape.dim)));
    };
    out.write_all(&rows.to_le_bytes())?;
    out.write_all(&bytes.to_le_bytes())?;
    Ok(UsearchFile { out, shape, points: Points::new(rows as usize, shape.dim)?, threads })
}

/// Such a file: vectors go to it at once, and are kept for the graph.
pub(super) struct UsearchFile {
    out: BufWriter<File>,
    shape: VectorShape,
    points: Points,
    threads: usize,
}

impl VectorSink for UsearchFile {
    fn push(&mut self, _: RawId<'_>, vector: &[f32]) -> io::Result<()> {
        self.points.push(vector);
        self.out.write_all(bytemuck::cast_slice(vector))
    }

    fn finish(mut self: Box<Self>, progress: &mut dyn FnMut(Progress)) -> io::Result<()> {
        let graph = Graph::build(&self.points, self.threads, progress)?;
        self.out.write_all(&head(self.shape))?;
        write_graph(&graph, &mut self.out)?;
        self.out.flush()
    }
}

fn head(shape: VectorShape) -> [u8; HEAD] {
    let mut head = b"usearch".to_vec();
    head.extend(VERSION.iter().flat_map(|number| number.to_le_bytes()));
    head.extend(KINDS);
    // Rows that are there, rows that were deleted, columns; then whether a key may have several rows, and padding.
    head.extend([shape.rows, 0, shape.dim as u64].iter().flat_map(|number| number.to_le_bytes()));
    let mut padded = [0; HEAD];
    padded[..head.len()].copy_from_slice(&head);
    padded
}

fn write_graph(graph: &Graph, out: &mut impl Write) -> io::Result<()> {
    let rows = graph.rows();
    let numbers =
        [rows as u64, links::WIDTH as u64, links::BASE_WIDTH as u64, u64::from(graph.top()), u64::from(graph.entry())];
    for number in numbers {
        out.write_all(&number.to_le_bytes())?;
    }
    for row in 0..rows as u32 {
        out.write_all(&i16::from(graph.level(row)).to_le_bytes())?;
    }
    let mut node = Vec::new();
    for row in 0..rows as u32 {
        node.clear();
        node.extend(u64::from(row).to_le_bytes());
        node.extend(i16::from(graph.level(row)).to_le_bytes());
        for level in 0..=graph.level(row) {
            let (list, width) = (graph.links(level, row), links::width(level));
            node.extend((list.len() as u32).to_le_bytes());
            node.extend(list.iter().flat_map(|link| link.to_le_bytes()));
            node.resize(node.len() + 4 * (width - list.len()), 0);
        }
        out.write_all(&node)?;
    }
    Ok(())
}
