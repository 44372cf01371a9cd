//! What each kernel's machine code is made of, for every architecture.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::flow::{self, Loop};
use super::ptxas::{self, Usage};
use super::sass::{self, Function, Instruction};
use super::{Result, Toolkit, ToolkitError, committed, in_parallel};

/// A kernel's machine code for one architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Registers per thread.
    pub registers: u32,
    /// Bytes of spilled registers per thread, stores and loads.
    pub spill_bytes: u32,
    /// Stack per thread, bytes.
    pub stack_bytes: u32,
    /// Static shared memory per block, bytes. What a launch adds to it is not known here.
    pub shared_bytes: u32,
    /// Blocks that fit a multiprocessor at the kernel's launch bounds, by registers, threads and static shared memory.
    pub blocks_per_sm: u32,
    /// Instructions, without the padding behind the end.
    pub instructions: u32,
    /// Tensor-core products of 16-bit numbers (HMMA).
    pub hmma: u32,
    /// Tensor-core products of integers (IMMA).
    pub imma: u32,
    /// Tensor-core products of a warpgroup (HGMMA, IGMMA).
    #[serde(default, skip_serializing_if = "none")]
    pub wgmma: u32,
    /// Places where ptxas could not leave such products under way.
    #[serde(default, skip_serializing_if = "none")]
    pub serialised: u32,
    /// Bulk copies from global to shared memory (UBLKCP).
    #[serde(default, skip_serializing_if = "none")]
    pub bulk_copies: u32,
    /// Loads of tensor-core operands from shared memory (LDSM).
    pub ldsm: u32,
    /// Asynchronous copies from global to shared memory (LDGSTS).
    pub ldgsts: u32,
    /// Global loads of 16 bytes a lane.
    pub ldg_128: u32,
    /// Global stores of 16 bytes a lane.
    pub stg_128: u32,
    /// Shared loads of 16 bytes a lane.
    pub lds_128: u32,
    /// Multiply-adds in fp32 (FFMA).
    pub ffma: u32,
    /// Atomic operations on global or shared memory.
    pub atomics: u32,
    /// The innermost loops that hold tensor-core products.
    pub main_loops: Vec<MainLoop>,
}

/// Figures that few kernels have are left out of the others.
fn none(count: &u32) -> bool {
    *count == 0
}

/// An innermost loop around tensor-core products.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MainLoop {
    /// Instructions.
    pub instructions: u32,
    /// HMMA and IMMA, HGMMA and IGMMA.
    pub products: u32,
    /// LDSM.
    pub ldsm: u32,
    /// LDGSTS in the loop or in a loop around it: not every kernel fills its tiles in the innermost one.
    pub ldgsts: u32,
    /// FFMA: a product that should have been the tensor core's, or arithmetic on its results.
    pub ffma: u32,
}

/// A kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The stem of its source.
    pub stem: String,
    /// Its name.
    pub name: String,
    /// Its figures by architecture (`sm_80`).
    pub figures: BTreeMap<String, Figures>,
}

