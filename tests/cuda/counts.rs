//! What a training step and an evaluation ask of the driver, as the virtual GPU counts it. A real driver counts nothing.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tercel::data::dataset::{Dataset, Split};
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::eval::{EvaluateOptions, evaluate};
use tercel::index::{Found, Lists, Ranker, UserBlock};
use tercel::train::train;
use tercel::{Config, Device, Model};

use super::{CUDA, fifty_steps, there};

/// Set in the processes that train and are counted: to the number of epochs.
const EPOCHS: &str = "TERCEL_TEST_EPOCHS";
/// Set in the processes that evaluate: to how often, and how.
const EVALUATIONS: &str = "TERCEL_TEST_EVALUATIONS";
/// Set in all of them: to the folder of the process that started them.
const FOLDER: &str = "TERCEL_TEST_FOLDER";

/// What one step may ask of the driver: eight calls, and its share of what an epoch ends with.
const BUDGET: [(&str, f64); 5] = [
    ("driver_calls", 10.0),
    ("kernel_launches", 0.1),
    ("allocations", 0.1),
    ("copies_to_device", 1.1),
    ("synchronisations", 2.0),
];

/// Runs `test` in a process of its own, with this variable set; what it told, and what that asked of the driver in all.
fn counted(test: &str, (name, value): (&str, &str), folder: &Path) -> (String, Value) {
    let report = folder.join(format!("{}.jsonl", value.replace(' ', "-")));
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]);
    let output = again.env(name, value).env(FOLDER, folder).env("VIRTUAL_GPU_REPORT", &report).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::fs::read_to_string(report).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let exit = lines.rev().find(|line| line["kind"] == "exit").expect("the process came to its end");
    (told, exit["counts"].clone())
}

/// What one more of something asked of the driver.
fn more(name: &str, all: &Value, start: &Value) -> f64 {
    let number = |of: &Value| of[name].as_f64().expect("the driver counts it");
    number(all) - number(start)
}

/// What the process tells behind `name`.
fn told<'a>(name: &str, said: &'a str) -> &'a str {
    said.lines().find_map(|line| line.split_once(name)).expect("the process tells it").1.trim()
}

#[test]
fn a_step_stays_within_its_budget_of_driver_calls_cuda() {
    if !there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    if let Ok(epochs) = std::env::var(EPOCHS) {
        let (dataset, mut config) = fifty_steps(folder.path());
        (config.train.device, config.train.epochs) = (CUDA, Some(epochs.parse().unwrap()));
        let trained = train(&dataset, folder.path().join("model"), &config, false, &mut |_| {}).unwrap();
        return println!("steps: {}", trained.steps);
    }
    if std::env::var_os("VIRTUAL_GPU_REPORT").is_none() {
        return println!("skipped: only the virtual GPU counts");
    }
    // What a training begins and ends with is in both; what an epoch ends with is little beside its steps.
    let run = |epochs| {
        let test = "counts::a_step_stays_within_its_budget_of_driver_calls_cuda";
        let (said, counts) = counted(test, (EPOCHS, epochs), folder.path());
        (told("steps:", &said).parse::<f64>().unwrap(), counts)
    };
    let ((few, start), (many, all)) = (run("1"), run("3"));
    let mut over = Vec::new();
    for (name, budget) in BUDGET {
        let found = more(name, &all, &start) / (many - few);
        println!("{name}: {found:.2} a step, {budget} allowed");
        if found > budget {
            over.push(name);
        }
    }
    assert!(over.is_empty(), "over the budget: {over:?}");
}

/// A model that gives lists and counts nothing.
struct ListsAlone(Model);

