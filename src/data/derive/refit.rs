//! Training on the validation rows, too.

use std::path::Path;
use std::sync::Arc;

use super::part::{OptionalColumns, SplitWriter};
use super::{Derived, DerivedKind, Making, check_ids, columns};
use crate::data::dataset::{Dataset, EntityInfo, FileInfo, Manifest, Split, SplitInfo};
use crate::data::history::History;
use crate::data::shard::ShardIndex;
use crate::data::vocabulary::Vocabulary;
use crate::files::OpenedFile;
use crate::{Result, memory};

/// What takes the memory.
const WHAT: &str = "the counts of users and items";

impl Dataset {
    /// Makes the dataset `out`, whose training split is this one's training and validation rows, and whose test split is
    /// this one's: what a model whose settings are settled is trained on. Such a model can be evaluated on the test
    /// split of either.
    ///
    /// Users and items keep their numbers; those that the validation split names for the first time join the
    /// vocabularies, and counts are those of both splits. Shards are not written again: the folder has symbolic links to
    /// this one's, which must stay where it is (copies, where the file system has no links). Memory: the vocabularies,
    /// and nothing per row.
    ///
    /// Of a dataset that an earlier build made, validation rows of new users and items are left out:
    /// [`DerivedKind::Refit`] says how many.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) when `out` is in the way of this dataset, or holds anything but a dataset, or
    /// when this one was replaced after it was opened; [`Error::IdOutOfRange`](crate::Error::IdOutOfRange),
    /// [`Error::Schema`](crate::Error::Schema) when only some shards have times or weights; as reading and writing the
    /// files else.
    pub fn refit(&self, out: impl AsRef<Path>) -> Result<Dataset> {
        let making = Making::begin(self, out.as_ref())?;
        let old = self.manifest();
        let open =
            |files: &[FileInfo]| files.iter().map(|file| making.shard(file).map(Arc::new)).collect::<Result<_>>();
        let (mut shards, valid): (Vec<_>, Vec<_>) = (open(&old.train.files)?, open(&old.valid.files)?);
        let columns = columns(shards.iter().chain(&valid))?;
        let mut added = Added::read(old, &valid)?;
        let known = SplitInfo { files: links(&making, Split::Train)?, ..old.train.alone() };
        let joining = match added.left_out {
            0 => {
                shards.extend(valid);
                added.split_info(links(&making, Split::Valid)?)
            }
            _ => {
                let files = added.rewrite(&making, columns, &valid)?;
                let open = |file: &FileInfo| ShardIndex::of(OpenedFile::open(&making.dir().join(&file.name))?, file);
                for file in &files.files {
                    shards.push(Arc::new(open(file)?));
                }
                files
            }
        };
        let train = known.join(joining);
        let test = SplitInfo { files: links(&making, Split::Test)?, ..old.test.alone() };
        let [user_counts, item_counts] = std::mem::take(&mut added.counts);
        let users = write_side(&making, "users", &old.users, &user_counts)?;
        let items = write_side(&making, "items", &old.items, &item_counts)?;
        let history = History::write_shards(making.dir(), shards, users.rows)?;
        let manifest = Manifest {
            format: old.format.clone(),
            version: old.version,
            columns: old.columns.clone(),
            train,
            valid: SplitInfo::default(),
            test,
            users,
            items,
            history: Some(history),
            filtered: old.filtered,
            shape: None,
            split: old.split,
            derived: Some(Derived {
                from: self.fingerprint().to_owned(),
                kind: DerivedKind::Refit { left_out: added.left_out },
            }),
        };
        making.finish(manifest)
    }
}

/// Links to a split's shards.
fn links(making: &Making<'_>, split: Split) -> Result<Vec<FileInfo>> {
    let files = making.from.split(split).files.iter().enumerate();
    files.map(|(number, file)| making.link(file, format!("{}-{number:05}.arrow", split.name()))).collect()
}

/// The validation rows that join the training rows.
struct Added {
    /// Users and items are below these.
    limits: [u32; 2],
    rows: u64,
    first: Option<i64>,
    last: Option<i64>,
    left_out: u64,
    /// Rows of each user and of each item.
    counts: [Vec<u64>; 2],
}

impl Added {
    fn read(manifest: &Manifest, shards: &[Arc<ShardIndex>]) -> Result<Added> {
        let sides = [&manifest.users, &manifest.items];
        let limits = sides.map(|side| side.rows.saturating_add(side.unseen_valid));
        let all = sides.map(|side| side.rows.saturating_add(side.unseen));
        let counts = [memory::zeros(limits[0] as usize, WHAT)?, memory::zeros(limits[1] as usize, WHAT)?];
        let mut added = Added { limits, rows: 0, first: None, last: None, left_out: 0, counts };
        for index in shards {
            index.scan(|first, rows| {
                for (i, (&user, &item)) in rows.users.iter().zip(rows.items).enumerate() {
                    check_ids(&index.path, first + i as u64, user, item, all)?;
                    if !added.takes(user, item) {
                        added.left_out += 1;
                        continue;
                    }
                    added.rows += 1;
                    added.counts[0][user as usize] += 1;
                    added.counts[1][item as usize] += 1;
                    if let Some(timestamps) = rows.timestamps {
                        added.first = added.first.into_iter().chain([timestamps[i]]).min();
                        added.last = added.last.into_iter().chain([timestamps[i]]).max();
                    }
                }
                Ok(())
            })?;
        }
        Ok(added)
    }

    fn takes(&self, user: u32, item: u32) -> bool {
        user < self.limits[0] && item < self.limits[1]
    }

    fn split_info(&self, files: Vec<FileInfo>) -> SplitInfo {
        SplitInfo::new(self.rows, self.first, self.last, files)
    }

    /// Writes the validation shards without the rows that are left out.
    fn rewrite(&self, making: &Making<'_>, columns: OptionalColumns, shards: &[Arc<ShardIndex>]) -> Result<SplitInfo> {
        let mut part = SplitWriter::create(making.dir(), Split::Valid, columns);
        for shard in shards {
            shard.scan(|_, rows| {
                let selected = (0..rows.len()).filter(|&i| self.takes(rows.users[i], rows.items[i]));
                selected.for_each(|i| part.push(&rows, i));
                part.flush()
            })?;
        }
        part.finish()
    }
}

/// Writes a side's vocabulary, with the ids that the validation split names, and what is left of the unseen ones.
fn write_side(making: &Making<'_>, name: &str, old: &EntityInfo, added: &[u64]) -> Result<EntityInfo> {
    let Vocabulary { table: mut known, unseen, .. } = making.from.vocabulary(old)?;
    let joining = old.unseen_valid as usize;
    let left = match &unseen {
        Some(unseen) => {
            known.append(unseen, 0..joining)?;
            let mut left = unseen.new_like();
            left.append(unseen, joining..unseen.len())?;
            Some(left).filter(|left| !left.is_empty())
        }
        None => None,
    };
    // Row 0 is nobody's.
    known.counts.iter_mut().zip(added).skip(1).for_each(|(count, added)| *count = count.saturating_add(*added));
    let at = |file: &str| making.dir().join(file);
    let file = known.write(&at(&format!("{name}.arrow")), &old.features)?;
    let unseen_file = left.map(|left| left.write(&at(&format!("{name}-unseen.arrow")), &old.features)).transpose()?;
    let (rows, unseen) = (old.rows + old.unseen_valid, old.unseen - old.unseen_valid);
    Ok(EntityInfo { rows, unseen, unseen_valid: 0, file, unseen_file, features: old.features.clone() })
}