/// Compiles the committed PTX of `wanted` (all of it where empty) for every architecture. Kernels come in the order of
/// their stems and names.
///
/// # Errors
/// [`ToolkitError::Compile`], [`ToolkitError::Io`], [`ToolkitError::Tool`].
pub fn measure(toolkit: &Toolkit, wanted: &[String]) -> Result<Vec<Kernel>> {
    let stems: Vec<_> =
        committed::all()?.into_iter().filter(|(s, _)| wanted.is_empty() || wanted.contains(s)).collect();
    let modules = in_parallel(&stems, |(stem, ptx)| {
        let wrong = |e| ToolkitError::Tool { tool: "virtual-gpu", reason: format!("{stem}: {e}") };
        let module = crate::ptx::parse(ptx).map_err(wrong)?;
        Ok(module.kernels().map(|kernel| (kernel.name.clone(), kernel.max_threads)).collect::<BTreeMap<_, _>>())
    })?;
    let folder = tempfile::tempdir().map_err(|source| ToolkitError::Io { path: std::env::temp_dir(), source })?;
    let with_threads = stems.iter().zip(&modules);
    let each = |(stem, threads)| {
        let archs = ptxas::archs(&(stem as &(String, String)).1);
        archs.into_iter().map(move |arch| (stem, threads, arch))
    };
    let mut jobs: Vec<_> = with_threads.flat_map(each).collect();
    jobs.sort_by_key(|((_, ptx), _, _)| std::cmp::Reverse(ptx.len()));
    let measured = in_parallel(&jobs, |((stem, _), threads, arch)| {
        let cubin = folder.path().join(format!("{stem}.{arch}.cubin"));
        let usages = ptxas::assemble(toolkit, &committed::path(stem), arch, &cubin)?;
        let functions = sass::parse(&ptxas::disassemble(toolkit, &cubin)?)?;
        let figures = usages.into_iter().map(|usage| {
            let missing = || {
                let reason = format!("{stem} for {arch}: {} is not in the machine code", usage.kernel);
                ToolkitError::Tool { tool: "nvdisasm", reason }
            };
            let function = functions.iter().find(|f| f.name == usage.kernel).ok_or_else(missing)?;
            let threads = *threads.get(&usage.kernel).ok_or_else(missing)?;
            Ok((usage.kernel.clone(), of(function, &usage, threads, arch)))
        });
        figures.collect::<Result<Vec<_>>>()
    })?;
    let mut kernels: BTreeMap<(String, String), BTreeMap<String, Figures>> = BTreeMap::new();
    for (((stem, _), _, arch), figures) in jobs.iter().zip(measured) {
        for (name, figures) in figures {
            kernels.entry((stem.clone(), name)).or_default().insert(arch.clone(), figures);
        }
    }
    Ok(kernels.into_iter().map(|((stem, name), figures)| Kernel { stem, name, figures }).collect())
}

fn count<'a>(code: impl IntoIterator<Item = &'a Instruction>, is: impl Fn(&Instruction) -> bool) -> u32 {
    code.into_iter().filter(|instruction| is(instruction)).count() as u32
}

fn is_product(instruction: &Instruction) -> bool {
    matches!(instruction.base(), "HMMA" | "IMMA" | "HGMMA" | "IGMMA")
}

fn is_ffma(instruction: &Instruction) -> bool {
    // FFMA2 (sm_100) does two.
    matches!(instruction.base(), "FFMA" | "FFMA2")
}

fn is_atomic(instruction: &Instruction) -> bool {
    matches!(instruction.base(), "ATOM" | "ATOMG" | "ATOMS" | "RED" | "REDG" | "REDS")
}

fn of(function: &Function, usage: &Usage, threads: u32, arch: &str) -> Figures {
    let code = &function.code;
    let named = |base: &str| count(code, |instruction| instruction.base() == base);
    let wide = |base: &str| count(code, |instruction| instruction.base() == base && instruction.has("128"));
    Figures {
        registers: usage.registers,
        spill_bytes: usage.spill_bytes,
        stack_bytes: usage.stack_bytes,
        shared_bytes: usage.shared_bytes,
        blocks_per_sm: blocks_per_sm(usage.registers, threads, usage.shared_bytes, arch),
        instructions: count(code, |instruction| instruction.base() != "NOP"),
        hmma: named("HMMA"),
        imma: named("IMMA"),
        wgmma: named("HGMMA") + named("IGMMA"),
        serialised: usage.serialised.len() as u32,
        bulk_copies: named("UBLKCP"),
        ldsm: named("LDSM"),
        ldgsts: named("LDGSTS"),
        ldg_128: wide("LDG"),
        stg_128: wide("STG"),
        lds_128: wide("LDS"),
        ffma: count(code, is_ffma),
        atomics: count(code, is_atomic),
        main_loops: main_loops(function),
    }
}

