//! The dataset's folder: the same bytes for any number of threads, whole or not there.

use std::fs;

use tercel::data::dataset::Split;
use tercel::data::ingest::OnError;

use super::support::{Case, config, files, names};
#[cfg(unix)]
use crate::alone;

#[test]
fn one_thread_or_four_the_same_bytes() {
    // Several pieces of text, quotes over line ends, and rows that cannot be read.
    let mut text = String::from("user,item,time,stars,note\n");
    for n in 0u64..90_000 {
        let user = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50;
        let note =
            if n % 7 == 0 { "\"a \"\"b\"\"\nc\"" } else { "some more text, so that there are pieces".split_at(9).0 };
        let time = if n % 1009 == 3 { "never".into() } else { (n * 37 % 100_000).to_string() };
        text += &format!("user-{user:x},{},{time},{}.5,{note}\n", n * n % 997, n % 5);
    }
    assert!(text.len() > 2 << 20);
    let case = Case::with("a.csv", &text);
    case.write("users.csv", (0..9000u64).map(|n| format!("user-{n:x},{},c{}\n", n % 90, n % 11)).collect::<String>());
    let run = |threads| {
        let opened = case.open(
            "a.csv",
            &config(|c| {
                (c.threads, c.on_error, c.weight) = (threads, OnError::Skip, Some("stars".into()));
                c.split = "last-per-user:2".parse().unwrap();
                (c.min_count.user, c.min_count.item, c.keep_below_min_count) = (2, 3, true);
                c.user_features = Some(
                    case.write("u.csv", format!("user,n,c\n{}", fs::read_to_string(case.path("users.csv")).unwrap())),
                );
            }),
        );
        assert_eq!(opened.summary.rejected, 90);
        files(&case.out())
    };
    let one = run(1);
    assert!(one.contains_key("rejected.csv") && one.contains_key("users-unseen.arrow"));
    for threads in [2, 4] {
        let other = run(threads);
        assert!(
            one == other,
            "{:?} differ",
            one.keys().filter(|name| one.get(*name) != other.get(*name)).collect::<Vec<_>>()
        );
    }
}

#[test]
fn rejected_rows_are_written() {
    let case = Case::with("a.csv", b"user,item,time\na,x,1\n,y,2\nc,x,soon\nd,\"y\",5,6\ne,\xff,1\nb,\"z,3\n f,x,-7");
    let opened = case.open("a.csv", &config(|c| c.on_error = OnError::Skip));
    assert_eq!(opened.pairs(Split::Train), ["a x", " f x"]);
    assert_eq!(opened.summary.rejected, 5);
    let mut reader = csv::Reader::from_path(case.out().join("rejected.csv")).unwrap();
    assert_eq!(reader.headers().unwrap(), vec!["file", "row", "column", "reason", "line"]);
    let file = case.path("a.csv").display().to_string();
    let found: Vec<Vec<String>> =
        reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect::<Vec<_>>()).collect();
    let expected = [
        ["3", "user", "is empty; an id is required", ",y,2"],
        [
            "4",
            "time",
            "`soon` is not a time; YYYY-MM-DD, YYYY-MM-DD HH:MM[:SS] and epoch integers are read (time_format=\"%d/%m/%Y\", say, reads other forms)",
            "c,x,soon",
        ],
        [
            "5",
            "time",
            "the row has 4 values instead of 3; a value that contains the separator must be quoted (and quote=\" given where tabs or :: separate)",
            "d,\"y\",5,6",
        ],
        ["6", "item", "`\u{fffd}` is not UTF-8 (byte 1 of the value)", "e,\u{fffd},1"],
        ["7", "item", "the quote that opens here is never closed", "b,\"z,3"],
    ];
    let expected: Vec<Vec<String>> = expected
        .iter()
        .map(|row| [&[file.as_str()], &row[..]].concat().iter().map(|s| s.to_string()).collect())
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_dataset_is_replaced_and_nothing_else() {
    let case = Case::with("a.csv", "user,item\na,x\n,\n");
    case.write("b.csv", "user,item\nb,y\n");
    fs::create_dir(case.out()).unwrap();
    case.open("a.csv", &config(|c| c.on_error = OnError::Skip));
    assert!(case.out().join("rejected.csv").exists());
    let opened = case.open("b.csv", &config(|_| {}));
    assert_eq!(opened.pairs(Split::Train), ["b y"]);
    assert_eq!(
        names(&case.out()),
        ["dataset.json", "history.arrow", "items.arrow", "train-00000.arrow", "users.arrow"]
    );
    assert_eq!(names(case.dir.path()), ["a.csv", "b.csv", "out"]);
    // A failed run leaves the dataset as it was.
    case.write("b.csv", "user,item\nb,\n");
    case.error("b.csv", &config(|_| {}));
    assert_eq!(files(&case.out()).len(), 5);
    // A file of somebody else's is not removed.
    case.write("out/notes.txt", "mine");
    let (error, code) = case.error("a.csv", &config(|_| {}));
    assert_eq!(
        error,
        "out: is a dataset that would be replaced, but `notes.txt` in it is not part of it; move that elsewhere"
            .replace("out:", &format!("{}:", case.out().display()))
            .replace(&format!("{}/", case.dir.path().display()), "")
    );
    assert_eq!(code, 3);
    let other = Case::with("a.csv", "user,item\na,x\n");
    other.write("out/something", "mine");
    assert!(other.error("a.csv", &config(|_| {})).0.contains("is not empty and not a dataset"));
    let file = Case::with("a.csv", "user,item\na,x\n");
    file.write("out", "mine");
    assert!(file.error("a.csv", &config(|_| {})).0.contains("is a file; a dataset must be a folder"));
}

