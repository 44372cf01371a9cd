//! Validation rows out of the training rows.

use std::path::Path;
use std::sync::Arc;

use super::part::{OptionalColumns, SplitWriter};
use super::rule::{HoldOutRule, MOST_PER_USER};
use super::{Derived, DerivedKind, Holdout, Making, check_ids, columns};
use crate::data::batch::Rows;
use crate::data::dataset::{Dataset, EntityInfo, FileInfo, Manifest, Split, SplitInfo};
use crate::data::history::History;
use crate::data::shard::ShardIndex;
use crate::data::split::SplitRule;
use crate::data::vocabulary::Vocabulary;
use crate::files::OpenedFile;
use crate::{Error, Result, memory};

/// What takes the memory.
const WHAT: &str = "the counts of users and items";

impl Dataset {
    /// Makes the dataset `out` of this one's training rows, a part of which becomes its validation split: for a dataset
    /// that has none. It has no test split, and this one's is not read.
    ///
    /// What is held out is like the test split, as ingest has recorded it ([`Manifest::split`], [`SplitInfo::later`]):
    /// - Of a split by time, and where the test split lies behind the last training row, the last part of the training time:
    ///   as long as the test split's, and a fifth of the rows at most.
    /// - Of rows that were drawn at random, a tenth of the rows, drawn by `seed`.
    /// - Of test rows that were given, and that lie among those that their users have in training, rows of each user that are
    ///   drawn by `seed`: as many as the test split has of a user on average, from one to four, and a third of theirs at most.
    /// - Else as many last rows of each user, where rows have times; else a tenth of the rows.
    ///
    /// The only row that training has of a user or of an item stays with it, so that the vocabularies keep their rows; counts
    /// are those of what is left. Where nothing could be held out in one way the next is tried. [`Dataset::holdout`] of the
    /// new dataset says which way it was. Memory: the vocabularies, and 50 to 150 bytes a user.
    ///
    /// # Errors
    /// [`Error::Input`] when there are validation rows already, when no row can be spared, when `out` is in the way of
    /// this dataset or holds anything but a dataset; [`Error::IdOutOfRange`]; [`Error::Schema`] when only some shards
    /// have times or weights; as reading and writing the files else.
    pub fn hold_out(&self, out: impl AsRef<Path>, seed: u64) -> Result<Dataset> {
        let old = self.manifest();
        if old.valid.rows > 0 {
            let reason = format!("has {} validation rows already; there is no need to hold out any", old.valid.rows);
            return Err(Error::input(self.dir(), reason));
        }
        let making = Making::begin(self, out.as_ref())?;
        let open = |file| making.shard(file).map(Arc::new);
        let shards: Vec<_> = old.train.files.iter().map(open).collect::<Result<_>>()?;
        let source = TrainingRows::new(shards, [old.users.rows, old.items.rows])?;
        let mut found = None;
        for method in HoldOutMethod::all(old) {
            if let Some(rule) = method.rule(&source, self, seed)?
                && let Some(parts) = source.divide(&making, &rule)?
            {
                found = Some((rule.kind(), parts));
                break;
            }
            making.draft.clear()?;
        }
        let Some((kind, DividedRows { train, valid, counts: [user_counts, item_counts] })) = found else {
            let reason = format!(
                "none of its {} training rows can be held out: each is the only row of its user or of its item",
                old.train.rows
            );
            return Err(Error::input(self.dir(), reason));
        };
        let users = write_side(&making, "users", &old.users, user_counts)?;
        let items = write_side(&making, "items", &old.items, item_counts)?;
        let open =
            |file: &FileInfo| ShardIndex::of(OpenedFile::open(&making.dir().join(&file.name))?, file).map(Arc::new);
        let shards = train.files.iter().map(open).collect::<Result<_>>()?;
        let history = History::write_shards(making.dir(), shards, users.rows)?;
        let holdout = Holdout { kind, rows: valid.rows };
        let manifest = Manifest {
            format: old.format.clone(),
            version: old.version,
            columns: old.columns.clone(),
            train,
            valid,
            test: SplitInfo::default(),
            users,
            items,
            history: Some(history),
            filtered: old.filtered,
            shape: None,
            split: old.split,
            derived: Some(Derived { from: self.fingerprint().to_owned(), kind: DerivedKind::HoldOut(holdout) }),
        };
        making.finish(manifest)
    }
}

