//! Ingest: files of interactions and features to a DATASET folder.
//!
//! Two passes in bounded memory. The first reads the files on several threads and writes the rows, with provisional
//! ids, to a temp file; the second splits, counts, filters and renumbers them and writes shards, vocabularies and the
//! users' histories. Memory holds the ids and features of both sides, and nothing per row. The dataset is whole or not
//! there, and the same bytes whatever the number of threads.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::data::dataset::{EntityInfo, FORMAT, FORMAT_VERSION, FileInfo, MANIFEST, Manifest, Split, SplitInfo, WORK};
use crate::data::history::History;
use crate::data::repeats;
use crate::data::shape::{HeldOutRows, Shape, later};
use crate::data::shard::Shard;
use crate::data::split::{LastRows, SplitRule, Splitter};
use crate::data::vocabulary::EntityTable;
use crate::data::writer::ShardWriter;
use crate::files::{Draft, check_known_place, write_json_inside};
use crate::threads::Threads;
use crate::{Error, Result};

mod config;
mod events;
mod features;
mod ids;
mod inputs;
mod interactions;
mod pipeline;
mod rejected;
mod renumber;
mod rows;
mod source;
mod spill;
mod typed;

pub use crate::table::{Input, Stream, TableInput};
pub use config::{FeatureSpec, Format, IngestConfig, MinCount, OnError};
pub use events::{IngestProgress, IngestSummary, Stage};
pub use inputs::Inputs;
pub use interactions::interactions;
pub use source::files;

pub(crate) use features::{Encoder, feature_value};
use features::{Fitted, read_features};
use pipeline::{Dictionaries, Sink, read_rows};
use rejected::Rejected;
use renumber::{BELOW, Numbered, NumberedSide, Raw, number};
use spill::{Spill, Spilled};

/// Reads `inputs` (files or folders; the training split, or all splits) and writes the dataset's folder `out`, whole or
/// not at all: it is made beside its place and moved there by one rename. An `out` that is a dataset already is replaced,
/// unless there are other files in it.
///
/// `progress` is called from this thread, several times a second on large inputs.
///
/// # Errors
/// [`Error::Config`] for settings that do not fit the input, [`Error::Input`], [`Error::Schema`] and
/// [`Error::Damaged`] for a file that cannot be used, [`Error::Row`] for the first row that cannot be read (under
/// [`OnError::Stop`]), [`Error::Io`].
pub fn ingest(
    inputs: &[PathBuf],
    out: &Path,
    config: &IngestConfig,
    progress: &(dyn Fn(IngestProgress) + Sync),
) -> Result<IngestSummary> {
    let train = inputs.iter().cloned().map(Input::Path).collect();
    ingest_inputs(Inputs { train, ..Inputs::default() }, out, config, &|at| {
        progress(at);
        Ok(())
    })
}

