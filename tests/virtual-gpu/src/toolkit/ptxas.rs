//! ptxas: the committed PTX becomes machine code, and ptxas says what it uses.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Result, Toolkit, ToolkitError};

/// The architectures that machine code is checked for: Ampere, Hopper, Blackwell.
pub const ARCHS: [&str; 3] = ["sm_80", "sm_90", "sm_100"];

/// The architectures of a PTX text: its own alone where it names one with special instructions (`.target sm_90a`), which
/// no other runs, else all of [`ARCHS`].
pub fn archs(ptx: &str) -> Vec<String> {
    let target = ptx.lines().find_map(|line| line.trim_start().strip_prefix(".target"));
    let name = target.and_then(|rest| rest.trim().split([',', ' ']).next()).unwrap_or_default();
    let special = name.ends_with(|c: char| c.is_ascii_alphabetic());
    if special { vec![name.to_owned()] } else { ARCHS.map(str::to_owned).to_vec() }
}

/// What a kernel uses, as `ptxas -v` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The kernel.
    pub kernel: String,
    /// Registers per thread.
    pub registers: u32,
    /// Static shared memory per block, bytes.
    pub shared_bytes: u32,
    /// Stack per thread, bytes.
    pub stack_bytes: u32,
    /// Bytes of registers that are stored to local memory and loaded back, per thread.
    pub spill_bytes: u32,
    /// What ptxas did to asynchronous products that it could not leave under way: it waits for each, or waits earlier
    /// than the source does.
    pub serialised: Vec<String>,
}

/// Assembles a PTX file into `cubin`, and returns what each kernel uses.
///
/// # Errors
/// [`ToolkitError::Compile`] with ptxas's words, [`ToolkitError::Tool`].
pub fn assemble(toolkit: &Toolkit, ptx: &Path, arch: &str, cubin: &Path) -> Result<Vec<Usage>> {
    let mut command = Command::new(&toolkit.ptxas);
    command.arg("--verbose").arg(format!("--gpu-name={arch}")).arg(ptx).arg("--output-file").arg(cubin);
    let output = command.output().map_err(|source| ToolkitError::Io { path: toolkit.ptxas.clone(), source })?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let stem = ptx.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        return Err(ToolkitError::Compile { stem, arch: arch.into(), log: log.trim_end().to_owned() });
    }
    usages(&log)
}

/// The machine code of a cubin, as nvdisasm writes it.
///
/// # Errors
/// [`ToolkitError::Tool`] with nvdisasm's words.
pub fn disassemble(toolkit: &Toolkit, cubin: &PathBuf) -> Result<String> {
    let output = Command::new(&toolkit.nvdisasm).arg("--print-code").arg(cubin).output();
    let output = output.map_err(|source| ToolkitError::Io { path: toolkit.nvdisasm.clone(), source })?;
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        return Err(ToolkitError::Tool { tool: "nvdisasm", reason: words(&output.stderr) });
    }
    Ok(words(&output.stdout))
}

/// Reads the log of `ptxas -v`.
fn usages(log: &str) -> Result<Vec<Usage>> {
    let wrong = |line: &str| ToolkitError::Tool { tool: "ptxas", reason: format!("`{line}` was not understood") };
    let mut usages: Vec<Usage> = Vec::new();
    let mut serialised: Vec<(String, String)> = Vec::new();
    for line in log.lines() {
        // `(C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to … in function 'k'`,
        // `(C7517) warpgroup.wait is injected …`.
        if line.contains("(C75") && (line.contains("wgmma") || line.contains("warpgroup")) {
            let kernel = line.rsplit('\'').nth(1).ok_or_else(|| wrong(line))?;
            let words = line.split_once(" : ").map_or(line, |(_, words)| words);
            serialised.push((kernel.to_owned(), words.trim().to_owned()));
        } else if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let kernel = rest.split('\'').next().unwrap_or_default().to_owned();
            usages.push(Usage { kernel, ..Usage::default() });
        } else if line.contains("bytes stack frame") || line.contains(": Used ") {
            // What a function uses that was not inlined is added to the kernel that it is compiled for.
            let usage = usages.last_mut().ok_or_else(|| wrong(line))?;
            for part in line.rsplit(" : ").next().unwrap_or(line).split(',') {
                let mut words = part.split_whitespace().skip_while(|word| word.eq_ignore_ascii_case("used"));
                let number = words.next().and_then(|word| word.parse::<u32>().ok()).ok_or_else(|| wrong(line))?;
                match words.collect::<Vec<_>>().join(" ").as_str() {
                    "registers" => usage.registers = number,
                    "bytes smem" => usage.shared_bytes = number,
                    "bytes stack frame" => usage.stack_bytes += number,
                    "bytes spill stores" | "bytes spill loads" => usage.spill_bytes += number,
                    _ => {}
                }
            }
        }
    }
    for (kernel, words) in serialised {
        let usage = usages.iter_mut().find(|usage| usage.kernel == kernel);
        usage.ok_or_else(|| wrong(&words))?.serialised.push(words);
    }
    match usages.iter().find(|usage| usage.registers == 0) {
        Some(usage) => Err(wrong(&format!("the lines about {}", usage.kernel))),
        None => Ok(usages),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read() {
        let log = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_80'
ptxas info    : Function properties for a
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 8 bytes cumulative stack size, 496 bytes cmem[0]
ptxas info    : Compile time = 23.792 ms
ptxas info    : Compiling entry function 'b' for 'sm_80'
ptxas info    : Function properties for b
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 30 registers, 4096 bytes smem, 428 bytes cmem[0]
";
        let a = Usage {
            kernel: "a".into(),
            registers: 255,
            shared_bytes: 0,
            stack_bytes: 8,
            spill_bytes: 16,
            ..Usage::default()
        };
        let b = Usage { kernel: "b".into(), registers: 30, shared_bytes: 4096, ..Usage::default() };
        assert_eq!(usages(log).unwrap(), [a, b]);
        assert!(usages("ptxas info    : Compiling entry function 'a' for 'sm_80'\n").is_err());
    }

    #[test]
    fn serialised_products_are_told() {
        let log = "\
ptxas info    : (C7517) warpgroup.wait is injected in around line 214 by compiler to allow use of registers defined by GMMA in function 'b'
ptxas info    : (C7520) Potential Performance Loss: wgmma.mma_async instructions are serialized due to program dependence on compiler-inserted WG.AR in divergent path in the function 'b'
ptxas info    : Compiling entry function 'a' for 'sm_90a'
ptxas info    : Used 58 registers, used 1 barriers
ptxas info    : Compiling entry function 'b' for 'sm_90a'
ptxas info    : Used 42 registers, used 1 barriers
";
        let usages = usages(log).unwrap();
        assert_eq!((usages[0].serialised.len(), usages[1].serialised.len()), (0, 2));
        assert!(usages[1].serialised[1].starts_with("(C7520) Potential Performance Loss: wgmma.mma_async"));
    }

    #[test]
    fn special_instructions_are_for_one_architecture() {
        assert_eq!(archs(".version 7.8\n.target sm_80\n"), ARCHS);
        assert_eq!(archs("//\n.version 8.0\n.target sm_90a\n"), ["sm_90a"]);
    }
}
