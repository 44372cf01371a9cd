//! What launches move and multiply, against what they must. Only a device that counts can tell: the virtual GPU, whose
//! report names every launch.

use serde_json::Value;

use super::super::linear::{Product, ProductKind, plan};
use super::super::{norm, tiles};
use super::*;
use crate::backend::single;
use crate::backend::{LinearGrads, LinearPass, Mat, MatMut, Memory, Operations};

/// What a launch counted.
pub(super) struct LaunchCosts(Value);

/// The last launch of `kernel` with this grid (which no other test should launch); `None` where nothing counts.
pub(super) fn counted(cuda: &Cuda, kernel: &str, grid: [usize; 3]) -> Option<LaunchCosts> {
    let Some(report) = std::env::var_os("VIRTUAL_GPU_REPORT") else {
        println!("skipped: this device does not count");
        return None;
    };
    cuda.context.synchronize().expect("kernels run");
    let text = std::fs::read_to_string(report).expect("the report is there");
    let launches = text.lines().filter(|line| line.contains(kernel)).filter_map(|line| serde_json::from_str(line).ok());
    let here = |launch: &Value| launch["kernel"] == kernel && launch["grid"] == serde_json::json!(grid);
    let last = launches.rev().find(here);
    Some(LaunchCosts(last.unwrap_or_else(|| panic!("{kernel} was not launched with {grid:?}"))))
}

impl LaunchCosts {
    pub(super) fn count(&self, name: &str) -> u64 {
        self.0["counters"][name].as_u64().unwrap_or_else(|| panic!("no counter {name}"))
    }

    fn at_most(&self, what: &str, found: u64, floor: u64, factor: f64) {
        let kernel = &self.0["kernel"];
        assert!(found as f64 <= floor as f64 * factor, "{kernel}: {found} {what}, at most {factor} x {floor} allowed");
    }

    /// Bytes in whole 32-byte sectors, read and written.
    fn bytes(&self) -> u64 {
        (self.count("global_load_sectors") + self.count("global_store_sectors")) * 32
    }

    /// Bytes in whole sectors against those that must be moved.
    pub(super) fn moves(&self, floor_bytes: u64, factor: f64) {
        self.at_most("bytes in sectors", self.bytes(), floor_bytes, factor);
    }

    /// As [`moves`](LaunchCosts::moves), of this launch and another that finishes its work.
    pub(super) fn moves_with(&self, other: &LaunchCosts, floor_bytes: u64, factor: f64) {
        self.at_most("bytes in sectors", self.bytes() + other.bytes(), floor_bytes, factor);
    }

    /// Sectors read against those that must be.
    pub(super) fn reads(&self, floor_sectors: u64, factor: f64) {
        self.at_most("sectors", self.count("global_load_sectors"), floor_sectors, factor);
    }

    /// Passes over shared memory against those of accesses without bank conflicts.
    pub(super) fn has_few_conflicts(&self) {
        self.conflicts(1.10);
    }

    /// As [`has_few_conflicts`](LaunchCosts::has_few_conflicts), with this factor.
    pub(super) fn conflicts(&self, factor: f64) {
        let ideal = self.count("shared_wavefronts_ideal");
        self.at_most("shared wavefronts", self.count("shared_wavefronts"), ideal, factor);
    }

    /// Multiplications and additions of the tensor cores.
    pub(super) fn multiplies(&self, floor_flops: u64) {
        self.at_most("operations of tensor cores", self.count("mma_flops"), floor_flops, 1.05);
    }
}

#[test]
fn norms_move_what_they_must_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for (dim, lanes) in [(64, 16), (128, 32)] {
        let rows = 4099;
        let up = |len| cuda.upload(Random(1).vec(len, 1.0)).expect("fits");
        let (x, mut y, mut inverse) = (up(rows * dim), up(rows * dim), up(rows));
        single::norm(&cuda, &mut y, &mut inverse, &x, (rows, dim)).expect("fits");
        let grid = [(rows * lanes).div_ceil(256), 1, 1];
        let Some(forward) = counted(&cuda, "l2_norm_fwd_f32_128", grid) else { return };
        forward.moves(norm::floor_bytes_forward(rows, dim), 1.10);
        let mut dy = up(rows * dim);
        single::norm_grads(&cuda, &mut dy, &y, &inverse, (rows, dim)).expect("fits");
        let Some(backward) = counted(&cuda, "l2_norm_bwd_f32_128", grid) else { return };
        backward.moves(norm::floor_bytes_backward(rows, dim), 1.10);
    }
}