#[test]
fn progress_reaches_the_end() {
    let case = Case::with("a.csv", "user,item\na,x\nb,y\n");
    let seen = std::sync::Mutex::new(Vec::new());
    let inputs = [case.path("a.csv")];
    tercel::data::ingest::ingest(&inputs, &case.out(), &config(|_| {}), &|p| seen.lock().unwrap().push(p)).unwrap();
    let seen = seen.into_inner().unwrap();
    let stages: Vec<_> = seen.iter().map(|p| p.stage.name()).collect();
    assert_eq!(stages, ["read", "count", "features", "write", "history"]);
    assert!(seen.iter().all(|p| (p.bytes, p.total_bytes) == (18, 18)));
    assert_eq!(seen[3].rows, 2);
}

/// Run again by `a_full_disk`, with a limit on the size of files.
#[test]
fn child_with_little_room() {
    let Some(dir) = std::env::var_os("TERCEL_TEST_LITTLE_ROOM") else { return };
    let dir = std::path::PathBuf::from(dir);
    let run = |out| tercel::data::ingest::ingest(&[dir.join("a.csv")], &dir.join(out), &config(|_| {}), &|_| {});
    let error = run("out").unwrap_err();
    assert!(matches!(&error, tercel::Error::Io { path, .. } if path.starts_with(&dir)), "{error}");
    assert_eq!(error.exit_code(), 1);
    println!("it said: {error}");
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_last_dataset() {
    let text: String = (0..40_000).map(|n| format!("{n},{}\n", n % 9)).collect();
    let case = Case::with("a.csv", "user,item\na,x\n");
    case.open("a.csv", &config(|_| {}));
    let before = files(&case.out());
    case.write("a.csv", format!("user,item\n{text}"));
    // A file may have 64 KiB; a write beyond is an error, as on a full disk, and no signal.
    let mut child = alone::command("trap '' XFSZ; ulimit -f 128;", module_path!(), "child_with_little_room");
    let child = alone::output(child.env("TERCEL_TEST_LITTLE_ROOM", case.dir.path()));
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("it said: "), "{said}{}", String::from_utf8_lossy(&child.stderr));
    assert_eq!(names(case.dir.path()), ["a.csv", "out"]);
    assert!(files(&case.out()) == before);
}
