//! Articles: what they are, and how likely each is to be bought on a day.

use std::io;

use super::texts::{APPEARANCES, COLOURS, INDEXES, TYPES, padded};
use super::{CountedFile, DAYS, LAST_WEEK, Sizes};
use crate::rng::{Rng, mix};

/// Marks the random numbers of articles.
const ARTICLE: u64 = u64::from_le_bytes(*b"article\0");
/// Articles of a cluster that the truth names.
const TRUTH: usize = 100;
/// Days in which half of an article's buyers turn to newer ones.
const HALF_LIFE: f64 = 45.0;

pub(super) struct Articles {
    seed: u64,
    all: Vec<Article>,
    /// The articles of each cluster.
    clusters: Vec<Vec<u32>>,
}

struct Article {
    cluster: u32,
    /// Popularity when it is new.
    weight: f64,
    /// May lie before the first day.
    launch: f64,
    /// How slowly it fades: 1 is a fashion, more is a staple.
    staying: f64,
    season: Season,
    /// The price, and the price marked down, as they are written.
    prices: [String; 2],
}

#[derive(Clone, Copy, PartialEq)]
enum Season {
    Any,
    Summer,
    Winter,
}

/// The articles of each cluster on one day, to be drawn.
pub(super) struct Day {
    /// Cumulative weights by cluster, beside the cluster's articles.
    sums: Vec<Vec<f64>>,
    /// Cumulative weights of the clusters.
    all: Vec<f64>,
}

impl Articles {
    pub(super) fn new(seed: u64, sizes: &Sizes) -> Articles {
        let mut clusters = vec![Vec::new(); sizes.clusters as usize];
        let all = (0..sizes.articles).map(|number| {
            let mut rng = Rng::at(seed, &[ARTICLE, u64::from(number)]);
            let cluster = rng.below_u32(sizes.clusters);
            let members: &mut Vec<u32> = &mut clusters[cluster as usize];
            members.push(number);
            let cents = 499 + 500 * u64::from(rng.below_u32(12)) + 100 * u64::from(rng.below_u32(5));
            Article {
                cluster,
                // A long tail: the exponential of an exponential number.
                weight: (0.9 * -unit(&mut rng).max(1e-12).ln()).exp().min(400.0),
                launch: unit(&mut rng) * f64::from(DAYS + 240) - 240.0,
                staying: if rng.below_u32(10) == 0 { 8.0 } else { 1.0 },
                season: match rng.below_u32(10) {
                    0 | 1 => Season::Summer,
                    2 | 3 => Season::Winter,
                    _ => Season::Any,
                },
                // Kaggle's prices are euros over 590.
                prices: [cents, cents * 7 / 10].map(|cents| format!("{}", cents as f64 / 59_000.0)),
            }
        });
        let all = all.collect();
        Articles { seed, all, clusters }
    }

    /// How likely an article is to be bought on a day, beside others.
    fn weight(&self, number: u32, day: u32) -> f64 {
        let Article { weight, launch, staying, season, .. } = self.all[number as usize];
        let age = f64::from(day) - launch;
        if age < 0.0 {
            return 0.0;
        }
        let fade = 0.5f64.powf(age / (HALF_LIFE * staying));
        // Warmest in the middle of July, 298 days after the first day.
        let warm = (std::f64::consts::TAU * (f64::from(day) - 298.0) / 365.25).cos();
        let season = match season {
            Season::Any => 1.0,
            Season::Summer => (1.5 * warm).exp(),
            Season::Winter => (-1.5 * warm).exp(),
        };
        // Nothing is ever wholly out of the shops.
        weight * (fade + 1e-4) * season
    }

    /// What can be bought on a day.
    pub(super) fn on(&self, day: u32) -> Day {
        let mut total = 0.0;
        let sums = self.clusters.iter().map(|articles| {
            let mut sum = 0.0;
            let sums = articles.iter().map(|&number| {
                sum += self.weight(number, day);
                sum
            });
            sums.collect::<Vec<f64>>()
        });
        let sums: Vec<Vec<f64>> = sums.collect();
        let all = sums.iter().map(|sums| {
            total += sums.last().copied().unwrap_or(0.0);
            total
        });
        Day { all: all.collect(), sums }
    }

    /// An article of a cluster (or of any), by its weight on the day; none where the cluster has nothing that day.
    pub(super) fn draw(&self, day: &Day, cluster: Option<u32>, rng: &mut Rng) -> Option<u32> {
        let cluster = match cluster {
            Some(cluster) => cluster as usize,
            None => pick(&day.all, rng)?,
        };
        Some(self.clusters[cluster][pick(&day.sums[cluster], rng)?])
    }

