//! Customers: their tastes, and how often they come.

use std::io;

use super::articles::unit;
use super::texts::hex_id;
use super::{CountedFile, Sizes};
use crate::rng::Rng;

/// Marks the random numbers of customers, and their ids.
const CUSTOMER: u64 = u64::from_le_bytes(*b"customer");
const POSTAL: u64 = u64::from_le_bytes(*b"postal\0\0");
/// Customers that a table of chances has a row for: drawing one is then two random numbers.
const LINES: usize = 1 << 13;

pub(super) struct Customers {
    seed: u64,
    /// Main and second cluster of each.
    tastes: Vec<[u32; 2]>,
    /// Vose's alias table over how often they come: the chance of staying, and who comes otherwise.
    chances: Vec<(f32, u32)>,
}

impl Customers {
    pub(super) fn new(seed: u64, sizes: &Sizes) -> Customers {
        let mut tastes = Vec::with_capacity(sizes.customers as usize);
        let mut weights = Vec::with_capacity(sizes.customers as usize);
        for number in 0..sizes.customers {
            let mut rng = Rng::at(seed, &[CUSTOMER, u64::from(number)]);
            tastes.push([rng.below_u32(sizes.clusters), rng.below_u32(sizes.clusters)]);
            // Log-normal: most come a few times, some every week.
            let normal: f64 = (0..12).map(|_| unit(&mut rng)).sum::<f64>() - 6.0;
            weights.push((1.2 * normal).exp());
        }
        Customers { seed, tastes, chances: alias(&weights) }
    }

    /// Who comes, by how often each does.
    pub(super) fn draw(&self, rng: &mut Rng) -> u32 {
        let at = rng.below_u32(self.chances.len() as u32);
        let (stays, other) = self.chances[at as usize];
        if unit(rng) < f64::from(stays) { at } else { other }
    }

    /// A customer's main and second cluster.
    pub(super) fn tastes(&self, number: u32) -> [u32; 2] {
        self.tastes[number as usize]
    }

    pub(super) fn push_id(&self, out: &mut Vec<u8>, number: u32) {
        hex_id(out, self.seed, CUSTOMER, u64::from(number));
    }

    pub(super) fn write(&self, out: &mut CountedFile) -> io::Result<()> {
        out.push(b"customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code\n")?;
        let mut lines = Vec::new();
        for number in 0..self.tastes.len() as u32 {
            let mut rng = Rng::at(self.seed, &[CUSTOMER, u64::from(number), 1]);
            self.push_id(&mut lines, number);
            let news = rng.below_u32(3) == 0;
            let active = news && rng.below_u32(20) > 0;
            lines.extend_from_slice(if news { b",1.0" } else { b"," });
            lines.extend_from_slice(if active { b",1.0" } else { b"," });
            lines.extend_from_slice(if rng.below_u32(14) == 0 { b",PRE-CREATE" } else { b",ACTIVE" });
            lines.extend_from_slice(if news { b",Regularly," } else { b",NONE," });
            // A cluster has its age; one customer in ninety does not say.
            let age = 18 + self.tastes[number as usize][0] * 7 % 45 + rng.below_u32(12);
            if rng.below_u32(90) > 0 {
                lines.extend_from_slice(age.to_string().as_bytes());
            }
            lines.push(b',');
            hex_id(&mut lines, self.seed, POSTAL, u64::from(rng.below_u32(350_000)));
            lines.push(b'\n');
            self.flush(&mut lines, number, out)?;
        }
        out.push(&lines)
    }

    /// Each customer's clusters.
    pub(super) fn write_truth(&self, out: &mut CountedFile) -> io::Result<()> {
        out.push(b"customer_id,main,second\n")?;
        let mut lines = Vec::new();
        for (number, [main, second]) in (0..).zip(&self.tastes) {
            self.push_id(&mut lines, number);
            lines.extend_from_slice(format!(",{main},{second}\n").as_bytes());
            self.flush(&mut lines, number, out)?;
        }
        out.push(&lines)
    }

    fn flush(&self, lines: &mut Vec<u8>, number: u32, out: &mut CountedFile) -> io::Result<()> {
        if (number as usize + 1).is_multiple_of(LINES) {
            out.push(lines)?;
            lines.clear();
        }
        Ok(())
    }
}

/// Vose's alias table (1991): each place with the chance that it stays, and who takes its turn otherwise.
fn alias(weights: &[f64]) -> Vec<(f32, u32)> {
    let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
    let mut left: Vec<f64> = weights.iter().map(|w| w / mean).collect();
    let mut table: Vec<(f32, u32)> = (0..weights.len() as u32).map(|i| (1.0, i)).collect();
    let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..weights.len() as u32).partition(|&i| left[i as usize] < 1.0);
    while let (Some(s), Some(&l)) = (small.pop(), large.last()) {
        table[s as usize] = (left[s as usize] as f32, l);
        left[l as usize] -= 1.0 - left[s as usize];
        if left[l as usize] < 1.0 {
            large.pop();
            small.push(l);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_table_draws_by_weight() {
        let weights = [1.0, 0.0, 5.0, 2.0];
        let table = alias(&weights);
        let mut shares = [0.0; 4];
        for (i, &(stays, other)) in table.iter().enumerate() {
            shares[i] += f64::from(stays) / 4.0;
            shares[other as usize] += (1.0 - f64::from(stays)) / 4.0;
        }
        for (share, weight) in shares.iter().zip(weights) {
            assert!((share - weight / 8.0).abs() < 1e-6, "{shares:?}");
        }
    }
}
