//! A small shop with everything that the command makes of it, made once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::command::run;
use super::tree::Tree;

/// What every training here takes: small, and more than one checkpoint.
pub const TRAINING: [&str; 14] = [
    "--early-stop",
    "off",
    "--dim",
    "8",
    "--epochs",
    "2",
    "--batch-size",
    "64",
    "--threads",
    "1",
    "--device",
    "cpu",
    "--checkpoint-every",
    "4",
];

/// How purchases are split.
pub const SPLIT: [&str; 2] = ["--split", "last-per-user:1"];

/// The files of vectors, and the endings that predictions have.
pub const VECTORS: [&str; 5] = ["npy", "faiss", "usearch", "arrow", "safetensors"];
pub const PREDICTIONS: [&str; 4] = ["parquet", "csv", "arrow", "jsonl"];

/// A copy of a world in a folder of its own, which goes with it.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn of(tree: &Tree) -> Place {
        let place = Place { folder: folder() };
        tree.write(&place.at());
        place
    }

    /// The world.
    pub fn at(&self) -> PathBuf {
        self.folder.path().join("w")
    }

    /// A path beside the world, for what readers write.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A temp folder; in memory where the system has such a place, as these suites wait for disks most of all.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temp folder")
}

/// Purchases of 48 users, ten each of 36 items; `shift` makes another night of it, of the same size.
fn purchases(shift: usize) -> String {
    let mut text = String::from("user_id,item_id,timestamp\n");
    for user in 0..48 {
        for step in 0..10 {
            let item = (user % 2 + 2 * ((user / 2 + step * (3 + shift)) % 18) + shift) % 36;
            text += &format!("u{user:02},i{item:02},{}\n", 1_500_000_000 + user * 10 + step * 100_000);
        }
    }
    text
}

/// Runs a command that must succeed.
pub fn must<S: AsRef<str>>(at: &Path, args: &[S]) {
    let done = run(at, args, None);
    let words: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    assert!(done.succeeded(), "{words:?}: {}", done.ending());
}

/// The arguments of a night.
pub fn night<'a>(input: &'a str, out: &'a str) -> Vec<&'a str> {
    let mut args = vec!["nightly", input, "--out", out, "--predictions", "top.csv", "--k", "3", "--eval-k", "5"];
    args.extend(SPLIT);
    args.extend(TRAINING);
    args
}

/// The world: `in.csv` and `next.csv` (another night's input, of the same size), `ds` made of the one, `m` and `other`
/// trained on it with two seeds, an index of each, predictions and vectors of `m` (`p.*`, `v.*`), and the night `run`.
pub fn world() -> &'static Tree {
    static WORLD: OnceLock<Tree> = OnceLock::new();
    WORLD.get_or_init(|| {
        let folder = folder();
        let at = folder.path();
        fs::write(at.join("in.csv"), purchases(0)).expect("written");
        fs::write(at.join("next.csv"), purchases(1)).expect("written");
        must(at, &[&["ingest", "in.csv", "--out", "ds"], &SPLIT[..]].concat());
        for (model, seed) in [("m", "1"), ("other", "2")] {
            must(at, &[&["train", "--data", "ds", "--out", model, "--seed", seed], &TRAINING[..]].concat());
            must(at, &["index", "--model", model, "--threads", "1"]);
            must(at, &["evaluate", "--model", model, "--data", "ds", "--k", "5", "--threads", "1"]);
        }
        must(at, &["index", "--model", "m", "--out", "x.index", "--threads", "1"]);
        for ending in PREDICTIONS {
            must(at, &["recommend", "--model", "m", "--out", &format!("p.{ending}"), "--k", "3", "--threads", "1"]);
        }
        for ending in VECTORS {
            must(at, &["export", "--model", "m", "--items", &format!("v.{ending}"), "--threads", "1"]);
        }
        must(at, &night("in.csv", "run"));
        Tree::read(at)
    })
}
