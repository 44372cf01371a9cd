//! An index from outside: build time, recall, queries a second, latency, bytes. One JSON object a line.
//!
//! `cargo bench --bench index` measures a mixture of its own; `-- --folder DIR` takes DIR/items.npy and DIR/queries.npy
//! (float32, C order) instead, as `benches/peers/index.py` writes them. `--kind exact` measures the exact index, each
//! query leaving out 23 items, as a night does. `--device cuda` asks the first GPU.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use tercel::Device;
use tercel::index::item_index::{Filter, IndexKind, IndexOptions, ItemIndex};
use tercel::index::{Found, Lists};
use tercel::rng::Rng;

/// Passes over all queries, of which the median counts.
const RUNS: usize = 5;
/// Queries that are asked one by one.
const ALONE: usize = 200;
/// Items that each query of an exact search leaves out: an H&M customer's purchases, on average.
const SEEN: usize = 23;

struct Args {
    folder: Option<PathBuf>,
    items: usize,
    dim: usize,
    queries: usize,
    k: usize,
    recall: f32,
    threads: Vec<usize>,
    exact: bool,
    device: Device,
}

fn main() {
    let mut args = Args {
        folder: None,
        items: 200_000,
        dim: 64,
        queries: 2000,
        k: 10,
        recall: 0.95,
        threads: vec![1, 2],
        exact: false,
        device: Device::Cpu,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--folder" => args.folder = Some(value().into()),
            "--items" => args.items = value().parse().expect("a number of items"),
            "--dim" => args.dim = value().parse().expect("a width"),
            "--queries" => args.queries = value().parse().expect("a number of queries"),
            "--k" => args.k = value().parse().expect("a list length"),
            "--recall" => args.recall = value().parse().expect("a recall"),
            "--threads" => {
                args.threads = value().split(',').map(|n| n.parse().expect("numbers of threads")).collect();
            }
            "--device" => args.device = value().parse().expect("a device"),
            "--kind" => args.exact = value() == "exact",
            // What cargo itself passes.
            _ => {}
        }
    }
    let (items, queries) = match &args.folder {
        Some(folder) => {
            let (items, dim) = npy(&folder.join("items.npy"));
            args.dim = dim;
            (items, npy(&folder.join("queries.npy")).0)
        }
        None => mixture(args.items, args.queries, args.dim),
    };
    for &threads in &args.threads {
        measure(&args, &items, &queries, threads);
    }
}

fn measure(args: &Args, items: &[f32], queries: &[f32], threads: usize) {
    let (dim, k, rows) = (args.dim, args.k, queries.len() / args.dim);
    let kind = if args.exact { IndexKind::Exact } else { IndexKind::Approx { recall: args.recall } };
    let options = IndexOptions::from(kind).k(k).threads(threads).device(args.device);
    // Held-out queries: the second half sets the index, the first is asked.
    let (asked, held) = if args.exact { (queries, &queries[..0]) } else { queries.split_at(rows / 2 * dim) };
    let rows = asked.len() / dim;
    let start = Instant::now();
    let held = (!held.is_empty()).then_some(held);
    let mut index = ItemIndex::build(items.to_vec(), dim, None, held, &options).expect("builds");
    let build = start.elapsed().as_secs_f64();

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("items.index");
    index.save(&file).expect("saves");
    let bytes = std::fs::metadata(&file).expect("is there").len();
    let start = Instant::now();
    let index = ItemIndex::open(&file, args.device, threads).expect("opens");
    let open = start.elapsed().as_secs_f64();

    let mut skip = Lists::default();
    if args.exact {
        let mut rng = Rng::at(1, &[]);
        for _ in 0..rows {
            let mut list: Vec<u32> = (0..SEEN).map(|_| rng.below((items.len() / dim) as u64) as u32).collect();
            list.sort_unstable();
            list.dedup();
            skip.values.extend(list);
            skip.close();
        }
    }
    let filter = Filter { skip: args.exact.then_some(&skip), ..Filter::default() };
    let mut found = index.search(asked, k, &filter).expect("finds");
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            found = index.search(asked, k, &filter).expect("finds");
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let mut alone: Vec<f64> = asked
        .chunks(dim)
        .take(ALONE)
        .map(|query| {
            let start = Instant::now();
            index.search(query, k, &Filter::default()).expect("finds");
            start.elapsed().as_secs_f64()
        })
        .collect();
    alone.sort_by(f64::total_cmp);
    let about = index.about();
    println!(
        "{}",
        json!({
            "lib": "tercel",
            "kind": if args.exact { "exact" } else { "approx" },
            "items": items.len() / dim,
            "dim": dim,
            "k": k,
            "queries": rows,
            "device": args.device.to_string(),
            "threads": threads,
            "recall": if args.exact { 1.0 } else { recall(&found, items, asked, dim) },
            "recall_measured_at_build": about.measured.as_ref().map(|m| m.recall.value),
            "items_read_share": about.measured.as_ref().map(|m| m.items_read),
            "lists": about.lists,
            "queries_per_second": rows as f64 / times[RUNS / 2],
            "queries_per_second_best": rows as f64 / times[0],
            "single_query_ms": 1e3 * alone[alone.len() / 2],
            "build_seconds": build,
            "open_seconds": open,
            "file_bytes_over_vectors": bytes as f64 / (4 * items.len()) as f64,
        })
    );
}

/// The part of the exact index's answers that was found.
fn recall(found: &Found, items: &[f32], queries: &[f32], dim: usize) -> f64 {
    let options = IndexOptions::exact();
    let exact = ItemIndex::build(items.to_vec(), dim, None, None, &options).expect("builds");
    let best = exact.search(queries, found.k, &Filter::default()).expect("finds");
    let lines = found.ids.chunks(found.k).zip(best.ids.chunks(found.k));
    let hits: usize = lines.map(|(found, best)| best.iter().filter(|id| found.contains(id)).count()).sum();
    hits as f64 / best.ids.len() as f64
}

/// Unit vectors about 2,000 centres, some of them often.
fn mixture(items: usize, queries: usize, dim: usize) -> (Vec<f32>, Vec<f32>) {
    let mut rng = Rng::at(7, &[]);
    let mut normal = move || (0..12).map(|_| (rng.next_u64() >> 40) as f32 / (1u64 << 24) as f32).sum::<f32>() - 6.0;
    let unit = |mut v: Vec<f32>| {
        let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
        v.iter_mut().for_each(|x| *x /= norm);
        v
    };
    let centers: Vec<Vec<f32>> = (0..2000).map(|_| unit((0..dim).map(|_| normal()).collect())).collect();
    let mut pick = Rng::at(8, &[]);
    let mut draw = |rows: usize| -> Vec<f32> {
        let point = |_| {
            let share = pick.below(1 << 30) as f64 / f64::from(1 << 30);
            let center = &centers[(share * share * 2000.0) as usize];
            unit(center.iter().map(|c| c + normal() / (dim as f32).sqrt()).collect())
        };
        (0..rows).flat_map(point).collect()
    };
    (draw(items), draw(queries))
}

/// The values and the width of a float32 .npy file.
fn npy(path: &Path) -> (Vec<f32>, usize) {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{}: version 1.0", path.display());
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..end]).into_owned();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split('(').nth(1).and_then(|s| s.split(')').next()).expect("a shape");
    let dim = shape.split(',').nth(1).expect("two axes").trim().parse().expect("a width");
    let values = bytes[end..].chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]]));
    (values.collect(), dim)
}
