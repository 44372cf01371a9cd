//! An index as one file: opened mapped or read into memory, checked whole.
//!
//! `TERCELIX`, the format's version (u32), the length of the header (u32), the header's xxh3-64, the header (JSON), then
//! sections of values, each at a multiple of 64 bytes from the body's start. The header names every section with its place,
//! and holds the xxh3-64 of each 16 MiB of the body. Everything is little-endian.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::base::Base;
use super::change::Tail;
use super::engine::SearchEngine;
use super::ivf::InvertedLists;
use super::{About, Guides, IndexKind, ItemIndex, QuerySource, new_generation};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::topk::CpuItems;
use crate::config::Precision;
use crate::data::shard::FileBytes;
use crate::data::shard::ipc::ByteSource;
use crate::files::{AtomicFile, Lock, OpenedFile};
use crate::finite::all_finite;
use crate::slab::Slab;
use crate::{Device, Error, Result};

const MAGIC: &[u8; 8] = b"TERCELIX";
const VERSION: u32 = 2;
/// Bytes that stand before the header.
const FRONT: usize = 24;
/// Sections start at multiples of this.
const ALIGN: usize = 64;
/// Bytes of the body for each checksum.
const CHUNK: usize = 16 << 20;
/// A header is no longer than this.
const LONGEST_HEADER: usize = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    dim: usize,
    items: usize,
    about: About,
    /// Tag, and how many of the section `tags` are its items.
    tags: Vec<(String, usize)>,
    /// Name, first byte in the body, bytes.
    sections: Vec<(String, usize, usize)>,
    body_bytes: usize,
    checksums: Vec<u64>,
}

impl ItemIndex {
    /// Writes the index to one file, which is there whole or not at all. Items that were added go to their lists first,
    /// removed ones are left out.
    ///
    /// # Errors
    /// [`Error::Input`] when another run writes it; [`Error::Io`].
    pub fn save(&mut self, path: &Path) -> Result<()> {
        self.save_locked(path, Lock::take(path)?)
    }

