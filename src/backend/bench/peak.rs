//! What the processor can do at the most: chains of multiply-adds that wait for nothing but each other.

use std::hint::black_box;
use std::sync::Arc;

use super::{Bench, On, open_cpu};
use crate::backend::cpu::simd::{Op, Simd};

/// Multiply-adds of each chain in one run.
const TIMES: u64 = 1 << 20;
/// Chains: more than a multiply-add's latency times the units, and few enough for AVX2's registers.
const CHAINS: usize = 12;

/// Independent chains of multiply-adds on every thread, of bf16 pairs where the instruction set has them, and how many
/// floating-point operations one run is. None for a device, and for the portable path: what its compiler makes of a
/// chain says nothing.
pub fn peak(on: &On) -> Option<(Bench, u64)> {
    let On::Cpu(threads, isa) = on else { return None };
    let cpu = Arc::new(open_cpu(*threads, isa));
    let (threads, pairs) = (*threads as u64, cpu.isa.multiplies_bf16());
    let lanes = cpu.isa.run(Lanes);
    if isa == "portable" {
        return None;
    }
    let operations = threads * TIMES * CHAINS as u64 * lanes * if pairs { 4 } else { 2 };
    let backend = Arc::clone(&cpu);
    let once = move || {
        let parts = (0..threads).collect();
        backend.threads.each(true, parts, |_| {
            let sum = if pairs { backend.isa.run(Chains::<true>) } else { backend.isa.run(Chains::<false>) };
            black_box(sum);
        });
    };
    Some((Bench::new(&cpu, once), operations))
}

struct Lanes;

impl Op for Lanes {
    type Output = u64;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> u64 {
        S::LANES as u64
    }
}

struct Chains<const PAIRS: bool>;

impl<const PAIRS: bool> Op for Chains<PAIRS> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (near_one, small) = (s.splat(black_box(0.999_9)), s.splat(black_box(1e-4)));
        let (near_one, small) =
            if PAIRS { (s.pairs(near_one, near_one), s.pairs(small, small)) } else { (near_one, small) };
        let mut sums = [small; CHAINS];
        for _ in 0..TIMES {
            for sum in &mut sums {
                *sum = if PAIRS { s.dot2(near_one, small, *sum) } else { s.fma(*sum, near_one, small) };
            }
        }
        sums.into_iter().fold(0.0, |total, sum| total + s.sum(sum))
    }
}
