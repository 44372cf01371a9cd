//! Optimizer steps of dense parameters, and norms.

use super::*;
use crate::Error;
use crate::backend::single::{self, Rules};
use crate::backend::{Backend, OptimizerStep};
use crate::config::OptimizerKind;

/// One step of `len` dense parameters.
pub(crate) fn dense_step<B: Backend>(
    on: &B,
    w: &mut B::Buf<f32>,
    states: [Option<&mut B::Buf<f32>>; 2],
    dw: &B::Buf<f32>,
    len: usize,
    step: &OptimizerStep,
) -> crate::Result<()> {
    single::dense_step(on, w, states, dw, len, &Rules::new(on, step)?)
}

/// What clips the first `len` values of each of these gradients.
pub(crate) fn clip<B: Backend>(on: &B, grads: &[(&B::Buf<f32>, usize)], limit: f32) -> crate::Result<f32> {
    let mut scale = on.upload(vec![f32::NAN])?;
    on.clip_scale(&mut scale, grads, limit)?;
    Ok(on.host(&scale, 1)?[0])
}

pub(crate) const KINDS: [OptimizerKind; 4] =
    [OptimizerKind::Sgd, OptimizerKind::Adagrad, OptimizerKind::RowwiseAdagrad, OptimizerKind::Adam];

pub(crate) fn step(kind: OptimizerKind, number: u64) -> OptimizerStep {
    OptimizerStep {
        kind,
        lr: 0.05,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-6,
        weight_decay: 0.1,
        number,
        seed: 42,
        grad_scale: 0.5,
    }
}

/// The oracle's terms for a step of dense parameters, or of a table's rows.
pub(super) fn naive_step(s: &OptimizerStep, rows: bool) -> naive::optim::Step {
    use naive::optim::Kind;
    naive::optim::Step {
        kind: match s.kind {
            OptimizerKind::Sgd => Kind::Sgd,
            OptimizerKind::RowwiseAdagrad if rows => Kind::RowwiseAdagrad,
            OptimizerKind::Adagrad | OptimizerKind::RowwiseAdagrad => Kind::Adagrad,
            OptimizerKind::Adam => Kind::Adam,
        },
        lr: f64::from(s.lr),
        beta1: f64::from(s.beta1),
        beta2: f64::from(s.beta2),
        eps: f64::from(s.eps),
        weight_decay: f64::from(s.weight_decay),
        number: s.number as i32,
        grad_scale: f64::from(s.grad_scale),
    }
}

#[test]
fn dense_steps_match_the_oracle() {
    for kind in KINDS {
        for len in [0, 1, 7, 33, 1000] {
            for (isa, cpu) in cpus(1) {
                let mut random = Random(len as u64);
                let (mut w, mut m) = (random.vec(len, 1.0), vec![0.1; len]);
                let mut v = vec![0.0; len];
                let (mut w64, mut m64, mut v64) = (wide(&w), wide(&m), wide(&v));
                for number in 1..5 {
                    let dw = random.vec(len, 1.0);
                    let s = step(kind, number);
                    dense_step(&cpu, &mut w, [Some(&mut m), Some(&mut v)], &dw, len, &s).expect("fits");
                    naive::optim::step(&mut w64, &wide(&dw), &mut m64, &mut v64, &naive_step(&s, false));
                }
                let name = format!("{isa:?} {kind:?} {len}");
                ELEMENTWISE.check(&format!("{name}: w"), &w, &w64);
                ELEMENTWISE.check(&format!("{name}: state 1"), &m, &m64);
                ELEMENTWISE.check(&format!("{name}: state 2"), &v, &v64);
            }
        }
    }
}

#[test]
fn no_gradient_and_no_epsilon_is_no_step() {
    for kind in KINDS {
        for (isa, cpu) in cpus(1) {
            let s = OptimizerStep { eps: 0.0, weight_decay: 0.0, ..step(kind, 1) };
            let (mut w, mut m, mut v) = (vec![1.5; 20], vec![0.0; 20], vec![0.0; 20]);
            dense_step(&cpu, &mut w, [Some(&mut m), Some(&mut v)], &vec![0.0; 20], 20, &s).expect("fits");
            assert_eq!(w, vec![1.5; 20], "{isa:?} {kind:?}");
        }
    }
}

#[test]
fn bad_gradients_show() {
    for kind in KINDS {
        for (isa, cpu) in cpus(1) {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let (mut w, mut m, mut v) = (vec![1.5; 20], vec![0.1; 20], vec![0.0; 20]);
                let mut dw = vec![0.5; 20];
                dw[17] = bad;
                dense_step(&cpu, &mut w, [Some(&mut m), Some(&mut v)], &dw, 20, &step(kind, 3)).expect("fits");
                assert!(!w[17].is_finite() && w[16].is_finite(), "{isa:?} {kind:?}: {bad}");
            }
        }
    }
}

#[test]
fn refuses_missing_states() {
    let cpu = Cpu::new(1, None, Precision::Fp32).expect("there");
    let (mut w, dw) = (vec![0.0; 4], vec![0.0; 4]);
    for kind in [OptimizerKind::Adagrad, OptimizerKind::Adam] {
        let found = dense_step(&cpu, &mut w, [None, None], &dw, 4, &step(kind, 1));
        assert!(matches!(found, Err(Error::Shape { .. })));
    }
    assert!(dense_step(&cpu, &mut w, [None, None], &dw, 4, &step(OptimizerKind::Sgd, 1)).is_ok());
    assert!(matches!(
        dense_step(&cpu, &mut w, [None, None], &dw, 4, &step(OptimizerKind::Sgd, 0)),
        Err(Error::Shape { .. })
    ));
}

#[test]
fn gradients_are_clipped_by_the_norm_of_all() {
    for len in [0, 1, 15, 17, 100_000] {
        let (x, y) = (Random(1).vec(len + 3, 2.0), Random(2).vec(40, 0.5));
        let square: f64 = x[..len].iter().chain(&y).map(|&x| f64::from(x) * f64::from(x)).sum();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            for limit in [0.5, 1e6] {
                let of = |threads| {
                    let cpu = Cpu::new(threads, Some(isa), Precision::Fp32).expect("there");
                    clip(&cpu, &[(&x, len), (&y, 40)], limit).expect("fits")
                };
                let expected = (f64::from(limit) / square.sqrt()).min(1.0);
                assert!((f64::from(of(1)) - expected).abs() <= 1e-7 * expected, "{isa:?} {len}");
                assert_eq!(of(1).to_bits(), of(3).to_bits(), "{isa:?} {len}");
            }
        }
    }
    assert!(clip(&cpus(1)[0].1, &[(&vec![1.0; 3], 4)], 1.0).is_err(), "longer than the buffer");
}