    /// [`save`](ItemIndex::save) of a file whose lock was taken before the index was built.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_locked(&mut self, path: &Path, lock: Lock) -> Result<()> {
        self.settle()?;
        let tagged: Vec<u32> = self.tags.values().flatten().copied().collect();
        let items = self.base.items();
        let mut parts: Vec<(&str, &[u8])> = vec![
            ("values", items.values.bytes()),
            ("codes", items.codes.bytes.bytes()),
            ("panels", items.codes.panels.bytes()),
            ("order", bytemuck::cast_slice(self.base.order())),
            ("queries", self.queries.bytes()),
            ("tags", bytemuck::cast_slice(&tagged)),
        ];
        if let Some(biases) = &items.biases {
            parts.push(("biases", biases.bytes()));
        }
        if let Base::Lists(lists) = &self.base {
            parts.extend([
                ("starts", lists.starts.bytes()),
                ("centroids", lists.centroids.bytes()),
                ("spreads", lists.spreads.bytes()),
                ("shape", lists.shape.bytes()),
            ]);
            if let Some(biases) = &lists.centroid_biases {
                parts.push(("centroid_biases", biases.bytes()));
            }
        }
        let mut sections = Vec::new();
        let mut at = 0;
        for (name, bytes) in &parts {
            sections.push(((*name).to_owned(), at, bytes.len()));
            at = (at + bytes.len()).next_multiple_of(ALIGN);
        }
        let header = Header {
            dim: self.dim,
            items: self.base.len(),
            about: self.about.clone(),
            tags: self.tags.iter().map(|(tag, items)| (tag.clone(), items.len())).collect(),
            body_bytes: at,
            checksums: checksums(&parts),
            sections,
        };
        let failed = |e: std::io::Error| Error::io(path, e);
        let target = AtomicFile::locked(path, lock)?;
        let mut file = BufWriter::with_capacity(1 << 20, target.file().try_clone().map_err(failed)?);
        let mut write = || -> std::io::Result<()> {
            let header = serde_json::to_vec(&header)?;
            file.write_all(MAGIC)?;
            file.write_all(&VERSION.to_le_bytes())?;
            file.write_all(&(header.len() as u32).to_le_bytes())?;
            file.write_all(&xxh3_64(&header).to_le_bytes())?;
            file.write_all(&header)?;
            pad(&mut file, FRONT + header.len())?;
            for (_, bytes) in &parts {
                file.write_all(bytes)?;
                pad(&mut file, bytes.len())?;
            }
            file.flush()
        };
        write().map_err(failed)?;
        target.commit()
    }

    /// Opens an index, mapped into memory, to be searched on `device`, or by `threads` threads (0: every core). Every byte
    /// is compared with its checksum. On a CUDA device, an index that was never measured on one is measured first.
    ///
    /// The file may be replaced by rename while it is open, but not written over: see [`mapped`](crate::mapped).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Input`] for another kind of file, [`Error::Damaged`] (values that are not finite count as
    /// damage), or whatever the device reports.
    pub fn open(path: &Path, device: Device, threads: usize) -> Result<ItemIndex> {
        let opened = OpenedFile::open(path)?;
        let header = read_header(&opened)?;
        ItemIndex::of_file(path, header, FileBytes::map(&opened)?, device, threads)
    }

    /// As [`open`](ItemIndex::open), but reads the file into memory: whatever happens to it later is no matter.
    ///
    /// # Errors
    /// As [`open`](ItemIndex::open), and [`Error::OutOfMemory`].
    pub fn read(path: &Path, device: Device, threads: usize) -> Result<ItemIndex> {
        let opened = OpenedFile::open(path)?;
        let header = read_header(&opened)?;
        ItemIndex::of_file(path, header, FileBytes::read(&opened)?, device, threads)
    }

    fn of_file(path: &Path, header: ReadHeader, file: FileBytes, device: Device, threads: usize) -> Result<ItemIndex> {
        let file = Arc::new(file);
        let damaged = |at: &str, reason: &str| Error::damaged(path, at, format!("{reason}; build the index again"));
        let body = (FRONT + header.length).next_multiple_of(ALIGN);
        let Header { dim, items, about, tags, sections, body_bytes, checksums } = header.says;
        let bytes = file.as_slice().get(body..).filter(|bytes| bytes.len() == body_bytes);
        let bytes = bytes.ok_or_else(|| damaged("end of file", "its length differs from the one in the header"))?;
        if bytes.len().div_ceil(CHUNK) != checksums.len() {
            return Err(damaged("header", "wrong number of checksums"));
        }
        let cpu = Cpu::new(threads, None, Precision::Fp32)?;
        // Sections that hold vectors; the rest is checked by what it must be.
        let vectors = |name: &str| ["values", "biases", "centroids", "centroid_biases", "queries"].contains(&name);
        let vectors: Vec<Range<usize>> = sections
            .iter()
            .filter(|(name, ..)| vectors(name))
            .map(|(_, at, len)| *at..at.saturating_add(*len))
            .collect();
        let found =
            cpu.threads.map(bytes.chunks(CHUNK).collect(), 1, |n, chunk| check_chunk(chunk, n * CHUNK, &vectors));
        let differs = found.iter().zip(&checksums).position(|((sum, _), expected)| sum != expected);
        if let Some(chunk) = differs {
            return Err(damaged(&format!("byte {} or after it", body + chunk * CHUNK), "the checksum differs"));
        }
        if found.iter().any(|(_, finite)| !finite) {
            return Err(damaged("values", "contains NaN or infinity"));
        }
        let range = |name: &str| -> Result<Range<usize>> {
            let found = sections.iter().find(|(of, ..)| of == name);
            let place =
                found.and_then(|(_, at, len)| Some(body.checked_add(*at)?..body.checked_add(*at)?.checked_add(*len)?));
            place.ok_or_else(|| damaged(name, "the section is missing"))
        };
        let whole = |name: &str| damaged(name, "wrong number of values");
        let panels = items.div_ceil(crate::backend::cpu::simd::PANEL);
        let part = Part { file: &file, range: &range, whole: &whole };
        let values = part.of::<f32>("values", None)?;
        let codes = part.of::<u8>("codes", None)?;
        let about_panels = part.of("panels", Some(panels))?;
        let order = part.of::<u32>("order", Some(items))?;
        let queries = part.of::<f32>("queries", None)?;
        let tagged = tags.iter().try_fold(0usize, |sum, (_, n)| sum.checked_add(*n)).ok_or_else(|| whole("tags"))?;
        let tagged = part.of::<u32>("tags", Some(tagged))?;
        let has = |name: &str| sections.iter().any(|(of, ..)| of == name);
        let biases = if has("biases") { Some(part.of::<f32>("biases", None)?) } else { None };
        let biased = biases.is_some();
        let packed =
            CpuItems::from_parts(values, codes, about_panels, biases, items, dim).ok_or_else(|| whole("codes"))?;
        let base = if has("starts") {
            let spreads = part.of::<f32>("spreads", None)?;
            let starts = part.of::<u32>("starts", Some(spreads.len() + 1))?;
            let ascend = starts.windows(2).all(|w| w[0] <= w[1]);
            if !ascend || starts.first() != Some(&0) || starts.last().map(|&end| end as usize) != Some(items) {
                return Err(damaged("starts", "the lists do not cover the items"));
            }
            let centroids =
                part.of("centroids", Some(spreads.len().checked_mul(dim).ok_or_else(|| whole("centroids"))?))?;
            let shape = part.of("shape", Some(dim.checked_mul(dim).ok_or_else(|| whole("shape"))?))?;
            let centroid_biases = if biased { Some(part.of("centroid_biases", Some(spreads.len()))?) } else { None };
            let items = packed;
            Base::Lists(Box::new(InvertedLists { items, order, starts, centroids, centroid_biases, spreads, shape }))
        } else {
            Base::Whole(packed, order)
        };
        if dim == 0 || !queries.len().is_multiple_of(dim) {
            return Err(whole("queries"));
        }
        let mut rest = &tagged[..];
        let tags = tags.into_iter().map(|(tag, n)| {
            let (items, after) = rest.split_at(n);
            rest = after;
            (tag, items.to_vec())
        });
        let mut index = ItemIndex {
            engine: SearchEngine::open(device)?,
            base,
            alive: None,
            tail: Tail::new(&cpu, dim, biased),
            dim,
            biased,
            about,
            tags: tags.collect::<BTreeMap<_, _>>(),
            queries,
            places: None,
            generation: new_generation(),
            guides: Guides::default(),
            cpu,
        };
        if let (false, IndexKind::Approx { recall }, None) =
            (index.engine.is_host(), index.about.kind, index.about.scan_recall)
        {
            let source = index.about.measured.as_ref().map_or(QuerySource::Given, |measured| measured.source);
            index.tune_scan(recall, source)?;
        }
        Ok(index)
    }

    /// Whether a file begins as one of an index does.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_index(path: &Path) -> Result<bool> {
        let mut front = Vec::new();
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        file.take(MAGIC.len() as u64).read_to_end(&mut front).map_err(|e| Error::io(path, e))?;
        Ok(front == MAGIC)
    }

    /// What the file of an index says of it, without reading its items.
    ///
    /// # Errors
    /// As [`open`](ItemIndex::open).
    pub fn describe(path: &Path) -> Result<About> {
        Ok(read_header(&OpenedFile::open(path)?)?.says.about)
    }
}

