//! What a folder means: all its data files, in sub-folders too, with the columns that `key=value` folders add.

use std::fs;
use std::path::{Path, PathBuf};

use hashbrown::HashSet;

use super::source::FileId;
use crate::{Error, Result};

/// What a file's name says of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    Text,
    Arrow,
    Parquet,
}

impl NameKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            NameKind::Text => "text",
            NameKind::Arrow => "Arrow",
            NameKind::Parquet => "Parquet",
        }
    }
}

/// The name without `.gz` and `.zst`, in lower case.
pub(crate) fn plain_name(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let without = |name: &str| Some(name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"))?.to_owned());
    without(&name).unwrap_or(name)
}

/// The kind that a file's name tells; None for a name that tells none.
pub(crate) fn kind_of_name(path: &Path) -> Option<NameKind> {
    match plain_name(path).rsplit_once('.')?.1 {
        "parquet" | "pq" | "parq" => Some(NameKind::Parquet),
        "arrow" | "arrows" | "feather" | "ipc" => Some(NameKind::Arrow),
        "csv" | "tsv" | "tab" | "psv" | "txt" | "dat" | "inter" | "data" | "json" | "jsonl" | "ndjson" => {
            Some(NameKind::Text)
        }
        _ => None,
    }
}

/// A file that may hold data.
#[derive(Clone, Debug)]
pub(crate) struct DataFile {
    pub(crate) path: PathBuf,
    pub(crate) id: FileId,
    /// Columns that its folders add: their names and values.
    pub(crate) constants: Vec<(String, String)>,
}

/// What is in a folder.
#[derive(Debug, Default)]
pub(crate) struct FolderListing {
    /// In the order of their paths.
    pub(crate) files: Vec<DataFile>,
    /// What is not read, and why.
    pub(crate) passed: Vec<(PathBuf, String)>,
}

/// What a `key=value` folder is called whose rows have no value.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Every data file in a folder. Hidden files and those that begin with `_` are passed over without a word.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] where two files are one in two compressions.
pub(crate) fn walk(root: &Path) -> Result<FolderListing> {
    let mut found = FolderListing::default();
    let mut unnamed = Vec::new();
    let own = root.file_name().and_then(|name| partition(&name.to_string_lossy()));
    let mut constants: Vec<(String, String)> = own.into_iter().collect();
    folder(root, &mut constants, &mut HashSet::new(), &mut found, &mut unnamed)?;
    if found.files.is_empty() {
        // Engines write parts without an ending: part-00000, 000000_0.
        found.files = unnamed;
    } else {
        let why = "its extension is not one of a data file";
        found.passed.extend(unnamed.into_iter().map(|file| (file.path, why.to_owned())));
    }
    found.files.sort_by(|a, b| by_number(&a.path, &b.path));
    found.passed.sort();
    check_twins(root, &found.files)?;
    Ok(found)
}

/// Paths in the order of their texts, but of their numbers where they have some: `part.2` comes before `part.10`.
fn by_number(a: &Path, b: &Path) -> std::cmp::Ordering {
    let (a, b) = (a.to_string_lossy(), b.to_string_lossy());
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    while let (Some(&first), Some(&second)) = (x.first(), y.first()) {
        let (n, m) = (digits(x), digits(y));
        let order = if n > 0 && m > 0 {
            let (p, q) = (without_zeros(&x[..n]), without_zeros(&y[..m]));
            (x, y) = (&x[n..], &y[m..]);
            p.len().cmp(&q.len()).then_with(|| p.cmp(q))
        } else {
            (x, y) = (&x[1..], &y[1..]);
            first.cmp(&second)
        };
        if order.is_ne() {
            return order;
        }
    }
    x.len().cmp(&y.len()).then_with(|| a.cmp(&b))
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    &digits[zeros..]
}

/// Refuses a folder that has a file in two compressions.
fn check_twins(root: &Path, files: &[DataFile]) -> Result<()> {
    let mut names: hashbrown::HashMap<PathBuf, &Path> = hashbrown::HashMap::new();
    for file in files {
        if let Some(other) = names.insert(file.path.with_file_name(plain_name(&file.path)), &file.path) {
            let (a, b) = (name(other), name(&file.path));
            let reason =
                format!("has both {a} and {b}, which look like one file; remove one, or name the files themselves");
            return Err(Error::input(root, reason));
        }
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn folder(
    path: &Path,
    constants: &mut Vec<(String, String)>,
    above: &mut HashSet<FileId>,
    found: &mut FolderListing,
    unnamed: &mut Vec<DataFile>,
) -> Result<()> {
    let entries = fs::read_dir(path).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
    let mut entries = entries.map_err(|e| Error::io(path, e))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with(['.', '_']) {
            continue;
        }
        // Through links, as everybody else reads them.
        let about = match fs::metadata(&path) {
            Ok(about) => about,
            Err(_) if entry.file_type().is_ok_and(|kind| kind.is_symlink()) => {
                found.passed.push((path, "is a broken link".into()));
                continue;
            }
            Err(e) => return Err(Error::io(&path, e)),
        };
        let id = FileId::of(&path, &about);
        if about.is_dir() {
            if let Some(what) = ours(&path) {
                found.passed.push((path, format!("is {what} of Tercel")));
            } else if above.insert(id.clone()) {
                let column = partition(&name);
                constants.extend(column.clone());
                folder(&path, constants, above, found, unnamed)?;
                if column.is_some() {
                    constants.pop();
                }
                above.remove(&id);
            }
            continue;
        }
        let word = if !about.is_file() {
            Some("is not a file")
        } else if about.len() == 0 {
            Some("is empty")
        } else if is_prose(&name) {
            Some("describes the data")
        } else {
            None
        };
        if let Some(word) = word {
            found.passed.push((path, word.into()));
            continue;
        }
        let file = DataFile { id, constants: constants.clone(), path };
        match kind_of_name(&file.path) {
            Some(_) => found.files.push(file),
            None if !plain_name(&file.path).contains('.') => unnamed.push(file),
            None => found.passed.push((file.path, "its extension is not one of a data file".into())),
        }
    }
    Ok(())
}

/// What a folder is that this program wrote.
pub(crate) fn ours(path: &Path) -> Option<&'static str> {
    let holds = |name: &str| path.join(name).is_file();
    if holds("dataset.json") {
        Some("a dataset")
    } else if holds("model.safetensors") && holds("config.json") {
        Some("a model")
    } else if holds("nightly.json") {
        Some("a nightly run")
    } else if holds("tune.json") && holds("search.json") {
        Some("a search")
    } else {
        None
    }
}

/// Whether a file of this name is there to be read by people.
fn is_prose(name: &str) -> bool {
    let name = name.to_lowercase();
    ["readme", "license", "licence", "changelog", "notice", "citation"].iter().any(|word| name.starts_with(word))
}

/// The column that a folder `key=value` adds.
fn partition(name: &str) -> Option<(String, String)> {
    let (key, value) = name.split_once('=')?;
    let value = if value == NO_VALUE { String::new() } else { decoded(value) };
    (!key.is_empty()).then(|| (decoded(key), value))
}

/// A text whose bytes may be written `%41`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |digit: u8| char::from(digit).to_digit(16);
        match rest {
            [b'%', high, low, behind @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push((hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0)) as u8);
                rest = behind;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, kind) in [
            ("a.csv", Some(NameKind::Text)),
            ("A.TSV.GZ", Some(NameKind::Text)),
            ("u.data", Some(NameKind::Text)),
            ("x.jsonl.zst", Some(NameKind::Text)),
            ("part-0.snappy.parquet", Some(NameKind::Parquet)),
            ("a.feather", Some(NameKind::Arrow)),
            ("a.png", None),
            ("part-00000", None),
        ] {
            assert_eq!(kind_of_name(Path::new(name)), kind, "{name}");
        }
    }

    #[test]
    fn parts_in_the_order_of_their_numbers() {
        let mut names =
            ["p.10.csv", "p.9.csv", "p.2.csv", "a/2", "a/10", "p.002.csv", "p.csv", "q.1.csv"].map(Path::new);
        names.sort_by(|a, b| by_number(a, b));
        let expected = ["a/2", "a/10", "p.002.csv", "p.2.csv", "p.9.csv", "p.10.csv", "p.csv", "q.1.csv"];
        assert_eq!(names, expected.map(Path::new));
    }

    #[test]
    fn folders_add_columns() {
        assert_eq!(partition("dt=2024-01-01"), Some(("dt".into(), "2024-01-01".into())));
        assert_eq!(partition("city=S%C3%A3o%20Paulo"), Some(("city".into(), "São Paulo".into())));
        assert_eq!(partition("dt=__HIVE_DEFAULT_PARTITION__"), Some(("dt".into(), String::new())));
        assert_eq!(partition("plain"), None);
    }

    #[test]
    fn all_data_files_and_what_is_passed() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for name in [
            "b.csv",
            "sub/a.csv",
            "dt=1/hour=2/c.csv",
            ".hidden.csv",
            "_SUCCESS",
            "x.png",
            "README.txt",
            "out/dataset.json",
            "out/t.arrow",
        ] {
            write(name, "x");
        }
        write("zero.csv", "");
        let found = walk(dir.path()).unwrap();
        let relative = |path: &Path| path.strip_prefix(dir.path()).unwrap().to_string_lossy().into_owned();
        let files: Vec<_> = found.files.iter().map(|f| (relative(&f.path), f.constants.len())).collect();
        assert_eq!(files, [("b.csv".into(), 0), ("dt=1/hour=2/c.csv".into(), 2), ("sub/a.csv".into(), 0)]);
        let passed: Vec<_> = found.passed.iter().map(|(path, _)| relative(path)).collect();
        assert_eq!(passed, ["README.txt", "out", "x.png", "zero.csv"]);
        write("sub/a.csv.gz", "x");
        assert!(walk(dir.path()).unwrap_err().to_string().contains("look like one file"));
    }

    #[test]
    fn parts_without_an_ending() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["part-00000", "part-00001", "_SUCCESS"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        assert_eq!(walk(dir.path()).unwrap().files.len(), 2);
    }
}
