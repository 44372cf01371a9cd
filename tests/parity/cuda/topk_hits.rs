//! The hits among the best of each query: those of the oracle's lists, as on the CPU.

use super::*;
use crate::backend::cpu::parity::topk_hits;

#[test]
fn hits_are_those_of_the_lists_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    topk_hits::ragged("CUDA", &cuda);
    topk_hits::edges(&cuda);
}
