//! Ingest of a folder shaped like H&M's: 64-character customer ids, 10-digit article ids, three files.
//!
//! `cargo bench --bench ingest` measures a million rows. `TERCEL_BENCH_ROWS=31788324 cargo bench --bench ingest` makes
//! H&M's full size and runs once; beside rows/s it prints the peak memory of the process (Linux).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use tercel::data::ingest::{IngestConfig, IngestProgress, ingest};
use tercel::rng::mix;

const DAYS: u64 = 734;

fn hex_id(number: u64, salt: u64) -> [u8; 64] {
    let mut id = [0; 64];
    for (i, byte) in id.iter_mut().enumerate() {
        let word = mix(number.wrapping_mul(4) + i as u64 / 16 + salt);
        *byte = b"0123456789abcdef"[(word >> (i % 16 * 4)) as usize & 15];
    }
    id
}

fn date(day: u64) -> String {
    let (mut year, mut month, mut left) = (2018, 9, 19 + day);
    loop {
        let length = match month {
            2 if year % 4 == 0 => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if left < length {
            return format!("{year}-{month:02}-{:02}", left + 1);
        }
        left -= length;
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
}

/// Writes the three files: baskets of 1 to 6 articles, days ascending, popular customers and articles.
fn generate(dir: &Path, rows: u64) -> std::io::Result<()> {
    let customers = (rows * 1_371_980 / 31_788_324).max(100);
    let articles = (rows * 105_542 / 31_788_324).max(50);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(dir.join("transactions_train.csv"))?);
    out.write_all(b"\"t_dat\",\"customer_id\",\"article_id\",\"price\",\"sales_channel_id\"\n")?;
    let (mut row, mut seed) = (0, 1);
    let mut today = (u64::MAX, String::new());
    while row < rows {
        seed = mix(seed);
        let day = row * DAYS / rows;
        if day != today.0 {
            today = (day, date(day));
        }
        let share = (seed >> 40) as f64 / (1u64 << 24) as f64;
        let customer = hex_id((share.powf(1.5) * customers as f64) as u64, 0);
        for _ in 0..1 + seed % 6 {
            seed = mix(seed);
            let share = (seed >> 40) as f64 / (1u64 << 24) as f64;
            let article = 108_775_015 + (share.powi(3) * articles as f64) as u64 * 1009;
            out.write_all(today.1.as_bytes())?;
            out.write_all(b",")?;
            out.write_all(&customer)?;
            writeln!(out, ",{article:010},0.0{:015},{}", seed % 1_000_000_000_000_000, 1 + seed % 2)?;
            row += 1;
        }
    }
    out.flush()?;
    let mut out = BufWriter::new(File::create(dir.join("customers.csv"))?);
    writeln!(out, "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code")?;
    for customer in 0..customers {
        let r = mix(customer);
        out.write_all(&hex_id(customer, 0))?;
        let (fn_, news) = if r.is_multiple_of(3) { ("1.0", "Regularly") } else { ("", "NONE") };
        write!(out, ",{fn_},{fn_},ACTIVE,{news},{},", 16 + r % 70)?;
        out.write_all(&hex_id(r % 300_000, 1))?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    let mut out = BufWriter::new(File::create(dir.join("articles.csv"))?);
    writeln!(out, "article_id,product_code,prod_name,product_type_no,product_type_name,colour_group_name,detail_desc")?;
    for article in 0..articles {
        let r = mix(article);
        let (id, kind, colour) = (108_775_015 + article * 1009, r % 130, r % 50);
        writeln!(
            out,
            "{id:010},{},Name {},{kind},Type {kind},Colour {colour},\"Soft, light {r}\"",
            id / 1000,
            r % 40_000
        )?;
    }
    out.flush()
}

fn run(input: &Path, out: &Path, progress: &(dyn Fn(IngestProgress) + Sync)) -> tercel::data::ingest::IngestSummary {
    let config =
        IngestConfig { split: "time:2020-09-09,2020-09-16".parse().expect("a split rule"), ..IngestConfig::default() };
    ingest(&[input.to_owned()], out, &config, progress).expect("generated files can be read")
}

/// At the start of a stage: prints what the one before it took.
fn stage(last: &Mutex<(&'static str, Instant, f64)>, name: &'static str) {
    let mut last = last.lock().expect("no panic while it is held");
    if last.0 != name {
        let cpu = cpu_seconds();
        if !last.0.is_empty() {
            println!("{}: {:.2} s, CPU {:.2} s", last.0, last.1.elapsed().as_secs_f64(), cpu - last.2);
        }
        *last = (name, Instant::now(), cpu);
    }
}

/// CPU time of all threads, where the system tells (Linux; a tick is 10 ms).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn main() {
    let full = std::env::var("TERCEL_BENCH_ROWS").ok().and_then(|rows| rows.parse().ok());
    let rows = full.unwrap_or(1_000_000);
    let dir = tempfile::tempdir().expect("a temp folder");
    let (input, out) = (dir.path().join("hm"), dir.path().join("dataset"));
    std::fs::create_dir(&input).and_then(|()| generate(&input, rows)).expect("room for the files");
    if full.is_some() {
        let bytes = std::fs::metadata(input.join("transactions_train.csv")).map_or(0, |m| m.len());
        // A stage's CPU time tells on a busy machine what its wall-clock time does not.
        let last = Mutex::new(("", Instant::now(), cpu_seconds()));
        let summary = run(&input, &out, &|at| stage(&last, at.stage.name()));
        stage(&last, "");
        println!("{summary:#?}");
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
        let speed = summary.rows as f64 / summary.seconds;
        println!("{bytes} bytes, {} rows in {:.2} s: {speed:.0} rows/s; {peak}", summary.rows, summary.seconds);
        return;
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(rows));
    group.bench_function("hm_csv", |bench| bench.iter(|| run(&input, &out, &|_| ())));
    group.finish();
    criterion.final_summary();
}
