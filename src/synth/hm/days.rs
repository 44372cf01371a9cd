//! Purchases, day by day.

use std::io;
use std::ops::Range;

use super::articles::{Articles, Day, unit};
use super::customers::Customers;
use super::texts::date;
use super::{CountedFile, DAYS, MAIN, SECOND, Sizes};
use crate::rng::Rng;
use crate::threads::Threads;

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
    out: &mut CountedFile,
    threads: &Threads,
    seed: u64,
    sizes: &Sizes,
    articles: &Articles,
    customers: &Customers,
    progress: &(dyn Fn(u32, u32) + Sync),
) -> io::Result<u64> {
    out.push(b"t_dat,customer_id,article_id,price,sales_channel_id\n")?;
    let ends = ends(sizes.rows);
    let mut ready: Vec<Vec<u8>> = Vec::new();
    for first in (0..DAYS).step_by(TOGETHER as usize) {
        let days = first..(first + TOGETHER).min(DAYS);
        // Some days are drawn while those before them are written.
        let draw = || several(days.clone(), &ends, threads, &Visitors { seed, sizes, articles, customers });
        let (written, drawn) = threads.join(|| ready.iter().try_for_each(|text| out.push(text)), draw);
        written?;
        ready = drawn;
        progress(days.end, DAYS);
    }
    ready.iter().try_for_each(|text| out.push(text))?;
    Ok(sizes.rows)
}

/// The lines of some days, as texts in order.
fn several(days: Range<u32>, ends: &[u64], threads: &Threads, visitors: &Visitors<'_>) -> Vec<Vec<u8>> {
    let shops: Vec<Day> = threads.map(days.clone().collect(), 1, |_, day| visitors.articles.on(day));
    // Chunks of one size, whatever the number of threads.
    let chunks = days.clone().flat_map(|day| {
        let (from, to) = (if day == 0 { 0 } else { ends[day as usize - 1] }, ends[day as usize]);
        (from..to).step_by(CHUNK as usize).map(move |at| (day, at..to.min(at + CHUNK)))
    });
    let chunks: Vec<_> = chunks.collect();
    threads.map(chunks, 1, |_, (day, lines)| visitors.on(day, lines, &shops[(day - days.start) as usize]))
}

/// How many lines there are by the end of each day, `rows` by the last: more at weekends and before Christmas, more from
/// year to year.
fn ends(rows: u64) -> Vec<u64> {
    let weight = |day: u32| {
        let weekend = if matches!(day % 7, 1..=3) { 1.25 } else { 1.0 };
        let year = 1.0 + 0.15 * (std::f64::consts::TAU * (f64::from(day) - 260.0) / 365.25).cos();
        weekend * year * (1.0 + f64::from(day) / f64::from(4 * DAYS))
    };
    let total: f64 = (0..DAYS).map(weight).sum();
    let mut sum = 0.0;
    let end = |day| {
        sum += weight(day);
        (sum / total * rows as f64).round() as u64
    };
    (0..DAYS).map(end).collect()
}

/// Who comes, and what there is.
struct Visitors<'a> {
    seed: u64,
    sizes: &'a Sizes,
    articles: &'a Articles,
    customers: &'a Customers,
}

impl Visitors<'_> {
    /// The lines `lines` of all, which are of one day, as text. Every customer comes at least once: the chunk begins with
    /// its share of them, in the order of their numbers.
    fn on(&self, day: u32, lines: Range<u64>, shop: &Day) -> Vec<u8> {
        let mut rng = Rng::at(self.seed, &[VISIT, lines.start]);
        let mut text = Vec::with_capacity((lines.end - lines.start) as usize * 116);
        let date = date(day);
        let until =
            |line: u64| (u128::from(line) * u128::from(self.sizes.customers) / u128::from(self.sizes.rows)) as u32;
        let mut firsts = until(lines.start)..until(lines.end);
        let mut left = lines.end - lines.start;
        while left > 0 {
            let customer = firsts.next().unwrap_or_else(|| self.customers.draw(&mut rng));
            // Those who have not come yet need a line each.
            let most = (left - (firsts.len() as u64).min(left - 1)).max(1);
            left -= self.visit(&date, customer, most, shop, &mut rng, &mut text);
        }
        text
    }

    /// Appends one visit of at most `most` lines; answers how many.
    fn visit(&self, date: &str, customer: u32, most: u64, shop: &Day, rng: &mut Rng, text: &mut Vec<u8>) -> u64 {
        let [main, second] = self.customers.tastes(customer);
        let begin = text.len();
        text.extend_from_slice(date.as_bytes());
        text.push(b',');
        self.customers.push_id(text, customer);
        text.push(b',');
        let start = begin..text.len();
        let channel: &[u8] = if rng.below_u32(10) < 7 { b",2\n" } else { b",1\n" };
        let mut lines = 0;
        loop {
            let whose = unit(rng);
            let cluster = match () {
                () if whose < MAIN => Some(main),
                () if whose < MAIN + SECOND => Some(second),
                () => None,
            };
            // A cluster that has nothing yet sends its customers elsewhere; some article is there from the first day.
            let article = self.articles.draw(shop, cluster, rng).or_else(|| self.articles.draw(shop, None, rng));
            let article = article.unwrap_or_default();
            self.articles.push_id(text, article);
            text.push(b',');
            text.extend_from_slice(self.articles.price(article, rng.below_u32(8) == 0));
            text.extend_from_slice(channel);
            lines += 1;
            if lines == most || unit(rng) >= ANOTHER {
                return lines;
            }
            text.extend_from_within(start.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_share_all_rows_out() {
        for rows in [1, 733, 100_000, 31_788_324] {
            let ends = ends(rows);
            assert!(ends.is_sorted() && ends.last() == Some(&rows));
        }
    }
}