    /// Appends an article's number, as Kaggle's: ten digits, the last three of them the colour.
    pub(super) fn push_id(&self, out: &mut Vec<u8>, number: u32) {
        padded(out, u64::from(product(number)) * 1000 + u64::from(1 + number % 3), 10);
    }

    /// The price of an article, as it is written; marked down or not.
    pub(super) fn price(&self, number: u32, down: bool) -> &[u8] {
        self.all[number as usize].prices[usize::from(down)].as_bytes()
    }

    pub(super) fn write(&self, out: &mut CountedFile) -> io::Result<()> {
        out.push(
            b"article_id,product_code,prod_name,product_type_no,product_type_name,product_group_name,\
graphical_appearance_no,graphical_appearance_name,colour_group_code,colour_group_name,perceived_colour_value_id,\
perceived_colour_value_name,perceived_colour_master_id,perceived_colour_master_name,department_no,department_name,\
index_code,index_name,index_group_no,index_group_name,section_no,section_name,garment_group_no,garment_group_name,\
detail_desc\n",
        )?;
        let mut line = Vec::new();
        for (number, article) in (0u32..).zip(&self.all) {
            let mut rng = Rng::at(self.seed, &[ARTICLE, u64::from(number), 1]);
            // A cluster has its types, its department and its index; an article now and then has another type.
            let taste = mix(u64::from(article.cluster) ^ self.seed);
            let own = if rng.below_u32(4) == 0 { rng.below_u32(16) } else { (taste % 16) as u32 };
            let kind = own as usize;
            let (name, group, garment) = TYPES[kind];
            let colour = rng.below_u32(12) as usize;
            let look = rng.below_u32(8) as usize;
            let (index_code, index_name, index_group, index_group_name) = INDEXES[(taste >> 8) as usize % 6];
            let department = 1000 + article.cluster;
            let code = product(number);
            line.clear();
            self.push_id(&mut line, number);
            let (colour_name, value) = COLOURS[colour];
            let season = match article.season {
                Season::Any => "all year",
                Season::Summer => "summer",
                Season::Winter => "winter",
            };
            let rest = format!(
                ",{code},{name} no {code},{type_no},{name},{group},{look_no},{look_name},{colour_no},{colour_name},{value_no},\
                 {value},{master_no},{colour_name},{department},Department {department},{index_code},{index_name},{index_group},\
                 {index_group_name},{section},Section {section},{garment_no},\"{garment}\",\"{name} in a soft weave, {value}, \
                 for {season}.\"\n",
                type_no = 250 + kind,
                look_no = 1_010_001 + look,
                look_name = APPEARANCES[look],
                colour_no = 5 + colour,
                value_no = 1 + value.len() % 7,
                master_no = 1 + colour,
                section = 1 + article.cluster % 60,
                garment_no = 1001 + kind,
            );
            line.extend_from_slice(rest.as_bytes());
            out.push(&line)?;
        }
        Ok(())
    }

    /// The best articles of each cluster in the last week.
    pub(super) fn write_truth(&self, out: &mut CountedFile) -> io::Result<()> {
        out.push(b"cluster,rank,article_id,probability\n")?;
        for (cluster, members) in self.clusters.iter().enumerate() {
            let week = |number: u32| (DAYS - LAST_WEEK..DAYS).map(|day| self.weight(number, day)).sum::<f64>();
            let mut best: Vec<(f64, u32)> = members.iter().map(|&number| (week(number), number)).collect();
            let total: f64 = best.iter().map(|(weight, _)| weight).sum();
            best.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            for (rank, (weight, number)) in (1..).zip(best.into_iter().take(TRUTH)) {
                let mut line = format!("{cluster},{rank},").into_bytes();
                self.push_id(&mut line, number);
                line.extend_from_slice(format!(",{}\n", weight / total.max(f64::MIN_POSITIVE)).as_bytes());
                out.push(&line)?;
            }
        }
        Ok(())
    }
}

/// The product that an article is a colour of: three articles have one.
fn product(number: u32) -> u32 {
    100_000 + number / 3
}

/// Uniform in [0, 1).
pub(super) fn unit(rng: &mut Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A place, by cumulative weights; none where nothing weighs anything.
pub(super) fn pick(sums: &[f64], rng: &mut Rng) -> Option<usize> {
    let total = sums.last().copied().filter(|total| *total > 0.0)?;
    let at = unit(rng) * total;
    Some(sums.partition_point(|&sum| sum <= at).min(sums.len() - 1))
}
