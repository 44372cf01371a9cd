//! `evaluate --view`: what is new to users beside what they take next, where they take things again.

use serde_json::Value;

use crate::support::{event, events, folder, sample, tercel, write};

/// The evaluations of a run, in their order.
fn evaluations(found: &[Value]) -> Vec<&Value> {
    found.iter().filter(|event| event["event"] == "evaluate").collect()
}

#[test]
fn people_who_buy_again_are_looked_at_both_ways() {
    let folder = folder();
    let at = folder.path();
    sample(at, "t.csv.gz");
    let columns = ["--user", "household_id", "--item", "product_id", "--time", "t_dat"];
    let ingest = [&["ingest", "t.csv.gz", "--out", "data", "--split", "time:2017-12-11"][..], &columns].concat();
    let ingested = events(at, &ingest);
    let count = |name: &str| event(&ingested, "ingest")[name].as_u64().expect("a count");
    assert!(count("test_repeats") * 100 > count("test_rows") && count("train_repeats") > 0);
    let text = tercel(at, &ingest).stdout;
    let share = format!("{:.1} % of the validation", 100.0 * count("test_repeats") as f64 / count("test_rows") as f64);
    assert!(text.contains(&share), "no `{share}` in {text}");
    events(at, &["train", "--data", "data", "--out", "model", "--dim", "8", "--epochs", "1"]);

    let evaluate = ["evaluate", "--model", "model", "--data", "data", "--k", "5"];
    let found = events(at, &evaluate);
    let [discovery, next] = evaluations(&found)[..] else { panic!("two views") };
    assert_eq!((&discovery["view"], &next["view"]), (&"discovery".into(), &"next".into()));
    let number = |found: &Value, name: &str| found[name].as_u64().expect("a count");
    assert_eq!(number(discovery, "users") + number(discovery, "repeating_users"), number(next, "users"));
    assert_eq!(number(discovery, "relevant") + number(discovery, "repeated"), number(next, "relevant"));
    for view in [discovery, next] {
        for name in ["popular_7_days", "popular_28_days", "item_knn"] {
            assert!(view["baselines"][name]["ndcg@5"].is_f64(), "{name}: {view}");
        }
    }
    let text = tercel(at, &evaluate).stdout;
    for words in ["test split, discovery:", "test split, next:", "popularity   of 7 days  of 28 days    item-kNN"] {
        assert!(text.contains(words), "no `{words}` in {text}");
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(at.join("model/metrics.json")).unwrap()).unwrap();
    assert_eq!(
        (&kept["test_discovery"]["metrics"], &kept["test_next"]["view"]),
        (&discovery["metrics"], &"next".into())
    );

    let with = |more: &[&'static str]| events(at, &[&evaluate[..], more].concat());
    for (words, view, baselines) in [
        (&["--view", "next"][..], "next", 3),
        (&["--include-seen", "--baselines", "recent"], "next", 2),
        (&["--view", "discovery", "--baselines", "none"], "discovery", 0),
    ] {
        let found = with(words);
        let [one] = evaluations(&found)[..] else { panic!("one view") };
        assert_eq!(one["view"], view);
        assert_eq!(one["baselines"].as_object().map_or(0, |named| named.len()), baselines, "{words:?}");
    }
}

#[test]
fn a_view_without_anything_to_find_is_a_line_and_no_zeros() {
    let folder = folder();
    let at = folder.path();
    let rows: String = (0..60).map(|n| format!("u{},i{}\n", n % 10, n % 7)).collect();
    write(at, "in.csv", format!("user,item\n{rows}"));
    write(at, "again.csv", format!("user,item\n{rows}"));
    events(at, &["ingest", "in.csv", "--out", "data", "--test", "again.csv"]);
    events(at, &["train", "--data", "data", "--out", "model", "--dim", "8", "--epochs", "1"]);
    let text = tercel(at, &["evaluate", "--model", "model", "--data", "data", "--k", "3"]).stdout;
    let line = text.lines().find(|line| line.contains("discovery")).expect("it is named");
    assert!(line.starts_with("test split, discovery: nothing to find: all 60 pairs"), "{line}");
    assert_eq!(text.matches("ndcg@3").count(), 1, "{text}");
    assert!(!text.contains("7 days"), "there are no times: {text}");
    let found = events(at, &["evaluate", "--model", "model", "--data", "data", "--k", "3"]);
    let [nothing, next] = evaluations(&found)[..] else { panic!("two views") };
    assert!(nothing["nothing"].is_string() && nothing["users"] == 0);
    assert!(nothing["metrics"].as_object().is_some_and(|metrics| metrics.is_empty()));
    assert!(next["metrics"]["ndcg@3"]["value"].as_f64() > Some(0.0));
}
