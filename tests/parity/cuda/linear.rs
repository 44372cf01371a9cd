//! Linear layers.

use super::super::arguments::In;
use super::super::linear::{self, Product, ProductKind, ProductOutput, plan};
use super::super::tiles::Tiles;
use super::*;
use crate::Error;
use crate::backend::{Backend, LinearGrads, LinearPass, Mat, MatMut, Memory, Operations};

const PRECISIONS: [Precision; 2] = [Precision::Bf16, Precision::Fp32];

/// A layer's inputs. Every matrix stands inside a wider, poisoned one.
struct Case {
    rows: usize,
    ins: usize,
    outs: usize,
    relu: bool,
    /// Columns before and beyond each row of x and dx; y and dy have one more before.
    frame: (usize, usize),
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    dy: Vec<f32>,
}

/// y, dx, dw, db.
type Out = [Vec<f32>; 4];

impl Case {
    fn new(rows: usize, ins: usize, outs: usize, relu: bool, frame: (usize, usize)) -> Case {
        let mut random = Random((rows * 7 + ins * 3 + outs) as u64);
        let size = 1.0 / (ins as f32).sqrt();
        Case {
            rows,
            ins,
            outs,
            relu,
            frame,
            x: random.vec(rows * ins, 1.0),
            w: random.vec(outs * ins, size),
            b: random.vec(outs, 1.0),
            dy: random.vec(rows * outs, 1.0),
        }
    }

    /// The forward, and the backward of `y` (the forward's own where `None`), on any backend.
    fn run<B: Backend>(&self, on: &B, y: Option<&[f32]>) -> Out {
        let &Case { rows, ins, outs, relu, frame: (before, beyond), .. } = self;
        let (x_stride, y_stride) = (before + ins + beyond, before + outs + beyond);
        let up = |x: Vec<f32>| on.upload(x).expect("fits");
        let down = |x: &B::Buf<f32>, len| on.host(x, len).expect("fits").into_owned();
        let x = up(framed(&self.x, ins, x_stride, before));
        let (w, b) = (up(self.w.clone()), up(self.b.clone()));
        let mut out = up(vec![f32::NAN; rows * y_stride]);
        let view = MatMut { buf: &mut out, rows, cols: outs, stride: y_stride, col: before };
        on.linear_fwd(view, Mat { buf: &x, rows, cols: ins, stride: x_stride, col: before }, &w, &b, relu)
            .expect("fits");
        let found = unframed(&down(&out, rows * y_stride), rows, outs, y_stride, before);
        let y = up(framed(y.unwrap_or(&found), outs, y_stride, before));
        let mut dx = up(vec![f32::NAN; rows * x_stride]);
        let mut dy = up(framed(&self.dy, outs, y_stride, before));
        let (mut dw, mut db) = (up(vec![f32::NAN; outs * ins]), up(vec![f32::NAN; outs]));
        let grads = LinearGrads {
            dx: Some(MatMut { buf: &mut dx, rows, cols: ins, stride: x_stride, col: before }),
            dw: &mut dw,
            db: &mut db,
            dy: MatMut { buf: &mut dy, rows, cols: outs, stride: y_stride, col: before },
        };
        let pass = LinearPass {
            y: Mat { buf: &y, rows, cols: outs, stride: y_stride, col: before },
            x: Mat { buf: &x, rows, cols: ins, stride: x_stride, col: before },
            w: &w,
            relu,
        };
        on.linear_bwd(grads, pass).expect("fits");
        // Nothing beside dy was written either.
        unframed(&down(&dy, rows * y_stride), rows, outs, y_stride, before);
        let dx = unframed(&down(&dx, rows * x_stride), rows, ins, x_stride, before);
        [found, dx, down(&dw, outs * ins), down(&db, outs)]
    }

