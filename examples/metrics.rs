//! Judges lists that any program made: `metrics RUN.csv TRUTH.csv [K,K,…]` prints the mean of every metric as JSON.
//!
//! RUN.csv has the columns user, rank, item; TRUTH.csv has user, item. Users without a line in TRUTH.csv are left out,
//! users without a line in RUN.csv have an empty list. The tests compare its figures with those of other libraries.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use tercel::eval::metrics::Metrics;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(run), Some(truth)) = (args.next(), args.next()) else {
        return Err("usage: metrics RUN.csv TRUTH.csv [K,K,…]".into());
    };
    let ks = args.next().unwrap_or("10,20".into()).split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let metrics = Metrics::new(&ks)?;

    // Items get numbers as they come: the metrics only ask whether two are the same.
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let mut number = |item: String| {
        let next = numbers.len() as u32;
        *numbers.entry(item).or_insert(next)
    };
    let mut relevant: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for row in csv::Reader::from_path(truth)?.deserialize() {
        let (user, item): (String, String) = row?;
        relevant.entry(user).or_default().push(number(item));
    }
    let mut lists: BTreeMap<String, Vec<(u32, u32)>> = BTreeMap::new();
    for row in csv::Reader::from_path(run)?.deserialize() {
        let (user, rank, item): (String, u32, String) = row?;
        lists.entry(user).or_default().push((rank, number(item)));
    }

    let mut sums = vec![0.0; metrics.width()];
    for (user, items) in &mut relevant {
        items.sort_unstable();
        items.dedup();
        let mut list = lists.remove(user).unwrap_or_default();
        list.sort_unstable();
        let list: Vec<u32> = list.into_iter().map(|(_, item)| item).collect();
        let mut values = Vec::new();
        metrics.of_user(&list, items, &mut values);
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    let users = relevant.len().max(1) as f64;
    let means: serde_json::Map<String, serde_json::Value> =
        metrics.names().zip(&sums).map(|((metric, k), sum)| (format!("{metric}@{k}"), (sum / users).into())).collect();
    println!("{}", serde_json::to_string(&means)?);
    Ok(())
}
