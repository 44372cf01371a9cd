//! `tercel doctor`: what this host has, and what would run where.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use tercel::data::dataset::Dataset;
use tercel::device::{Choice, CudaInfo, cpu_multiplies_bf16, instruction_sets};
use tercel::model::Budget;
use tercel::sweep::{Swept, sweep};
use tercel::{Config, Device, Error, Result};

use crate::args::read_toml;
use crate::output::{Output, proc_kib, size};
use crate::paths::shown;

const EXAMPLES: &str = r"Examples:
  tercel doctor
  tercel doctor --json
  tercel doctor --data out/demo/dataset
  tercel doctor --sweep out/demo";

/// Reports versions, processors, memory and CUDA, and which device `--device auto` selects.
///
/// With --data, it also reports how much memory training on that dataset needs on a CUDA device.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Dataset folder: reports how much device memory training on it needs
    #[arg(long, value_name = "DATASET")]
    data: Option<PathBuf>,
    /// TOML file with the settings to train with
    #[arg(long, value_name = "FILE.toml", requires = "data")]
    config: Option<PathBuf>,
    /// Removes leftovers of killed runs in this folder or next to this output, and does nothing else
    #[arg(long, value_name = "PATH", conflicts_with_all = ["data", "config"])]
    sweep: Option<PathBuf>,
}

#[derive(Serialize)]
struct HostReport {
    version: &'static str,
    target: String,
    cores: usize,
    instruction_sets: Vec<&'static str>,
    cpu_multiplies_bf16: bool,
    memory_bytes: Option<u64>,
    memory_available_bytes: Option<u64>,
    cuda_built_in: bool,
    cuda_available: bool,
    cuda_reason: Option<String>,
    cuda: Option<CudaInfo>,
    auto_device: String,
    auto_reason: String,
}

/// Removes what killed runs left, and says what that was.
fn swept(path: &Path, out: &Output) -> Result<()> {
    let met = sweep(path)?;
    for one in &met {
        let (what, path, reason) = match one {
            Swept::Removed(path) => ("removed", path, None),
            Swept::PutBack(path) => ("put back", path, None),
            Swept::Left(path, reason) => ("left", path, Some(reason)),
            _ => continue,
        };
        out.event("swept", &json!({ "what": what, "path": shown(path), "reason": reason }));
        let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
        out.text(format_args!("{what} {}{reason}", path.display()));
    }
    if met.is_empty() {
        out.text(format_args!("{}: no leftovers of any run", path.display()));
    }
    Ok(())
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    if let Some(path) = &args.sweep {
        return swept(path, out);
    }
    // Opened for real, with every kernel loaded: what training would meet is met here.
    let cuda = CudaInfo::read(0);
    let Choice { device, reason } = Device::Auto.choose()?;
    let report = HostReport {
        version: env!("CARGO_PKG_VERSION"),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        cpu_multiplies_bf16: cpu_multiplies_bf16(),
        instruction_sets: instruction_sets(),
        memory_bytes: proc_kib("/proc/meminfo", "MemTotal:"),
        memory_available_bytes: proc_kib("/proc/meminfo", "MemAvailable:"),
        cuda_built_in: cfg!(feature = "cuda"),
        cuda_available: cuda.is_ok(),
        cuda_reason: cuda.as_ref().err().map(|error| match error {
            Error::CudaUnavailable { reason } => reason.clone(),
            other => other.to_string(),
        }),
        cuda: cuda.ok(),
        auto_device: device.to_string(),
        auto_reason: reason,
    };
    out.event("doctor", &report);
    let memory = |bytes: Option<u64>| bytes.map_or("unknown".into(), size);
    out.text(format!("tercel         {} ({})", report.version, report.target));
    out.text(format!("cores          {}", report.cores));
    let precision = if report.cpu_multiplies_bf16 {
        "the softmax loss multiplies bf16 values (train.precision)"
    } else {
        "computes in fp32 regardless of train.precision"
    };
    out.text(format!("instructions   {}: {precision}", report.instruction_sets.join(", ")));
    out.text(format!(
        "memory         {}, {} available",
        memory(report.memory_bytes),
        memory(report.memory_available_bytes)
    ));
    match (&report.cuda, &report.cuda_reason) {
        (Some(cuda), _) => out.text(words(cuda)),
        (None, reason) => out.text(format!("CUDA           {}", reason.as_deref().unwrap_or("none"))),
    }
    out.text(format!("--device auto  {} ({})", report.auto_device, report.auto_reason));
    match &args.data {
        Some(data) => budget(data, args, report.cuda.as_ref(), out),
        None => Ok(()),
    }
}

fn words(cuda: &CudaInfo) -> String {
    format!(
        "CUDA           cuda:{}: {}, compute capability {}.{}, {} multiprocessors, {} of {} free\n               \
         driver for CUDA {}.{}; all {} kernels load ({})",
        cuda.ordinal,
        cuda.name,
        cuda.compute_capability / 10,
        cuda.compute_capability % 10,
        cuda.multiprocessors,
        size(cuda.memory_free_bytes),
        size(cuda.memory_bytes),
        cuda.driver_version / 1000,
        cuda.driver_version % 1000 / 10,
        cuda.kernels_for,
        match cuda.kernels_from {
            "nvrtc" => "compiled for this device",
            _ => "the PTX shipped with Tercel",
        }
    )
}

/// How much memory training takes on a device, and whether it is there.
fn budget(data: &std::path::Path, args: &Args, cuda: Option<&CudaInfo>, out: &Output) -> Result<()> {
    let config = match &args.config {
        Some(path) => read_toml(path)?,
        None => Config::default(),
    };
    let budget = Budget::of(&Dataset::open(data)?, &config, cuda)?;
    let total = budget.total_bytes();
    let free = cuda.map(|cuda| cuda.memory_free_bytes);
    let mut fields = serde_json::to_value(budget).unwrap_or_default();
    fields["total_bytes"] = json!(total);
    fields["free_bytes"] = json!(free);
    out.event("budget", &fields);
    out.text(format!(
        "training on {} takes {} of device memory: tables {}, optimizer {}, layers {}, batches {}, catalogue {}",
        data.display(),
        size(total),
        size(budget.table_bytes),
        size(budget.state_bytes),
        size(budget.layer_bytes),
        size(budget.batch_bytes),
        size(budget.catalogue_bytes)
    ));
    if let Some(free) = free {
        let fits = if total <= free { "fits" } else { "does not fit" };
        out.text(format!("it {fits}: {} free", size(free)));
    }
    Ok(())
}
