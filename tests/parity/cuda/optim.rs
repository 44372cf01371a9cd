//! Optimizer steps of dense parameters, and norms.

use super::*;
use crate::Error;
use crate::backend::cpu::parity::optim::{KINDS, clip, dense_step, step};
use crate::backend::{Backend, Memory, OptimizerStep};
use crate::config::OptimizerKind;

/// Some steps of random parameters: w and both states.
fn run<B: Backend>(
    on: &B,
    kind: OptimizerKind,
    len: usize,
    steps: u64,
    change: impl Fn(&mut Vec<f32>),
) -> Vec<Vec<f32>> {
    let mut random = Random(len as u64 + 1);
    let up = |x: Vec<f32>| on.upload(x).expect("fits");
    let (mut w, mut m, mut v) = (up(random.vec(len, 1.0)), up(vec![0.1; len]), up(vec![0.0; len]));
    for number in 1..=steps {
        let mut dw = random.vec(len, 1.0);
        change(&mut dw);
        dense_step(on, &mut w, [Some(&mut m), Some(&mut v)], &up(dw), len, &step(kind, number)).expect("fits");
    }
    [w, m, v].iter().map(|x| on.host(x, len).expect("fits").into_owned()).collect()
}

#[test]
fn dense_steps_are_the_cpus_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for kind in KINDS {
        for len in [0, 1, 3, 4, 31, 33, 1000, 1026, 5000] {
            let (found, expected) = (run(&cuda, kind, len, 4, |_| ()), run(&cpu(), kind, len, 4, |_| ()));
            for ((found, expected), what) in found.iter().zip(&expected).zip(["w", "state 1", "state 2"]) {
                ELEMENTWISE.check(&format!("{kind:?} {len}: {what}"), found, &wide(expected));
                if fused() {
                    assert_eq!(bits(found), bits(expected), "{kind:?} {len}: {what}");
                }
            }
        }
    }
}

#[test]
fn no_gradient_and_no_epsilon_is_no_step_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for kind in KINDS {
        let s = OptimizerStep { eps: 0.0, weight_decay: 0.0, ..step(kind, 1) };
        let (mut w, dw) = (cuda.upload(vec![1.5; 21]).expect("fits"), cuda.upload(vec![0.0; 21]).expect("fits"));
        let (mut m, mut v) = (cuda.zeros(21).expect("fits"), cuda.zeros(21).expect("fits"));
        dense_step(&cuda, &mut w, [Some(&mut m), Some(&mut v)], &dw, 21, &s).expect("fits");
        assert_eq!(*cuda.host(&w, 21).expect("fits"), [1.5; 21], "{kind:?}");
    }
}

#[test]
fn bad_gradients_show_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for kind in KINDS {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let [w, ..] = &run(&cuda, kind, 30, 3, |dw| dw[17] = bad)[..] else { panic!("three buffers") };
            assert!(!w[17].is_finite() && w[16].is_finite() && w[18].is_finite(), "{kind:?}: {bad}");
        }
    }
}

#[test]
fn refuses_missing_states_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let (mut w, dw) = (cuda.zeros::<f32>(4).expect("fits"), cuda.zeros::<f32>(4).expect("fits"));
    for kind in [OptimizerKind::Adagrad, OptimizerKind::Adam] {
        let found = dense_step(&cuda, &mut w, [None, None], &dw, 4, &step(kind, 1));
        assert!(matches!(found, Err(Error::Shape { .. })));
    }
    assert!(dense_step(&cuda, &mut w, [None, None], &dw, 4, &step(OptimizerKind::Sgd, 1)).is_ok());
    for (len, number) in [(4, 0), (5, 1)] {
        let found = dense_step(&cuda, &mut w, [None, None], &dw, len, &step(OptimizerKind::Sgd, number));
        assert!(matches!(found, Err(Error::Shape { .. })), "{len} values, step {number}");
    }
}

#[test]
fn gradients_are_clipped_by_the_norm_of_all_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let y = Random(2).vec(40, 0.5);
    let on_device = cuda.upload(y.clone()).expect("fits");
    for len in [0, 1, 15, 17, 1023, 16_384, 16_385, 50_000] {
        let x = Random(1).vec(len + 3, 2.0);
        let square: f64 = wide(&x[..len]).iter().chain(&wide(&y)).map(|x| x * x).sum();
        let x = cuda.upload(x).expect("fits");
        for limit in [0.5, 1e6] {
            let of = || clip(&cuda, &[(&x, len), (&on_device, 40)], limit).expect("fits");
            let expected = (f64::from(limit) / square.sqrt()).min(1.0);
            assert!((f64::from(of()) - expected).abs() <= 1e-7 * expected, "{len}: {}, expected {expected}", of());
            assert_eq!(of().to_bits(), of().to_bits(), "{len}");
        }
        assert!(clip(&cuda, &[(&x, len + 4)], 1.0).is_err(), "longer than the buffer");
    }
}
