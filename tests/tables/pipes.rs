//! What can be read only once: standard input, named pipes, and a shell's `<(…)`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use super::contents::{Contents, Decoded};
use super::example::{arrow, batch, gzip, integers, parquet, stream, texts};
use crate::support::{Run, command, tercel};

/// Many more rows than a buffer holds; ids of several lengths, so that every piece ends elsewhere.
fn log(rows: usize) -> (String, Vec<String>) {
    let pairs = (0..rows).map(|n| (format!("u{}", n * 7919 % 5003), format!("item-{}", n * 31 % 997)));
    let (mut text, mut expected) = (String::from("user_id,item_id\n"), Vec::new());
    for (user, item) in pairs {
        text += &format!("{user},{item}\n");
        expected.push(format!("{user} {item}"));
    }
    (text, expected)
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temp folder")
}

/// Makes a named pipe; bytes go into it in pieces of this size, as soon as somebody reads.
fn fifo(path: &Path, bytes: impl AsRef<[u8]>, piece: usize) -> JoinHandle<()> {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
    let (path, bytes) = (path.to_owned(), bytes.as_ref().to_vec());
    thread::spawn(move || {
        let mut out = OpenOptions::new().write(true).open(path).expect("a reader");
        for piece in bytes.chunks(piece) {
            if out.write_all(piece).is_err() {
                return;
            }
        }
    })
}

