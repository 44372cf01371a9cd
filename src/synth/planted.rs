//! Small purchases with one thing planted in them: `purchases.csv` (user, item, time in seconds), and the truth that they
//! were drawn from beside it.
//!
//! Every random number is named by its place (user, row): the same seed gives the same bytes.

use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::files::{AtomicFile, Draft, Work, create_folder};
use crate::rng::Rng;
use crate::settings::value::choices;
use crate::{Error, Result};

mod draw;

use draw::Draw;

choices! {
    /// What is planted.
    pub enum PlantedShape in "shape" {
        /// Every user likes one cluster of items, and four of five rows come from it. `truth/users.csv` has each user's
        /// cluster, `truth/items.csv` each item's.
        Clusters = "clusters",
        /// Items come and go: four of five rows take one of the newest tenth of the items of that moment.
        /// `truth/items.csv` has the second from which each item is new.
        Drift = "drift",
        /// Every item has four followers: half of the rows take one of the item before, three of ten one of the item
        /// before that. `truth/items.csv` has the followers.
        Sequences = "sequences",
        /// Every user has five favourites, and seven of ten rows take one of them. `truth/users.csv` has the favourites.
        Repeats = "repeats",
    }
}

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedConfig {
    /// What is planted.
    pub shape: PlantedShape,
    /// Users: 1 to 10 million.
    pub users: u32,
    /// Items: 20 to 10 million.
    pub items: u32,
    /// Rows: as many as there are users, or more. The busiest users have some five times as many as the mean.
    pub rows: u64,
    /// The same seed gives the same files.
    pub seed: u64,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlantedSummary {
    /// Lines of `purchases.csv`.
    pub rows: u64,
    /// Users in them.
    pub users: u64,
    /// Items that they were drawn from.
    pub items: u64,
    /// Bytes of `purchases.csv`.
    pub bytes: u64,
    /// Wall time.
    pub seconds: f64,
}

/// The purchases, without which the folder is none of ours.
const PURCHASES: &str = "purchases.csv";
/// The most users or items.
const MOST: u32 = 10_000_000;
/// The most rows.
const MOST_ROWS: u64 = 1_000_000_000;
/// The fewest items.
const FEWEST_ITEMS: u32 = 20;
/// Lines are written when there are so many bytes of them.
const FULL: usize = 1 << 16;
/// Marks the random numbers of how often users come.
const BUSY: u64 = u64::from_le_bytes(*b"busy\0\0\0\0");

/// The folder as an output: made beside its place, and moved there in one step.
pub(crate) const WORK: Work = Work {
    what: "folder of planted purchases",
    ending: "planted",
    manifest: PURCHASES,
    parts: |_| Ok(["truth/users.csv", "truth/items.csv"].map(String::from).to_vec()),
    written: &[],
    resumable: None,
};

impl PlantedConfig {
    fn validate(&self) -> Result<()> {
        let within = |name: &str, value: u64, low: u64, high: u64| {
            let reason = || format!("{value} is not a number from {low} to {high}");
            if (low..=high).contains(&value) { Ok(()) } else { Err(Error::config(name, reason())) }
        };
        within("users", self.users.into(), 1, MOST.into())?;
        within("items", self.items.into(), FEWEST_ITEMS.into(), MOST.into())?;
        within("rows", self.rows, self.users.into(), MOST_ROWS)
    }
}

/// Writes the files into `folder`, which is created, whole or not at all; `progress` is told of rows done, and of all.
///
/// # Errors
/// [`Error::Config`] for sizes that cannot be; [`Error::Input`] when something is in the folder already, or when another
/// run writes it; [`Error::Io`].
pub fn write(folder: &Path, config: &PlantedConfig, progress: &dyn Fn(u64, u64)) -> Result<PlantedSummary> {
    config.validate()?;
    let draft = Draft::open(folder, WORK, false)?;
    if folder.join(PURCHASES).exists() {
        let reason = "already exists; remove it, or write to another folder";
        return Err(Error::input(folder.join(PURCHASES), reason));
    }
    let (start, dir) = (Instant::now(), draft.path().to_owned());
    create_folder(&dir.join("truth"))?;
    let draw = Draw::new(config);
    lines(&dir.join("truth/users.csv"), |out| draw.write_users(out))?;
    lines(&dir.join("truth/items.csv"), |out| draw.write_items(out))?;
    let bytes = lines(&dir.join(PURCHASES), |out| purchases(out, config, &draw, progress))?;
    draft.publish()?;
    Ok(PlantedSummary {
        rows: config.rows,
        users: config.users.into(),
        items: config.items.into(),
        bytes,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn purchases(out: &mut Lines, config: &PlantedConfig, draw: &Draw, progress: &dyn Fn(u64, u64)) -> io::Result<()> {
    out.push(format_args!("user,item,time"))?;
    let mut drawn = Vec::new();
    let mut done = 0;
    for (user, rows) in busy(config) {
        draw.rows(user, rows, &mut drawn);
        for (item, time) in &drawn {
            out.push(format_args!("{user},{item},{time}"))?;
        }
        done += rows;
        progress(done, config.rows);
    }
    Ok(())
}

/// How many rows each user has: one at least, and by an exponential distribution how many more.
fn busy(config: &PlantedConfig) -> impl Iterator<Item = (u32, u64)> {
    let (seed, users, more) = (config.seed, config.users, config.rows - u64::from(config.users));
    let weight = move |user: u32| -(1.0 - draw::unit(&mut Rng::at(seed, &[BUSY, user.into()]))).ln();
    let all: f64 = (0..users).map(weight).sum();
    let (mut sum, mut given) = (0.0, 0);
    (0..users).map(move |user| {
        sum += weight(user);
        let share = if user + 1 == users { 1.0 } else { (sum / all).min(1.0) };
        let until = ((share * more as f64) as u64).clamp(given, more);
        let own = if user + 1 == users { more - given } else { until - given };
        given += own;
        (user, 1 + own)
    })
}

/// A file on its way, line by line.
struct Lines {
    file: AtomicFile,
    waiting: Vec<u8>,
    bytes: u64,
}

fn lines(path: &Path, write: impl FnOnce(&mut Lines) -> io::Result<()>) -> Result<u64> {
    let mut out = Lines { file: AtomicFile::inside(path)?, waiting: Vec::new(), bytes: 0 };
    write(&mut out).and_then(|()| out.flush()).map_err(|e| Error::io(path, e))?;
    out.file.commit()?;
    Ok(out.bytes)
}

impl Lines {
    fn push(&mut self, line: std::fmt::Arguments<'_>) -> io::Result<()> {
        writeln!(self.waiting, "{line}")?;
        if self.waiting.len() < FULL { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.bytes += self.waiting.len() as u64;
        self.file.write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }
}
