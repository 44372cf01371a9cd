//! The oracle's gradients against finite differences, all in f64.

#[path = "naive/naive.rs"]
mod naive;

/// Values in (-1, 1).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = naive::rounding::splitmix64(self.0);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    fn vec(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// Compares `gradient` with central differences of `f` at `x`.
fn check(name: &str, x: &[f64], gradient: &[f64], f: impl Fn(&[f64]) -> f64) {
    assert_eq!(x.len(), gradient.len(), "{name}");
    let h = 1e-5;
    for i in 0..x.len() {
        let mut moved = x.to_vec();
        moved[i] = x[i] + h;
        let above = f(&moved);
        moved[i] = x[i] - h;
        let below = f(&moved);
        let difference = (above - below) / (2.0 * h);
        let error = (difference - gradient[i]).abs();
        assert!(error <= 1e-8, "{name}[{i}]: {} but finite differences say {difference}", gradient[i]);
    }
}

fn weighted(y: &[f64], by: &[f64]) -> f64 {
    y.iter().zip(by).map(|(a, b)| a * b).sum()
}

fn loss_problem(corrected: bool, random: &mut Random) -> naive::loss::Loss {
    let (b, c, dim) = (5, 7, 4);
    naive::loss::Loss {
        users: random.vec(b * dim),
        candidates: random.vec(c * dim),
        log_scale: 0.7,
        bias: random.vec(c),
        ids: Some(vec![3, 4, 3, 5, 6, 4, 7]),
        positives: vec![2, 1, 6, 3, 1],
        masked: vec![vec![4], vec![], vec![0, 1], vec![5], vec![]],
        weights: vec![1.0, 0.5, 0.0, 2.0, 0.25],
        corrected: corrected.then(|| random.vec(b).iter().map(|x| -x.abs()).collect()),
        dim,
    }
}

#[test]
fn softmax_loss() {
    for corrected in [false, true] {
        let problem = loss_problem(corrected, &mut Random(1));
        let (shares, found) = (problem.shares(), problem.gradients());
        let with = |change: &dyn Fn(&mut naive::loss::Loss)| {
            let mut moved = problem.clone();
            change(&mut moved);
            moved.value(&shares)
        };
        check("users", &problem.users, &found.users, |x| with(&|p| p.users = x.to_vec()));
        check("candidates", &problem.candidates, &found.candidates, |x| with(&|p| p.candidates = x.to_vec()));
        check("log_scale", &[problem.log_scale], &[found.log_scale], |x| with(&|p| p.log_scale = x[0]));
    }
}

#[test]
fn linear() {
    for relu in [false, true] {
        let mut random = Random(2);
        let (rows, ins, outs) = (3, 5, 4);
        let (x, w, b, dy) = (random.vec(rows * ins), random.vec(outs * ins), random.vec(outs), random.vec(rows * outs));
        let y = naive::linear::forward(&x, &w, &b, relu);
        let found = naive::linear::backward(&dy, &y, &x, &w, outs, relu);
        let f = |x: &[f64], w: &[f64], b: &[f64]| weighted(&naive::linear::forward(x, w, b, relu), &dy);
        check("x", &x, &found.x, |x| f(x, &w, &b));
        check("w", &w, &found.w, |w| f(&x, w, &b));
        check("b", &b, &found.b, |b| f(&x, &w, b));
    }
}

#[test]
fn l2_norm() {
    let mut random = Random(3);
    let (x, dy) = (random.vec(4 * 6), random.vec(4 * 6));
    let found = naive::norm::backward(&dy, &x, 6);
    check("x", &x, &found, |x| weighted(&naive::norm::forward(x, 6), &dy));
}

#[test]
fn embedding_bag() {
    let mut random = Random(4);
    let bags = vec![vec![1, 2, 1], vec![], vec![4], vec![0, 3]];
    let weights: Vec<Vec<f64>> = bags.iter().map(|b| random.vec(b.len())).collect();
    let (table, d_out) = (random.vec(5 * 3), random.vec(bags.len() * 3));
    for weights in [None, Some(&weights[..])] {
        let found = naive::embedding::backward(&d_out, 5, 3, &bags, weights);
        check("table", &table, &found, |t| weighted(&naive::embedding::forward(t, 3, &bags, weights), &d_out));
    }
}
