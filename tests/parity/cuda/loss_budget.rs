//! What the softmax kernels move and multiply, against what they must.

use super::super::architecture::Architecture;
use super::super::loss::parts;
use super::super::loss::shape::{LossTiling, finish_floor_bytes, floor_bytes, floor_flops};
use super::super::tiles;
use super::budget::counted;
use super::loss::Case;
use super::*;

#[test]
fn softmax_does_what_it_must_cuda() {
    // Whole tiles; grids that no other test has.
    for (precision, rows, dim, name) in [
        (Precision::Bf16, 384, 64, "bf16_64"),
        (Precision::Bf16, 384, 128, "bf16_128"),
        (Precision::Bf16, 384, 192, "bf16_wide"),
        (Precision::Fp32, 384, 64, "fp32_64"),
    ] {
        if device(precision).is_none() {
            return;
        }
        let cuda = Cuda::with_kernels(0, precision, Architecture::Sm80).expect("every device runs these");
        let case = Case::plain(rows, rows, dim, 5);
        case.run(&cuda).expect("the shapes fit");
        let shape = LossTiling::new(dim, precision);
        let grid = [shape.split(rows, rows).blocks, 1, 1];
        for direction in ["fwd", "bwd"] {
            let Some(product) = counted(&cuda, &format!("loss_{direction}_{name}"), grid) else { return };
            let tiling = shape.tiling_bytes(rows, rows, dim);
            assert!(floor_bytes(rows, rows, dim, precision) <= tiling, "{shape:?}");
            product.moves(tiling, 1.25);
            product.multiplies(floor_flops(rows, rows, dim, precision));
            product.has_few_conflicts();
        }
        let operands = counted(&cuda, "loss_operands", [2 * parts(rows), 1, 1]).expect("counted above");
        operands.moves(2 * tiles::floor_bytes(rows, dim, shape.width, precision == Precision::Fp32), 1.10);
        let Some(finish) = counted(&cuda, "loss_finish", [rows / 64, 1, 1]) else { return };
        finish.moves(finish_floor_bytes(rows, dim), 1.10);
    }
}

#[test]
fn softmax_issues_few_instructions_a_score_cuda() {
    // Of a warp for 32 scores, as PTX counts them: with a fixed reference, and ids in an order that lets most tiles pass without
    // a look at each score. Machine code has fewer: benches/results/gpu-counted.md.
    for (precision, dim, name, forward, backward) in [
        (Precision::Bf16, 64, "bf16_64", 12.2, 11.0),
        (Precision::Bf16, 128, "bf16_128", 18.8, 17.5),
        (Precision::Fp32, 64, "fp32_64", 26.0, 25.5),
    ] {
        if device(precision).is_none() {
            return;
        }
        let cuda = Cuda::with_kernels(0, precision, Architecture::Sm80).expect("every device runs these");
        let rows = 640;
        let mut case = Case::plain(rows, rows, dim, 5);
        case.ids = Some((0..rows as u32).map(|i| i / 2).collect());
        case.run(&cuda).expect("the shapes fit");
        let shape = LossTiling::new(dim, precision);
        let grid = [shape.split(rows, rows).blocks, 1, 1];
        for (direction, most) in [("fwd", forward), ("bwd", backward)] {
            let kernel = format!("loss_{direction}_{name}");
            let Some(product) = counted(&cuda, &kernel, grid) else { return };
            let each = product.count("warp_instructions") as f64 / (rows * rows / 32) as f64;
            assert!(each <= most, "{kernel}: {each:.2} instructions for 32 scores, at most {most} allowed");
        }
    }
}
