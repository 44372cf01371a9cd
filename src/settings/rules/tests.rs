//! Every rule at its boundaries, and what is decided where.

use super::*;
use crate::data::shape::NextItem;
use crate::settings::Table;

const KEYS: [&str; 11] = [
    "model.user.history",
    "model.user.id",
    "loss.negatives",
    "loss.top_k",
    "model.temperature",
    "model.popularity",
    "optimizer.lr",
    "optimizer.weight_decay",
    "train.batch_size",
    "train.epochs",
    "train.early_stop",
];

fn config(text: &str) -> Config {
    Config::from_toml(text).unwrap()
}

fn shape(rows: u64, valid_rows: u64) -> Shape {
    Shape { rows, valid_rows, user_rows: 7.0, gini: 0.7, ..Shape::default() }
}

fn decided(config: &Config, shape: &Shape) -> Vec<(&'static str, String)> {
    config.for_shape(shape).decisions().iter().map(|made| (made.key, made.value.clone())).collect()
}

#[test]
fn every_open_setting_is_decided_once_and_has_a_reason() {
    let resolved = Config::default().for_shape(&shape(1_000, 10));
    assert_eq!(resolved.decisions().iter().map(|made| made.key).collect::<Vec<_>>(), KEYS);
    assert!(resolved.decisions().iter().all(|made| !made.why.is_empty() && !made.why.ends_with('.')));
    let about = Config::describe();
    let open: Vec<&str> = about.iter().filter(|about| about.open.is_some()).map(|about| &*about.key).collect();
    assert!(KEYS.iter().all(|key| open.contains(key)), "{open:?}");
}

#[test]
fn a_value_is_what_the_flag_takes() {
    for made in Config::default().for_shape(&shape(1_000, 10)).decisions() {
        let mut set = Config::default();
        let settings = Config::settings();
        let setting = settings.iter().find(|setting| setting.key() == made.key).unwrap();
        setting.put(&mut set, &[made.value.as_ref()]).unwrap();
        let rest = decided(&set, &shape(1_000, 10));
        assert!(rest.iter().all(|(key, _)| *key != made.key), "{made:?}");
        assert_eq!(rest.len(), KEYS.len() - 1);
        assert_eq!(set.for_shape(&shape(1_000, 10)), Config::default().for_shape(&shape(1_000, 10)), "{made:?}");
    }
}

#[test]
fn what_is_set_stays() {
    let chosen = config(
        "[model]\ntemperature = 0.05\npopularity = 0\nuser = { id = false, history = 2 }\nitem = { id = true, history = 0 }\n\
         [loss]\nnegatives = \"full\"\ntop_k = 3\n[optimizer]\nlr = 0.5\nweight_decay = 0.5\n\
         [train]\nepochs = 7\nbatch_size = 9\nearly_stop = \"off\"",
    );
    for shape in [shape(0, 0), shape(1 << 40, 1 << 30)] {
        let resolved = chosen.for_shape(&shape);
        assert_eq!(*resolved.config(), chosen);
        assert!(resolved.decisions().is_empty());
        assert_eq!((resolved.temperature(), resolved.popularity(), resolved.lr()), (0.05, 0.0, 0.5));
        assert_eq!((resolved.history(), resolved.user_id(), resolved.negatives()), (2, false, Negatives::Full));
        assert_eq!(resolved.top_k(), 3);
        assert_eq!((resolved.weight_decay(), resolved.batch_size(), resolved.epochs()), (0.5, 9, 7));
        assert_eq!(resolved.early_stop(), None);
    }
}

#[test]
fn a_file_has_every_value_and_gives_them_back() {
    let resolved = Config::default().for_shape(&shape(3_000_000, 10));
    let text = serde_json::to_string(&resolved).unwrap();
    let read: Resolved = serde_json::from_str(&text).unwrap();
    assert_eq!(read, resolved);
    assert_eq!(read.decisions(), []);
    assert_eq!(read.early_stop(), resolved.early_stop());
    assert!(decided(read.config(), &shape(5, 0)).is_empty(), "nothing is open in a model's file");
}

