//! The in-batch softmax.

/// A problem: B rows of users, C candidates, D wide.
#[derive(Clone)]
pub struct Loss {
    pub users: Vec<f64>,
    pub candidates: Vec<f64>,
    pub log_scale: f64,
    pub bias: Vec<f64>,
    /// Columns with the id of a row's positive are masked.
    pub ids: Option<Vec<u32>>,
    pub positives: Vec<usize>,
    /// Further masked columns of each row.
    pub masked: Vec<Vec<usize>>,
    pub weights: Vec<f64>,
    /// log(1 - q) of each row's positive.
    pub corrected: Option<Vec<f64>>,
    pub dim: usize,
}

/// What a loss yields.
pub struct Gradients {
    pub loss: f64,
    pub users: Vec<f64>,
    pub candidates: Vec<f64>,
    pub log_scale: f64,
    /// The sums of the terms' absolute values.
    pub users_size: Vec<f64>,
    pub candidates_size: Vec<f64>,
}

impl Loss {
    fn columns(&self) -> usize {
        self.bias.len()
    }

    fn dot(&self, i: usize, j: usize) -> f64 {
        let mut sum = 0.0;
        for d in 0..self.dim {
            sum += self.users[i * self.dim + d] * self.candidates[j * self.dim + d];
        }
        sum
    }

    /// Whether column j does not count for row i.
    fn is_masked(&self, i: usize, j: usize) -> bool {
        let positive = self.positives[i];
        if j == positive {
            return self.corrected.is_some();
        }
        let hit = self.ids.as_ref().is_some_and(|ids| ids[j] == ids[positive]);
        hit || self.masked[i].contains(&j)
    }

    /// The score of a column that counts.
    fn score(&self, i: usize, j: usize) -> f64 {
        let correction = self.corrected.as_ref().map_or(0.0, |c| c[i]);
        self.log_scale.exp() * self.dot(i, j) + self.bias[j] + correction
    }

    fn positive_score(&self, i: usize) -> f64 {
        let bias = if self.corrected.is_some() { 0.0 } else { self.bias[self.positives[i]] };
        self.log_scale.exp() * self.dot(i, self.positives[i]) + bias
    }

    fn log_sum(&self, i: usize) -> f64 {
        let scores: Vec<f64> =
            (0..self.columns()).filter(|&j| !self.is_masked(i, j)).map(|j| self.score(i, j)).collect();
        let max = scores.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        max + scores.iter().map(|s| (s - max).exp()).sum::<f64>().ln()
    }

    fn negatives(&self, i: usize) -> usize {
        (0..self.columns()).filter(|&j| j != self.positives[i] && !self.is_masked(i, j)).count()
    }

    /// The share of each row in the loss. In the corrected form it holds 1 - p, a constant for the gradients.
    pub fn shares(&self) -> Vec<f64> {
        let total: f64 = self.weights.iter().sum();
        let mut shares = Vec::new();
        for (i, w) in self.weights.iter().enumerate() {
            let mut share = if total == 0.0 { 0.0 } else { w / total };
            if self.corrected.is_some() {
                let n = self.negatives(i);
                if n == 0 {
                    share = 0.0;
                } else {
                    let others = self.log_sum(i) - (n as f64).ln();
                    share *= 1.0 / (1.0 + (self.positive_score(i) - others).exp());
                }
            }
            shares.push(share);
        }
        shares
    }

    /// The loss, with the rows' shares given.
    pub fn value(&self, shares: &[f64]) -> f64 {
        let mut sum = 0.0;
        for (i, &share) in shares.iter().enumerate() {
            if share != 0.0 {
                sum += share * (self.log_sum(i) - self.positive_score(i));
            }
        }
        sum
    }

    /// The loss and its gradients.
    pub fn gradients(&self) -> Gradients {
        let shares = self.shares();
        let (scale, dim) = (self.log_scale.exp(), self.dim);
        let mut out = Gradients {
            loss: self.value(&shares),
            users: vec![0.0; self.users.len()],
            candidates: vec![0.0; self.candidates.len()],
            log_scale: 0.0,
            users_size: vec![0.0; self.users.len()],
            candidates_size: vec![0.0; self.candidates.len()],
        };
        for (i, &share) in shares.iter().enumerate() {
            if share == 0.0 {
                continue;
            }
            let log_sum = self.log_sum(i);
            for j in 0..self.columns() {
                // dL/ds_ij
                let mut g = if self.is_masked(i, j) { 0.0 } else { (self.score(i, j) - log_sum).exp() };
                if j == self.positives[i] {
                    g -= 1.0;
                }
                g *= share;
                for d in 0..dim {
                    let (user, candidate) = (i * dim + d, j * dim + d);
                    let (by_user, by_candidate) =
                        (g * scale * self.candidates[candidate], g * scale * self.users[user]);
                    out.users[user] += by_user;
                    out.candidates[candidate] += by_candidate;
                    out.users_size[user] += by_user.abs();
                    out.candidates_size[candidate] += by_candidate.abs();
                }
                out.log_scale += g * scale * self.dot(i, j);
            }
        }
        out
    }
}

/// The weights of SoftmaxLoss@K: `w sigmoid((<u, v_p> + popularity / scale - threshold) / width)` of every row.
pub fn top_k_weights(of: &Loss, popularity: &[f64], thresholds: &[f64], width: f64) -> Vec<f64> {
    let mut weights = Vec::new();
    for i in 0..of.weights.len() {
        let score = of.dot(i, of.positives[i]) + popularity[i] / of.log_scale.exp();
        weights.push(of.weights[i] / (1.0 + ((thresholds[i] - score) / width).exp()));
    }
    weights
}
