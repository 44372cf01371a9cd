//! L2 norms of rows.

use super::*;
use crate::backend::single::{norm, norm_grads};

#[test]
fn matches_the_oracle() {
    let mut random = Random(1);
    for (rows, dim) in [(0, 4), (1, 1), (3, 4), (31, 12), (33, 100), (600, 64), (5, 256)] {
        let (x, dy) = (random.vec(rows * dim, 3.0), random.vec(rows * dim, 1.0));
        for (isa, cpu) in cpus(1) {
            let (mut y, mut inverse) = (vec![f32::NAN; rows * dim], vec![f32::NAN; rows]);
            norm(&cpu, &mut y, &mut inverse, &x, (rows, dim)).expect("fits");
            let mut dx = dy.clone();
            norm_grads(&cpu, &mut dx, &y, &inverse, (rows, dim)).expect("fits");
            let name = format!("{isa:?} {rows} x {dim}");
            ELEMENTWISE.check(&format!("{name}: y"), &y, &naive::norm::forward(&wide(&x), dim));
            ELEMENTWISE.check(&format!("{name}: dx"), &dx, &naive::norm::backward(&wide(&dy), &wide(&x), dim));
        }
    }
}

#[test]
fn zero_huge_and_bad_rows() {
    for (isa, cpu) in cpus(1) {
        let dim = 20;
        let mut x = vec![0.0f32; 5 * dim];
        x[dim..2 * dim].fill(3e30);
        x[2 * dim..3 * dim].fill(1e-20);
        x[3 * dim] = f32::NAN;
        x[4 * dim] = f32::INFINITY;
        let (mut y, mut inverse) = (vec![f32::NAN; 5 * dim], vec![f32::NAN; 5]);
        norm(&cpu, &mut y, &mut inverse, &x, (5, dim)).expect("fits");
        let expected = naive::norm::forward(&wide(&x[..3 * dim]), dim);
        ELEMENTWISE.check(&format!("{isa:?}"), &y[..3 * dim], &expected);
        assert!(y[..dim].iter().all(|&y| y == 0.0), "{isa:?}: a zero row stays zero");
        assert!(y[3 * dim].is_nan() && y[4 * dim].is_nan(), "{isa:?}: nothing is hidden");
        let mut dx = vec![1.0; 5 * dim];
        norm_grads(&cpu, &mut dx, &y, &inverse, (5, dim)).expect("fits");
        assert!(dx[..dim].iter().all(|&d| d == 0.0), "{isa:?}: a zero row has no gradient");
        assert!(dx[3 * dim].is_nan(), "{isa:?}");
    }
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let (rows, dim) = (3000, 36);
    let (x, dy) = (Random(1).vec(rows * dim, 3.0), Random(2).vec(rows * dim, 1.0));
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let run = |threads| {
            let cpu = Cpu::new(threads, Some(isa), Precision::Fp32).expect("there");
            let (mut y, mut inverse, mut dx) = (vec![0.0; rows * dim], vec![0.0; rows], dy.clone());
            norm(&cpu, &mut y, &mut inverse, &x, (rows, dim)).expect("fits");
            norm_grads(&cpu, &mut dx, &y, &inverse, (rows, dim)).expect("fits");
            (bits(&y), bits(&inverse), bits(&dx))
        };
        assert!(run(1) == run(3), "{isa:?}");
    }
}
