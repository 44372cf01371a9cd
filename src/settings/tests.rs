//! What holds for every table of settings.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Config, EvaluateSettings, IndexSettings, RecommendSettings, Setting, Table};
use crate::data::ingest::IngestConfig;
use crate::table::ReadOptions;

/// A test of each table.
macro_rules! for_every_table {
    ($test:ident) => {
        $test::<Config>();
        $test::<IngestConfig>();
        $test::<ReadOptions>();
        $test::<EvaluateSettings>();
        $test::<RecommendSettings>();
        $test::<IndexSettings>();
    };
}

/// The value at a dotted key.
fn at<'a>(table: &'a serde_json::Value, key: &str) -> &'a serde_json::Value {
    key.split('.').fold(table, |table, key| table.get(key).unwrap_or_else(|| panic!("`{key}` is no key of {table}")))
}

/// Every dotted key of a table; lists and maps of entries are values.
fn keys(prefix: &str, table: &serde_json::Value, known: &BTreeSet<String>, all: &mut BTreeSet<String>) {
    for (key, value) in table.as_object().expect("a table") {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            serde_json::Value::Object(_) if !known.contains(&key) => keys(&key, value, known, all),
            _ => drop(all.insert(key)),
        }
    }
}

/// A value that is not the default.
fn another(values: &str) -> Vec<&'static str> {
    match values {
        "number" => vec!["4", "0.5"],
        "true or false" => vec!["true", "false"],
        "text" | "path" => vec!["|"],
        "one character, or none" => vec!["'"],
        "bytes" => vec!["77"],
        "NAME=KIND" => vec!["a=skip"],
        "N[,M]" => vec!["3,4"],
        "all|none|NAME,NAME" => vec!["none"],
        "off|METRIC,PATIENCE" => vec!["next.ndcg@20,3"],
        "auto|cpu|cuda:N" => vec!["cpu"],
        "in-batch|in-batch+uniform:M|cross-batch:M|full" => vec!["cross-batch:7"],
        "none|last-per-user:N|time:TEST|time:VALID,TEST|random:FRACTION" => vec!["last-per-user:2"],
        names if names.contains('|') => names.split('|').map(|name| &*name.to_owned().leak()).collect(),
        other => panic!("no example of {other}"),
    }
}

/// `settings` with another value of `setting`.
fn changed<T: Table + PartialEq>(setting: &Setting<T>) -> T {
    let values = another(&setting.describe().values);
    let tried = values.into_iter().filter_map(|value| {
        let mut settings = T::default();
        setting.put(&mut settings, &[OsStr::new(value)]).ok().map(|()| settings)
    });
    tried
        .into_iter()
        .find(|settings| *settings != T::default())
        .unwrap_or_else(|| panic!("{setting:?} changes nothing"))
}

fn comes_back<T: Table + PartialEq + Serialize + DeserializeOwned + std::fmt::Debug>() {
    let empty: T = toml::from_str("").unwrap();
    assert_eq!(empty, T::default());
    for setting in T::settings() {
        let settings = changed(&setting);
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<T>(&text).unwrap(), settings, "{text}");
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<T>(&text).unwrap(), settings, "{text}");
    }
}

#[test]
fn every_setting_comes_back_from_toml_and_json() {
    for_every_table!(comes_back);
}

fn refuses<T: Table + DeserializeOwned>() {
    let Err(error) = toml::from_str::<T>("\nsurprise = 1") else { panic!("an unknown key is taken") };
    let text = error.to_string();
    assert!(text.contains("line 2") && text.contains("unknown field `surprise`, expected one of `"), "{text}");
    for key in T::keys() {
        assert!(text.contains(&format!("`{key}`")), "{key} is not listed in {text}");
        let twice = format!("{{\"{key}\": null, \"{key}\": null}}");
        assert!(serde_json::from_str::<T>(&twice).is_err());
    }
}

#[test]
fn unknown_fields_are_refused_with_their_line() {
    for_every_table!(refuses);
    let error = toml::from_str::<Config>("[model]\ndim = 4\n[model.user]\nhistori = 3\n").map(drop).unwrap_err();
    assert!(error.to_string().contains("line 4") && error.to_string().contains("`histori`"), "{error}");
    let twice = serde_json::from_str::<IngestConfig>("{\"sep\": \",\", \"sep\": \"tab\"}").map(drop).unwrap_err();
    assert!(twice.to_string().contains("duplicate field `sep`"), "{twice}");
    // A value of a part that lies flat keeps its line as well.
    let value = toml::from_str::<IngestConfig>("user = \"u\"\nquote = \"ab\"\n").map(drop).unwrap_err();
    assert!(value.to_string().contains("line 2"), "{value}");
}