/// Runs with these bytes on standard input.
fn piped(at: &Path, arguments: &[&str], bytes: impl AsRef<[u8]>) -> Run {
    let mut child = command(at, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    let bytes = bytes.as_ref().to_vec();
    let writer = thread::spawn(move || {
        bytes.chunks(4099).try_for_each(|piece| input.write_all(piece)).ok();
    });
    let run = child.wait_with_output().expect("it ends").into();
    writer.join().expect("written");
    run
}

#[track_caller]
fn read(at: &Path, run: &Run) -> Contents {
    assert_eq!(run.code, 0, "{}", run.stderr);
    Contents::read(&at.join("data"))
}

#[track_caller]
fn one_line(run: &Run, words: &[&str]) {
    assert!([2, 3].contains(&run.code), "exit code {}: {}{}", run.code, run.stdout, run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    words.iter().for_each(|word| assert!(run.stderr.contains(word), "`{word}` is not in: {}", run.stderr));
}

#[test]
fn standard_input_is_read_whole() {
    let (text, expected) = log(60_000);
    for name in ["-", "/dev/stdin", "/proc/self/fd/0", "/dev/fd/0"] {
        let folder = temp();
        let run = piped(folder.path(), &["ingest", name, "--out", "data", "--format", "csv"], &text);
        let found = read(folder.path(), &run).rows;
        assert!(found == expected, "{name}: {} of {} rows, last {:?}", found.len(), expected.len(), found.last());
    }
    // Packed, as lines of JSON, as a stream of Arrow.
    let jsonl: String = expected
        .iter()
        .map(|pair| pair.split_once(' ').expect("two"))
        .map(|(user, item)| format!("{{\"user_id\":\"{user}\",\"item_id\":\"{item}\"}}\n"))
        .collect();
    let column =
        |n: usize| texts(&expected.iter().map(|pair| pair.split(' ').nth(n).expect("two")).collect::<Vec<_>>());
    let table = batch(vec![("user_id", column(0)), ("item_id", column(1))]);
    for (format, bytes) in [
        ("csv", gzip(&text)),
        ("csv", zstd::encode_all(text.as_bytes(), 1).expect("packed")),
        ("csv", text.replace(',', "\t").into_bytes()),
        ("csv", jsonl.clone().into_bytes()),
        ("csv", gzip(jsonl)),
        ("arrow", stream(&table)),
    ] {
        let folder = temp();
        let run = piped(folder.path(), &["ingest", "-", "--out", "data", "--format", format], bytes);
        assert!(read(folder.path(), &run).rows == expected, "{format}");
    }
    // What is read from its end is read, or refused in a line.
    for (format, bytes) in [("parquet", parquet(&table)), ("arrow", arrow(&table))] {
        let folder = temp();
        let run = piped(folder.path(), &["ingest", "-", "--out", "data", "--format", format], bytes);
        if run.code == 0 {
            assert!(read(folder.path(), &run).rows == expected, "{format}");
        } else {
            one_line(&run, &["pipe"]);
        }
    }
}

#[test]
fn a_pipe_needs_no_name() {
    // Its format is seen, or asked for; it is never misread.
    let (text, expected) = log(3000);
    for bytes in [text.clone().into_bytes(), gzip(&text), text.replace(',', ";").into_bytes()] {
        let folder = temp();
        let run = piped(folder.path(), &["ingest", "-", "--out", "data"], bytes);
        if run.code == 0 {
            assert!(read(folder.path(), &run).rows == expected);
        } else {
            one_line(&run, &["--format"]);
        }
    }
    let folder = temp();
    one_line(&piped(folder.path(), &["ingest", "-", "--out", "data", "--format", "csv"], ""), &["empty"]);
    one_line(
        &piped(folder.path(), &["ingest", "-", "--out", "data", "--format", "csv"], "user_id,item_id\n"),
        &["no rows"],
    );
    let bad = piped(folder.path(), &["ingest", "-", "--out", "data", "--format", "csv"], "user_id,item_id\na,x\n,y\n");
    one_line(&bad, &["row 3", "user_id"]);
}

#[test]
fn named_pipes_with_any_ending() {
    let (text, expected) = log(60_000);
    for (name, bytes, piece) in [
        ("log.csv", text.clone().into_bytes(), 997),
        ("log.csv.gz", gzip(&text), 4099),
        ("log.tsv", text.replace(',', "\t").into_bytes(), 65_536),
        ("log.csv", text.trim_end().as_bytes().to_vec(), 1 << 20), // no line feed at the end
    ] {
        let folder = temp();
        let feeding = fifo(&folder.path().join(name), bytes, piece);
        let run = tercel(folder.path(), &["ingest", name, "--out", "data"]);
        assert!(read(folder.path(), &run).rows == expected, "{name}, pieces of {piece}");
        feeding.join().expect("all was read");
    }
}

#[test]
fn slow_writers() {
    // Byte by byte, and pauses inside of an id, of a letter, of a quote and of a line's end.
    let folder = temp();
    let path = folder.path().join("log.csv");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let feeding = thread::spawn(move || {
        let mut out = OpenOptions::new().write(true).open(path).expect("a reader");
        for piece in [&b"user_id,it"[..], b"em_id\r", b"\n\xc3", b"\xbcnal,\"x\"", b"\"y\"\r\n", b"12", b"34,", b"5"] {
            out.write_all(piece).expect("written");
            thread::sleep(std::time::Duration::from_millis(30));
        }
    });
    let run = tercel(folder.path(), &["ingest", "log.csv", "--out", "data"]);
    assert_eq!(read(folder.path(), &run).rows, ["ünal x\"y", "1234 5"]);
    feeding.join().expect("all was read");
}

#[test]
fn feature_files_come_through_pipes() {
    let (text, expected) = log(20_000);
    let mut users = String::from("age,user_id,colour\n");
    (0..5003).for_each(|n| users += &format!("{},u{n},{}\n", n % 90, ["red", "blue"][n % 2]));
    let table = batch(vec![
        (
            "item_id",
            texts(
                &(0..997)
                    .map(|n| format!("item-{n}"))
                    .collect::<Vec<_>>()
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            ),
        ),
        ("size", integers(&(0..997).map(|n| n % 5).collect::<Vec<_>>())),
    ]);
    let colour = |contents: &Contents, user: &str| contents.users.values[user]["colour"].clone();
    let size = |contents: &Contents, item: &str| contents.items.values[item]["size"].clone();
    let check = |contents: &Contents| {
        assert!(contents.rows == expected);
        assert_eq!(colour(contents, "u0"), Decoded::Text("red".into()));
        assert_eq!(colour(contents, "u5001"), Decoded::Text("blue".into()));
    };
    // Users by named pipe, packed or not; items as a stream of Arrow.
    for (name, bytes) in [("users.csv", users.clone().into_bytes()), ("users.csv.gz", gzip(&users))] {
        let folder = temp();
        fs::write(folder.path().join("log.csv"), &text).expect("written");
        let feeding = fifo(&folder.path().join(name), bytes, 1013);
        let items = fifo(&folder.path().join("items.arrows"), stream(&table), 1013);
        let arguments =
            ["ingest", "log.csv", "--out", "data", "--user-features", name, "--item-features", "items.arrows"];
        let contents = read(folder.path(), &tercel(folder.path(), &arguments));
        check(&contents);
        assert_eq!(size(&contents, "item-993"), Decoded::Text("3".into()));
        feeding.join().expect("all was read");
        items.join().expect("all was read");
    }
    // Users by standard input, and everything by pipes at once.
    for name in ["-", "/dev/stdin"] {
        let folder = temp();
        let rows = fifo(&folder.path().join("log.csv"), &text, 65_536);
        let run = piped(folder.path(), &["ingest", "log.csv", "--out", "data", "--user-features", name], &users);
        check(&read(folder.path(), &run));
        rows.join().expect("all was read");
    }
    // By convention beside a pipe there is nothing to find, and two inputs cannot share one.
    let folder = temp();
    let run = piped(folder.path(), &["ingest", "-", "--out", "data", "--format", "csv", "--user-features", "-"], &text);
    one_line(&run, &["standard input"]);
    let run = piped(folder.path(), &["ingest", "-", "/dev/stdin", "--out", "data", "--format", "csv"], &text);
    if run.code == 0 {
        assert!(read(folder.path(), &run).rows == expected);
    } else {
        one_line(&run, &["standard input"]);
    }
}

#[test]
fn held_out_rows_come_through_pipes() {
    let folder = temp();
    let at = folder.path();
    fs::write(at.join("train.csv"), "user_id,item_id\na,x\nb,y\n").expect("written");
    let valid = fifo(&at.join("valid.csv"), "user_id,item_id\na,y\n", 7);
    let arguments = ["ingest", "train.csv", "--out", "data", "--valid", "valid.csv", "--test", "-", "--format", "csv"];
    let run = piped(at, &arguments, "item_id,user_id\nx,b\n");
    assert_eq!(read(at, &run).rows, ["a x", "b y", "valid: a y", "test: b x"]);
    valid.join().expect("all was read");
}

#[test]
fn a_shells_own_pipes() {
    let (text, expected) = log(30_000);
    let folder = temp();
    let at = folder.path();
    fs::write(at.join("log.csv.gz"), gzip(text)).expect("written");
    fs::write(at.join("users.csv"), "user_id,colour\nu0,red\n#u1,blue\nu7,blue\n").expect("written");
    let script = "\"$0\" ingest <(zcat log.csv.gz) --format csv --user-features <(grep -v '#' users.csv) --out data";
    let bash = Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_tercel")]).current_dir(at).output();
    let run: Run = bash.expect("bash").into();
    let contents = read(at, &run);
    assert!(contents.rows == expected, "{} of {} rows", contents.rows.len(), expected.len());
    assert_eq!(contents.users.values["u7"]["colour"], Decoded::Text("blue".into()));
    // A writer that fails is no end of the data that anybody can see; what came is whole rows or an error.
    let script = "head -c 100003 <(zcat log.csv.gz) | \"$0\" ingest - --format csv --out part";
    let bash = Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_tercel")]).current_dir(at).output();
    let run: Run = bash.expect("bash").into();
    if run.code == 0 {
        let rows = Contents::read(&at.join("part")).rows;
        assert!(expected.starts_with(&rows[..rows.len() - 1]));
    }
}

#[test]
fn rows_of_a_pipe_can_be_skipped_and_named() {
    let (mut text, expected) = log(40_000);
    text += ",nobody\nu1,\"open\nu2,x\n";
    let folder = temp();
    let at = folder.path();
    let run = piped(at, &["ingest", "-", "--out", "data", "--format", "csv", "--on-error", "skip", "--json"], text);
    let contents = read(at, &run);
    assert!(contents.rows.len() >= expected.len() && contents.rows[..expected.len()] == expected[..]);
    assert!(run.stdout.contains("\"rejected\":2") || run.stdout.contains("\"rejected\":3"), "{}", run.stdout);
    let rejected = fs::read_to_string(at.join("data/rejected.csv")).expect("the rejected rows");
    assert!(rejected.contains("40002"), "{rejected}");
}