    /// CUDA against the oracle; the forward's own signs decide what passes the ReLU.
    fn check(&self, cuda: &Cuda) {
        let name = format!("{:?} {} x {} -> {}", cuda.precision(), self.rows, self.ins, self.outs);
        let [y, dx, dw, db] = self.run(cuda, None);
        let (x, w, dy) = (wide(&self.x), wide(&self.w), wide(&self.dy));
        let near = product(cuda.precision());
        near.check(&format!("{name}: y"), &y, &naive::linear::forward(&x, &w, &wide(&self.b), self.relu));
        let expected = naive::linear::backward(&dy, &wide(&y), &x, &w, self.outs, self.relu);
        near.check(&format!("{name}: dx"), &dx, &expected.x);
        near.check(&format!("{name}: dw"), &dw, &expected.w);
        // db is summed in fp32 whatever the products' precision.
        product(Precision::Fp32).check(&format!("{name}: db"), &db, &expected.b);
    }
}

#[test]
fn matches_the_oracle_on_ragged_shapes_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for (n, (rows, ins, outs)) in [
            (0, 4, 5),
            (1, 1, 1),
            (2, 12, 33),
            (31, 31, 1),
            (33, 64, 64),
            (65, 100, 20),
            (129, 12, 70),
            (40, 600, 5),
            (70, 30, 257),
        ]
        .into_iter()
        .enumerate()
        {
            // Rows that begin on 16 bytes, and rows that do not.
            for frame in [(4, if ins % 4 == 0 { 4 } else { 0 }), (3, 2)] {
                Case::new(rows, ins, outs, n % 2 == 0, frame).check(&cuda);
            }
        }
    }
}

#[test]
fn long_batches_are_summed_in_splits_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        // dw: 3 splits of rows, the last one short; db: 41 chunks.
        Case::new(2600, 8, 12, true, (0, 0)).check(&cuda);
    }
}

/// `rows` x `cols` of A or B^T, as `ProductKind` wants it in memory: rows of k, or turned.
fn operand(cuda: &Cuda, x: &[f32], k: usize, turned: bool) -> Tiles {
    let mn = x.len() / k;
    let laid = if turned { (0..x.len()).map(|i| x[i % mn * k + i / mn]).collect() } else { x.to_vec() };
    let (rows, cols) = if turned { (k, mn) } else { (mn, k) };
    let buf = cuda.upload(laid).expect("fits");
    let x = Mat::dense(&buf, rows, cols);
    let [tiles, _] = cuda.split_both([&x, &x], plan::padded(cols), cuda.precision() == Precision::Fp32).expect("fits");
    tiles
}

#[test]
fn every_kernel_and_block_size_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for (m, n, k) in [(1, 1, 1), (130, 65, 100), (257, 20, 33), (64, 130, 65)] {
            let mut random = Random((m + n + k) as u64);
            let (a, b) = (random.vec(m * k, 1.0), random.vec(n * k, 1.0));
            let expected = naive::linear::forward(&wide(&a), &wide(&b), &vec![0.0; n], false);
            for of in [ProductKind::Forward, ProductKind::BackwardX, ProductKind::BackwardW] {
                let tiles_a = operand(&cuda, &a, k, of == ProductKind::BackwardW);
                let tiles_b = operand(&cuda, &b, k, of != ProductKind::Forward);
                // Rows that begin on 8 bytes (pairs of values are stored), and rows that do not.
                let bits = [(64, 2), (128, 3), (128, 2)].map(|(block_rows, beyond)| {
                    let shape = Product { block_rows, ..Product::new(of, m, n, k, 108) };
                    let stride = n + n % 2 + beyond;
                    let c = cuda.upload(vec![f32::NAN; m * stride]).expect("fits");
                    let to = ProductOutput { values: c.output(), stride, split: 0 };
                    linear::product(&cuda, &shape, &to, &tiles_a, &tiles_b, In::NULL, false).expect("launches");
                    let c = unframed(&cuda.host(&c, m * stride).expect("there"), m, n, stride, 0);
                    product(precision).check(&format!("{precision:?} {shape:?}"), &c, &expected);
                    bits(&c)
                });
                assert!(
                    bits[0] == bits[1] && bits[1] == bits[2],
                    "{precision:?} {of:?} {m} x {n} x {k}: the block size shows"
                );
            }
        }
    }
}

