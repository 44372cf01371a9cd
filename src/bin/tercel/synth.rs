//! `tercel synth`: data with a known answer, to rehearse with.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use tercel::Result;
use tercel::synth::hm::{HmConfig, write};

use crate::output::{Output, duration, round, size, thousands};
use crate::paths::shown;
use crate::progress::Meter;

const EXAMPLES: &str = r"Examples:
  tercel synth hm --out out/hm --scale 0.01
  tercel synth hm --out out/hm-whole
  tercel nightly out/hm --out out/night --split time:2020-09-09,2020-09-16 --epochs 1";

/// Writes data with a known answer, to rehearse a whole night without anybody's real purchases.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Hm(HmArgs),
}

/// H&M-shaped purchases: transactions_train.csv, customers.csv, articles.csv, and the truth that they were drawn from.
///
/// The columns are those of Kaggle's files: 64-digit customer ids, seasons, articles that come and fade. Customers have
/// tastes (clusters of articles): truth/customers.csv names each one's two, truth/clusters.csv the best articles of each
/// cluster in the last week. --scale 1 is H&M's size: 31.8 million rows (3.5 GB), 1.37 million customers, 105,542 articles.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
struct HmArgs {
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The part of H&M's size, up to 20
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    scale: f64,
    /// The same seed gives the same files
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Threads; 0 takes every core. The files do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    let What::Hm(args) = &args.what;
    let config = HmConfig { scale: args.scale, seed: args.seed, threads: args.threads };
    let meter = Meter::new("synth");
    let summary = write(&args.out, &config, &|day, days| {
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
