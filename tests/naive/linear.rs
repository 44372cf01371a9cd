//! Linear layers: `y = x w^T + b`, then ReLU when asked.

pub struct Gradients {
    pub x: Vec<f64>,
    pub w: Vec<f64>,
    pub b: Vec<f64>,
}

pub fn forward(x: &[f64], w: &[f64], b: &[f64], relu: bool) -> Vec<f64> {
    let outs = b.len();
    let ins = w.len() / outs;
    let mut y = Vec::new();
    for x in x.chunks(ins) {
        for o in 0..outs {
            let mut sum = b[o];
            for i in 0..ins {
                sum += w[o * ins + i] * x[i];
            }
            y.push(if relu && sum < 0.0 { 0.0 } else { sum });
        }
    }
    y
}

pub fn backward(dy: &[f64], y: &[f64], x: &[f64], w: &[f64], outs: usize, relu: bool) -> Gradients {
    let ins = w.len() / outs;
    let mut g = Gradients { x: vec![0.0; x.len()], w: vec![0.0; w.len()], b: vec![0.0; outs] };
    for r in 0..y.len() / outs {
        for o in 0..outs {
            let mut d = dy[r * outs + o];
            if relu && y[r * outs + o] <= 0.0 {
                d = 0.0;
            }
            g.b[o] += d;
            for i in 0..ins {
                g.w[o * ins + i] += d * x[r * ins + i];
                g.x[r * ins + i] += d * w[o * ins + i];
            }
        }
    }
    g
}
