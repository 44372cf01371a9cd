//! The whole way on a CUDA device, beside the CPU: train, resume, evaluate, recommend.
//!
//! Without a device every test prints that it was skipped; with `REQUIRE_CUDA=1` that is a failure.

#[path = "cuda/counts.rs"]
mod counts;
#[path = "cuda/index.rs"]
mod index;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tercel::config::{Dtype, LogQ, Negatives, OptimizerKind, Precision};
use tercel::data::dataset::{Dataset, Split};
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::index::item_index::{IndexKind, IndexOptions};
use tercel::index::{Lists, Ranker, UserBlock};
use tercel::train::train;
use tercel::{Config, Device, Evaluate, Model, Recommend};

const CUDA: Device = Device::Cuda(0);

fn there() -> bool {
    match CUDA.resolve() {
        Ok(_) => true,
        Err(error) => {
            assert!(std::env::var_os("REQUIRE_CUDA").is_none_or(|value| value != "1"), "REQUIRE_CUDA=1, but: {error}");
            println!("skipped: no CUDA ({error})");
            false
        }
    }
}

/// A shop with four tastes: users of one kind buy items of that kind, some more often than others.
fn shop(folder: &Path, rows: u64) -> Dataset {
    let mut csv = String::from("user,item,time,weight\n");
    let mut state = 1u64;
    for row in 0..rows {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (user, pick) = ((state >> 33) % 150, ((state >> 45) % 40).min((state >> 55) % 40));
        let item = (user % 4) * 40 + pick;
        csv += &format!("u{user},i{item},{},{}\n", 1_600_000_000 + row * 600, 1 + row % 3);
    }
    let input = folder.join("purchases.csv");
    fs::write(&input, csv).unwrap();
    let config =
        IngestConfig { split: "last-per-user:2".parse().unwrap(), weight: Some("weight".into()), ..Default::default() };
    ingest(&[input], &folder.join("dataset"), &config, &|_| {}).unwrap();
    Dataset::open(folder.join("dataset")).unwrap()
}

/// Fifty steps of 64 rows.
fn fifty_steps(folder: &Path) -> (Dataset, Config) {
    let dataset = shop(folder, 4_000);
    let mut config = Config::default();
    config.model.dim = 32;
    config.train.batch_size = Some(64);
    config.train.epochs = Some(1);
    config.train.early_stop = Some(tercel::config::EarlyStopping::Off);
    config.optimizer.name = OptimizerKind::Adagrad;
    config.optimizer.lr = Some(0.1);
    (dataset, config)
}

fn trained(dataset: &Dataset, config: &Config, device: Device, out: &Path) -> PathBuf {
    let mut config = config.clone();
    config.train.device = device;
    let summary = train(dataset, out, &config, false, &mut |_| {}).unwrap();
    assert!(summary.loss.is_finite() && summary.steps >= 50, "{summary:?}");
    out.to_owned()
}

fn everyone(dataset: &Dataset, history: usize) -> UserBlock {
    let rows = dataset.manifest().users.rows;
    // The history of nobody: an empty list each.
    let history = (history > 0).then(|| Lists { offsets: vec![0; rows as usize + 1], values: Vec::new() });
    UserBlock { ids: (0..rows).collect(), features: Vec::new(), history }
}

/// All embeddings of a model, computed on `device`.
fn embeddings(dataset: &Dataset, model: &Path, device: Device) -> Vec<f32> {
    let mut model = Model::load(model, device, 1).unwrap();
    let items: Vec<u32> = (0..dataset.manifest().items.rows).collect();
    let mut all = model.embed_items(&items).unwrap().into_raw_vec_and_offset().0;
    let users = everyone(dataset, model.history_len());
    all.extend(model.embed_users(&users).unwrap());
    all
}

/// The distance of `found` from `expected`, relative to its length.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().all(|x| x.is_finite()));
    let square = |x: f64| x * x;
    let off: f64 = found.iter().zip(expected).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    (off / expected.iter().map(|&b| square(f64::from(b))).sum::<f64>()).sqrt()
}

fn recall(dataset: &Dataset, model: &Path, device: Device) -> f64 {
    let mut model = Model::load(model, device, 1).unwrap();
    let report = model.evaluate(Evaluate::split(Split::Test).k(&[20]).bootstrap(0, 0), dataset).unwrap();
    report.metrics.get("recall@20").unwrap().value
}