#[test]
fn a_file_of_an_earlier_version_means_what_it_meant() {
    let old = "{\"model\":{\"dim\":8,\"temperature\":0.3,\"user\":{\"id\":true,\"history\":4},\"item\":{\"id\":true}},\
               \"loss\":{\"negatives\":\"cross-batch:7\"},\"optimizer\":{\"lr\":0.02},\
               \"train\":{\"epochs\":3,\"batch_size\":64,\"early_stop\":null}}";
    let read: Resolved = serde_json::from_str(old).unwrap();
    assert_eq!((read.temperature(), read.history(), read.lr()), (0.3, 4, 0.02));
    assert_eq!((read.negatives(), read.batch_size(), read.epochs()), (Negatives::CrossBatch(7), 64, 3));
    assert_eq!(read.early_stop(), None, "it was trained without");
    assert_eq!((read.popularity(), read.weight_decay(), read.top_k()), (0.0, 0.0, 0), "it did not know them");
    let nothing: Resolved = serde_json::from_str("{}").unwrap();
    assert_eq!((nothing.temperature(), nothing.lr(), nothing.batch_size()), (0.2, 0.01, 512));
    assert!(nothing.user_id() && nothing.history() == 0 && nothing.negatives() == Negatives::InBatch);
}

#[test]
fn the_last_items_are_read_where_they_tell_the_next() {
    let decided = |text: &str, user_rows: f64, next: Option<NextItem>| {
        let resolved = config(text).for_shape(&Shape { user_rows, next, ..shape(1_000, 0) });
        (resolved.history(), resolved.user_id())
    };
    let next = |last, all, popularity| Some(NextItem { users: 500, last, earlier: 0.7 * last, all, popularity });
    assert_eq!(decided("", 30.0, None), (0, true), "no times");
    assert_eq!(decided("", 30.0, next(0.30, 0.25, 0.1)), (2, true));
    assert_eq!(decided("", 29.9, next(0.30, 0.25, 0.1)), (2, false), "too few rows for an id");
    assert_eq!(decided("", 30.0, next(0.161, 0.2, 0.1)), (2, true), "nearly as much as all of them");
    assert_eq!(decided("", 30.0, next(0.159, 0.2, 0.1)), (0, true));
    assert_eq!(decided("", 30.0, next(0.039, 0.04, 0.01)), (0, true), "nothing tells much");
    let orderless = next(0.3, 0.3, 0.1).map(|next| NextItem { earlier: 0.26, ..next });
    assert_eq!(decided("", 30.0, orderless), (0, true), "earlier ones tell it as well");
    assert_eq!(decided("", 30.0, next(0.119, 0.1, 0.1)), (0, true), "popularity tells it, too");
    let of_later = |later| {
        let shape = Shape { user_rows: 30.0, later, next: next(0.3, 0.2, 0.1), ..shape(1_000, 0) };
        config("").for_shape(&shape).history()
    };
    assert_eq!([Some(0.9), Some(0.89), None].map(of_later), [2, 0, 2], "rows drawn by chance are no next ones");
    let few = next(0.3, 0.2, 0.1).map(|next| NextItem { users: 499, ..next });
    assert_eq!(decided("", 30.0, few), (0, true));
    for fixed in
        ["[model.item]\nid = false", "[model.item]\ncombine = \"concat\"", "[model.user]\ncombine = \"concat\""]
    {
        assert_eq!(decided(fixed, 30.0, next(0.3, 0.2, 0.1)), (0, true), "{fixed}");
    }
    assert_eq!(decided("[model.user]\nhistory = 0", 9.0, next(0.3, 0.2, 0.1)), (0, true));
    assert_eq!(decided("[model.user]\nid = true", 9.0, next(0.3, 0.2, 0.1)), (2, true));
}

#[test]
fn epochs_follow_the_rows() {
    let epochs = |rows| Config::default().for_shape(&shape(rows, 0)).epochs();
    assert_eq!([0, 100_000, 2_000_000, 2_000_001, 4_000_000].map(epochs), [30, 30, 30, 29, 15]);
    assert_eq!([10_000_000, 12_000_000, 12_000_001, 1 << 40].map(epochs), [6, 5, 5, 5]);
}