fn main_loops(function: &Function) -> Vec<MainLoop> {
    let in_loop = |found: &Loop, is: fn(&Instruction) -> bool| count(found.body.iter().map(|&i| &function.code[i]), is);
    let all = flow::loops(function);
    let with_products: Vec<_> = all.iter().filter(|found| in_loop(found, is_product) > 0).collect();
    let innermost = with_products.iter().filter(|found| !with_products.iter().any(|other| found.encloses(other)));
    innermost
        .map(|found| {
            let nest = all.iter().filter(|other| other.encloses(found)).chain([*found]);
            MainLoop {
                instructions: in_loop(found, |instruction| instruction.base() != "NOP"),
                products: in_loop(found, is_product),
                ldsm: in_loop(found, |instruction| instruction.base() == "LDSM"),
                ldgsts: nest.map(|nest| in_loop(nest, |i| i.base() == "LDGSTS")).max().unwrap_or(0),
                ffma: in_loop(found, is_ffma),
            }
        })
        .collect()
}

/// Blocks of `threads` threads that fit a multiprocessor ("CUDA C++ Programming Guide", compute capabilities): 65,536
/// registers in four parts, given out to a warp in units of 256; 64 warps and 32 blocks; shared memory in units of 128
/// bytes, 1 KiB of each block's being the driver's.
fn blocks_per_sm(registers: u32, threads: u32, shared_bytes: u32, arch: &str) -> u32 {
    let warps = threads.div_ceil(32).max(1);
    let of_a_warp = (registers * 32).next_multiple_of(256).max(256);
    let by_registers = 4 * (16_384 / of_a_warp) / warps;
    let shared_of_sm = if arch == "sm_80" { 164 << 10 } else { 228 << 10 };
    let by_shared = shared_of_sm / (shared_bytes + 1024).next_multiple_of(128);
    by_registers.min(64 / warps).min(by_shared).min(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_limited_by_what_runs_out_first() {
        // 8 warps of 32 * 128 registers: 16 warps in all.
        assert_eq!(blocks_per_sm(128, 256, 0, "sm_80"), 2);
        assert_eq!(blocks_per_sm(129, 256, 0, "sm_80"), 1);
        assert_eq!(blocks_per_sm(255, 128, 0, "sm_90"), 2);
        // Threads.
        assert_eq!(blocks_per_sm(16, 1024, 0, "sm_80"), 2);
        assert_eq!(blocks_per_sm(64, 1024, 0, "sm_80"), 1);
        // Blocks, and shared memory.
        assert_eq!(blocks_per_sm(16, 32, 0, "sm_80"), 32);
        assert_eq!(blocks_per_sm(16, 32, 40 << 10, "sm_80"), 4);
        assert_eq!(blocks_per_sm(16, 32, 40 << 10, "sm_100"), 5);
    }

    #[test]
    fn the_main_loop_is_the_innermost_around_products() {
        let code = "\
.text.f:
.L_tile:
/*00*/ LDGSTS.E.BYPASS.LTC128B.128 [R0], [R2.64] ;
.L_product:
/*10*/ LDSM.16.M88.4 R4, [R8] ;
/*20*/ HMMA.16816.F32.BF16 R0, R4, R6, R0 ;
/*30*/ HFMA2.MMA R4, -RZ, RZ, 0, 0 ;
/*40*/ @P0 BRA `(.L_product) ;
.L_epilogue:
/*50*/ FFMA R0, R1, R2, R3 ;
/*60*/ @P1 BRA `(.L_epilogue) ;
/*70*/ @P2 BRA `(.L_tile) ;
/*80*/ STG.E.128 [R2.64], R4 ;
/*90*/ RED.E.ADD [R2.64], R4 ;
/*a0*/ EXIT ;
/*b0*/ NOP ;
";
        let function = sass::parse(code).unwrap().remove(0);
        let usage = Usage { kernel: "f".into(), registers: 40, ..Usage::default() };
        let figures = of(&function, &usage, 256, "sm_80");
        let expected = MainLoop { instructions: 4, products: 1, ldsm: 1, ldgsts: 1, ffma: 0 };
        assert_eq!(figures.main_loops, [expected]);
        let found = (figures.instructions, figures.hmma, figures.ffma, figures.stg_128, figures.atomics);
        assert_eq!(found, (11, 1, 1, 1, 1));
    }
}
