//! What files held: the hash of their bytes, and what spares hashing them again.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tercel::{Error, Result};
use xxhash_rust::xxh3::Xxh3;

use crate::paths::recorded;

/// What a file held when it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    #[serde(with = "crate::paths")]
    pub path: PathBuf,
    pub bytes: u64,
    /// The xxh3-64 of its bytes, 16 hex digits; absent for a pipe, which can be read once only.
    pub xxh3: Option<String>,
    /// Where and when it was; absent where that proves nothing.
    place: Option<FilePlace>,
}

/// A file with the same place has the same bytes: whatever writes to it sets the time of its last change, which no
/// program can set back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "struct Place")]
struct FilePlace {
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    modified: [i64; 2],
    changed: [i64; 2],
}

/// Times of a file system may be this coarse: a file that was changed just now may be changed again under its time.
const COARSE: Duration = Duration::from_secs(3);

impl Stamp {
    /// Asks the file, and reads it unless it is as `before` has it.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path.
    pub fn take(path: &Path, before: Option<&Stamp>) -> Result<Stamp> {
        Stamp::take_at(path, before, SystemTime::now())
    }

    fn take_at(path: &Path, before: Option<&Stamp>, now: SystemTime) -> Result<Stamp> {
        let io = |e| Error::io(path, e);
        if is_pipe(path) {
            return Ok(Stamp { path: path.into(), bytes: 0, xxh3: None, place: None });
        }
        let about = std::fs::metadata(path).map_err(io)?;
        let (bytes, place) = (about.len(), FilePlace::at(&about, now));
        if let Some(before) = before
            && before.place.is_some()
            && (before.bytes, &before.place) == (bytes, &place)
        {
            return Ok(Stamp { path: path.into(), ..before.clone() });
        }
        let (xxh3, read) = hash(path)?;
        let place = if read == bytes && FilePlace::at(&std::fs::metadata(path).map_err(io)?, now) == place {
            place
        } else {
            None
        };
        Ok(Stamp { path: path.into(), bytes: read, xxh3: Some(xxh3), place })
    }

    /// [`take`](Stamp::take) of many; `before` is what is on record.
    pub fn all(paths: &[PathBuf], before: &[Stamp]) -> Result<Vec<Stamp>> {
        let known = by_path(before);
        paths.iter().map(|path| Stamp::take(path, known.get(path.as_path()).copied())).collect()
    }

    /// Whether it is of a pipe.
    pub fn is_pipe(&self) -> bool {
        self.xxh3.is_none()
    }
}

/// Whether a path is a pipe, a terminal or the standard input: what it held cannot be asked a second time.
pub fn is_pipe(path: &Path) -> bool {
    path == Path::new("-") || std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

/// What a stage's key takes of files: their names and what they held.
pub fn contents(stamps: &[Stamp]) -> serde_json::Value {
    stamps.iter().map(|stamp| serde_json::json!([recorded(&stamp.path), stamp.xxh3])).collect()
}

/// The first difference between the files on record and those of today, in words.
pub fn difference(before: &[Stamp], today: &[Stamp]) -> Option<String> {
    let old = by_path(before);
    for stamp in today {
        match old.get(stamp.path.as_path()) {
            None => return Some(format!("{} is new", stamp.path.display())),
            Some(old) if old.xxh3 != stamp.xxh3 => return Some(format!("{} has changed", stamp.path.display())),
            Some(_) => {}
        }
    }
    let new = by_path(today);
    let gone = before.iter().find(|stamp| !new.contains_key(stamp.path.as_path()))?;
    Some(format!("{} is gone", gone.path.display()))
}

fn by_path(stamps: &[Stamp]) -> HashMap<&Path, &Stamp> {
    stamps.iter().map(|stamp| (stamp.path.as_path(), stamp)).collect()
}

/// The hash of a file's bytes, and how many there were.
fn hash(path: &Path) -> Result<(String, u64)> {
    let io = |e| Error::io(path, e);
    let mut file = File::open(path).map_err(io)?;
    let (mut hasher, mut buffer, mut bytes) = (Xxh3::new(), vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((format!("{:016x}", hasher.digest()), bytes)),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                bytes += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(io(e)),
        }
    }
}

