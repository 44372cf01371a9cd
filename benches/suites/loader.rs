//! The loader alone, from the page cache: shuffled rows, ids checked, both sides' segments built; and what one of its threads
//! makes of a batch for a model, plans included.
//!
//! `cargo bench --bench loader`. Ids are Zipf-distributed (exponent 1) over 200,000 users and 50,000 items, and
//! scattered over the tables' rows. One iteration is an epoch of 8 Mi rows, threads started and joined.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::batch_inputs;
use tercel::data::batch::{Cursor, PlainBatches, Segments, SortScratch};
use tercel::data::dataset::{Dataset, EntityInfo, Manifest, SourceColumns, Split, SplitInfo};
use tercel::data::loader::{Loader, LoaderConfig};
use tercel::data::vocabulary::{EntityTable, RawIds};
use tercel::data::writer::ShardWriter;
use tercel::files::write_json;
use tercel::rng::Rng;

const ROWS: usize = 8 << 20;
const USERS: u32 = 200_000;
const ITEMS: u32 = 50_000;

/// A Zipf-distributed rank (the density of rank r is close to 1 / r), then a row that has nothing to do with the rank.
fn zipf(rng: &mut Rng, rows: u32) -> u32 {
    let uniform = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let rank = f64::from(rows - 1).powf(uniform) as u64;
    1 + (rank * 7_919 % u64::from(rows - 1)) as u32
}

fn write_dataset(dir: &Path, columns: bool) -> tercel::Result<Dataset> {
    let side = |name: &str, rows: u32| -> tercel::Result<EntityInfo> {
        let ids = RawIds::Integer((0..i64::from(rows)).collect());
        let table = EntityTable { ids, counts: vec![1; rows as usize], features: Vec::new() };
        let file = table.write(&dir.join(name), &[])?;
        Ok(EntityInfo { rows, unseen: 0, unseen_valid: 0, file, unseen_file: None, features: Vec::new() })
    };
    let mut rng = Rng::at(1, &[]);
    let mut writer = ShardWriter::create(dir, "train", columns, columns);
    for start in (0..ROWS as i64).step_by(1 << 16) {
        let users: Vec<u32> = (0..1 << 16).map(|_| zipf(&mut rng, USERS)).collect();
        let items: Vec<u32> = (0..1 << 16).map(|_| zipf(&mut rng, ITEMS)).collect();
        let optional = if columns { 1 << 16 } else { 0 };
        let timestamps: Vec<i64> = (start..start + optional).collect();
        writer.push(&users, &items, &timestamps, &vec![1.0; optional as usize])?;
    }
    let manifest = Manifest {
        format: "tercel-dataset".into(),
        version: 1,
        columns: SourceColumns::default(),
        train: SplitInfo { rows: ROWS as u64, files: writer.finish()?, ..SplitInfo::default() },
        valid: SplitInfo::default(),
        test: SplitInfo::default(),
        users: side("users.arrow", USERS)?,
        items: side("items.arrow", ITEMS)?,
        history: None,
        filtered: None,
        shape: None,
        split: None,
        derived: None,
    };
    write_json(&dir.join("dataset.json"), &manifest)?;
    Dataset::open(dir)
}

fn epochs(c: &mut Criterion) {
    let mut group = c.benchmark_group("loader");
    group.sample_size(10).throughput(Throughput::Elements(ROWS as u64));
    for columns in [false, true] {
        let dir = tempfile::tempdir().expect("a temp folder");
        let dataset = write_dataset(dir.path(), columns).expect("a dataset");
        let name = if columns { "four_columns" } else { "ids" };
        for batch_size in [1024, 8192] {
            for threads in [1, 2] {
                let config = LoaderConfig { batch_size, threads, ..LoaderConfig::default() };
                let loader = Loader::open(&dataset, Split::Train, config).expect("a loader");
                let mut epoch = 0;
                let id = BenchmarkId::new(name, format!("B{batch_size}_threads{threads}"));
                group.bench_function(id, |b| {
                    b.iter(|| {
                        epoch += 1;
                        let mut uniques = 0;
                        for batch in loader.batches(Cursor { epoch, batch: 0 }, Arc::new(PlainBatches)) {
                            let batch = batch.expect("a batch");
                            uniques += batch.user_segments.unique.len() + batch.item_segments.unique.len();
                        }
                        black_box(uniques)
                    });
                });
            }
        }
    }
    group.finish();
}

fn segments(c: &mut Criterion) {
    let mut group = c.benchmark_group("segments");
    let mut rng = Rng::at(2, &[]);
    for (batch_size, rows) in [(1024, ITEMS), (1024, USERS), (8192, ITEMS), (8192, USERS)] {
        let ids: Vec<u32> = (0..batch_size).map(|_| zipf(&mut rng, rows)).collect();
        let (mut segments, mut scratch) = (Segments::default(), SortScratch::default());
        group.throughput(Throughput::Elements(batch_size as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("B{batch_size}_V{rows}")), |b| {
            b.iter(|| segments.build(black_box(&ids), &mut scratch));
        });
    }
    group.finish();
}

fn inputs(c: &mut Criterion) {
    let mut group = c.benchmark_group("inputs");
    for features in [0, 24] {
        for batch in [1024, 8192] {
            let mut once = batch_inputs(features, batch);
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(format!("features{features}_B{batch}"), |b| b.iter_custom(|n| once.time(n)));
        }
    }
    group.finish();
}

criterion_group!(benches, segments, inputs, epochs);
criterion_main!(benches);
