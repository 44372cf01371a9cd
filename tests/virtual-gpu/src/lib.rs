//! A virtual GPU: PTX executed on the CPU, with every access checked and counted.
//!
//! [`ptx::parse`] reads the text that NVRTC writes and decodes it once into executable steps; [`exec::run`] runs one
//! grid over a [`memory::Memory`] and returns a [`report::Report`]: the fault that ended the launch, the warnings,
//! and the counters a profiler would show. Nothing here says anything about time.
//! [`toolkit`] drives NVIDIA's compilers, where they are installed.
//! [`driver`] puts CUDA's C functions before all that: built as `libcuda.so.1`, this crate runs unmodified CUDA programs.

pub mod driver;
pub mod exec;
pub mod memory;
pub mod ptx;
pub mod report;
pub mod toolkit;
