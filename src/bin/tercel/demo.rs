//! `tercel demo`: the nightly job on the data that ships with the repository.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tercel::{Error, Result};

use crate::args::TrainFlags;
use crate::nightly;
use crate::nightly::settings::Settings;
use crate::output::Output;

const EXAMPLES: &str = r"Examples, run from the repository:
  tercel demo
  tercel demo --out out/demo-wide --dim 128 --epochs 10";

/// Runs the nightly job on the shipped data: grocery purchases of 2,361 real households over four months.
///
/// It ingests, trains, evaluates on the last three weeks, and recommends the top 12 products for every household, then
/// prints sample lists with product names. The settings are in tests/data/complete-journey/nightly.toml. A rerun
/// continues where the last run stopped, or shows the finished results.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder of the run
    #[arg(long, value_name = "DIR", default_value = "out/demo")]
    out: PathBuf,
    /// Folder with the data; found in the repository by default
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    train: TrainFlags,
}

/// Where the data lies in the repository.
const DATA: &str = "tests/data/complete-journey";
/// Households that are shown.
const SHOWN: usize = 3;

pub fn run(args: &Args, out: &Output) -> Result<()> {
    let data = find_data(args.data.as_deref())?;
    let mut settings = Settings::read(&data.join("nightly.toml"))?;
    settings.out = Some(args.out.clone());
    let mut config = settings.config();
    args.train.apply(&mut config);
    settings.ingest.threads = config.train.threads;
    settings.set_config(config);
    settings.said.extend(args.train.keys());
    let files = nightly::perform(&settings, out)?;
    if !out.is_json() {
        show(&data, &files, out)?;
    }
    Ok(())
}

fn find_data(given: Option<&Path>) -> Result<PathBuf> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join(DATA);
    let places = match given {
        Some(folder) => vec![folder.to_owned()],
        None => vec![PathBuf::from(DATA), built_from],
    };
    let found = places.iter().find(|folder| folder.join("nightly.toml").is_file());
    found.cloned().ok_or_else(|| {
        Error::input(
            &places[0],
            "the demo data (nightly.toml and its files) was not found; run from the repository, or pass --data",
        )
    })
}

/// Prints what the first few households are recommended, with the products' names.
fn show(data: &Path, files: &nightly::NightOutputs, out: &Output) -> Result<()> {
    let names = product_names(&data.join("products.csv.gz"))?;
    let mut last = None;
    let mut shown = 0;
    for row in predictions(&files.predictions)? {
        if last != Some(row.user) {
            if shown == SHOWN {
                break;
            }
            shown += 1;
            last = Some(row.user);
            out.text(format_args!("\nhousehold {} may like", row.user));
        }
        let name = names.get(&row.item).map_or("(a product without a description)", String::as_str);
        out.text(format_args!("  {:>2}. {name} (product {}, score {:.2})", row.rank, row.item, row.score));
    }
    out.text(format_args!("\nPredictions for all households: {}", files.predictions.display()));
    out.text(format_args!("Model: {}   dataset: {}", files.model.display(), files.dataset.display()));
    out.text(format_args!(
        "Its settings come from nightly.toml. To search for the best settings on your own data: `tercel tune --data DATASET \
         --out TUNED`; on this data: `tercel tune --data {} --out out/tuned`",
        files.dataset.display()
    ));
    Ok(())
}

/// What a product is called: its type and the size of its package.
fn product_names(path: &Path) -> Result<HashMap<i64, String>> {
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let mut reader = csv::Reader::from_reader(flate2::read::MultiGzDecoder::new(file));
    let bad = |e: csv::Error| Error::input(path, e.to_string());
    let header = reader.headers().map_err(bad)?.clone();
    let column = |name: &str| {
        let at = header.iter().position(|column| column == name);
        at.ok_or_else(|| Error::input(path, format!("has no column {name}")))
    };
    let (id, kind, size) = (column("product_id")?, column("product_type")?, column("package_size")?);
    let mut names = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(bad)?;
        if let Some(id) = record.get(id).and_then(|id| id.parse().ok()) {
            let words = [record.get(kind), record.get(size)].into_iter().flatten().filter(|w| !w.is_empty());
            names.insert(id, words.collect::<Vec<_>>().join(", "));
        }
    }
    Ok(names)
}

struct Prediction {
    user: i64,
    rank: u32,
    item: i64,
    score: f32,
}

/// The first rows of the predictions.
fn predictions(path: &Path) -> Result<Vec<Prediction>> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float32Type, Int64Type, UInt32Type};
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let bad = |e: String| Error::damaged(path, "predictions", e);
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(1024).build())
        .map_err(|e| bad(e.to_string()))?;
    let mut rows = Vec::new();
    if let Some(batch) = reader.into_iter().next() {
        let batch = batch.map_err(|e| bad(e.to_string()))?;
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| bad(format!("no column {name}")));
        let other = || bad("a column of another type than this version writes".into());
        let users = column("user")?.as_primitive_opt::<Int64Type>().ok_or_else(other)?;
        let ranks = column("rank")?.as_primitive_opt::<UInt32Type>().ok_or_else(other)?;
        let items = column("item")?.as_primitive_opt::<Int64Type>().ok_or_else(other)?;
        let scores = column("score")?.as_primitive_opt::<Float32Type>().ok_or_else(other)?;
        for i in 0..batch.num_rows() {
            let (user, rank) = (users.value(i), ranks.value(i));
            rows.push(Prediction { user, rank, item: items.value(i), score: scores.value(i) });
        }
    }
    Ok(rows)
}
