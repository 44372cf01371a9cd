//! Purchases shaped like H&M's: `transactions_train.csv`, `customers.csv` and `articles.csv` with the columns of Kaggle's
//! "H&M Personalized Fashion Recommendations", and the truth that they were drawn from beside them.
//!
//! Every article belongs to one of C taste clusters, and every customer has a main and a second one. A line of a purchase
//! comes from the main cluster (70 %), the second (15 %) or any (15 %); within a cluster an article is drawn by its weight on
//! that day: a long-tailed popularity, which fades from the day it was launched, times its season. So the best that can be
//! recommended for a day is known: `truth/clusters.csv` has each cluster's articles by their probability in the last week,
//! `truth/customers.csv` each customer's two clusters.
//!
//! Every customer comes at least once. Every random number is named by its place (line, article, customer): the same seed gives the same bytes, whatever
//! the number of threads.

mod articles;
mod customers;
mod days;
mod texts;

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::files::{AtomicFile, Draft, Work, create_folder};
use crate::threads::{Threads, spawn_in};
use crate::{Error, Result};
use articles::Articles;
use customers::Customers;

/// H&M's rows, customers and articles.
const ROWS: f64 = 31_788_324.0;
const CUSTOMERS: f64 = 1_371_980.0;
const ARTICLES: f64 = 105_542.0;
/// Days of the data, from 2018-09-20 to 2020-09-22.
const DAYS: u32 = 734;
/// The last week: what the truth is about.
const LAST_WEEK: u32 = 7;
/// Article numbers have ten digits.
const MOST_SCALE: f64 = 20.0;
/// How lines are shared out among the main cluster, the second and any.
const MAIN: f64 = 0.7;
const SECOND: f64 = 0.15;

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub struct HmConfig {
    /// 1 (default) is H&M's size: 31.8 million rows, 1.37 million customers, 105,542 articles.
    pub scale: f64,
    /// The same seed gives the same files. Default 0.
    pub seed: u64,
    /// 0 (default) takes every core; the files do not depend on it.
    pub threads: usize,
}

impl Default for HmConfig {
    fn default() -> Self {
        HmConfig { scale: 1.0, seed: 0, threads: 0 }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HmSummary {
    /// Lines of `transactions_train.csv`.
    pub rows: u64,
    /// Lines of `customers.csv`.
    pub customers: u64,
    /// Lines of `articles.csv`.
    pub articles: u64,
    /// Taste clusters.
    pub clusters: u64,
    /// Bytes of the three files.
    pub bytes: u64,
    /// Wall time.
    pub seconds: f64,
}

/// The sizes that a scale stands for.
struct Sizes {
    rows: u64,
    customers: u32,
    articles: u32,
    clusters: u32,
}

impl Sizes {
    fn of(scale: f64) -> Result<Sizes> {
        // NaN is not in the range either.
        if !(scale > 0.0 && scale <= MOST_SCALE) {
            let reason = format!("{scale} is not above 0 and up to {MOST_SCALE}; 1 is H&M's size");
            return Err(Error::config("scale", reason));
        }
        let articles = (ARTICLES * scale).round().max(40.0);
        Ok(Sizes {
            rows: (ROWS * scale).round().max(1.0) as u64,
            customers: (CUSTOMERS * scale).round().max(10.0) as u32,
            articles: articles as u32,
            clusters: (articles / 500.0).clamp(4.0, 1000.0) as u32,
        })
    }
}

/// The purchases, without which the folder is none of ours.
const PURCHASES: &str = "transactions_train.csv";

/// The folder as an output: made beside its place, and moved there in one step.
pub(crate) const WORK: Work = Work {
    what: "folder of purchases",
    ending: "synth",
    manifest: PURCHASES,
    parts: |_| {
        Ok(["articles.csv", "customers.csv", "truth/clusters.csv", "truth/customers.csv"].map(String::from).to_vec())
    },
    written: &[],
    resumable: None,
};

/// Writes the files into `folder`, which is created, whole or not at all; `progress` is told of days done, and of all.
///
/// # Errors
/// [`Error::Config`] for a scale that cannot be; [`Error::Input`] when something is in the folder already, or when
/// another run writes it; [`Error::Io`].
pub fn write(folder: &Path, config: &HmConfig, progress: &(dyn Fn(u32, u32) + Sync)) -> Result<HmSummary> {
    let sizes = Sizes::of(config.scale)?;
    let names = ["articles.csv", "customers.csv", PURCHASES];
    // Its lock first: while another run writes the folder, that is what is said.
    let draft = Draft::open(folder, WORK, false)?;
    if let Some(name) = names.iter().find(|name| folder.join(name).exists()) {
        let reason = "already exists; remove it, or write to another folder";
        return Err(Error::input(folder.join(name), reason));
    }
    let (folder, truth) = (draft.path().to_owned(), draft.path().join("truth"));
    create_folder(&truth)?;
    let start = Instant::now();
    let threads = Threads::new(config.threads)?;
    let articles = Articles::new(config.seed, &sizes);
    let customers = Customers::new(config.seed, &sizes);
    let mut bytes = CountedFile::write(&folder.join(names[0]), |out| articles.write(out))?;
    bytes += CountedFile::write(&folder.join(names[1]), |out| customers.write(out))?;
    CountedFile::write(&truth.join("clusters.csv"), |out| articles.write_truth(out))?;
    CountedFile::write(&truth.join("customers.csv"), |out| customers.write_truth(out))?;
    let mut rows = 0;
    bytes += CountedFile::write(&folder.join(names[2]), |out| {
        rows = days::write(out, &threads, config.seed, &sizes, &articles, &customers, progress)?;
        Ok(())
    })?;
    draft.publish()?;
    Ok(HmSummary {
        rows,
        customers: u64::from(sizes.customers),
        articles: u64::from(sizes.articles),
        clusters: u64::from(sizes.clusters),
        bytes,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// A file on its way, which counts its bytes.
struct CountedFile {
    file: AtomicFile,
    bytes: u64,
}

/// How often what has been written is sent to the disk.
const EVERY: Duration = Duration::from_secs(1);

impl CountedFile {
    fn write(path: &Path, lines: impl FnOnce(&mut CountedFile) -> std::io::Result<()>) -> Result<u64> {
        let failed = |e| Error::io(path, e);
        let mut out = CountedFile { file: AtomicFile::inside(path)?, bytes: 0 };
        let file = out.file.file().try_clone().map_err(failed)?;
        let (done, waiting) = mpsc::channel::<()>();
        // The disk works while lines are drawn, not after the last of them.
        let written = thread::scope(|scope| {
            // Without this thread it is the disk's later.
            let _ = spawn_in(scope, "sync", move || {
                while waiting.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) && file.sync_data().is_ok() {}
            });
            let written = lines(&mut out);
            drop(done);
            written
        });
        written.map_err(failed)?;
        let bytes = out.bytes;
        out.file.commit()?;
        Ok(bytes)
    }

    fn push(&mut self, text: &[u8]) -> std::io::Result<()> {
        self.bytes += text.len() as u64;
        std::io::Write::write_all(&mut self.file, text)
    }
}
