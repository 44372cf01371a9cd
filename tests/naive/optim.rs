//! Optimizer steps on one row (or one dense parameter).

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Sgd,
    Adagrad,
    RowwiseAdagrad,
    Adam,
}

#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub kind: Kind,
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub number: i32,
    pub grad_scale: f64,
}

/// Steps `w`. Row-wise Adagrad keeps one value in `state1`, the others one for each of `w`.
pub fn step(w: &mut [f64], g: &[f64], state1: &mut [f64], state2: &mut [f64], s: &Step) {
    let g: Vec<f64> = g.iter().map(|g| g * s.grad_scale).collect();
    // No gradient has ever come where the denominator is zero.
    let over = |a: f64, b: f64| if b == 0.0 { 0.0 } else { a / b };
    if s.kind == Kind::RowwiseAdagrad {
        state1[0] += g.iter().map(|g| g * g).sum::<f64>() / g.len() as f64;
    }
    for d in 0..w.len() {
        w[d] *= 1.0 - s.lr * s.weight_decay;
        w[d] -= match s.kind {
            Kind::Sgd => s.lr * g[d],
            Kind::Adagrad => {
                state1[d] += g[d] * g[d];
                over(s.lr * g[d], state1[d].sqrt() + s.eps)
            }
            Kind::RowwiseAdagrad => over(s.lr * g[d], state1[0].sqrt() + s.eps),
            Kind::Adam => {
                state1[d] = s.beta1 * state1[d] + (1.0 - s.beta1) * g[d];
                state2[d] = s.beta2 * state2[d] + (1.0 - s.beta2) * g[d] * g[d];
                let m = state1[d] / (1.0 - s.beta1.powi(s.number));
                let v = state2[d] / (1.0 - s.beta2.powi(s.number));
                over(s.lr * m, v.sqrt() + s.eps)
            }
        };
    }
}
