//! The instruction sets as they are written, apart from the other choices: the CPU's kernels use them, and `Device`, which is
//! a choice as well, asks the kernels.

use super::value::choices;

choices! {
    /// The instructions that a CPU computes with. Results differ between them in their last bits, and a run goes on
    /// only with those that it was begun with.
    #[derive(Default)]
    pub enum Instructions in "instructions" {
        /// The fastest that the processor has.
        #[default]
        Auto = "auto",
        /// What the compiler makes of plain loops: every processor has it.
        Portable = "portable",
        /// AVX2, FMA and F16C.
        Avx2 = "avx2",
        /// AVX-512 F, BW, DQ and VL.
        Avx512 = "avx512",
        /// The same, with products of bf16 values in the softmax loss (`train.precision`).
        Avx512Bf16 = "avx512-bf16",
    }
}
