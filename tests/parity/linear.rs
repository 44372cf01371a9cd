//! Linear layers.

use super::*;
use crate::Error;
use crate::backend::{LinearGrads, LinearPass, MatMut, Operations};

struct Case {
    rows: usize,
    ins: usize,
    outs: usize,
    relu: bool,
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(rows: usize, ins: usize, outs: usize, relu: bool) -> Case {
        let mut random = Random((rows * 7 + ins * 3 + outs) as u64);
        let size = 1.0 / (ins as f32).sqrt();
        Case {
            rows,
            ins,
            outs,
            relu,
            x: random.vec(rows * ins, 1.0),
            w: random.vec(outs * ins, size),
            b: random.vec(outs, 1.0),
            dy: random.vec(rows * outs, 1.0),
        }
    }

    /// y, dx, dw, db; every matrix stands inside a wider, poisoned one.
    fn run(&self, cpu: &Cpu) -> [Vec<f32>; 4] {
        let &Case { rows, ins, outs, relu, .. } = self;
        let (y_stride, x_stride) = (outs + 5, ins + 3);
        let mut y = vec![f32::NAN; rows * y_stride];
        let x = framed(&self.x, ins, x_stride, 2);
        let view = MatMut { buf: &mut y, rows, cols: outs, stride: y_stride, col: 4 };
        cpu.linear_fwd(view, mat(&x, rows, ins, x_stride, 2), &self.w, &self.b, relu).expect("fits");
        let mut dx = vec![f32::NAN; rows * x_stride];
        let mut dy = framed(&self.dy, outs, y_stride, 1);
        let (mut dw, mut db) = (vec![f32::NAN; outs * ins], vec![f32::NAN; outs]);
        let grads = LinearGrads {
            dx: Some(MatMut { buf: &mut dx, rows, cols: ins, stride: x_stride, col: 3 }),
            dw: &mut dw,
            db: &mut db,
            dy: MatMut { buf: &mut dy, rows, cols: outs, stride: y_stride, col: 1 },
        };
        let (y_view, x_view) = (mat(&y, rows, outs, y_stride, 4), mat(&x, rows, ins, x_stride, 2));
        cpu.linear_bwd(grads, LinearPass { y: y_view, x: x_view, w: &self.w, relu }).expect("fits");
        [unframed(&y, rows, outs, y_stride, 4), unframed(&dx, rows, ins, x_stride, 3), dw, db]
    }
}

#[test]
fn matches_the_oracle_on_ragged_shapes() {
    for (n, rows) in [0, 1, 11, 13, 97, 250].into_iter().enumerate() {
        for (m, ins) in [1, 4, 12, 31, 64, 100, 600].into_iter().enumerate() {
            let outs = [1, 33, 4, 64, 20, 32, 257][(n * 3 + m) % 7];
            let case = Case::new(rows, ins, outs, (n + m) % 2 == 0);
            for (isa, cpu) in cpus(1) {
                let name = format!("{isa:?} {rows} x {ins} -> {outs}");
                let [y, dx, dw, db] = case.run(&cpu);
                let expected = naive::linear::forward(&wide(&case.x), &wide(&case.w), &wide(&case.b), case.relu);
                PRODUCT.check(&format!("{name}: y"), &y, &expected);
                // The sign of the forward's own result decides: near zero it may differ from the oracle's.
                let (dy, x, w) = (wide(&case.dy), wide(&case.x), wide(&case.w));
                let g = naive::linear::backward(&dy, &wide(&y), &x, &w, outs, case.relu);
                PRODUCT.check(&format!("{name}: dx"), &dx, &g.x);
                PRODUCT.check(&format!("{name}: dw"), &dw, &g.w);
                PRODUCT.check(&format!("{name}: db"), &db, &g.b);
            }
        }
    }
}

#[test]
fn nan_passes_relu() {
    for (isa, cpu) in cpus(1) {
        let mut case = Case::new(3, 4, 5, true);
        case.x[4] = f32::NAN;
        let [y, ..] = case.run(&cpu);
        assert!(y[5..10].iter().all(|y| y.is_nan()), "{isa:?}: {y:?}");
    }
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let case = Case::new(700, 40, 52, true);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let run = |threads| case.run(&Cpu::new(threads, Some(isa), Precision::Fp32).expect("there")).map(|x| bits(&x));
        assert!(run(1) == run(3), "{isa:?}");
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let cpu = Cpu::new(1, None, Precision::Fp32).expect("there");
    let (mut y, x, w, b) = (vec![0.0; 6], vec![0.0; 8], vec![0.0; 12], vec![0.0; 3]);
    let mut run = |y_col, x_rows, w: &Vec<f32>| {
        let y = MatMut { buf: &mut y, rows: 2, cols: 3, stride: 3, col: y_col };
        cpu.linear_fwd(y, mat(&x, x_rows, 4, 4, 0), w, &b, false)
    };
    assert!(run(0, 2, &w).is_ok());
    assert!(matches!(run(1, 2, &w), Err(Error::Shape { .. })), "a column outside the row");
    assert!(matches!(run(0, 1, &w), Err(Error::Shape { .. })), "other rows");
    assert!(matches!(run(0, 2, &vec![0.0; 11]), Err(Error::Shape { .. })), "a short w");
}
