//! Purchases, day by day.

use std::io;
use std::ops::Range;

use rayon::prelude::*;

use super::articles::{Articles, Day, unit};
use super::customers::Customers;
use super::texts::date;
use super::{DAYS, MAIN, Output, SECOND, Sizes};
use crate::rng::Rng;

/// Marks the random numbers of visits.
const VISIT: u64 = u64::from_le_bytes(*b"visit\0\0\0");
/// Lines that are drawn together.
const CHUNK: u64 = 1 << 13;
/// Days that are alive together.
const TOGETHER: u32 = 8;
/// Lines of a visit: one, and another as long as a coin of this bias says so.
const ANOTHER: f64 = 0.68;

/// Writes all days; answers how many lines that were.
pub(super) fn write(
    out: &mut Output,
    seed: u64,
    sizes: &Sizes,
    articles: &Articles,
    customers: &Customers,
    progress: &(dyn Fn(u32, u32) + Sync),
) -> io::Result<u64> {
    out.push(b"t_dat,customer_id,article_id,price,sales_channel_id\n")?;
    let lines = shares(sizes.rows);
    let mut ready: Vec<Vec<u8>> = Vec::new();
    for first in (0..DAYS).step_by(TOGETHER as usize) {
        let days = first..(first + TOGETHER).min(DAYS);
        // Some days are drawn while those before them are written.
        let draw = || several(seed, days.clone(), &lines, articles, customers);
        let (written, drawn) = rayon::join(|| ready.iter().try_for_each(|text| out.push(text)), draw);
        written?;
        ready = drawn;
        progress(days.end, DAYS);
    }
    ready.iter().try_for_each(|text| out.push(text))?;
    Ok(lines.iter().sum())
}

/// The lines of some days, as texts in order.
fn several(seed: u64, days: Range<u32>, lines: &[u64], articles: &Articles, customers: &Customers) -> Vec<Vec<u8>> {
    let shops: Vec<Day> = days.clone().into_par_iter().map(|day| articles.on(day)).collect();
    // Chunks of one size, whatever the number of threads.
    let chunks = days.clone().flat_map(|day| {
        let all = lines[day as usize];
        (0..all.div_ceil(CHUNK)).map(move |n| (day, n, CHUNK.min(all - n * CHUNK)))
    });
    let visits =
        |(day, chunk, lines)| visits(seed, day, chunk, lines, &shops[(day - days.start) as usize], articles, customers);
    chunks.collect::<Vec<_>>().into_par_iter().map(visits).collect()
}

/// How many lines each day has: more at weekends and before Christmas, more from year to year; their sum is `rows`.
fn shares(rows: u64) -> Vec<u64> {
    let weight = |day: u32| {
        let weekend = if matches!(day % 7, 1..=3) { 1.25 } else { 1.0 };
        let year = 1.0 + 0.15 * (std::f64::consts::TAU * (f64::from(day) - 260.0) / 365.25).cos();
        weekend * year * (1.0 + f64::from(day) / f64::from(4 * DAYS))
    };
    let total: f64 = (0..DAYS).map(weight).sum();
    let (mut sum, mut before) = (0.0, 0);
    let share = |day| {
        sum += weight(day);
        let until = (sum / total * rows as f64).round() as u64;
        let lines = until - before;
        before = until;
        lines
    };
    (0..DAYS).map(share).collect()
}

/// `lines` lines of visits, as text.
fn visits(
    seed: u64,
    day: u32,
    chunk: u64,
    lines: u64,
    shop: &Day,
    articles: &Articles,
    customers: &Customers,
) -> Vec<u8> {
    let mut rng = Rng::at(seed, &[VISIT, u64::from(day), chunk]);
    let mut text = Vec::with_capacity(lines as usize * 116);
    let (date, mut start) = (date(day), Vec::new());
    let mut left = lines;
    while left > 0 {
        let customer = customers.draw(&mut rng);
        let [main, second] = customers.tastes(customer);
        start.clear();
        start.extend_from_slice(date.as_bytes());
        start.push(b',');
        customers.push_id(&mut start, customer);
        start.push(b',');
        let channel: &[u8] = if rng.below_u32(10) < 7 { b",2\n" } else { b",1\n" };
        loop {
            let whose = unit(&mut rng);
            let cluster = match () {
                () if whose < MAIN => Some(main),
                () if whose < MAIN + SECOND => Some(second),
                () => None,
            };
            // A cluster that has nothing yet sends its customers elsewhere; some article is there from the first day.
            let article = articles.draw(shop, cluster, &mut rng).or_else(|| articles.draw(shop, None, &mut rng));
            let article = article.unwrap_or_default();
            text.extend_from_slice(&start);
            articles.push_id(&mut text, article);
            text.push(b',');
            text.extend_from_slice(articles.price(article, rng.below_u32(8) == 0));
            text.extend_from_slice(channel);
            left -= 1;
            if left == 0 || unit(&mut rng) >= ANOTHER {
                break;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_share_all_rows_out() {
        for rows in [1, 733, 100_000, 31_788_324] {
            assert_eq!(shares(rows).iter().sum::<u64>(), rows);
        }
    }
}