#[test]
fn decay_keeps_vectors_short_only_where_that_changes_no_score() {
    let decay = |text| config(text).for_shape(&shape(1, 0)).weight_decay();
    assert_eq!(decay(""), 2.0);
    assert_eq!(decay("[model]\nnormalize = false"), 0.0, "decay would shrink scores");
    assert_eq!(decay("[optimizer]\nname = \"adagrad\""), 0.0);
    assert_eq!(decay("[optimizer]\nweight_decay = 0"), 0.0);
}

#[test]
fn popularity_counts_where_the_correction_takes_it_out() {
    let popularity = |text: &str| config(text).for_shape(&shape(1, 0)).popularity();
    assert_eq!([popularity(""), popularity("[loss]\nlogq = \"streaming\"")], [0.5; 2]);
    assert_eq!(["corrected", "off"].map(|logq| popularity(&format!("[loss]\nlogq = \"{logq}\""))), [0.0; 2]);
}

#[test]
fn training_stops_early_where_there_is_a_validation_split() {
    let stop = |valid| Config::default().for_shape(&shape(1_000, valid)).early_stop().map(ToString::to_string);
    assert_eq!([0, 1].map(stop), [None, Some("ndcg@20,15".to_owned())]);
    let patience = |text: &str| config(text).for_shape(&shape(1_000, 1)).early_stop().map(|stop| stop.patience);
    let epochs = ["[train]\nepochs = 9", "[train]\nepochs = 11", "[train]\nepochs = 60"];
    assert_eq!(epochs.map(patience), [Some(5), Some(6), Some(30)]);
}

#[test]
fn the_rest_is_one_value_each() {
    let resolved = Config::default().for_shape(&shape(1_000, 0));
    assert_eq!((resolved.temperature(), resolved.lr(), resolved.batch_size()), (0.2, 0.01, 512));
    assert_eq!((resolved.history(), resolved.user_id(), resolved.negatives()), (0, true, Negatives::InBatch));
    assert_eq!((resolved.model.item.id, resolved.model.item.history), (Some(true), Some(0)));
}

#[test]
fn numbers_have_commas() {
    assert_eq!([0, 999, 1_000, 1_020_034].map(grouped), ["0", "999", "1,000", "1,020,034"]);
}

#[test]
fn temperature_follows_what_the_others_explain_and_the_catalogue() {
    let decided = |items: u64, users: u64, neighbours: f64, popularity: f64| {
        let held_out = Some(HeldOut { users, neighbours, popularity });
        config("[loss]\ntop_k = 0").for_shape(&Shape { items, held_out, ..shape(1_000, 0) }).temperature()
    };
    // 0.7 / ln(0.2 * 1,000 / 20) = 0.7 / 2.303.
    assert_eq!(decided(1_000, 500, 0.2, 0.05), 0.3);
    assert_eq!(decided(4_000, 500, 0.2, 0.05), 0.19);
    assert_eq!(decided(40_000, 500, 0.2, 0.05), 0.12);
    assert_eq!(decided(1 << 40, 500, 0.2, 0.05), 0.1, "never below");
    assert_eq!(
        [decided(20, 500, 1.0, 0.5), decided(1, 500, 1.0, 0.5)],
        [0.3, 0.3],
        "nor above, nor divided by nothing"
    );
    assert_eq!(decided(40_000, 500, 0.2, 0.17), 0.3, "popularity tells nearly as much");
    // Halfway from 0.3 to 0.12 at 1.325 times as much.
    assert_eq!([0.2 / 1.325, 0.2 / 1.4].map(|popularity| decided(40_000, 500, 0.2, popularity)), [0.21, 0.12]);
    assert_eq!(decided(40_000, 500, 0.0, 0.0), 0.3, "nothing tells anything");
    assert_eq!(decided(40_000, 499, 0.2, 0.05), 0.2, "too few users");
    let of_last = |user: &str| {
        let user = format!("{user} }}\n[loss]\nnegatives = \"in-batch\"\ntop_k = 0");
        let held_out = Some(HeldOut { users: 500, neighbours: 0.2, popularity: 0.05 });
        config(&format!("[model]\nuser = {{ {user}"))
            .for_shape(&Shape { items: 4_000, held_out, ..shape(9, 0) })
            .temperature()
    };
    let towers = ["id = false, history = 2", "id = true, history = 2", "id = true, history = 0"];
    // 0.45 / ln(0.2 * 4,000 / 20) = 0.45 / 3.689 where the last ones alone are read.
    assert_eq!(towers.map(of_last), [0.12, 0.19, 0.19]);
}

