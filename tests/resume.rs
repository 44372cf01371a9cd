//! A training run that is killed again and again ends bit for bit where the unbroken run ends.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tercel::data::ingest::{IngestConfig, ingest};

/// A shop with tastes: users of one kind buy items of that kind.
fn dataset(folder: &Path) {
    let mut csv = String::from("user,item,time,weight\n");
    let mut state = 1u64;
    for row in 0..6_000u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (user, pick) = ((state >> 33) % 150, (state >> 45) % 40);
        let item = (user % 4) * 40 + pick;
        csv += &format!("u{user},i{item},{},{}\n", 1_600_000_000 + row * 600, 1 + row % 3);
    }
    let input = folder.join("purchases.csv");
    fs::write(&input, csv).unwrap();
    let config =
        IngestConfig { split: "last-per-user:2".parse().unwrap(), weight: Some("weight".into()), ..Default::default() };
    ingest(&[input], &folder.join("dataset"), &config, &|_| {}).unwrap();
}

fn config(folder: &Path, text: &str) {
    fs::write(folder.join("config.toml"), text).unwrap();
}

fn train(folder: &Path, out: &str, threads: usize) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tercel"))
        .args(["train", "--data"])
        .arg(folder.join("dataset"))
        .arg("--out")
        .arg(folder.join(out))
        .arg("--config")
        .arg(folder.join("config.toml"))
        .args(["--resume", "--device", "cpu", "--threads", &threads.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the run and kills it: once at each delay, then each time a checkpoint is being written, then lets it end.
fn train_with_kills(folder: &Path, out: &str) -> (u32, u32) {
    let (mut timed, mut mid_write) = (0, 0);
    for delay in [5, 20, 35, 50, 80, 120] {
        let mut child = train(folder, out, 2);
        std::thread::sleep(Duration::from_millis(delay));
        timed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for name in ["model.safetensors.new", "trainer.safetensors.new", "model.safetensors.new", "best.safetensors.new"] {
        let (mut child, begun) = (train(folder, out, 1), Instant::now());
        let draft = folder.join(format!(".{out}.training"));
        let path = draft.join(name);
        // What an earlier kill left behind must not count.
        let _ = fs::remove_file(draft.join("best.safetensors.new"));
        let left = fs::metadata(&path).and_then(|m| m.modified()).ok();
        while child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(20) {
            if fs::metadata(&path).and_then(|m| m.modified()).ok() > left {
                mid_write += 1;
                assert!(!folder.join(out).exists(), "a model is there when it is finished, not before");
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    finish(train(folder, out, 2));
    (timed, mid_write)
}

fn same_files(folder: &Path, a: &str, b: &str) {
    for name in ["model.safetensors", "trainer.safetensors", "metrics.json"] {
        let [x, y] = [a, b].map(|out| fs::read(folder.join(out).join(name)).unwrap());
        assert!(x == y, "{name} differs between {a} and {b}");
    }
}

fn killed_run_equals_unbroken_run(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    config(folder.path(), text);
    finish(train(folder.path(), "straight", 1));
    let (timed, mid_write) = train_with_kills(folder.path(), "killed");
    assert!(timed >= 1, "no run was still alive when it should have been killed");
    assert!(mid_write >= 2, "only {mid_write} kills fell into the writing of a checkpoint");
    same_files(folder.path(), "straight", "killed");
}

#[test]
fn adam_with_history_queue_and_early_stopping() {
    killed_run_equals_unbroken_run(
        r#"
[model]
dim = 32
learn_temperature = true
user = { history = 5 }
[loss]
negatives = "cross-batch:100"
logq = "streaming"
mask_known_positives = true
top_k = 5
[train]
epochs = 4
batch_size = 32
checkpoint_every = 3
early_stop = "ndcg@10,2"
"#,
    );
}

#[test]
fn rowwise_adagrad_on_bf16_tables_with_mlps() {
    killed_run_equals_unbroken_run(
        r#"
[model]
dim = 16
dtype = "bf16"
user = { combine = "concat", history = 4, mlp = [32] }
item = { mlp = [32] }
[loss]
negatives = "in-batch+uniform:50"
[optimizer]
name = "rowwise-adagrad"
lr = 0.05
clip_norm = 1.0
warmup_steps = 20
schedule = "cosine"
[train]
epochs = 3
batch_size = 32
checkpoint_every = 2
early_stop = "off"
"#,
    );
}
