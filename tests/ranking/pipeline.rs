//! The way from users to a file, on threads: what they change (nothing), and what happens when a part of it fails.

use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use tercel::data::vocabulary::Vocabulary;
use tercel::index::predictions::{IdKind, Place, PredictionWriter};
use tercel::index::{Found, Lists, NO_ITEM, Ranker, RecommendOptions, Recommended, Seen, UserBlock, Users, recommend};
use tercel::{Error, Result};

use super::fixture::{Toy, vocabularies};
#[cfg(unix)]
use crate::alone;

/// Items of the catalogue of [`Rotating`].
const ITEMS: u32 = 50;

/// Gives user u items u, u + 1, … around the catalogue, without those that are skipped; every fifth user gets two places.
struct Rotating {
    blocks: usize,
    /// The block at which it fails.
    fails_at: usize,
}

impl Ranker for Rotating {
    fn history_len(&self) -> usize {
        0
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        self.blocks += 1;
        if self.blocks > self.fails_at {
            return Err(Error::Interrupted { what: "the ranking".into() });
        }
        let mut found = Found { k, ..Found::default() };
        for (i, &user) in users.ids.iter().enumerate() {
            let skipped = skip.map_or(&[][..], |skip| skip.get(i));
            let items = (0..ITEMS).map(|at| 1 + (user + at) % ITEMS).filter(|item| !skipped.contains(item));
            let most = if user.is_multiple_of(5) { 2 } else { k };
            found.ids.extend(items.take(k.min(most)));
            found.ids.resize((i + 1) * k, NO_ITEM);
        }
        // Nothing that packs well.
        let noise = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32;
        let users = users.ids.iter().flat_map(|&user| std::iter::repeat_n(u64::from(user), k));
        let score = |(&id, user): (&u32, u64)| match id {
            NO_ITEM => f32::NEG_INFINITY,
            id => noise(user << 8 | u64::from(id)),
        };
        found.scores = found.ids.iter().zip(users).map(score).collect();
        Ok(found)
    }
}

/// So many users, two of three of whom have items.
fn shop(users: u32) -> Toy {
    let mut toy = Toy::new(users, ITEMS);
    toy.train = (1..=users).filter(|user| user % 3 > 0).map(|user| (user, 1 + (user * 7) % ITEMS, 5)).collect();
    toy
}

struct World {
    users: Vocabulary,
    items: Vocabulary,
    seen: Seen,
    dir: tempfile::TempDir,
}

impl World {
    fn new(users: u32) -> World {
        let (dir, dataset) = shop(users).write();
        let (users, items) = vocabularies(&dataset);
        World { users, items, seen: Seen::of_dataset(&dataset).unwrap(), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, out: &Path, fails_at: usize, options: &RecommendOptions) -> Result<Recommended> {
        let mut ranker = Rotating { blocks: 0, fails_at };
        recommend(&mut ranker, &Users::all(&self.users), &self.items, Some(&self.seen), out, options, &mut |_| Ok(()))
    }
}

#[test]
fn any_number_of_threads_and_any_blocks_write_the_same_bytes() {
    // Pieces of the file end within a user's list, and there are many of them.
    let world = World::new(26_000);
    for (name, by_user) in [
        ("out.parquet", false),
        ("out.arrow", false),
        ("out.csv", false),
        ("out.csv.gz", false),
        ("out.csv.zst", false),
        ("out.jsonl", false),
        ("out.jsonl", true),
        ("out.jsonl.gz", true),
    ] {
        let out = world.path(name);
        let of = |threads, memory| {
            let options = RecommendOptions::top(13).by_user(by_user).threads(threads).memory(memory);
            let done = world.write(&out, usize::MAX, &options).unwrap();
            (fs::read(&out).unwrap(), done.rows, done.short_users, done.diversity)
        };
        let expected = of(1, 512 << 20);
        assert_eq!(expected.2, 5_200);
        for (threads, memory) in [(2, 512 << 20), (5, 40 << 20)] {
            assert!(of(threads, memory) == expected, "{name}: {threads} threads");
        }
        // Whoever writes user by user writes the same.
        let one_by_one = world.path(&format!("one-{name}"));
        push_all(&one_by_one, by_user, &world);
        assert!(fs::read(one_by_one).unwrap() == expected.0, "{name}");
        if name == "out.parquet" {
            let reader = SerializedFileReader::new(File::open(&out).unwrap()).unwrap();
            let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
            let rows = expected.1 as i64;
            assert_eq!(groups, [1 << 18, rows - (1 << 18)]);
        }
    }
}

fn push_all(out: &Path, by_user: bool, world: &World) {
    let mut writer =
        PredictionWriter::create(out, IdKind::of(&world.users.table.ids), IdKind::of(&world.items.table.ids), by_user)
            .unwrap();
    let mut had = Vec::new();
    for user in 1..world.users.rows() as u32 {
        had.clear();
        world.seen.items(user, &mut had).unwrap();
        let skip = Lists { offsets: vec![0, had.len()], values: had.clone() };
        let block = UserBlock { ids: vec![user], ..UserBlock::default() };
        let found = Rotating { blocks: 0, fails_at: usize::MAX }.top_k(&block, 13, Some(&skip)).unwrap();
        let place = |(&id, &score)| Place { item: world.items.raw(id).unwrap(), score };
        let places: Vec<Place<'_>> = found.items(0).iter().zip(&found.scores).map(place).collect();
        writer.push(world.users.raw(user).unwrap(), &places).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn a_ranker_that_fails_leaves_the_old_file() {
    let world = World::new(30_000);
    for name in ["out.parquet", "out.arrow", "out.csv", "out.jsonl.gz"] {
        let out = world.path(name);
        fs::write(&out, "yesterday's").unwrap();
        let before = fs::read_dir(world.dir.path()).unwrap().count();
        // Blocks before the last are on their way when it does.
        let error = world.write(&out, 3, &RecommendOptions::top(12).threads(3)).unwrap_err();
        assert!(matches!(error, Error::Interrupted { .. }), "{error}");
        assert_eq!(fs::read_to_string(&out).unwrap(), "yesterday's");
        assert_eq!(fs::read_dir(world.dir.path()).unwrap().count(), before, "{name}: temp files are left");
    }
}

/// Does nothing by itself: [`a_full_disk_ends_the_ranking`] runs it in a process that may not write large files.
#[test]
fn a_full_disk_child() {
    let Some(name) = std::env::var_os("TERCEL_TEST_FULL_RANKING") else { return };
    let world = World::new(24_000);
    let out = PathBuf::from(name);
    let error = world.write(&out, usize::MAX, &RecommendOptions::top(40).threads(2)).unwrap_err();
    let Error::Io { path, source } = &error else { panic!("{error}") };
    assert_eq!((path, source.kind()), (&out, std::io::ErrorKind::FileTooLarge), "{error}");
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_ranking() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.parquet", "out.csv", "out.arrow"] {
        let out = folder.path().join(name);
        fs::write(&out, "yesterday's").unwrap();
        // Blocks of 512 or 1024 bytes: the dataset of the child fits, its predictions do not.
        let mut child = alone::command("trap '' XFSZ; ulimit -f 1400;", module_path!(), "a_full_disk_child");
        let done = alone::output(child.env("TERCEL_TEST_FULL_RANKING", &out));
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"));
        assert_eq!(fs::read_to_string(&out).unwrap(), "yesterday's", "{name}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "temp files are left");
}