impl Ranker for ListsAlone {
    fn history_len(&self) -> usize {
        self.0.history_len()
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> tercel::Result<Found> {
        self.0.top_k(users, k, skip)
    }
}

/// More items than are ranked without a scan.
const ITEMS: u64 = 2500;

/// A market of many items, and a model of it.
fn market(folder: &Path) -> Dataset {
    let mut csv = String::from("user,item,time\n");
    for row in 0..6000_u64 {
        let item = if row < ITEMS { row } else { row * 7919 % ITEMS };
        writeln!(csv, "u{},i{item},{}", row * 31 % 600, 1_600_000_000 + row).unwrap();
    }
    std::fs::write(folder.join("in.csv"), csv).unwrap();
    let config = IngestConfig { split: "last-per-user:2".parse().unwrap(), ..Default::default() };
    ingest(&[folder.join("in.csv")], &folder.join("data"), &config, &|_| {}).unwrap();
    let dataset = Dataset::open(folder.join("data")).unwrap();
    let mut config = Config::from_toml("[model]\ndim = 16\n[train]\nepochs = 1\nbatch_size = 512").unwrap();
    config.train.device = Device::Cpu;
    train(&dataset, folder.join("model"), &config, false, &mut |_| {}).unwrap();
    dataset
}

/// Evaluates on the device, by lists or by hits, so often, with so much memory for a block; tells the users, the blocks
/// and the last figures.
fn evaluate_as_told(folder: &Path, how: &str) {
    let [how, times, memory] = how.split(' ').collect::<Vec<_>>()[..] else { panic!("{how}") };
    let dataset = Dataset::open(folder.join("data")).unwrap();
    let mut ranker: Box<dyn Ranker> = match (Model::load(folder.join("model"), CUDA, 1).unwrap(), how) {
        (model, "hits") => Box::new(model),
        (model, _) => Box::new(ListsAlone(model)),
    };
    for _ in 0..times.parse().unwrap() {
        let options = EvaluateOptions::at(&[10, 20]).bootstrap(0, 0).memory(memory.parse().unwrap());
        let mut blocks = 0;
        let mut count = |_| {
            blocks += 1;
            Ok(())
        };
        let found = evaluate(&dataset, Split::Test, &mut *ranker, &options, &mut count).unwrap();
        let figures = serde_json::to_string(&found).unwrap();
        println!("users: {}\nblocks: {blocks}\nfigures: {figures}", found.users);
    }
}

#[test]
fn an_evaluation_brings_bits_to_the_host_and_no_lists_cuda() {
    if !there() {
        return;
    }
    if let Ok(how) = std::env::var(EVALUATIONS) {
        return evaluate_as_told(Path::new(&std::env::var_os(FOLDER).unwrap()), &how);
    }
    if std::env::var_os("VIRTUAL_GPU_REPORT").is_none() {
        return println!("skipped: only the virtual GPU counts");
    }
    let folder = tempfile::tempdir().unwrap();
    market(folder.path());
    // What opening a model and laying out its items take is in all, what an evaluation takes once in both of the others.
    let of = |how: &str| {
        let test = "counts::an_evaluation_brings_bits_to_the_host_and_no_lists_cuda";
        let run = |times: u32, memory: u64| {
            let (said, counts) = counted(test, (EVALUATIONS, &format!("{how} {times} {memory}")), folder.path());
            let number = |name| told(name, &said).parse::<f64>().unwrap();
            (number("users:"), number("blocks:"), told("figures:", &said).to_owned(), counts)
        };
        let ((_, one, _, start), (users, _, figures, twice)) = (run(1, 512 << 20), run(2, 512 << 20));
        let (_, many, cut, blocks) = run(1, 2 << 20);
        assert!(one == 1.0 && many > 5.0 && cut == figures);
        let bytes = more("bytes_to_host", &twice, &start);
        let of_block = |name| more(name, &blocks, &start) / (many - one);
        let block =
            ["driver_calls", "allocations", "copies_to_device", "copies_to_host", "synchronisations"].map(of_block);
        println!("{how}: {bytes} bytes come from {users} users; calls and more of a block: {block:.1?}");
        (users, bytes, block, figures)
    };
    let ((users, listed, [many, ..], lists), (_, counted, [few, allocations, _, _, waits], hits)) =
        (of("lists"), of("hits"));
    assert_eq!(hits, lists, "the same figures, to the bit");
    // A word of hits is what comes of a user's list of 20 items and scores. Once: where each item came first.
    assert_eq!(listed - counted, users * (20.0 * 8.0 - 4.0) - ITEMS as f64 * 4.0);
    // Beside the hits, a state.
    assert!(counted <= users * (4.0 + 4.0) + ITEMS as f64 * 4.0 + 4096.0);
    assert!(few < many + 3.0, "{few} calls of the driver a block, {many} by lists");
    assert!(allocations == 0.0 && waits < 1.5, "{allocations} allocations and {waits} waits a block");
}
