//! Feature columns: kinds, missing values, and that nothing is learned from other splits.

use tercel::data::dataset::{FeatureKind, Split};
use tercel::data::ingest::FeatureSpec;

use super::support::{Case, config, files};

const LOG: &str = "user,item,time\na,x,1\nb,y,1\nc,x,1\na,y,9\nd,z,9\nb,w,9\n";

fn case(users: &str) -> Case {
    let case = Case::with("a.csv", LOG);
    case.write("users.csv", users);
    case
}

#[test]
fn kinds_and_codes() {
    let case = case(
        "user,city,age,tags,note\nb,Rome,30,t1|t2,\na,Oslo,20,t2,n\nd,Bern,99,t3|t1,n\nc,Rome,,,n\nnobody,Bern,1,t9,n\n",
    );
    let opened = case.open(
        "a.csv",
        &config(|c| {
            c.split = "time:9".parse().unwrap();
            c.user_features = Some(case.path("users.csv"));
            c.user_feature_kinds.insert("age".into(), FeatureSpec::Numeric(2));
            c.user_feature_kinds.insert("tags".into(), FeatureSpec::MultiHot("|".into()));
            c.user_feature_kinds.insert("note".into(), FeatureSpec::Skip);
        }),
    );
    let info = &opened.dataset.manifest().users;
    let kinds: Vec<_> = info.features.iter().map(|f| (f.name.as_str(), f.kind.clone())).collect();
    let texts = |values: &[&str]| values.iter().map(|v| v.to_string()).collect::<Vec<_>>();
    assert_eq!(
        kinds,
        [
            ("city", FeatureKind::Categorical { values: texts(&["Rome", "Oslo"]) }),
            ("age", FeatureKind::Numeric { edges: vec![30.0] }),
            ("tags", FeatureKind::MultiHot { separator: "|".into(), values: texts(&["t2", "t1"]) }),
        ]
    );
    let found = opened.features(&opened.users, info);
    assert_eq!(found["a"], ["city=2", "age=1", "tags=[1]"]);
    assert_eq!(found["b"], ["city=1", "age=2", "tags=[1, 2]"]);
    assert_eq!(found["c"], ["city=1", "age=0", "tags=[]"]);
    // d is in the test split alone: known values have codes, its own have none.
    assert_eq!(found["d"], ["city=0", "age=2", "tags=[2]"]);
    assert!(opened.summary.notes.contains(&"users.csv: 3 of 3 users have features".to_owned()));
    assert!(opened.summary.notes.contains(&"users.csv: 1 rows belong to users without interactions".to_owned()));
}

#[test]
fn what_other_splits_have_changes_nothing() {
    // Values, rows and items of the test split differ as much as they can; what training reads is the same, byte for
    // byte.
    let learned = |log: &str, users: &str| {
        let case = Case::with("a.csv", log);
        case.write("users.csv", users);
        let opened = case.open(
            "a.csv",
            &config(|c| {
                c.split = "time:9".parse().unwrap();
                c.user_features = Some(case.path("users.csv"));
                c.user_feature_kinds.insert("age".into(), FeatureSpec::Numeric(4));
                c.user_feature_kinds.insert("tags".into(), FeatureSpec::MultiHot("|".into()));
            }),
        );
        let mut files = files(&case.out());
        files.retain(|name, _| {
            ["users.arrow", "items.arrow", "train-00000.arrow", "history.arrow"].contains(&name.as_str())
        });
        assert_eq!(files.len(), 4);
        (files, opened.dataset.manifest().users.features.clone())
    };
    let users = "user,city,age,tags\na,R,20,t\nb,S,30,t|u\nc,S,40,\n";
    let first = learned(LOG, users);
    let more: String = (0..500).map(|n| format!("e{n},new{n},x,10\n")).collect();
    let features: String = (0..500).map(|n| format!("e{n},T{n},{},v{n}|t\n", n * 1000)).collect();
    let log = LOG.replace("d,z,9\n", "a,q,11\nc,q,12\n") + &more.replace(",new", ",n").replace(",x,10", ",10");
    let second = learned(&log, &(users.to_owned() + &features));
    assert_eq!(first, second);
}

#[test]
fn files_that_do_not_fit() {
    let run = |users: &str, kind: Option<(&str, FeatureSpec)>| {
        let case = case(users);
        case.error(
            "a.csv",
            &config(|c| {
                c.user_features = Some(case.path("users.csv"));
                c.user_feature_kinds.extend(kind.map(|(name, kind)| (name.to_owned(), kind)));
            }),
        )
        .0
    };
    assert_eq!(run("user,city\na,R\nb,S\na,T\n", None), "users.csv: row 4, column user: `a` already has a row");
    assert_eq!(
        run("user,city\na,R\nb\n", None),
        "users.csv: row 3, column city: is missing: the row has 1 of 2 values"
    );
    let numeric = Some(("age", FeatureSpec::Numeric(4)));
    assert_eq!(run("user,age\na,old\n", numeric.clone()), "users.csv: row 2, column age: `old` is not a number");
    assert!(run("user,city\na,R\n", numeric).ends_with("users.csv has no column `age`; it has user, city"));
    let kind = Some(("count", FeatureSpec::Categorical));
    assert!(run("user,count\na,1\n", kind).starts_with("users.csv: a feature cannot be called `count`"));
    assert_eq!(run("", None), "users.csv: the file is empty");
    let case = case("");
    let (error, _) = case.error("a.csv", &config(|c| drop(c.item_feature_kinds.insert("x".into(), FeatureSpec::Skip))));
    assert_eq!(error, "item_feature_kinds: `x` has a kind, but there is no feature file");
}

#[test]
fn rejected_feature_rows_are_counted() {
    let case = case("user_id,city\na,R\nb,\"S\nc,R\n");
    let opened = case.open(
        "a.csv",
        &config(|c| {
            c.user_features = Some(case.path("users.csv"));
            c.on_error = "skip".parse().unwrap();
        }),
    );
    assert_eq!(opened.summary.rejected, 1);
    assert_eq!(opened.rows(Split::Train).len(), 6);
    let found = opened.features(&opened.users, &opened.dataset.manifest().users);
    assert_eq!(
        (&found["a"][0], &found["b"][0], &found["c"][0]),
        (&"city=1".into(), &"city=0".into(), &"city=1".into())
    );
    let rejected = std::fs::read_to_string(case.out().join("rejected.csv")).unwrap();
    assert!(rejected.contains("users.csv,3,city,the quote that opens here is never closed,"), "{rejected}");
}
