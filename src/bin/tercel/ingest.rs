//! `tercel ingest`: files or tables to a DATASET folder.

use std::path::{Path, PathBuf};

use serde_json::json;
use tercel::Result;
use tercel::data::dataset::SourceColumns;
use tercel::data::ingest::{IngestConfig, IngestProgress, IngestSummary, ingest};

use crate::args::IngestFlags;
use crate::output::{Output, duration, round, thousands};
use crate::paths::shown;
use crate::progress::Meter;

const EXAMPLES: &str = r"Examples, run from the repository:
  tercel ingest tests/data/complete-journey/transactions.csv.gz --out out/dataset \
      --user household_id --item product_id --time t_dat --split time:2017-12-04,2017-12-11
With your own data:
  tercel ingest ml-100k/u.data --out out/ml --format movielens --split last-per-user:1
  tercel ingest clicks.parquet --out out/clicks --user uid --item sku --min-count 5";

/// Reads interactions (CSV, MovieLens, H&M, Arrow, Parquet) into a dataset folder.
///
/// Ids may be text or integers and appear unchanged in the predictions. Vocabularies, counts and bucket edges are fitted
/// on the training split only. `.gz` and `.zst` files are read directly.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files or folders of interactions
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Dataset folder to write
    #[arg(long, value_name = "DATASET")]
    out: PathBuf,
    #[command(flatten)]
    flags: IngestFlags,
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    let mut config = IngestConfig::default();
    args.flags.apply(&mut config);
    perform(&args.inputs, &args.out, &config, out)
}

/// Ingests, shows the progress and says what came of it.
pub fn perform(inputs: &[PathBuf], dataset: &Path, config: &IngestConfig, out: &Output) -> Result<()> {
    let meter = Meter::new("ingest");
    let summary = ingest(inputs, dataset, config, &|at: IngestProgress| {
        let words = format!("{}, {} rows", at.stage.name(), thousands(at.rows));
        meter.set(at.bytes, at.total_bytes, words);
    })?;
    meter.finish(format_args!("{} rows in {}", thousands(summary.rows), duration(summary.seconds)));
    let filtered = summary.filtered.unwrap_or_default();
    out.event(
        "ingest",
        &json!({
            "rows": summary.rows,
            "users": summary.users,
            "items": summary.items,
            "rejected": summary.rejected,
            "filtered": filtered.train_rows,
            "filtered_users": filtered.users,
            "filtered_items": filtered.items,
            "filtered_valid_rows": filtered.valid_rows,
            "filtered_test_rows": filtered.test_rows,
            "unseen_users": summary.unseen_users,
            "unseen_items": summary.unseen_items,
            "train_rows": summary.train_rows,
            "valid_rows": summary.valid_rows,
            "test_rows": summary.test_rows,
            "train_repeats": summary.train_repeats,
            "valid_repeats": summary.valid_repeats,
            "test_repeats": summary.test_repeats,
            "seconds": round(summary.seconds),
            "rows_per_second": round(summary.rows as f64 / summary.seconds.max(1e-9)),
            "columns": summary.columns,
            "notes": summary.notes,
            "dataset": shown(dataset),
        }),
    );
    out.text(format_args!(
        "{}: {} rows of {} users and {} items in {}",
        dataset.display(),
        thousands(summary.rows),
        thousands(summary.users),
        thousands(summary.items),
        duration(summary.seconds)
    ));
    out.text(format_args!(
        "  train {}, valid {}, test {}",
        thousands(summary.train_rows),
        thousands(summary.valid_rows),
        thousands(summary.test_rows)
    ));
    if let Some(share) = repeats(&summary) {
        out.text(format_args!("  {share}"));
    }
    out.text(format_args!("  {}", columns(&summary.columns)));
    for note in &summary.notes {
        out.text(format_args!("  {note}"));
    }
    if summary.filtered.is_some() {
        out.text(format_args!(
            "  below the minimum count: {} users and {} items, removed with {} training, {} validation and {} test rows",
            thousands(filtered.users),
            thousands(filtered.items),
            thousands(filtered.train_rows),
            thousands(filtered.valid_rows),
            thousands(filtered.test_rows)
        ));
    }
    if summary.rejected > 0 {
        out.text(format_args!(
            "  {} rows could not be read: {}",
            thousands(summary.rejected),
            dataset.join("rejected.csv").display()
        ));
    }
    Ok(())
}

/// Which share of the rows that were held out is no news, in a line; none where no row was held out.
fn repeats(summary: &IngestSummary) -> Option<String> {
    let held_out = summary.valid_rows + summary.test_rows;
    let repeats = summary.valid_repeats + summary.test_repeats;
    let share = 100.0 * repeats as f64 / held_out.max(1) as f64;
    (held_out > 0)
        .then(|| format!("{share:.1} % of the validation and test rows repeat training rows (same user, same item)"))
}

/// What the columns were taken for, in a line.
fn columns(columns: &SourceColumns) -> String {
    let mut parts = vec![format!("user {}", columns.user), format!("item {}", columns.item)];
    parts.push(match (&columns.time, &columns.time_read_as) {
        (Some(time), Some(read_as)) => format!("time {time} ({read_as})"),
        (Some(time), None) => format!("time {time}"),
        (None, _) => "no time".to_owned(),
    });
    parts.extend(columns.weight.iter().map(|weight| format!("weight {weight}")));
    const MOST: usize = 20;
    let left: Vec<&str> =
        columns.left.iter().take(MOST).map(|name| if name.is_empty() { "(no name)" } else { name }).collect();
    if !left.is_empty() {
        let more = columns.left.len().saturating_sub(MOST);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("not read: {}{more}", left.join(", ")));
    }
    format!("columns: {}", parts.join(", "))
}
