//! Memory that is not there: the n-th allocation fails, for many n, in ingest, train, open, recommend and index.
//!
//! Each case runs in a process of its own, which is this binary again. Two sweeps: of allocations that the library tries
//! (`tried`: each must become an error of the library, in whatever thread), and of all of them, with the command's own
//! allocator (`any`: an error or its line). Neither may panic, abort or die of a signal, and stderr has one line. The sweep
//! is short; TERCEL_TEST_ALLOCATIONS=N tries about N allocations for each piece of work.
#![cfg(unix)]
#![allow(unsafe_code)]

#[path = "../src/bin/tercel/allocator.rs"]
mod allocator;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use tercel::data::ingest::{IngestConfig, ingest};
use tercel::index::item_index::IndexOptions;
use tercel::{Config, Dataset, Device, Evaluate, Index, Model, Recommend, Result, Split};

use allocator::OrExit;

#[global_allocator]
static MEMORY: OrExit<Failing> = OrExit(Failing);

/// Allocations that are still given; the next one is refused. Below 0: all are.
static LEFT: AtomicI64 = AtomicI64::new(-1);
/// Whether only those count that take a refusal for an answer.
static TRIED_ONLY: AtomicI64 = AtomicI64::new(0);
/// How many have counted.
static COUNTED: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, which refuses one allocation.
struct Failing;

impl Failing {
    fn refuses(&self) -> bool {
        if TRIED_ONLY.load(Relaxed) == 1 && !tercel::memory::is_tried() {
            return false;
        }
        COUNTED.fetch_add(1, Relaxed);
        LEFT.load(Relaxed) >= 0 && LEFT.fetch_sub(1, Relaxed) == 0
    }
}

// SAFETY: every call is passed on to the system's allocator as it came, or answered by null, which refuses.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about the layout.
        if self.refuses() { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about the layout.
        if self.refuses() { std::ptr::null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises about the block and both sizes.
        if self.refuses() { std::ptr::null_mut() } else { unsafe { System.realloc(block, layout, size) } }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about the block.
        unsafe { System.dealloc(block, layout) }
    }
}

const WORK: [&str; 6] = ["ingest", "train", "open", "recommend", "index", "evaluate"];

fn main() -> ExitCode {
    allocator::speak_of_threads_without_memory();
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next(), arguments.next(), arguments.next()) {
        (Some("child"), Some(work), Some(mode), Some(left)) => child(&work, &mode, left.parse().unwrap_or(-1)),
        _ => sweeps(),
    }
}

/// Does one piece of work in the folder where it is started, and refuses an allocation.
fn child(work: &str, mode: &str, left: i64) -> ExitCode {
    TRIED_ONLY.store(i64::from(mode == "tried"), Relaxed);
    COUNTED.store(0, Relaxed);
    LEFT.store(left, Relaxed);
    let done = perform(work);
    LEFT.store(-1, Relaxed);
    let counted = COUNTED.load(Relaxed);
    match done {
        Ok(()) => {
            println!("{counted}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn perform(work: &str) -> Result<()> {
    let (data, model) = (Path::new("data"), Path::new("model"));
    match work {
        "ingest" => {
            let config = IngestConfig { split: "last-per-user:1".parse()?, threads: 2, ..Default::default() };
            ingest(&["in.csv".into()], Path::new("data-out"), &config, &|_| {})?;
        }
        "train" => {
            let mut config = Config::from_toml(
                "[model]\ndim = 8\n[train]\nbatch_size = 256\nepochs = 2\nthreads = 2\nearly_stop = \"off\"",
            )?;
            config.train.device = Device::Cpu;
            tercel::train::train(&Dataset::open(data)?, "model-out", &config, false, &mut |_| {})?;
        }
        "open" => {
            Dataset::open(data)?.verify()?;
            Model::load(model, Device::Cpu, 2)?.history()?;
            Index::open(Path::new("items.index"), Device::Cpu, 2)?;
            Index::read(Path::new("items.index"), Device::Cpu, 2)?;
        }
        "recommend" => {
            let dataset = Dataset::open(data)?;
            Model::load(model, Device::Cpu, 2)?.recommend(Recommend::top(5).seen(&dataset)).write("out.csv")?;
        }
        "index" => {
            let mut index = Model::load(model, Device::Cpu, 2)?.index(&IndexOptions::approx(0.9).k(5))?;
            index.save(Path::new("index-out"))?;
        }
        _ => {
            let request = Evaluate::split(Split::Test).k(&[5]).bootstrap(20, 1);
            Model::load(model, Device::Cpu, 2)?.evaluate(request, &Dataset::open(data)?)?;
        }
    }
    Ok(())
}

/// Runs a child in `folder` and takes its outputs away.
fn run(folder: &Path, work: &str, mode: &str, left: i64) -> Output {
    for name in ["data-out", "model-out", ".model-out.training"] {
        let _ = std::fs::remove_dir_all(folder.join(name));
    }
    let program = std::env::current_exe().expect("this binary has a path");
    let mut command = Command::new(program);
    command.current_dir(folder).args(["child", work, mode, &left.to_string()]);
    command.output().expect("this binary starts")
}

fn sweeps() -> ExitCode {
    let folder = tempfile::tempdir().expect("a temp folder");
    let at = folder.path();
    let rows: String =
        (0..6000).map(|n| format!("{},{},{}\n", n % 300, n / 300 * 7 % 90 + n % 11, 1_500_000_000 + n)).collect();
    std::fs::write(at.join("in.csv"), format!("user,item,time\n{rows}")).expect("the folder can be written");
    let first = |work: &str, from: &str, to: &str| {
        let output = run(at, work, "any", -1);
        assert!(output.status.success(), "{work}: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::rename(at.join(from), at.join(to)).expect("it is there");
    };
    first("ingest", "data-out", "data");
    first("train", "model-out", "model");
    first("index", "index-out", "items.index");
    let cases: i64 = std::env::var("TERCEL_TEST_ALLOCATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let (mut ran, mut refused, mut bad) = (0, 0, Vec::new());
    for work in WORK {
        for mode in ["tried", "any"] {
            let whole = run(at, work, mode, -1);
            let counted: i64 = String::from_utf8_lossy(&whole.stdout).trim().parse().expect("a child says how many");
            assert!(counted > 0, "{work}: something is {mode}");
            // A stride that shares no factor with what comes round.
            let stride = (counted / cases).max(1) | 1;
            for left in (0..counted).step_by(stride as usize) {
                let output = run(at, work, mode, left);
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                ran += 1;
                let told = errors.starts_with("error: ") && errors.trim_end().lines().count() == 1;
                let as_it_should = match output.status.code() {
                    // Somebody who needed less than it asked for, or a thread that was not reached this time.
                    Some(0) => errors.is_empty() && mode == "any",
                    // An index of a model can be left where it is; what a damaged file says is 3.
                    Some(1) => told && errors.contains("memory"),
                    _ => false,
                };
                refused += i64::from(output.status.code() == Some(1));
                if !as_it_should {
                    bad.push(format!("{work}, {mode} allocation {left} of {counted}: {:?}: {errors}", output.status));
                }
            }
        }
    }
    println!("failing allocations: {ran} cases, {refused} refused with a line, {} bad ends", bad.len());
    bad.iter().for_each(|line| println!("{line}"));
    if bad.is_empty() && refused > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
