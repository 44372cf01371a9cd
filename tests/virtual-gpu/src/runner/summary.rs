//! The report of all processes, summed up by kernel.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// What one kernel did.
#[derive(Debug, Default)]
struct KernelTotal {
    launches: u64,
    sectors: u64,
    sectors_ideal: u64,
    wavefronts: u64,
    wavefronts_ideal: u64,
    mma_flops: u64,
    faults: u64,
    warnings: u64,
}

/// What all processes reported.
#[derive(Debug, Default)]
pub struct Summary {
    kernels: BTreeMap<String, KernelTotal>,
    /// Findings by kind, with their number.
    findings: BTreeMap<String, u64>,
    allowed: u64,
    processes: u64,
    peak_bytes: u64,
    /// Driver calls, kernels launched by calls, graphs launched, kernels launched by them, device allocations.
    asked: [u64; 5],
}

impl Summary {
    /// Reads the report from byte `start` on. No report means that no process started the driver.
    pub fn read(path: &Path, start: u64) -> Result<Summary, String> {
        let mut summary = Summary::default();
        let Ok(mut file) = std::fs::File::open(path) else { return Ok(summary) };
        let told = |e: &dyn fmt::Display| format!("{}: {e}", path.display());
        file.seek(SeekFrom::Start(start)).map_err(|e| told(&e))?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|e| told(&e))?;
            summary.add(&serde_json::from_str(&line).map_err(|e| told(&e))?);
        }
        Ok(summary)
    }

    fn add(&mut self, line: &Value) {
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let kernel = text("kernel");
        match text("kind") {
            "launch" => {
                let total = self.kernels.entry(kernel.into()).or_default();
                let count = |name: &str| number(&line["counters"][name]);
                total.launches += 1;
                for way in ["global_load_sectors", "global_store_sectors", "cp_async_sectors"] {
                    total.sectors += count(way);
                    total.sectors_ideal += count(&format!("{way}_ideal"));
                }
                total.wavefronts += count("shared_wavefronts");
                total.wavefronts_ideal += count("shared_wavefronts_ideal");
                total.mma_flops += count("mma_flops");
            }
            kind @ ("fault" | "warning") => {
                *self.findings.entry(text("what").into()).or_default() += 1;
                if !kernel.is_empty() {
                    let total = self.kernels.entry(kernel.into()).or_default();
                    *(if kind == "fault" { &mut total.faults } else { &mut total.warnings }) += 1;
                }
            }
            "allowed" => self.allowed += 1,
            "exit" => {
                self.processes += 1;
                self.peak_bytes = self.peak_bytes.max(number(&line["peak_bytes"]));
                let names = ["driver_calls", "kernel_launches", "graph_launches", "graph_kernels", "allocations"];
                for (total, name) in self.asked.iter_mut().zip(names) {
                    *total += number(&line["counts"][name]);
                }
            }
            _ => {}
        }
    }

    /// Whether the run is to fail: something was found, or nothing was tested.
    pub fn has_findings(&self) -> bool {
        !self.findings.is_empty() || self.processes == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.kernels.keys().map(String::len).max().unwrap_or(0).max("kernel".len());
        if !self.kernels.is_empty() {
            writeln!(
                f,
                "{:width$} {:>8} {:>12} {:>12} {:>12} {:>12} {:>12} {:>7} {:>8}",
                "kernel", "launches", "sectors", "ideal", "wavefronts", "ideal", "mma Mflop", "faults", "warnings"
            )?;
        }
        for (name, k) in &self.kernels {
            writeln!(
                f,
                "{name:width$} {:>8} {:>12} {:>12} {:>12} {:>12} {:>12.3} {:>7} {:>8}",
                k.launches,
                k.sectors,
                k.sectors_ideal,
                k.wavefronts,
                k.wavefronts_ideal,
                k.mma_flops as f64 / 1e6,
                k.faults,
                k.warnings
            )?;
        }
        if self.processes == 0 {
            writeln!(f, "virtual GPU: no process started it, or none came to its end: nothing was tested")?;
        } else {
            let (n, mib) = (self.processes, self.peak_bytes as f64 / f64::from(1 << 20));
            writeln!(f, "virtual GPU: {n} processes, at most {mib:.1} MiB of device memory in use")?;
            let [calls, kernels, graphs, of_graphs, allocations] = self.asked;
            writeln!(
                f,
                "virtual GPU: {calls} driver calls, {kernels} kernels launched, {of_graphs} more in {graphs} graph \
                 launches, {allocations} allocations"
            )?;
        }
        if self.allowed > 0 {
            writeln!(f, "virtual GPU: {} expected findings (allow-list)", self.allowed)?;
        }
        for (kind, count) in &self.findings {
            writeln!(f, "virtual GPU: found: {kind} ({count})")?;
        }
        Ok(())
    }
}
