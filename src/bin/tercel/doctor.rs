//! `tercel doctor`: what this host has, and what would run where.

use serde::Serialize;
use tercel::{Device, Error, Result};

use crate::output::{Output, proc_kib, size};

const EXAMPLES: &str = r"Examples:
  tercel doctor
  tercel doctor --json";

/// Shows versions, processors, memory and CUDA, and what `--device auto` takes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    target: String,
    cores: usize,
    instruction_sets: Vec<&'static str>,
    memory_bytes: Option<u64>,
    memory_available_bytes: Option<u64>,
    cuda_built_in: bool,
    cuda_available: bool,
    cuda_reason: Option<String>,
    auto_device: String,
}

pub fn run(_: &Args, out: &Output) -> Result<()> {
    let cuda = Device::Cuda(0).resolve();
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        instruction_sets: instruction_sets(),
        memory_bytes: proc_kib("/proc/meminfo", "MemTotal:"),
        memory_available_bytes: proc_kib("/proc/meminfo", "MemAvailable:"),
        cuda_built_in: cfg!(feature = "cuda"),
        cuda_available: cuda.is_ok(),
        cuda_reason: cuda.err().map(|error| match error {
            Error::CudaUnavailable { reason } => reason,
            other => other.to_string(),
        }),
        auto_device: Device::Auto.resolve()?.to_string(),
    };
    out.event("doctor", &report);
    let memory = |bytes: Option<u64>| bytes.map_or("unknown".into(), size);
    out.text(format!("tercel         {} ({})", report.version, report.target));
    out.text(format!("cores          {}", report.cores));
    out.text(format!("instructions   {}", report.instruction_sets.join(", ")));
    out.text(format!(
        "memory         {}, of which {} available",
        memory(report.memory_bytes),
        memory(report.memory_available_bytes)
    ));
    out.text(format!("CUDA           {}", report.cuda_reason.as_deref().unwrap_or("available: cuda:0")));
    out.text(format!("--device auto  {}", report.auto_device));
    Ok(())
}

/// The vector instruction sets that the CPU kernels look for, widest first; `portable` where there is none of them.
fn instruction_sets() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            found.push("avx512");
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            found.push("avx2+fma");
        }
    }
    found.push("portable");
    found
}
