use super::*;
use crate::data::writer::ShardWriter;
use crate::rng::Rng;

const USERS: u32 = 50;
const ITEMS: u32 = 1000;

/// Writes `rows` random rows in several shards; user 7 has none. Gives the paths and, by user, (time, item) in order.
fn shards(dir: &Path, rows: usize, timestamps: bool) -> (Vec<PathBuf>, Vec<Vec<(i64, u32)>>) {
    let mut rng = Rng::at(rows as u64, &[]);
    let mut writer = ShardWriter::create(dir, "train", timestamps, true).rows_per_shard(700).rows_per_block(64);
    let mut expected = vec![Vec::new(); USERS as usize];
    for _ in 0..rows {
        let user = match rng.below_u32(USERS) {
            7 => 8,
            user => user,
        };
        let (item, time) = (rng.below_u32(ITEMS), i64::from(rng.below_u32(40)) - 20);
        let times: &[i64] = if timestamps { &[time] } else { &[] };
        writer.push(&[user], &[item], times, &[1.0]).unwrap();
        expected[user as usize].push((if timestamps { time } else { 0 }, item));
    }
    expected.iter_mut().for_each(|rows| rows.sort_by_key(|row| row.0));
    (writer.finish().unwrap().iter().map(|file| dir.join(&file.name)).collect(), expected)
}

fn check(history: &History, expected: &[Vec<(i64, u32)>], timestamps: bool) {
    assert_eq!(history.has_timestamps(), timestamps);
    let items = |rows: &[(i64, u32)]| rows.iter().map(|row| row.1).collect::<Vec<_>>();
    for (user, rows) in expected.iter().enumerate() {
        let user = user as u32;
        assert_eq!(history.count(user), rows.len());
        let mut out = vec![77];
        history.items(user, &mut out).unwrap();
        assert_eq!(out[1..], items(rows));
        for n in [0, 1, 3, 1000] {
            out.clear();
            history.last_before(user, None, n, &mut out).unwrap();
            assert_eq!(out, items(&rows[rows.len().saturating_sub(n)..]));
            for before in [-30, -5, 0, 5, 50] {
                out.clear();
                let found = history.last_before(user, Some(before), n, &mut out);
                if timestamps {
                    found.unwrap();
                    let rows = &rows[..rows.partition_point(|row| row.0 < before)];
                    assert_eq!(out, items(&rows[rows.len().saturating_sub(n)..]));
                } else {
                    assert!(matches!(found, Err(Error::Schema { .. })));
                }
            }
        }
    }
    let mut out = Vec::new();
    history.items(USERS, &mut out).unwrap();
    history.items(u32::MAX, &mut out).unwrap();
    assert!(out.is_empty() && history.count(u32::MAX) == 0);
}

fn opened(paths: &[PathBuf]) -> Vec<Arc<ShardIndex>> {
    paths.iter().map(|path| Arc::new(ShardIndex::read(OpenedFile::open(path).unwrap()).unwrap())).collect()
}

#[test]
fn rows_come_by_user_time_and_input_order() {
    for timestamps in [true, false] {
        // One run in memory, runs of 100 and of 999 rows; cached and read from the file.
        for (rows, run) in [(5000, sort::RUN_ROWS), (5000, 100), (5000, 999), (5000, 5000), (1, 1), (0, 10)] {
            let dir = tempfile::tempdir().unwrap();
            let (paths, expected) = shards(dir.path(), rows, timestamps);
            let info = sort::write(dir.path(), opened(&paths), USERS, run).unwrap();
            assert_eq!((info.name.as_str(), info.rows), (FILE_NAME, rows as u64));
            let mut history = History::open(dir.path(), &info, USERS, ITEMS).unwrap();
            check(&history, &expected, timestamps && rows > 0);
            history.cache = None;
            check(&history, &expected, timestamps && rows > 0);
            let names = std::fs::read_dir(dir.path()).unwrap().count();
            assert_eq!(names, paths.len() + 1, "a temp file was left behind");
        }
    }
}

#[test]
fn a_long_history_is_searched_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(dir.path(), "train", true, false);
    let times: Vec<i64> = (0..20_000).map(|i| i / 3 * 2).collect();
    writer.push(&vec![1; 20_000], &(0..20_000).collect::<Vec<u32>>(), &times, &[]).unwrap();
    let paths = [dir.path().join(&writer.finish().unwrap()[0].name)];
    let info = History::write(dir.path(), &paths, 2).unwrap();
    let mut history = History::open(dir.path(), &info, 2, 20_000).unwrap();
    history.cache = None;
    for before in [-1, 0, 1, 2, 777, 778, 13_331, 13_332, 99_999] {
        let end = times.partition_point(|&time| time < before) as u32;
        let mut out = Vec::new();
        history.last_before(1, Some(before), 5, &mut out).unwrap();
        assert_eq!(out, (end.saturating_sub(5)..end).collect::<Vec<_>>());
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = shards(dir.path(), 3000, true);
    assert!(matches!(History::write(dir.path(), &paths, 40), Err(Error::IdOutOfRange { column: "user", .. })));
    let info = History::write(dir.path(), &paths, USERS).unwrap();
    let open = |info: &FileInfo, users, items| History::open(dir.path(), info, users, items).err().unwrap();
    assert!(matches!(open(&info, 40, ITEMS), Error::IdOutOfRange { column: "user", .. }));
    assert!(matches!(open(&info, USERS, 900), Error::IdOutOfRange { column: "item", .. }));
    assert!(matches!(open(&FileInfo { rows: 1, ..info.clone() }, USERS, ITEMS), Error::Damaged { .. }));
    let unsorted = FileInfo { name: "train-00000.arrow".into(), rows: 700, bytes: 0, xxh3: None, footer: None };
    assert!(open(&unsorted, USERS, ITEMS).to_string().contains("order"));
    let mut timeless = ShardWriter::create(dir.path(), "late", false, false);
    timeless.push(&[1], &[1], &[], &[]).unwrap();
    let mut paths = paths;
    paths.push(dir.path().join(&timeless.finish().unwrap()[0].name));
    assert!(matches!(History::write(dir.path(), &paths, USERS), Err(Error::Schema { .. })));
}