/// A way to hold rows out.
#[derive(Clone, Copy)]
enum HoldOutMethod {
    Time,
    LastPerUser,
    RandomPerUser,
    /// One in so many.
    Random(u64),
}

impl HoldOutMethod {
    /// The ways to hold rows out as the test split was, the best first.
    fn all(manifest: &Manifest) -> Vec<HoldOutMethod> {
        let first: &[HoldOutMethod] = match manifest.split {
            Some(SplitRule::Random(_)) => &[],
            Some(SplitRule::LastPerUser(_)) => &[HoldOutMethod::LastPerUser],
            Some(SplitRule::None) if manifest.test.is_later() == Some(false) => {
                &[HoldOutMethod::Time, HoldOutMethod::RandomPerUser]
            }
            _ => &[HoldOutMethod::Time, HoldOutMethod::LastPerUser],
        };
        [first, &[HoldOutMethod::Random(10), HoldOutMethod::Random(2), HoldOutMethod::Random(1)]].concat()
    }

    /// The decision per row; `None` where rows cannot be held out in this way.
    fn rule(&self, source: &TrainingRows, dataset: &Dataset, seed: u64) -> Result<Option<HoldOutRule>> {
        let (users, test) = (dataset.manifest().users.rows, dataset.split(Split::Test));
        // More rows tell good settings from bad ones better.
        let most = (test.rows / u64::from(users.max(1))).clamp(1, MOST_PER_USER as u64) as usize;
        match self {
            HoldOutMethod::Time if source.columns.timestamps => {
                // Only what the manifest tells of the test split.
                let train = dataset.split(Split::Train);
                let (Some(start), Some(end)) = (test.first_timestamp, test.last_timestamp) else { return Ok(None) };
                let Some(last) = source.last_timestamp(train)? else { return Ok(None) };
                if test.rows == 0 || start < last {
                    return Ok(None);
                }
                HoldOutRule::last_span(&source.shards, last, end.saturating_sub(start), train.rows)
            }
            HoldOutMethod::LastPerUser if source.columns.timestamps => {
                HoldOutRule::last_per_user(&source.shards, users, most).map(Some)
            }
            HoldOutMethod::Time | HoldOutMethod::LastPerUser => Ok(None),
            HoldOutMethod::RandomPerUser => HoldOutRule::random_per_user(&source.shards, users, most, seed).map(Some),
            HoldOutMethod::Random(n) => Ok(Some(HoldOutRule::Random { seed, below: u64::MAX / n })),
        }
    }
}

/// The training rows.
struct TrainingRows {
    shards: Vec<Arc<ShardIndex>>,
    columns: OptionalColumns,
    /// Users and items are below these.
    limits: [u32; 2],
    /// Rows of each user and of each item, up to 255: whether one can be spared.
    rows: [Vec<u8>; 2],
}

/// The training rows, divided.
struct DividedRows {
    train: SplitInfo,
    valid: SplitInfo,
    /// Training rows of each user and of each item.
    counts: [Vec<u64>; 2],
}

impl TrainingRows {
    fn new(shards: Vec<Arc<ShardIndex>>, limits: [u32; 2]) -> Result<TrainingRows> {
        let columns = columns(&shards)?;
        let mut counts = [memory::zeros::<u8>(limits[0] as usize, WHAT)?, memory::zeros(limits[1] as usize, WHAT)?];
        let mut source = TrainingRows { shards, columns, limits, rows: Default::default() };
        source.scan(|_, rows| {
            for (counts, ids) in counts.iter_mut().zip([rows.users, rows.items]) {
                ids.iter().for_each(|&id| counts[id as usize] = counts[id as usize].saturating_add(1));
            }
            Ok(())
        })?;
        source.rows = counts;
        Ok(source)
    }

