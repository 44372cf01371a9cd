//! What a training step asks of the driver, as the virtual GPU counts it. A real driver counts nothing.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tercel::train::train;

use super::{CUDA, fifty_steps, there};

/// Set in the processes that train and are counted: to the number of epochs.
const EPOCHS: &str = "TERCEL_TEST_EPOCHS";

/// What one step may ask of the driver: eight calls, and its share of what an epoch ends with.
const BUDGET: [(&str, f64); 5] = [
    ("driver_calls", 10.0),
    ("kernel_launches", 0.1),
    ("allocations", 0.1),
    ("copies_to_device", 1.1),
    ("synchronisations", 2.0),
];

/// Trains for some epochs in a process of its own; what that asked of the driver in all, and the steps.
fn counted(folder: &Path, epochs: u64) -> (f64, Value) {
    let report = folder.join(format!("{epochs}.jsonl"));
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "counts::a_step_stays_within_its_budget_of_driver_calls_cuda", "--nocapture"]);
    let output = again.env(EPOCHS, epochs.to_string()).env("VIRTUAL_GPU_REPORT", &report).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let steps = told.lines().find_map(|line| line.split_once("steps: ")).expect("the process tells its steps").1;
    let lines = std::fs::read_to_string(report).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let exit = lines.rev().find(|line| line["kind"] == "exit").expect("the process came to its end");
    (steps.trim().parse().unwrap(), exit["counts"].clone())
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
    let ((few, start), (many, all)) = (counted(folder.path(), 1), counted(folder.path(), 3));
    let mut over = Vec::new();
    for (name, budget) in BUDGET {
        let number = |of: &Value| of[name].as_f64().expect("the driver counts it");
        let found = (number(&all) - number(&start)) / (many - few);
        println!("{name}: {found:.2} a step, {budget} allowed");
        if found > budget {
            over.push(name);
        }
    }
    assert!(over.is_empty(), "over the budget: {over:?}");
}