#[test]
fn follows_the_cpu_where_y_decides_cuda() {
    let Some(cuda) = device(Precision::Fp32) else { return };
    // What the ReLU's mask sees: zeros of both signs, negatives, NaN.
    let case = Case::new(50, 20, 36, true, (4, 0));
    let mut y = Random(5).vec(50 * 36, 1.0);
    for (i, y) in y.iter_mut().enumerate() {
        *y = [*y, 0.0, -0.0, f32::NAN, *y, f32::MIN_POSITIVE][i % 6];
    }
    let [_, dx, dw, db] = case.run(&cuda, Some(&y));
    let [_, cpu_dx, cpu_dw, cpu_db] = case.run(&cpu(), Some(&y));
    let near = product(Precision::Fp32);
    near.check("dx", &dx, &wide(&cpu_dx));
    near.check("dw", &dw, &wide(&cpu_dw));
    near.check("db", &db, &wide(&cpu_db));
}

#[test]
fn nan_passes_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        let mut case = Case::new(3, 4, 5, true, (4, 0));
        case.x[4] = f32::NAN;
        let [y, _, dw, _] = case.run(&cuda, None);
        for (i, y) in y.iter().enumerate() {
            assert_eq!(y.is_nan(), (5..10).contains(&i), "{precision:?}: y[{i}] = {y}");
        }
        for (i, dw) in dw.iter().enumerate() {
            assert_eq!(dw.is_nan(), i % 4 == 0, "{precision:?}: dw[{i}] = {dw}");
        }
        let mut case = Case::new(3, 4, 5, false, (3, 2));
        case.dy[11] = f32::INFINITY;
        let [_, dx, dw, db] = case.run(&cuda, None);
        for (i, dx) in dx.iter().enumerate() {
            assert_eq!(dx.is_finite(), i < 8, "{precision:?}: dx[{i}] = {dx}");
        }
        for (i, dw) in dw.iter().enumerate() {
            assert_eq!(dw.is_finite(), i / 4 != 1, "{precision:?}: dw[{i}] = {dw}");
        }
        for (i, db) in db.iter().enumerate() {
            assert_eq!(db.is_finite(), i != 1, "{precision:?}: db[{i}] = {db}");
        }
    }
}

#[test]
fn same_bits_twice_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        let case = Case::new(1100, 40, 20, true, (0, 0));
        let run = || case.run(&cuda, None).map(|x| bits(&x));
        assert!(run() == run(), "{precision:?}");
    }
}

#[test]
fn refuses_what_does_not_fit_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let up = |len| cuda.upload(vec![0.0f32; len]).expect("fits");
    let (mut y, x, w, b) = (up(6), up(8), up(12), up(3));
    let mut forward = |y_col, x_rows, w: &super::super::Buf<f32>| {
        let y = MatMut { buf: &mut y, rows: 2, cols: 3, stride: 3, col: y_col };
        cuda.linear_fwd(y, Mat { buf: &x, rows: x_rows, cols: 4, stride: 4, col: 0 }, w, &b, false)
    };
    assert!(forward(0, 2, &w).is_ok());
    assert!(matches!(forward(1, 2, &w), Err(Error::Shape { .. })), "a column outside the row");
    assert!(matches!(forward(0, 1, &w), Err(Error::Shape { .. })), "other rows");
    assert!(matches!(forward(0, 2, &up(11)), Err(Error::Shape { .. })), "a short w");
    let backward = |dw: usize, y_rows, dx_cols| {
        let (mut dx, mut dw, mut db, mut dy, y) = (up(8), up(dw), up(3), up(6), up(6));
        let dx = Some(MatMut { buf: &mut dx, rows: 2, cols: dx_cols, stride: 4, col: 0 });
        let grads = LinearGrads { dx, dw: &mut dw, db: &mut db, dy: MatMut::dense(&mut dy, 2, 3) };
        let pass = LinearPass { y: Mat::dense(&y, y_rows, 3), x: Mat::dense(&x, 2, 4), w: &w, relu: true };
        cuda.linear_bwd(grads, pass)
    };
    assert!(backward(12, 2, 4).is_ok());
    assert!(matches!(backward(11, 2, 4), Err(Error::Shape { .. })), "a short dw");
    assert!(matches!(backward(12, 1, 4), Err(Error::Shape { .. })), "other rows of y");
    assert!(matches!(backward(12, 2, 3), Err(Error::Shape { .. })), "another width of dx");
}