/// Every key of the file is described and the other way round; a flag changes the key that it names, and no other.
fn one_key_each<T: Table + PartialEq + Serialize>() {
    let default = serde_json::to_value(T::default()).unwrap();
    let described: BTreeSet<String> =
        T::settings().iter().filter(|s| s.is_key()).map(|setting| setting.key().to_owned()).collect();
    let mut found = BTreeSet::new();
    keys("", &default, &described, &mut found);
    assert_eq!(found, described);
    for setting in T::settings() {
        let after = serde_json::to_value(changed(&setting)).unwrap();
        assert_ne!(at(&after, setting.key()), at(&default, setting.key()), "{setting:?}");
        for other in described.iter().filter(|key| !key.starts_with(setting.key())) {
            assert_eq!(at(&after, other), at(&default, other), "{setting:?} changes {other}");
        }
    }
}

#[test]
fn every_setting_is_a_key_and_every_flag_sets_one() {
    for_every_table!(one_key_each);
}

fn says_its_default<T: Table + Serialize + DeserializeOwned>() {
    let default = serde_json::to_value(T::default()).unwrap();
    for setting in T::settings().iter().filter(|setting| setting.is_key()) {
        let (value, about, help) = (at(&default, setting.key()), setting.describe(), setting.help());
        let written = match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Array(list) => {
                let words = list.iter().map(|word| word.as_str().map_or(word.to_string(), str::to_owned));
                Some(words.collect::<Vec<_>>().join(","))
            }
            serde_json::Value::Object(map) => {
                assert!(map.is_empty());
                Some(String::new())
            }
            number => Some(number.to_string()),
        };
        let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<f32>().ok());
        assert!(about.default == written || number(&about.default) == number(&written), "{about:?}: {written:?}");
        assert_eq!(
            about.default.is_none(),
            about.open.is_some(),
            "{about:?} says neither its default nor what is open"
        );
        assert!(about.doc.ends_with('.') && about.doc.len() > 10, "{about:?}");
        let switch = setting.flag().is_some_and(|flag| flag.value.is_none());
        let said = about.default.or(about.open).filter(|said| !said.is_empty() && !switch);
        assert!(said.is_none_or(|said| help.ends_with(&format!(" [default: {said}]"))), "{help}");
    }
}

#[test]
fn the_help_says_the_default_that_holds() {
    for_every_table!(says_its_default);
}