#[test]
fn all_items_are_candidates_where_the_last_ones_alone_are_read_and_they_are_few() {
    let decided = |text: &str, rows: u64, items: u64| {
        let resolved = config(text).for_shape(&Shape {
            items,
            held_out: Some(HeldOut { users: 500, neighbours: 0.2, popularity: 0.05 }),
            ..shape(rows, 0)
        });
        (resolved.negatives(), resolved.temperature())
    };
    let alone = "[model.user]\nid = false\nhistory = 2";
    // 150,000 rows, 30 epochs, 12,000 items: 54 thousand million scores.
    assert_eq!(decided(alone, 150_000, 12_000), (Negatives::Full, 0.1));
    assert_eq!(decided(alone, 150_000, 24_000), (Negatives::InBatch, 0.1));
    assert_eq!(decided(&format!("{alone}\n[train]\nepochs = 10"), 150_000, 24_000), (Negatives::Full, 0.1));
    assert_eq!(decided("[model.user]\nid = true\nhistory = 2", 150_000, 12_000).0, Negatives::InBatch, "with an id");
    assert_eq!(decided(alone, u64::MAX, u64::MAX).0, Negatives::InBatch);
}

#[test]
fn popularity_counts_as_much_as_it_tells() {
    let decided = |text: &str, users: u64, neighbours: f64, popularity: f64| {
        let held_out = Some(HeldOut { users, neighbours, popularity });
        config(text).for_shape(&Shape { held_out, ..shape(1_000, 0) }).popularity()
    };
    assert_eq!([0.05, 0.1, 0.13, 0.19, 0.3].map(|share| decided("", 500, 0.2, share)), [0.25, 0.5, 0.65, 0.8, 0.8]);
    assert_eq!([decided("", 500, 0.2, 0.0), decided("", 500, 0.0, 0.0), decided("", 499, 0.2, 0.05)], [0.2, 0.8, 0.5]);
    assert_eq!(decided("[loss]\nlogq = \"off\"", 500, 0.2, 0.1), 0.0);
    let held_out = Some(HeldOut { users: 500, neighbours: 0.2, popularity: 0.05 });
    let later = |later| Config::default().for_shape(&Shape { later, held_out, ..shape(1_000, 0) }).popularity();
    assert_eq!([Some(1.0), Some(0.5), None].map(later), [0.5, 0.25, 0.25]);
}

#[test]
fn rows_are_weighed_where_taste_tells_far_more_than_popularity() {
    let told = |neighbours| Some(HeldOut { users: 500, neighbours, popularity: 0.1 });
    let found = |text: &str, shape: &Shape| config(text).for_shape(shape).top_k();
    let of = |held_out| Shape { held_out, users: 5_000, items: 10_000, ..shape(100_000, 0) };
    assert_eq!([told(0.251), told(0.249), None].map(|told| found("", &of(told))), [20, 0, 0]);
    let few = Some(HeldOut { users: 499, ..told(0.5).unwrap() });
    assert_eq!(found("", &of(few)), 0, "too few to measure it");
    assert_eq!(found("[model.user]\nhistory = 2", &of(told(0.5))), 0);
    assert_eq!(found("[train]\nepochs = 1", &of(told(0.5))), 0, "nothing comes after the first ranking");
    assert_eq!(found("[loss]\ntop_k = 0", &of(told(0.5))), 0);
    // 30 epochs: up to 18,000 candidates a row.
    let large = |users| Shape { users, ..of(told(0.5)) };
    assert_eq!([120_000, 120_001].map(|users| found("", &large(users))), [20, 0]);
    // 0.7 / ln(0.5 * 10,000 / 20) = 0.13 without.
    let temperature = |text: &str| config(text).for_shape(&of(told(0.5))).temperature();
    assert_eq!(["", "[loss]\ntop_k = 0", "[loss]\ntop_k = 5"].map(temperature), [0.15, 0.13, 0.15]);
}
