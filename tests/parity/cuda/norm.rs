//! L2 norms of rows.

use super::*;
use crate::Error;
use crate::backend::single::{norm, norm_grads};
use crate::backend::{Backend, Memory};

/// y, the inverse norms, and dx of `dy`.
fn run<B: Backend>(on: &B, x: &[f32], dy: &[f32], rows: usize, dim: usize) -> [Vec<f32>; 3] {
    let up = |x: Vec<f32>| on.upload(x).expect("fits");
    let down = |x: &B::Buf<f32>, len| on.host(x, len).expect("fits").into_owned();
    let (mut y, mut inverse) = (up(vec![f32::NAN; rows * dim]), up(vec![f32::NAN; rows]));
    norm(on, &mut y, &mut inverse, &up(x.to_vec()), (rows, dim)).expect("fits");
    let mut dx = up(dy.to_vec());
    norm_grads(on, &mut dx, &y, &inverse, (rows, dim)).expect("fits");
    [down(&y, rows * dim), down(&inverse, rows), down(&dx, rows * dim)]
}

#[test]
fn matches_the_oracle_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(1);
    // Every kernel, with its shortest and longest rows.
    for (rows, dim) in [
        (0, 4),
        (1, 1),
        (3, 4),
        (33, 7),
        (31, 12),
        (33, 100),
        (300, 64),
        (9, 128),
        (5, 132),
        (5, 256),
        (3, 260),
        (2, 512),
        (3, 1000),
        (2, 1024),
        (3, 257),
        (1, 1028),
    ] {
        let (x, dy) = (random.vec(rows * dim, 3.0), random.vec(rows * dim, 1.0));
        let [y, inverse, dx] = run(&cuda, &x, &dy, rows, dim);
        let name = format!("{rows} x {dim}");
        let expected = naive::norm::forward(&wide(&x), dim);
        ELEMENTWISE.check(&format!("{name}: y"), &y, &expected);
        ELEMENTWISE.check(&format!("{name}: dx"), &dx, &naive::norm::backward(&wide(&dy), &wide(&x), dim));
        let norm = |x: &[f32]| 1.0 / wide(x).iter().map(|x| x * x).sum::<f64>().sqrt();
        ELEMENTWISE.check(&format!("{name}: inverse"), &inverse, &x.chunks(dim).map(norm).collect::<Vec<_>>());
    }
}

#[test]
fn zero_huge_and_bad_rows_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    // In float4s and value by value.
    for dim in [20, 21, 300] {
        let mut x = vec![0.0f32; 6 * dim];
        x[dim..2 * dim].fill(3e30);
        x[2 * dim..3 * dim].fill(1e-20);
        x[3 * dim] = f32::NAN;
        x[4 * dim] = f32::INFINITY;
        x[5 * dim..].fill(f32::MAX);
        let dy = vec![1.0; 6 * dim];
        let [y, inverse, dx] = run(&cuda, &x, &dy, 6, dim);
        let expected = naive::norm::forward(&wide(&x[..3 * dim]), dim);
        ELEMENTWISE.check(&format!("{dim}: y"), &y[..3 * dim], &expected);
        assert!(y[..dim].iter().all(|&y| y == 0.0), "{dim}: a zero row stays zero");
        assert!(y[3 * dim].is_nan() && y[4 * dim].is_nan(), "{dim}: nothing is hidden");
        assert!(dx[..dim].iter().all(|&d| d == 0.0), "{dim}: a zero row has no gradient");
        assert!(dx[3 * dim].is_nan(), "{dim}: nothing is hidden");
        let [cpu_y, cpu_inverse, cpu_dx] = run(&cpu(), &x, &dy, 6, dim);
        for (found, cpu) in [(&y, &cpu_y), (&inverse, &cpu_inverse), (&dx, &cpu_dx)] {
            for (i, (&found, &cpu)) in found.iter().zip(cpu).enumerate() {
                let same = found == cpu || found.is_nan() && cpu.is_nan();
                let near = (found - cpu).abs() <= 1e-5 * cpu.abs() + 1e-6;
                assert!(same || near, "{dim}: value {i}: {found}, on the CPU {cpu}");
            }
        }
    }
}

#[test]
fn same_bits_twice_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let (rows, dim) = (300, 36);
    let (x, dy) = (Random(1).vec(rows * dim, 3.0), Random(2).vec(rows * dim, 1.0));
    let run = || run(&cuda, &x, &dy, rows, dim).map(|x| bits(&x));
    assert!(run() == run());
}

#[test]
fn refuses_what_does_not_fit_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let up = |len| cuda.upload(vec![1.0f32; len]).expect("fits");
    let (mut y, mut inverse, x) = (up(12), up(3), up(12));
    assert!(norm(&cuda, &mut y, &mut inverse, &x, (3, 4)).is_ok());
    assert!(matches!(norm(&cuda, &mut y, &mut inverse, &x, (4, 4)), Err(Error::Shape { .. })));
    assert!(matches!(norm(&cuda, &mut y, &mut inverse, &x, (4, 3)), Err(Error::Shape { .. })), "short norms");
    assert!(matches!(norm_grads(&cuda, &mut y, &up(11), &inverse, (3, 4)), Err(Error::Shape { .. })));
}