fn has_flags_of_its_own<T: Table>() {
    for command in ["ingest", "train", "evaluate", "recommend", "index", "nightly"] {
        let mut names = BTreeSet::new();
        for setting in T::settings() {
            let Some(flag) = setting.flag().filter(|flag| flag.is_of(command)) else { continue };
            let name = flag.name(command);
            assert!(names.insert(name.to_owned()), "--{name} is there twice in {command}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        }
    }
    let mut short = BTreeMap::new();
    for setting in T::describe() {
        let Some(name) = setting.short else { continue };
        let before = short.insert(name.clone(), setting.key.clone());
        assert!(before.is_none(), "`{name}` is {} and {before:?}", setting.key);
    }
}

#[test]
fn no_flag_and_no_short_name_stands_twice() {
    has_flags_of_its_own::<IngestConfig>();
    has_flags_of_its_own::<EvaluateSettings>();
    has_flags_of_its_own::<RecommendSettings>();
    has_flags_of_its_own::<IndexSettings>();
    has_flags_of_its_own::<Config>();
}

#[test]
fn short_names_are_where_they_were() {
    let found: BTreeMap<String, String> =
        Config::describe().into_iter().filter_map(|about| Some((about.short?, about.key))).collect();
    for (short, key) in [
        ("dim", "model.dim"),
        ("popularity", "model.popularity"),
        ("history", "model.user.history"),
        ("user_mlp", "model.user.mlp"),
        ("item_mlp", "model.item.mlp"),
        ("user_features", "model.user.features"),
        ("item_features", "model.item.features"),
        ("logq", "loss.logq"),
        ("optimizer", "optimizer.name"),
        ("weight_decay", "optimizer.weight_decay"),
        ("epochs", "train.epochs"),
        ("threads", "train.threads"),
        ("early_stop", "train.early_stop"),
    ] {
        assert_eq!(found.get(short).map(String::as_str), Some(key));
    }
}

/// Values at each limit, and one past it.
#[test]
fn every_limit_holds() {
    fn checked<T: Table + DeserializeOwned>(text: &str) -> crate::Result<()> {
        toml::from_str::<T>(text).unwrap_or_else(|error| panic!("{text}: {error}")).check()
    }
    fn limit<T: Table + DeserializeOwned>(key: &str, good: &[&str], bad: &[(&str, &str)]) {
        for value in good {
            checked::<T>(&format!("{key} = {value}")).unwrap_or_else(|error| panic!("{key} = {value}: {error}"));
        }
        for (value, reason) in bad {
            let error = checked::<T>(&format!("{key} = {value}")).map(drop).unwrap_err().to_string();
            assert_eq!(error, format!("{key}: {reason}"), "{value}");
        }
    }
    const WIDTH: &str = "is not a multiple of 4 from 4 to 1024";
    let dims = [("0", format!("0 {WIDTH}")), ("6", format!("6 {WIDTH}")), ("1028", format!("1028 {WIDTH}"))];
    let dims: Vec<(&str, &str)> = dims.iter().map(|(value, reason)| (*value, &**reason)).collect();
    limit::<Config>("model.dim", &["4", "1024"], &dims);
    limit::<Config>("model.user.feature_dim", &["4", "1024"], &dims);
    limit::<Config>(
        "model.user.mlp",
        &["[4, 8192]", "[]"],
        &[("[4, 8196]", "8196 is not a multiple of 4 from 4 to 8192")],
    );
    limit::<Config>("model.item.mlp", &["[8192]"], &[("[0]", "0 is not a multiple of 4 from 4 to 8192")]);
    limit::<Config>("model.user.history", &["0", "1024"], &[("1025", "1025 is more than 1024")]);
    limit::<Config>(
        "model.temperature",
        &["0.0001"],
        &[("0.00009", "0.00009 is not a number from 0.0001 up"), ("inf", "inf is not a number from 0.0001 up")],
    );
    limit::<Config>(
        "model.popularity",
        &["0", "1"],
        &[("1.01", "1.01 is not a number from 0 to 1"), ("nan", "NaN is not a number from 0 to 1")],
    );
    limit::<Config>("model.init_std", &["0"], &[("-0.1", "-0.1 is not a number from 0 up")]);
    limit::<Config>(
        "optimizer.lr",
        &["1e-9"],
        &[("0", "0 is not a number above 0"), ("inf", "inf is not a number above 0")],
    );
    for key in ["optimizer.beta1", "optimizer.beta2"] {
        limit::<Config>(key, &["0", "0.9999"], &[("1", "1 is not in [0, 1)"), ("-0.1", "-0.1 is not in [0, 1)")]);
    }
    for key in ["optimizer.eps", "optimizer.initial_accumulator", "optimizer.weight_decay"] {
        limit::<Config>(
            key,
            &["0"],
            &[("-1", "-1 is not a number from 0 up"), ("nan", "NaN is not a number from 0 up")],
        );
    }
    limit::<Config>("optimizer.clip_norm", &["0.1"], &[("0", "0 is not a number above 0")]);
    limit::<Config>("train.epochs", &["1"], &[("0", "at least 1")]);
    let batches =
        [("0", "0 is not a number from 1 to 1048576"), ("1048577", "1048577 is not a number from 1 to 1048576")];
    limit::<Config>("train.batch_size", &["1", "1048576"], &batches);
    limit::<Config>("train.threads", &["0", "4096"], &[("4097", "4097 is more than 4096")]);
    limit::<IngestConfig>("threads", &["0", "4096"], &[("4097", "4097 is more than 4096")]);
    let ks = [("0", "0 is not a list length from 1 to 1024"), ("1025", "1025 is not a list length from 1 to 1024")];
    limit::<RecommendSettings>("k", &["1", "1024"], &ks);
    limit::<IndexSettings>("k", &["1", "1024"], &ks);
    limit::<EvaluateSettings>("k", &["[1, 1024]"], &[("[10, 1025]", ks[1].1), ("[0]", ks[0].1)]);
    let recalls = [("0", "0 is not between 0 and 1; 0.95 is usual"), ("1", "1 is not between 0 and 1; 0.95 is usual")];
    limit::<RecommendSettings>("recall", &["0.5"], &recalls);
    limit::<EvaluateSettings>("recall", &["0.999"], &recalls);
    limit::<IndexSettings>("recall", &["0.001"], &recalls);
}

#[test]
fn settings_of_a_search_together() {
    let error = |text: &str| toml::from_str::<RecommendSettings>(text).unwrap().validate().unwrap_err().to_string();
    assert!(error("recall = 0.9").starts_with("recall: "));
    assert!(error("k = 0").starts_with("k: "));
    assert!(error("include_seen = true\nexclude = \"train\"").starts_with("exclude: "));
    assert!(error("sep = \"\"").starts_with("sep: "));
    let excluded = |text: &str| toml::from_str::<RecommendSettings>(text).unwrap().excluded().unwrap().name();
    assert_eq!(["", "include_seen = true", "exclude = \"train\""].map(excluded), ["all", "none", "train"]);
    let none: EvaluateSettings = toml::from_str("k = []").unwrap();
    assert!(none.validate().unwrap_err().to_string().starts_with("k: "));
    let approx: EvaluateSettings = toml::from_str("index = \"approx\"\nrecall = 0.9").unwrap();
    approx.validate().unwrap();
    assert_eq!((approx.search.kept(), none.search.kept()), (Some(0.9), None));
}
