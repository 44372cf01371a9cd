//! What the softmax kernels move and multiply, against what they must.

use super::super::architecture::Architecture;
use super::super::loss::shape::{LossTiling, finish_floor_bytes, floor_bytes, floor_flops};
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
        let Some(finish) = counted(&cuda, "loss_finish", [rows / 64, 1, 1]) else { return };
        finish.moves(finish_floor_bytes(rows, dim), 1.10);
    }
}
