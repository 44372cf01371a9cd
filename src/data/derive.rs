//! Datasets that are made of another one: [`refit`](Dataset::refit) trains on the validation rows, too,
//! [`hold_out`](Dataset::hold_out) takes validation rows out of the training rows.
//!
//! In all of them ids keep their numbers: what is known of a user or an item by number is known in each.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::dataset::{Dataset, FileInfo, MANIFEST, Manifest, Split, SplitInfo, WORK};
use crate::data::history::History;
use crate::data::repeats;
use crate::data::shape::{HeldOutRows, Shape, later};
use crate::data::shard::{Shard, ShardIndex};
use crate::files::{Draft, folder_of, real_place, write_json_inside};
use crate::threads::Threads;
use crate::{Error, Result};

mod hold_out;
mod part;
mod record;
mod refit;
mod rule;

pub use record::{Derived, DerivedKind, Holdout, HoldoutKind};

impl Dataset {
    /// What was held out of the dataset that this one was made of; `None` where it was not made by
    /// [`hold_out`](Dataset::hold_out).
    pub fn holdout(&self) -> Option<&Holdout> {
        match &self.manifest().derived {
            Some(Derived { kind: DerivedKind::HoldOut(holdout), .. }) => Some(holdout),
            _ => None,
        }
    }
}

/// A derived dataset in the making.
struct Making<'a> {
    from: &'a Dataset,
    out: PathBuf,
    draft: Draft,
}

impl<'a> Making<'a> {
    /// Takes the lock of `out`, which may be missing, empty, or a dataset that nothing of `from` lies in.
    fn begin(from: &'a Dataset, out: &Path) -> Result<Making<'a>> {
        check_apart(from, out)?;
        Ok(Making { from, out: out.to_owned(), draft: Draft::open(out, WORK, false)? })
    }

    /// The folder to be filled.
    fn dir(&self) -> &Path {
        self.draft.path()
    }

    /// One of the original's shards, to be read.
    fn shard(&self, file: &FileInfo) -> Result<ShardIndex> {
        ShardIndex::of(self.from.opened(file)?, file)
    }

    /// Puts one of the original's shards into the folder: a symbolic link, or a copy where the file system has none.
    fn link(&self, file: &FileInfo, name: String) -> Result<FileInfo> {
        use std::os::unix::fs::{MetadataExt, symlink};
        let (place, to) = (self.from.path(file), self.dir().join(&name));
        let target = place.canonicalize().map_err(|e| Error::io(&place, e))?;
        if symlink(&target, &to).is_err() {
            self.from.copy(file, &to)?;
        } else {
            let about = |file: std::io::Result<std::fs::Metadata>| file.map(|about| (about.dev(), about.ino()));
            let held = self.from.opened(file)?.file().and_then(|file| about(file.metadata()));
            let linked = about(to.metadata());
            if held.map_err(|e| Error::io(&place, e))? != linked.map_err(|e| Error::io(&to, e))? {
                return Err(Error::input(self.from.dir(), "was replaced while it was in use; open it again"));
            }
        }
        Ok(FileInfo { name, ..file.clone() })
    }

    /// Writes the manifest, moves the folder to its place and opens it. What ingest counts and measures is counted and
    /// measured, but for the test split, which is not read.
    fn finish(self, mut manifest: Manifest) -> Result<Dataset> {
        let dir = self.dir();
        if let Some(file) = &manifest.history {
            let (users, items) = (manifest.users.rows, manifest.items.rows);
            let history = History::open(dir, file, users, items)?;
            let open = |file: &FileInfo| Shard::open(dir.join(&file.name));
            let count = |split, info: &SplitInfo| repeats::count(split, &info.files, open, &history);
            let repeats = count(Split::Train, &manifest.train)?;
            manifest.train.repeats = Some(repeats);
            manifest.valid.repeats = Some(count(Split::Valid, &manifest.valid)?);
            manifest.valid.later = later(&manifest.valid.files, open, &history)?;
            let held_out = HeldOutRows::of(&manifest.valid, &manifest.test);
            manifest.shape = Some(Shape::measure(&Threads::available(), &history, users, items, repeats, &held_out)?);
        }
        write_json_inside(&dir.join(MANIFEST), &manifest)?;
        self.draft.publish()?;
        Dataset::open(self.out)
    }
}

/// Refuses a place where the new folder would replace files of the dataset that it is made of, or lie among them.
fn check_apart(from: &Dataset, out: &Path) -> Result<()> {
    let place = real_place(out)?;
    let parent = folder_of(&place).ancestors().find_map(|folder| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        folder.canonicalize().ok()
    });
    // What is not there any more cannot be lost.
    let home = from.dir().canonicalize().ok();
    if let (Some(parent), Some(home)) = (&parent, &home)
        && parent.starts_with(home)
    {
        return Err(Error::input(
            out,
            format!("lies in the dataset {}; choose a folder outside it", from.dir().display()),
        ));
    }
    let Ok(place) = place.canonicalize() else { return Ok(()) };
    let inside = |file: &FileInfo| from.path(file).canonicalize().is_ok_and(|file| file.starts_with(&place));
    if home.as_ref() == Some(&place) || from.files().any(inside) {
        let reason = format!("holds files of the dataset {}; choose another folder", from.dir().display());
        return Err(Error::input(out, reason));
    }
    Ok(())
}

/// Refuses a row whose ids are not below `limits`, users and items.
fn check_ids(path: &Path, row: u64, user: u32, item: u32, limits: [u32; 2]) -> Result<()> {
    for (column, id, rows) in [("user", user, limits[0]), ("item", item, limits[1])] {
        if id >= rows {
            return Err(Error::IdOutOfRange { path: path.to_owned(), row, column, id, rows });
        }
    }
    Ok(())
}

/// Whether a split has timestamps and weights: its shards agree, or it is an error that names the first that does not.
fn columns<'a>(shards: impl IntoIterator<Item = &'a Arc<ShardIndex>>) -> Result<part::OptionalColumns> {
    let mut columns = None;
    for shard in shards {
        let here = part::OptionalColumns { timestamps: shard.timestamps, weights: shard.weights };
        let first = *columns.get_or_insert(here);
        for (column, here, first) in
            [("timestamp", here.timestamps, first.timestamps), ("weight", here.weights, first.weights)]
        {
            if here != first {
                let words = |there| if there { "a column" } else { "no such column" };
                return Err(Error::Schema {
                    path: shard.path.clone(),
                    column: column.into(),
                    expected: format!("{}, as in the first shard", words(first)),
                    found: words(here).into(),
                });
            }
        }
    }
    Ok(columns.unwrap_or_default())
}
