//! Limits of the system: little memory, few threads. The command ends well or with one line, never by a signal of ours.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Output};

use tercel::data::ingest::{IngestConfig, ingest};
use tercel::index::item_index::IndexOptions;
use tercel::{Config, Dataset, Device, Evaluate, Export, Model, Recommend, Split};

use crate::alone;

fn rows(n: usize) -> String {
    let rows = (0..n).map(|n| format!("{},{},{}\n", n % 300, n / 300 * 7 % 90 + n % 11, 1_500_000_000 + n));
    "user,item,time\n".to_owned() + &rows.collect::<String>()
}

/// Runs the command under `limit` (`ulimit`'s words).
fn limited(folder: &Path, limit: &str, arguments: &str) -> Output {
    let line = format!("ulimit {limit} && exec \"$0\" {arguments}");
    let mut shell = Command::new("sh");
    shell.current_dir(folder).args(["-c", &line, env!("CARGO_BIN_EXE_tercel")]);
    shell.output().expect("a shell starts")
}

/// What is wrong with how it ended, if anything is: an error is one line. Where the very last bytes are gone, the C library
/// ends the program with a line of its own.
fn wrong(output: &Output) -> Option<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    let by_libc = errors.contains("Fatal glibc error: failed to register TLS destructor");
    let lines =
        !errors.is_empty() && errors.lines().all(|line| line.starts_with("error: ") || line.contains("Fatal glibc"));
    match output.status.code() {
        Some(0) if errors.is_empty() => None,
        Some(1 | 3) if lines && errors.lines().count() == 1 => None,
        None if lines && by_libc => None,
        _ => Some(format!("{:?}: {errors}", output.status)),
    }
}

#[test]
fn little_memory_ends_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("in.csv"), rows(20_000)).unwrap();
    let steps = [
        ("ingest in.csv --out data --split last-per-user:1 --quiet --threads 2", "data"),
        ("train --data data --out model --dim 16 --epochs 1 --batch-size 128 --quiet --threads 2", "model"),
        ("index --model model --quiet --threads 2", ""),
        ("recommend --model model --out top.csv --quiet --threads 2", "top.csv"),
        ("evaluate --model model --data data --quiet --threads 2", ""),
    ];
    // Kilobytes of addresses that the program itself takes: with fewer it is not even loaded.
    let starts = |limit: &u64| limited(at, &format!("-v {limit}"), "--version").status.success();
    let least = (20_000..).step_by(2_000).find(starts).unwrap();
    let (mut ran, mut refused) = (0, 0);
    let mut bad = Vec::new();
    for (step, made) in steps {
        for more in [0, 1_000, 2_000, 3_000, 5_000, 8_000, 13_000, 21_000, 34_000, 55_000, 89_000, 144_000] {
            let limit = least + more;
            // What a run that was refused leaves to be gone on with.
            let _ = std::fs::remove_dir_all(at.join(".model.training"));
            let output = limited(at, &format!("-v {limit}"), step);
            ran += 1;
            refused += usize::from(output.status.code() == Some(1));
            bad.extend(wrong(&output).map(|wrong| format!("{limit} kB, {step}: {wrong}")));
            if output.status.success() && ["data", "model", "top.csv"].contains(&made) {
                let made = at.join(made);
                let _ = std::fs::remove_dir_all(&made).or_else(|_| std::fs::remove_file(&made));
            }
        }
        let _ = std::fs::remove_dir_all(at.join(".model.training"));
        let output = limited(at, "-v unlimited", step);
        assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(bad.is_empty(), "{ran} runs:\n{}", bad.join("\n"));
    assert!(refused > 0 && ran > refused, "{ran} runs, {refused} refused: the limits are those that matter");
}

#[test]
fn threads_that_cannot_start_end_in_a_line() {
    // The limit of processes does not bind root: memory for their stacks does.
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("in.csv"), rows(6000)).unwrap();
    assert!(limited(at, "-v unlimited", "ingest in.csv --out data --split last-per-user:1 --quiet").status.success());
    let train = "train --data data --out model --dim 8 --epochs 1 --quiet --threads 1000";
    let output = limited(at, "-v 900000", train);
    let errors = String::from_utf8_lossy(&output.stderr);
    // A thread that has started may be the one that finds no memory.
    let said =
        ["cannot start ", "a thread could not start", "out of memory"].iter().any(|words| errors.contains(words));
    assert!(output.status.code() != Some(0) && said, "{errors}");
    assert_eq!(wrong(&output), None);
}

/// Says that a process is [`child_with_a_global_pool`]'s.
const ALONE: &str = "TERCEL_TEST_GLOBAL_POOL";

/// Does nothing by itself: [`the_global_pool_of_threads_is_never_used`] runs it in a process whose pool nobody else uses.
#[test]
fn child_with_a_global_pool() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("in.csv"), rows(6000)).unwrap();
    let config = IngestConfig { split: "last-per-user:1".parse().unwrap(), ..Default::default() };
    ingest(&[at("in.csv")], &at("data"), &config, &|_| {}).unwrap();
    let dataset = Dataset::open(at("data")).unwrap();
    let mut config = Config::from_toml("[model]\ndim = 8\n[train]\nbatch_size = 256\nepochs = 1").unwrap();
    config.train.device = Device::Cpu;
    tercel::train::train(&dataset, at("model"), &config, false, &mut |_| {}).unwrap();
    let mut model = Model::open(at("model"), Device::Cpu).unwrap();
    model.evaluate(Evaluate::split(Split::Test), &dataset).unwrap();
    model.recommend(Recommend::top(5).seen(&dataset)).write(at("top.csv")).unwrap();
    let mut index = model.index(&IndexOptions::approx(0.9)).unwrap();
    index.save(&at("items.index")).unwrap();
    tercel::Index::open(&at("items.index"), Device::Cpu, 0).unwrap();
    model.export(Export::items([at("items.usearch"), at("items.npy")])).unwrap();
    let config = tercel::synth::hm::HmConfig { scale: 0.0001, ..Default::default() };
    tercel::synth::hm::write(&at("hm"), &config, &|_, _| {}).unwrap();
    // It can be set up once only, and is set up by its first use.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("nothing has used the global pool");
}

#[test]
fn the_global_pool_of_threads_is_never_used() {
    let done = alone::output(alone::command("", module_path!(), "child_with_a_global_pool").env(ALONE, "1"));
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&done.stderr));
}