#[test]
fn splits_move_what_they_must_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for precise in [false, true] {
        let (rows, cols) = (5003, 64);
        let x = cuda.upload(Random(1).vec(rows * cols, 1.0)).expect("fits");
        let few = rows / 2;
        cuda.split_both([&Mat::dense(&x, rows, cols), &Mat::dense(&x, few, cols)], cols, precise).expect("fits");
        let Some(split) = counted(&cuda, "split_bf16", [(rows * cols / 8).div_ceil(256), 2, 1]) else { return };
        split.moves(tiles::floor_bytes(rows + few, cols, cols, precise), 1.10);
    }
}

#[test]
fn linear_layers_do_what_they_must_cuda() {
    for (precision, name) in [(Precision::Bf16, "bf16"), (Precision::Fp32, "fp32")] {
        let Some(cuda) = device(precision) else { return };
        let precise = precision == Precision::Fp32;
        let (rows, ins, outs) = (1088, 64, 64);
        let up = |len| cuda.upload(Random(1).vec(len, 1.0)).expect("fits");
        let (x, w, b) = (up(rows * ins), up(outs * ins), up(outs));
        let (mut y, mut dy, mut dx, mut dw, mut db) =
            (up(rows * outs), up(rows * outs), up(rows * ins), up(outs * ins), up(outs));
        let x = || Mat::dense(&x, rows, ins);
        cuda.linear_fwd(MatMut::dense(&mut y, rows, outs), x(), &w, &b, true).expect("fits");
        let (to, from) = (MatMut::dense(&mut dx, rows, ins), MatMut::dense(&mut dy, rows, outs));
        let grads = LinearGrads { dx: Some(to), dw: &mut dw, db: &mut db, dy: from };
        let pass = LinearPass { y: Mat::dense(&y, rows, outs), x: x(), w: &w, relu: true };
        cuda.linear_bwd(grads, pass).expect("fits");
        for (of, kernel, m, n, k) in [
            (ProductKind::Forward, "fwd", rows, outs, ins),
            (ProductKind::BackwardX, "bwd_x", rows, ins, outs),
            (ProductKind::BackwardW, "bwd_w", outs, ins, rows),
        ] {
            let shape = Product::new(of, m, n, k, cuda.info().multiprocessors as usize);
            let grid = [shape.blocks(), 1, shape.splits()];
            let kernel = format!("linear_{kernel}_{name}_{}", shape.block_rows);
            let Some(product) = counted(&cuda, &kernel, grid) else { return };
            assert!(shape.floor_bytes(precise) <= shape.tiling_bytes(precise), "{shape:?}");
            product.moves(shape.tiling_bytes(precise), 1.25);
            product.multiplies(shape.floor_flops(precise));
            product.has_few_conflicts();
        }
        let shape = Product::new(ProductKind::BackwardW, outs, ins, rows, cuda.info().multiprocessors as usize);
        assert_eq!(shape.splits(), 2, "the sum of splits is measured too");
        let Some(sum) = counted(&cuda, "linear_sum", [outs * ins / 128, 2, 1]) else { return };
        let db = plan::sum_floor_bytes(rows.div_ceil(64), 1, outs);
        sum.moves(plan::sum_floor_bytes(2, outs, ins) + db, 1.10);
        sum.has_few_conflicts();
        let Some(mask) = counted(&cuda, "linear_bwd_mask", [rows.div_ceil(64), 1, 1]) else { return };
        mask.moves(plan::mask_floor_bytes(rows, outs, true, precise), 1.10);
        mask.has_few_conflicts();
    }
}