/// A section as values.
struct Part<'a> {
    file: &'a Arc<FileBytes>,
    range: &'a dyn Fn(&str) -> Result<Range<usize>>,
    whole: &'a dyn Fn(&str) -> Error,
}

impl Part<'_> {
    /// `len`: how many values there must be; absent, any number.
    fn of<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(&self, name: &str, len: Option<usize>) -> Result<Slab<T>> {
        let slab = Slab::mapped(self.file, (self.range)(name)?).ok_or_else(|| (self.whole)(name))?;
        if len.is_some_and(|len| len != slab.len()) { Err((self.whole)(name)) } else { Ok(slab) }
    }
}

struct ReadHeader {
    says: Header,
    length: usize,
}

fn read_header(file: &OpenedFile) -> Result<ReadHeader> {
    let path = file.path();
    let failed = |e| Error::io(path, e);
    let mut front = vec![0; FRONT.min(file.bytes() as usize)];
    file.read(0, &mut front).map_err(failed)?;
    if front.len() < FRONT || &front[..8] != MAGIC {
        return Err(Error::input(path, "is not an index; `tercel index` builds one"));
    }
    let number = |at: usize| u32::from_le_bytes([front[at], front[at + 1], front[at + 2], front[at + 3]]);
    if number(8) != VERSION {
        let reason = format!(
            "is an index of format {}; this build reads format {VERSION}: build it again (`tercel index` for a model's)",
            number(8)
        );
        return Err(Error::input(path, reason));
    }
    let length = number(12) as usize;
    let left = usize::try_from(file.bytes()).unwrap_or(usize::MAX) - FRONT;
    let mut header = vec![0; length.min(LONGEST_HEADER).min(left)];
    file.read(FRONT as u64, &mut header).map_err(failed)?;
    let sum = u64::from(number(16)) | u64::from(number(20)) << 32;
    if header.len() != length || xxh3_64(&header) != sum {
        return Err(Error::damaged(path, "header", "its checksum differs; build the index again"));
    }
    let says = serde_json::from_slice(&header).map_err(|e| Error::damaged(path, "header", e.to_string()))?;
    Ok(ReadHeader { says, length })
}