/// [`ingest`] of files, tables and streams; those that `config` names join them. An error of `progress` ends the work.
///
/// # Errors
/// As [`ingest`], or what `progress` gives.
pub fn ingest_inputs(
    inputs: Inputs,
    out: &Path,
    config: &IngestConfig,
    progress: &(dyn Fn(IngestProgress) -> Result<()> + Sync),
) -> Result<IngestSummary> {
    let start = Instant::now();
    config.validate()?;
    let plan = source::plan(&inputs.with_files_of(config), config)?;
    if plan.columns.time.is_none() && matches!(config.split, SplitRule::Time { .. }) {
        return Err(Error::config("split", "a split by time needs a time column; give time=COLUMN"));
    }
    let draft = Draft::open(out, WORK, false)?;
    let dir = draft.path();

    let mut rejected = Rejected::new(config.on_error, dir);
    let spill_path = dir.join("rows.tmp");
    let mut spill = Spill::create(&spill_path, plan.columns.time.is_some(), plan.columns.weight.is_some())?;
    let dictionaries = Dictionaries { users: ids::Dictionary::new(), items: ids::Dictionary::new() };
    let mut user_rows = Vec::new();
    let wants_user_rows = matches!(config.split, SplitRule::LastPerUser(_));
    let mut found = Vec::new();
    let sink = Sink {
        spill: &mut spill,
        rejected: &mut rejected,
        user_rows: wants_user_rows.then_some(&mut user_rows),
        found: &mut found,
    };
    let threads = match config.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    read_rows(&plan.files, threads, &dictionaries, sink, progress)?;
    let mut notes = plan.notes;
    let mut columns = plan.columns;
    columns.time_read_as = source::after_reading(&plan.files, &found, &mut notes)?;
    let spilled = spill.finish()?;
    if spilled.rows == 0 {
        let why = match rejected.rows {
            0 => "the input has no rows".to_owned(),
            n => {
                let first = rejected.first.as_deref().unwrap_or_default();
                format!("none of the input's {n} rows can be read; the first is {first}")
            }
        };
        return Err(Error::input(&plan.files[0].table.path, why));
    }
    let total_bytes = plan.files.iter().map(|file| file.table.bytes).sum();
    let report = |stage, rows| progress(IngestProgress { stage, rows, bytes: total_bytes, total_bytes });

    report(Stage::Count, 0)?;
    let users = Raw { ids: dictionaries.users.freeze(), text: plan.text_users };
    let items = Raw { ids: dictionaries.items.freeze(), text: plan.text_items };
    let splitter = splitter(config, &spilled, user_rows, users.ids.bound())?;
    let mut numbered = number(&spilled, &splitter, config.min_count, config.keep_below_min_count, &users, &items)?;

    report(Stage::Features, 0)?;
    let mut read = |input: &Option<_>, word, side: &NumberedSide, raw: &Raw| match input {
        Some(input) => read_features(input, word, side, &raw.ids, &mut rejected),
        None => Ok(Fitted::default()),
    };
    let user_features = read(&plan.user_features, "users", &numbered.users, &users)?;
    let item_features = read(&plan.item_features, "items", &numbered.items, &items)?;
    drop((users, items));
    notes.extend(user_features.notes.iter().chain(&item_features.notes).cloned());
    notes.extend(rejected.note());
    let rejected = rejected.finish()?;

    let splits = write_shards(dir, &spilled, &splitter, &numbered, &|rows| report(Stage::Write, rows))?;
    drop(splitter);
    fs::remove_file(&spill_path).map_err(|e| Error::io(&spill_path, e))?;
    let filtered = numbered.filtered;
    let users = write_side(dir, "users", &mut numbered.users, user_features)?;
    let items = write_side(dir, "items", &mut numbered.items, item_features)?;
    drop(numbered);

    report(Stage::History, 0)?;
    let mut splits = splits;
    let shards: Vec<PathBuf> = splits[0].files.iter().map(|file| dir.join(&file.name)).collect();
    let history = History::write(dir, &shards, users.rows)?;
    let opened = History::open(dir, &history, users.rows, items.rows)?;
    let repeats = compare_with_training(dir, &mut splits, &opened)?;
    let [train, valid, test] = splits;
    let held_out = HeldOutRows::of(&valid, &test);
    let shape = Shape::measure(&Threads::available(), &opened, users.rows, items.rows, repeats[0], &held_out)?;
    drop(opened);
    let summary = IngestSummary {
        rows: train.rows + valid.rows + test.rows,
        train_rows: train.rows,
        valid_rows: valid.rows,
        test_rows: test.rows,
        train_repeats: repeats[0],
        valid_repeats: repeats[1],
        test_repeats: repeats[2],
        users: u64::from(users.rows) - 1,
        items: u64::from(items.rows) - 1,
        unseen_users: u64::from(users.unseen),
        unseen_items: u64::from(items.unseen),
        rejected,
        filtered,
        columns: columns.clone(),
        notes,
        seconds: 0.0,
    };
    let manifest = Manifest {
        format: FORMAT.into(),
        version: FORMAT_VERSION,
        columns,
        train,
        valid,
        test,
        users,
        items,
        history: Some(history),
        filtered,
        shape: Some(shape),
        split: Some(config.split),
        derived: None,
    };
    write_json_inside(&dir.join(MANIFEST), &manifest)?;
    draft.publish()?;
    Ok(IngestSummary { seconds: start.elapsed().as_secs_f64(), ..summary })
}

/// Whether a dataset can be put at `out`: what can be known of it before the work. `parts` are files that a dataset there
/// is known to have, should its manifest be damaged.
///
/// # Errors
/// [`Error::Input`] when `out` holds anything that ingest would not replace; [`Error::Io`].
pub fn check_out(out: &Path, parts: &[String]) -> Result<()> {
    check_known_place(out, WORK, parts).map(drop)
}

/// Removes a dataset that cannot be understood any more, so that it is in nobody's way: `parts` are the files that it
/// had.
///
/// # Errors
/// What [`check_out`] says, when anything else is in the folder; [`Error::Io`].
pub fn remove_damaged(out: &Path, parts: &[String]) -> Result<()> {
    crate::files::remove_damaged(out, WORK, parts)
}

fn splitter(config: &IngestConfig, spilled: &Spilled, mut user_rows: Vec<u32>, bound: usize) -> Result<Splitter> {
    let SplitRule::LastPerUser(n) = config.split else { return Ok(Splitter::new(config.split, config.seed)) };
    user_rows.resize(bound, 0);
    let mut last = LastRows::new(n, user_rows);
    spilled.for_each(|block, first| {
        for (user, _, time, row) in block.rows(first) {
            last.push(user, time, row);
        }
        Ok(())
    })?;
    Ok(last.finish())
}

