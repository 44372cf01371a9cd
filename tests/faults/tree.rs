//! Folders as values: what is in them, compared and copied.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What a path holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    File(Vec<u8>),
    Link(PathBuf),
    Folder,
}

/// Every path below a folder, and what it holds.
/// [`is`](Tree::is) compares what counts; `==` compares every byte.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tree(pub BTreeMap<PathBuf, Entry>);

impl Tree {
    pub fn read(root: &Path) -> Tree {
        let mut tree = Tree::default();
        tree.add(root, Path::new(""));
        tree
    }

    fn add(&mut self, root: &Path, inside: &Path) {
        for entry in fs::read_dir(root.join(inside)).expect("a folder can be listed") {
            let entry = entry.expect("an entry can be read");
            let path = inside.join(entry.file_name());
            let kind = entry.file_type().expect("an entry has a kind");
            if kind.is_dir() {
                self.add(root, &path);
                self.0.insert(path, Entry::Folder);
            } else if kind.is_symlink() {
                self.0.insert(path, Entry::Link(fs::read_link(entry.path()).expect("a link can be read")));
            } else {
                self.0.insert(path, Entry::File(fs::read(entry.path()).expect("a file can be read")));
            }
        }
    }

    /// Writes it all to a new folder.
    pub fn write(&self, root: &Path) {
        fs::create_dir_all(root).expect("a folder can be made");
        for (path, entry) in &self.0 {
            let path = root.join(path);
            match entry {
                Entry::Folder => fs::create_dir_all(path).expect("a folder can be made"),
                Entry::Link(target) => symlink(target, path).expect("a link can be made"),
                Entry::File(bytes) => {
                    fs::create_dir_all(path.parent().expect("it lies below the root")).expect("a folder can be made");
                    fs::write(path, bytes).expect("a file can be written");
                }
            }
        }
    }

    /// What lies at `path` and below it, hidden names aside: those are no part of an output.
    pub fn part(&self, path: &Path) -> Tree {
        let mut part = self.clone();
        part.0.retain(|at, _| at.starts_with(path) && !is_hidden(at));
        part
    }

    /// Hidden names, the outermost of each.
    pub fn hidden(&self) -> Vec<&Path> {
        self.0
            .keys()
            .filter(|path| is_hidden(path) && !path.parent().is_some_and(is_hidden))
            .map(PathBuf::as_path)
            .collect()
    }

    /// A number that differs where two trees do.
    pub fn digest(&self) -> u64 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for (path, entry) in &self.0 {
            let (kind, bytes) = match entry {
                Entry::File(bytes) => ("file", bytes.as_slice()),
                Entry::Link(target) => ("link", target.as_os_str().as_encoded_bytes()),
                Entry::Folder => ("folder", b"".as_slice()),
            };
            hash.update(format!("{path:?} {kind} {}\n", bytes.len()).as_bytes());
            hash.update(bytes);
        }
        hash.digest()
    }

    /// It all, but for what a night notes of its files' places on the disk, which differ from copy to copy.
    fn steady(&self) -> Tree {
        let mut tree = self.clone();
        for (_, entry) in tree.0.iter_mut().filter(|(path, _)| path.ends_with("nightly.json")) {
            let Entry::File(bytes) = entry else { continue };
            if let Ok(mut value) = serde_json::from_slice(bytes) {
                without(&mut value, &["place", "checksum"]);
                *bytes = value.to_string().into_bytes();
            }
        }
        tree
    }

    /// Whether two trees are the same.
    pub fn is(&self, other: &Tree) -> bool {
        self == other || self.steady() == other.steady()
    }

    /// The paths at which two trees differ, in words.
    pub fn differences(&self, other: &Tree) -> String {
        let (this, other) = (self.steady(), other.steady());
        let mut paths: Vec<&PathBuf> = this.0.keys().chain(other.0.keys()).collect();
        paths.sort();
        paths.dedup();
        let differ = paths.into_iter().filter(|path| this.0.get(*path) != other.0.get(*path));
        let words = differ.take(6).map(|path| match (this.0.get(path), other.0.get(path)) {
            (Some(_), Some(_)) => format!("{} differs", path.display()),
            (Some(_), None) => format!("{} is there", path.display()),
            _ => format!("{} is missing", path.display()),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Removes keys from JSON, at every depth.
fn without(value: &mut serde_json::Value, keys: &[&str]) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|name, _| !keys.contains(&name.as_str()));
            fields.values_mut().for_each(|value| without(value, keys));
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(|value| without(value, keys)),
        _ => {}
    }
}

/// Whether a component of the path begins with a dot: drafts, locks and what kills leave.
fn is_hidden(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
}
