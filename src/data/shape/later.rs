//! Whether a split comes after training: the share of its rows that are not earlier than all training rows of their user.
//!
//! Only users and times are looked at: what a held-out row holds stays unknown.

use super::figures::share;
use crate::data::dataset::parts::FileInfo;
use crate::data::history::History;
use crate::data::shard::Shard;
use crate::{Result, memory};

/// What takes the memory.
const WHAT: &str = "the last training time of each user";

/// The share, to four decimals, of the rows of a split's files, which `open` opens; rows of users without training rows do
/// not count. `None` without times, and where no row counts.
///
/// # Errors
/// Whatever reading the shards or the history gives; [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub(crate) fn later(
    files: &[FileInfo],
    open: impl Fn(&FileInfo) -> Result<Shard>,
    history: &History,
) -> Result<Option<f64>> {
    if !history.has_timestamps() || files.is_empty() {
        return Ok(None);
    }
    let last = last_times(history)?;
    let (mut all, mut later) = (0u64, 0u64);
    for file in files {
        let shard = open(file)?;
        for at in 0..shard.blocks() {
            let block = shard.block(at)?;
            let Some(times) = block.timestamps else { return Ok(None) };
            for (&user, &time) in block.users.iter().zip(times) {
                // Row 0 is nobody in particular.
                let trained = last.get(user as usize).copied().flatten().filter(|_| user > 0);
                all += u64::from(trained.is_some());
                later += u64::from(trained.is_some_and(|last| time >= last));
            }
        }
    }
    Ok((all > 0).then(|| share(later, all)))
}

/// The time of each user's last training row.
fn last_times(history: &History) -> Result<Vec<Option<i64>>> {
    let ends = history.ends();
    let mut last = memory::filled(None, ends.len(), WHAT)?;
    let mut user = 0;
    history.each_piece(|first, _, times| {
        for (row, &time) in (first..).zip(times) {
            while ends[user] <= row {
                user += 1;
            }
            last[user] = Some(time);
        }
    })?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use crate::data::dataset::Dataset;
    use crate::data::ingest::{IngestConfig, ingest};
    use crate::data::shape::Shape;

    /// User 1 is trained until 30, user 2 until 20; item 9 is known to nobody.
    const TRAIN: &str = "user,item,time\n1,1,1970-01-01T00:00:30\n1,2,1970-01-01T00:00:10\n2,1,1970-01-01T00:00:20\n";

    #[test]
    fn rows_after_their_own_users_training_rows_are_later() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let train = file("train.csv", TRAIN);
        let made = |name: &str, test: &str| {
            let test = vec![file("test.csv", &format!("user,item,time\n{test}"))];
            let config = IngestConfig { test, ..IngestConfig::default() };
            let out = dir.path().join(name);
            ingest(std::slice::from_ref(&train), &out, &config, &|_| {}).unwrap();
            let dataset = Dataset::open(&out).unwrap();
            let stored = Shape::of(&dataset).unwrap();
            assert_eq!(stored.later, dataset.manifest().test.later);
            Dataset::accept(&out).unwrap();
            assert_eq!(Shape::of(&Dataset::open(&out).unwrap()).unwrap(), stored, "measured anew");
            stored.later
        };
        // As late, later, earlier; user 3 has no training rows.
        let rows =
            "1,2,1970-01-01T00:00:30\n2,2,1970-01-02T00:00:00\n1,1,1970-01-01T00:00:29\n3,1,1970-01-01T00:00:01\n";
        assert_eq!(made("mixed", rows), Some(0.6667));
        assert_eq!(made("unknown", "3,1,1970-01-01T00:00:01\n"), None);
    }
}