/// Rows of one split on their way to its shards.
struct SplitRows {
    writer: ShardWriter,
    info: SplitInfo,
    users: Vec<u32>,
    items: Vec<u32>,
    times: Vec<i64>,
    weights: Vec<f32>,
}

/// The second pass over the rows: every split's shards.
fn write_shards(
    dir: &Path,
    spilled: &Spilled,
    splitter: &Splitter,
    numbered: &Numbered,
    progress: &dyn Fn(u64) -> Result<()>,
) -> Result<[SplitInfo; 3]> {
    let (has_times, has_weights) = spilled.columns();
    let (users, items) = (&numbered.users, &numbered.items);
    let mut splits = Split::ALL.map(|split| SplitRows {
        writer: ShardWriter::create(dir, split.name(), has_times, has_weights),
        info: SplitInfo::default(),
        users: Vec::new(),
        items: Vec::new(),
        times: Vec::new(),
        weights: Vec::new(),
    });
    spilled.for_each(|block, first| {
        let file = block.split.unwrap_or(Split::Train);
        for (i, (user, item, time, row)) in block.rows(first).enumerate() {
            let split = splitter.split(file, user, time, row);
            let (user, item) = (users.row[user as usize], items.row[item as usize]);
            // What the lower bounds left out has no row; what they left out of training alone, one behind the
            // vocabulary.
            if user >= BELOW || item >= BELOW || (split == Split::Train && (user >= users.rows || item >= items.rows)) {
                continue;
            }
            let rows = &mut splits[split as usize];
            rows.users.push(user);
            rows.items.push(item);
            if has_times {
                rows.times.push(time);
            }
            if has_weights {
                rows.weights.push(block.weights[i]);
            }
        }
        splits.iter_mut().try_for_each(SplitRows::push)?;
        progress(first + block.users.len() as u64)
    })?;
    let mut infos = Split::ALL.map(|_| SplitInfo::default());
    for (info, rows) in infos.iter_mut().zip(splits) {
        *info = SplitInfo { files: rows.writer.finish()?, ..rows.info };
    }
    Ok(infos)
}

impl SplitRows {
    fn push(&mut self) -> Result<()> {
        if self.users.is_empty() {
            return Ok(());
        }
        self.writer.push(&self.users, &self.items, &self.times, &self.weights)?;
        self.info.rows += self.users.len() as u64;
        self.info.first_timestamp = self.times.iter().copied().chain(self.info.first_timestamp).min();
        self.info.last_timestamp = self.times.iter().copied().chain(self.info.last_timestamp).max();
        self.users.clear();
        self.items.clear();
        self.times.clear();
        self.weights.clear();
        Ok(())
    }
}

/// Counts in every split the rows that repeat what the histories have, and in those beside training the rows that come
/// after it.
fn compare_with_training(dir: &Path, splits: &mut [SplitInfo; 3], history: &History) -> Result<[u64; 3]> {
    let mut all = [0; 3];
    for (split, (info, repeats)) in Split::ALL.into_iter().zip(splits.iter_mut().zip(&mut all)) {
        let open = |file: &FileInfo| Shard::open(dir.join(&file.name));
        *repeats = repeats::count(split, &info.files, open, history)?;
        info.repeats = Some(*repeats);
        if split != Split::Train {
            info.later = later(&info.files, open, history)?;
        }
    }
    Ok(all)
}

/// Writes one side's vocabulary, and the file of the unseen ids where there are some.
fn write_side(dir: &Path, name: &str, side: &mut NumberedSide, fitted: Fitted) -> Result<EntityInfo> {
    let features = fitted.features;
    let known = EntityTable {
        ids: std::mem::replace(&mut side.known_ids, crate::data::vocabulary::RawIds::text()),
        counts: std::mem::take(&mut side.counts),
        features: fitted.known,
    };
    let file = known.write(&dir.join(format!("{name}.arrow")), &features)?;
    let unseen_file = if side.unseen > 0 {
        let unseen = EntityTable {
            ids: std::mem::replace(&mut side.unseen_ids, crate::data::vocabulary::RawIds::text()),
            counts: vec![0; side.unseen as usize],
            features: fitted.unseen,
        };
        Some(unseen.write(&dir.join(format!("{name}-unseen.arrow")), &features)?)
    } else {
        None
    };
    let NumberedSide { rows, unseen, unseen_valid, .. } = *side;
    Ok(EntityInfo { rows, unseen, unseen_valid, file, unseen_file, features })
}
