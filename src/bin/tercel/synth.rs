//! `tercel synth`: data with a known answer, to rehearse with.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use tercel::Result;
use tercel::synth::hm::{self, HmConfig};
use tercel::synth::planted::{self, PlantedConfig, PlantedShape};

use crate::output::{Output, duration, round, size, thousands};
use crate::paths::shown;
use crate::progress::Meter;

const EXAMPLES: &str = r"Examples:
  tercel synth hm --out out/hm --scale 0.01
  tercel synth hm --out out/hm-whole
  tercel synth planted --out out/chains --shape sequences --users 5000 --items 1000 --rows 100000
  tercel nightly out/hm --out out/night --split time:2020-09-09,2020-09-16 --epochs 1";

/// Generates purchases with a known ground truth, to rehearse a whole night without real data.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Hm(HmArgs),
    Planted(PlantedArgs),
}

/// Generates purchases shaped like the H&M dataset: transactions_train.csv, customers.csv, articles.csv, and the ground
/// truth.
///
/// The columns are those of Kaggle's files. Customer ids have 64 digits, demand is seasonal, and articles appear and
/// fade. Customers have tastes (clusters of articles): truth/customers.csv lists each customer's two, truth/clusters.csv
/// the best articles of each cluster in the last week. --scale 1 matches H&M: 31.8 million rows (3.5 GB), 1.37 million
/// customers, 105,542 articles.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
struct HmArgs {
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Size relative to H&M, up to 20
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    scale: f64,
    /// Seed; the same seed gives the same files
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Number of threads; 0 uses every core. Does not affect the files
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

/// Generates a small dataset with a single planted pattern: purchases.csv (user, item, time), and the ground truth in
/// truth/.
///
/// clusters: each user likes one cluster of items. drift: items come and go. sequences: each purchase is likely to be a
/// successor of one of the user's last two. repeats: each user buys five favourites repeatedly.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
struct PlantedArgs {
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Pattern to plant: clusters, drift, sequences or repeats
    #[arg(long, value_name = "SHAPE")]
    shape: PlantedShape,
    /// Number of users
    #[arg(long, value_name = "N", default_value_t = 1000)]
    users: u32,
    /// Number of items, at least 20
    #[arg(long, value_name = "N", default_value_t = 500)]
    items: u32,
    /// Number of rows, at least as many as users
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    rows: u64,
    /// Seed; the same seed gives the same files
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    match &args.what {
        What::Hm(args) => hm(args, out),
        What::Planted(args) => planted(args, out),
    }
}

fn planted(args: &PlantedArgs, out: &Output) -> Result<()> {
    let &PlantedArgs { shape, users, items, rows, seed, .. } = args;
    let meter = Meter::new("synth");
    let summary = planted::write(&args.out, &PlantedConfig { shape, users, items, rows, seed }, &|done, rows| {
        meter.set(done, rows, format_args!("row {done} of {rows}"));
    })?;
    meter.finish(format_args!("{} rows in {}", thousands(summary.rows), duration(summary.seconds)));
    out.event(
        "synth",
        &json!({
            "shape": shape.name(),
            "rows": summary.rows,
            "users": summary.users,
            "items": summary.items,
            "bytes": summary.bytes,
            "seconds": round(summary.seconds),
            "folder": shown(&args.out),
        }),
    );
    out.text(format_args!(
        "{}: {} rows of {} users and {} items, {} in {}: {}",
        args.out.display(),
        thousands(summary.rows),
        thousands(summary.users),
        thousands(summary.items),
        size(summary.bytes),
        duration(summary.seconds),
        shape.name(),
    ));
    Ok(())
}

fn hm(args: &HmArgs, out: &Output) -> Result<()> {
    let config = HmConfig { scale: args.scale, seed: args.seed, threads: args.threads };
    let meter = Meter::new("synth");
    let summary = hm::write(&args.out, &config, &|day, days| {
        meter.set(u64::from(day), u64::from(days), format_args!("day {day} of {days}"));
    })?;
    let speed = summary.bytes as f64 / 1e6 / summary.seconds.max(1e-9);
    meter.finish(format_args!("{} rows in {}", thousands(summary.rows), duration(summary.seconds)));
    out.event(
        "synth",
        &json!({
            "rows": summary.rows,
            "customers": summary.customers,
            "articles": summary.articles,
            "clusters": summary.clusters,
            "bytes": summary.bytes,
            "seconds": round(summary.seconds),
            "megabytes_per_second": round(speed),
            "folder": shown(&args.out),
        }),
    );
    out.text(format_args!(
        "{}: {} rows of {} customers and {} articles, {} in {} ({speed:.0} MB/s)",
        args.out.display(),
        thousands(summary.rows),
        thousands(summary.customers),
        thousands(summary.articles),
        size(summary.bytes),
        duration(summary.seconds),
    ));
    Ok(())
}