fn pad(file: &mut impl Write, written: usize) -> std::io::Result<()> {
    file.write_all(&[0; ALIGN][..written.next_multiple_of(ALIGN) - written])
}

/// The checksum of a chunk that starts at byte `first` of the body, and whether what it holds of `vectors` (places in
/// the body) is finite: each piece is read from memory once.
fn check_chunk(chunk: &[u8], first: usize, vectors: &[Range<usize>]) -> (u64, bool) {
    const PIECE: usize = 256 << 10;
    let (mut hash, mut finite) = (xxhash_rust::xxh3::Xxh3Default::new(), true);
    for (piece, at) in chunk.chunks(PIECE).zip((first..).step_by(PIECE)) {
        hash.update(piece);
        for range in vectors {
            let (from, to) = (range.start.max(at), range.end.min(at + piece.len()));
            let values = piece.get(from.saturating_sub(at)..to.saturating_sub(at)).unwrap_or_default();
            // Parts that are no whole values belong to no index of ours: they are refused below.
            finite &= from >= to || bytemuck::try_cast_slice(values).is_ok_and(all_finite);
        }
    }
    (hash.digest(), finite)
}

/// The checksum of every chunk of the body, sections padded.
fn checksums(parts: &[(&str, &[u8])]) -> Vec<u64> {
    let mut sums = Vec::new();
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    let mut filled = 0;
    for (_, bytes) in parts {
        let padding = &[0; ALIGN][..bytes.len().next_multiple_of(ALIGN) - bytes.len()];
        for mut rest in [*bytes, padding] {
            while !rest.is_empty() {
                let (now, after) = rest.split_at(rest.len().min(CHUNK - filled));
                hash.update(now);
                filled += now.len();
                rest = after;
                if filled == CHUNK {
                    sums.push(hash.digest());
                    hash.reset();
                    filled = 0;
                }
            }
        }
    }
    if filled > 0 {
        sums.push(hash.digest());
    }
    sums
}