impl FilePlace {
    /// Absent where the file was changed so lately that another change could bear the same time.
    #[cfg(unix)]
    fn at(about: &Metadata, now: SystemTime) -> Option<FilePlace> {
        use std::os::unix::fs::MetadataExt;
        let changed = UNIX_EPOCH + Duration::new(u64::try_from(about.ctime()).ok()?, about.ctime_nsec() as u32);
        now.duration_since(changed).ok().filter(|age| *age > COARSE)?;
        Some(FilePlace {
            device: about.dev(),
            inode: about.ino(),
            modified: [about.mtime(), about.mtime_nsec()],
            changed: [about.ctime(), about.ctime_nsec()],
        })
    }

    #[cfg(not(unix))]
    fn at(_: &Metadata, _: SystemTime) -> Option<FilePlace> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn take(path: &Path) -> Stamp {
        Stamp::take(path, None).expect("a readable file")
    }

    /// As if the file had been left alone for longer than times are coarse.
    fn settled(stamp: &Stamp) -> Stamp {
        let about = fs::metadata(&stamp.path).expect("it is there");
        Stamp { place: FilePlace::at(&about, SystemTime::now() + 2 * COARSE), ..stamp.clone() }
    }

    #[test]
    fn the_bytes_decide_and_not_the_size_and_the_time() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let file = folder.path().join("a.csv");
        fs::write(&file, "user,item").expect("written");
        let time = fs::metadata(&file).and_then(|about| about.modified()).expect("a time");
        let before = settled(&take(&file));
        let later = SystemTime::now() + 2 * COARSE;
        assert_eq!(before.xxh3, Some(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(b"user,item"))));
        for (text, same) in [("item,user", false), ("user,item", true), ("user,item\n", false), ("", false)] {
            // The clock of a file system ticks a few times in this while.
            std::thread::sleep(Duration::from_millis(20));
            fs::write(&file, text).expect("written");
            fs::File::options().write(true).open(&file).and_then(|f| f.set_modified(time)).expect("set back");
            let now = Stamp::take_at(&file, Some(&before), later).expect("a readable file");
            assert_eq!(now.xxh3 == before.xxh3, same, "{text:?}");
            assert_eq!(difference(std::slice::from_ref(&before), &[now]).is_none(), same, "{text:?}");
        }
        assert_eq!(Stamp::take(&folder.path().join("b"), None).expect_err("no such file").exit_code(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_in_its_old_place_is_not_read_again() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let file = folder.path().join("a.csv");
        fs::write(&file, "user,item").expect("written");
        let young = take(&file);
        assert!(young.place.is_none(), "it could change again under the same time");
        let about = fs::metadata(&file).expect("it is there");
        let later = SystemTime::now() + 2 * COARSE;
        let known = Stamp { xxh3: Some("known".into()), ..settled(&young) };
        assert_eq!(Stamp::take_at(&file, Some(&known), later).expect("asked").xxh3, known.xxh3, "not read");
        // Another file in its place, of equal size and time.
        let other = folder.path().join("b.csv");
        fs::write(&other, "item,user").expect("written");
        let modified = about.modified().expect("a time");
        fs::File::options().write(true).open(&other).and_then(|f| f.set_modified(modified)).expect("set back");
        fs::rename(&other, &file).expect("renamed");
        assert_eq!(Stamp::take_at(&file, Some(&known), later).expect("asked").xxh3, take(&file).xxh3, "read");
        assert_ne!(take(&file).xxh3, young.xxh3);
    }

    #[test]
    fn differences_are_named() {
        let stamp =
            |path: &str, hash: &str| Stamp { path: path.into(), bytes: 1, xxh3: Some(hash.into()), place: None };
        let before = [stamp("a", "1"), stamp("b", "2")];
        let name = |today: &[Stamp]| difference(&before, today);
        assert_eq!(name(&before), None);
        assert_eq!(name(&[stamp("a", "1"), stamp("b", "3")]).as_deref(), Some("b has changed"));
        assert_eq!(name(&[stamp("b", "2")]).as_deref(), Some("a is gone"));
        assert_eq!(name(&[stamp("a", "1"), stamp("b", "2"), stamp("c", "2")]).as_deref(), Some("c is new"));
    }
}