    /// Calls `each` with every piece of the rows, and the number of its first row.
    fn scan(&self, mut each: impl FnMut(u64, Rows<'_>) -> Result<()>) -> Result<()> {
        let mut before = 0;
        for shard in &self.shards {
            shard.scan(|first, rows| {
                for (i, (&user, &item)) in rows.users.iter().zip(rows.items).enumerate() {
                    check_ids(&shard.path, first + i as u64, user, item, self.limits)?;
                }
                each(before + first, rows)
            })?;
            before += shard.rows;
        }
        Ok(())
    }

    /// The time of the last row, which a manifest of another program may not tell.
    fn last_timestamp(&self, train: &SplitInfo) -> Result<Option<i64>> {
        if train.last_timestamp.is_some() {
            return Ok(train.last_timestamp);
        }
        let mut last = None;
        self.scan(|_, rows| {
            last = rows.timestamps.unwrap_or_default().iter().copied().chain(last).max();
            Ok(())
        })?;
        Ok(last)
    }

    /// Writes the shards of both parts; `None` where no row is held out. A row that is chosen stays where its user or its
    /// item had none in training so far: rows that are not chosen are counted first, then those that stay, in order. Of
    /// chosen rows that can each be spared, one at least is held out: the last.
    fn divide(&self, making: &Making<'_>, rule: &HoldOutRule) -> Result<Option<DividedRows>> {
        let mut kept = [memory::zeros(self.limits[0] as usize, WHAT)?, memory::zeros(self.limits[1] as usize, WHAT)?];
        let chosen = |rows: &Rows<'_>, i: usize, first: u64| {
            let (user, item) = (rows.users[i], rows.items[i]);
            let spared = self.rows[0][user as usize] > 1 && self.rows[1][item as usize] > 1;
            let time = rows.timestamps.map_or(0, |timestamps| timestamps[i]);
            spared && rule.chooses(user, item, time, first + i as u64)
        };
        self.scan(|first, rows| {
            for i in (0..rows.len()).filter(|&i| !chosen(&rows, i, first)) {
                count(&mut kept, &rows, i);
            }
            Ok(())
        })?;
        let mut train = SplitWriter::create(making.dir(), Split::Train, self.columns);
        let mut valid = SplitWriter::create(making.dir(), Split::Valid, self.columns);
        self.scan(|first, rows| {
            for i in 0..rows.len() {
                let is_chosen = chosen(&rows, i, first);
                let only = kept[0][rows.users[i] as usize] == 0 || kept[1][rows.items[i] as usize] == 0;
                if is_chosen && !only {
                    valid.push(&rows, i);
                    continue;
                }
                if is_chosen {
                    count(&mut kept, &rows, i);
                }
                train.push(&rows, i);
            }
            train.flush()?;
            valid.flush()
        })?;
        if valid.rows() == 0 {
            return Ok(None);
        }
        Ok(Some(DividedRows { train: train.finish()?, valid: valid.finish()?, counts: kept }))
    }
}

fn count(counts: &mut [Vec<u64>; 2], rows: &Rows<'_>, i: usize) {
    counts[0][rows.users[i] as usize] += 1;
    counts[1][rows.items[i] as usize] += 1;
}

/// Writes a side's vocabulary with other counts. Nobody is unseen: the held-out rows name whom training names.
fn write_side(making: &Making<'_>, name: &str, old: &EntityInfo, counts: Vec<u64>) -> Result<EntityInfo> {
    let known = EntityInfo { unseen: 0, unseen_valid: 0, unseen_file: None, ..old.clone() };
    let Vocabulary { mut table, .. } = making.from.vocabulary(&known)?;
    // Row 0 is nobody's.
    table.counts.iter_mut().zip(counts).skip(1).for_each(|(count, now)| *count = now);
    let file = table.write(&making.dir().join(format!("{name}.arrow")), &old.features)?;
    Ok(EntityInfo { file, ..known })
}
