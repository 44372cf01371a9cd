//! A mapped file that is cut while it is read ends the process with a line that names it, not with a signal.
#![cfg(target_os = "linux")]

use std::env;
use std::fs::{self, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tercel::data::shard::Shard;
use tercel::data::writer::ShardWriter;
use tercel::index::item_index::IndexOptions;
use tercel::{Device, Index};

use crate::alone;

/// Names the file that a child of these tests maps, cuts and reads.
const FILE: &str = "TERCEL_TEST_CUT_FILE";
/// What the child does before.
const BEFORE: &str = "TERCEL_TEST_BEFORE";

fn cut(path: &Path) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
}

/// Runs `name`, a test of this file that does nothing by itself, as a child that works on `file`.
fn child(name: &str, file: &Path, before: &str) -> Output {
    alone::output(alone::command("", module_path!(), name).env(FILE, file).env(BEFORE, before))
}

fn file_of_child() -> Option<PathBuf> {
    let file = env::var_os(FILE)?;
    if env::var_os(BEFORE).is_some_and(|before| before == "install") {
        tercel::mapped::exit_on_cut_files().unwrap();
    }
    Some(file.into())
}

#[test]
fn child_reads_a_shard() {
    let Some(file) = file_of_child() else { return };
    let shard = Shard::open(&file).unwrap();
    cut(&file);
    // SIGBUS here.
    let sum: u32 = shard.block(0).unwrap().users.iter().sum();
    panic!("the cut file was read: {sum}");
}

#[test]
fn child_searches_an_index() {
    let Some(file) = file_of_child() else { return };
    let index = Index::open(&file, Device::Cpu, 1).unwrap();
    cut(&file);
    let found = index.search(&[1.0; 8], 3, &Default::default()).unwrap();
    panic!("the cut file was read: {found:?}");
}

#[test]
fn child_is_sent_the_signal() {
    let Some(file) = file_of_child() else { return };
    let _mapped = Shard::open(&file).unwrap();
    // What somebody sends is no cut file.
    // Rust's own handler, which was there before, takes the first one it gets for the sign of a fault that will come again.
    for _ in 0..3 {
        let _ = Command::new("kill").args(["-BUS", &std::process::id().to_string()]).status();
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the signal was lost");
}

fn shard(folder: &Path) -> PathBuf {
    let mut writer = ShardWriter::create(folder, "train", false, false);
    let numbers: Vec<u32> = (0..10_000).collect();
    writer.push(&numbers, &numbers, &[], &[]).unwrap();
    let files = writer.finish().unwrap();
    // In one line, whatever the name.
    let path = folder.join("a\nb.arrow");
    fs::rename(folder.join(&files[0].name), &path).unwrap();
    path
}

fn index(folder: &Path) -> PathBuf {
    let path = folder.join("items.index");
    let vectors = (0..8 * 2000).map(|n| (n % 97) as f32 - 48.0).collect();
    Index::build(vectors, 8, None, None, &IndexOptions::exact()).unwrap().save(&path).unwrap();
    path
}

/// One line that names the file, and exit code 3.
fn left_with_a_line(output: &Output, name: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{:?} {errors}", output.status);
    let lines: Vec<&str> = errors.lines().filter(|line| !line.is_empty()).collect();
    let [line] = lines[..] else { panic!("one line: {errors}") };
    assert!(line.starts_with("error: ") && line.contains(name) && line.contains("by rename"), "{line}");
}

#[test]
fn a_shard_that_is_cut_is_named() {
    let folder = tempfile::tempdir().unwrap();
    left_with_a_line(&child("child_reads_a_shard", &shard(folder.path()), "install"), "a?b.arrow: was cut");
}

#[test]
fn an_index_that_is_cut_is_named() {
    let folder = tempfile::tempdir().unwrap();
    left_with_a_line(&child("child_searches_an_index", &index(folder.path()), "install"), "items.index: was cut");
}

#[test]
fn without_the_handler_the_signal_kills() {
    let folder = tempfile::tempdir().unwrap();
    let output = child("child_reads_a_shard", &shard(folder.path()), "");
    assert_eq!(output.status.signal(), Some(7), "the test cuts what is being read: {output:?}");
}

#[test]
fn a_signal_that_was_sent_goes_to_whoever_had_it_before() {
    let folder = tempfile::tempdir().unwrap();
    let output = child("child_is_sent_the_signal", &shard(folder.path()), "install");
    assert_eq!(output.status.signal(), Some(7), "{output:?}");
}

#[test]
fn an_index_that_is_read_into_memory_outlives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = index(folder.path());
    let (mapped, read) = (Index::open(&path, Device::Cpu, 1).unwrap(), Index::read(&path, Device::Cpu, 1).unwrap());
    let expected = mapped.search(&[0.5; 8], 5, &Default::default()).unwrap();
    drop(mapped);
    cut(&path);
    assert_eq!(read.search(&[0.5; 8], 5, &Default::default()).unwrap(), expected);
}

/// The command, cut while it trains: by the handler or by a check of the file's length, always with a line.
#[test]
fn the_command_leaves_with_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..200_000).map(|n| format!("{},{},{}\n", n % 997, n * 7 % 499, 1_500_000_000 + n)).collect();
    fs::write(at.join("in.csv"), format!("user,item,time\n{rows}")).unwrap();
    let tercel = |args: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tercel"));
        command.current_dir(at).args(args.split(' ')).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    assert!(tercel("ingest in.csv --out data --split none --quiet").wait().unwrap().success());
    let mut child = tercel("train --data data --out model --epochs 1000 --dim 8 --quiet");
    let maps = format!("/proc/{}/maps", child.id());
    let begun = Instant::now();
    while !fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("train-00000.arrow")) {
        assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(), "it maps its shard");
    }
    cut(&at.join("data/train-00000.arrow"));
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{:?} {errors}", output.status);
    assert!(errors.lines().count() == 1 && errors.contains("train-00000.arrow"), "{errors}");
}