#[test]
fn fifty_steps_agree_with_the_cpu_cuda() {
    if !there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (dataset, base) = fifty_steps(folder.path());
    type Change = fn(&mut Config);
    // How far the embeddings of all users and items may be from the CPU's after fifty steps.
    let ways: [(&str, f64, Change); 8] = [
        ("fp32", 2e-4, |c| c.train.precision = Precision::Fp32),
        ("bf16 products", 2e-2, |_| {}),
        ("bf16 tables", 3e-2, |c| c.model.dtype = Dtype::Bf16),
        ("fp16 tables", 3e-2, |c| c.model.dtype = Dtype::Fp16),
        ("full catalogue, row-wise Adagrad", 2e-2, |c| {
            c.loss.negatives = Some(Negatives::Full);
            c.optimizer.name = OptimizerKind::RowwiseAdagrad;
        }),
        ("queue, known positives masked, corrected", 2e-2, |c| {
            c.loss.negatives = Some(Negatives::CrossBatch(100));
            c.loss.mask_known_positives = true;
            c.loss.logq = LogQ::Corrected;
        }),
        ("mixed negatives, SGD, clipped, learned temperature", 2e-2, |c| {
            c.loss.negatives = Some(Negatives::InBatchUniform(50));
            (c.optimizer.name, c.optimizer.lr) = (OptimizerKind::Sgd, Some(1.0));
            c.optimizer.clip_norm = Some(0.5);
            c.model.learn_temperature = true;
        }),
        ("MLP and history, fp32", 1e-3, |c| {
            c.train.precision = Precision::Fp32;
            c.model.user.mlp = vec![48];
            c.model.user.history = Some(5);
            c.model.item.mlp = vec![40];
        }),
    ];
    for (name, allowed, change) in ways {
        let mut config = base.clone();
        change(&mut config);
        let cpu = trained(&dataset, &config, Device::Cpu, &folder.path().join("cpu"));
        let cuda = trained(&dataset, &config, CUDA, &folder.path().join("cuda"));
        let (a, b) = (embeddings(&dataset, &cuda, Device::Cpu), embeddings(&dataset, &cpu, Device::Cpu));
        let off = distance(&a, &b);
        assert!(off <= allowed, "{name}: {off:e} from the CPU's embeddings, {allowed:e} allowed");
        let (on_cuda, on_cpu) = (recall(&dataset, &cuda, CUDA), recall(&dataset, &cpu, Device::Cpu));
        // Two users of 150 more or less; which products the processor rounds to bf16 may decide on them.
        assert!((on_cuda - on_cpu).abs() <= 2.0 / 150.0, "{name}: recall@20 {on_cuda} on CUDA, {on_cpu} on the CPU");
    }
}

#[test]
fn train_on_one_serve_on_the_other_cuda() {
    if !there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (dataset, mut config) = fifty_steps(folder.path());
    config.train.precision = Precision::Fp32;
    config.model.item.mlp = vec![40];
    for trained_on in [Device::Cpu, CUDA] {
        let model = trained(&dataset, &config, trained_on, &folder.path().join("model"));
        let (cpu, cuda) = (embeddings(&dataset, &model, Device::Cpu), embeddings(&dataset, &model, CUDA));
        let off = distance(&cuda, &cpu);
        assert!(off <= 2e-5, "trained on {trained_on}: {off:e} between the devices");
        let lists = |device| {
            let mut model = Model::load(&model, device, 1).unwrap();
            model.top_k(&everyone(&dataset, 0), 12, None).unwrap()
        };
        let (on_cuda, on_cpu) = (lists(CUDA), lists(Device::Cpu));
        let same = on_cuda.ids.iter().zip(&on_cpu.ids).filter(|(a, b)| a == b).count();
        assert!(same * 100 >= on_cpu.ids.len() * 99, "{same} of {} places are the same", on_cpu.ids.len());
        assert!(distance(&on_cuda.scores, &on_cpu.scores) <= 2e-5);
        // Through an index on the same device the users' vectors stay there: the same lists.
        let mut model = Model::load(&model, CUDA, 1).unwrap();
        let index = model.index(&IndexOptions::from(IndexKind::Exact)).unwrap();
        // Either way in blocks of a few users too, whose lists come when the next block is under way.
        let file = folder.path().join("lists.csv");
        let mut written = |request: Recommend<'_>| {
            model.recommend(request).write(&file).unwrap();
            fs::read(&file).unwrap()
        };
        let request = || Recommend::top(12).seen(&dataset);
        let scanned = written(request());
        assert!(written(request().memory(1 << 20)) == scanned);
        assert!(written(request().index(&index)) == scanned);
        assert!(written(request().index(&index).memory(1 << 20)) == scanned);
    }
}

#[test]
fn the_same_run_gives_the_same_bits_cuda() {
    if !there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (dataset, mut config) = fifty_steps(folder.path());
    config.model.dtype = Dtype::Bf16;
    config.optimizer.name = OptimizerKind::Adam;
    config.optimizer.lr = Some(0.01);
    let run = |out: &str| {
        let model = trained(&dataset, &config, CUDA, &folder.path().join(out));
        fs::read(model.join("model.safetensors")).unwrap()
    };
    assert!(run("once") == run("twice"));
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tercel"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    command
}

#[test]
fn a_killed_run_resumes_where_it_was_cuda() {
    if !there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path(), 4_000);
    let config = "[model]\ndim = 16\n[loss]\nnegatives = \"cross-batch:100\"\nlogq = \"streaming\"\n[train]\nepochs = 2\nbatch_size = 64\ncheckpoint_every = 7\nearly_stop = \"off\"\n";
    fs::write(folder.path().join("config.toml"), config).unwrap();
    let train = |out| {
        command(
            folder.path(),
            &[
                "train",
                "--data",
                "dataset",
                "--out",
                out,
                "--config",
                "config.toml",
                "--resume",
                "--device",
                "cuda:0",
                "--json",
            ],
        )
    };
    let unbroken = train("unbroken").output().unwrap();
    assert!(unbroken.status.success(), "{}", String::from_utf8_lossy(&unbroken.stderr));
    // Killed right after its third checkpoint, and once more after two more.
    for checkpoints in [3, 2] {
        let mut child = train("broken").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen =
            lines.map_while(Result::ok).filter(|line| line.contains("\"event\":\"checkpoint\"")).take(checkpoints);
        assert_eq!(seen.count(), checkpoints, "the run ended too early to be killed");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let last = train("broken").output().unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    for file in ["model.safetensors", "trainer.safetensors"] {
        let read = |out: &str| fs::read(folder.path().join(out).join(file)).unwrap();
        assert!(read("broken") == read("unbroken"), "{file} differs");
    }
}

/// A copy of the demo's data with one household of `every`.
fn demo_sample(folder: &Path, every: u64) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/complete-journey");
    for name in ["households.csv", "products.csv.gz", "nightly.toml"] {
        fs::copy(from.join(name), folder.join(name)).unwrap();
    }
    let mut text = String::new();
    let packed = fs::File::open(from.join("transactions.csv.gz")).unwrap();
    flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let kept = |line: &&str| {
        let household = line.split(',').nth(1).and_then(|id| id.parse::<u64>().ok());
        household.is_none_or(|id| id % every == 0)
    };
    let sample: String = text.lines().filter(kept).flat_map(|line| [line, "\n"]).collect();
    let out = fs::File::create(folder.join("transactions.csv.gz")).unwrap();
    let mut out = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
    out.write_all(sample.as_bytes()).unwrap();
    out.finish().unwrap();
}

#[test]
fn the_demo_runs_on_a_sample_cuda() {
    if !there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    demo_sample(folder.path(), 100);
    let run = |device: &str| {
        let args = [
            "demo",
            "--data",
            ".",
            "--out",
            device,
            "--device",
            device,
            "--epochs",
            "1",
            "--batch-size",
            "128",
            "--dim",
            "32",
            "--json",
        ];
        let output = command(folder.path(), &args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let value = |text: &str| {
        let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let report = events.into_iter().find(|event| event["event"] == "evaluate").expect("an evaluation");
        report["metrics"]["recall@20"]["value"].as_f64().expect("a number")
    };
    let (cuda, cpu) = (value(&run("cuda:0")), value(&run("cpu")));
    assert!((cuda - cpu).abs() <= 0.005, "recall@20 {cuda} on CUDA, {cpu} on the CPU");
    assert!(folder.path().join("cuda:0/predictions.parquet").exists());
}
