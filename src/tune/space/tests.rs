//! Reading and checking what is searched.

use super::*;

const FILE: &str = r#"
    [model]
    temperature = { from = 0.05, to = 0.5, scale = "log" }
    popularity = { from = 0.0, to = 1.0 }
    [model.user]
    history = [0, 2, 20]
    mlp = [[], [128]]
    [loss]
    negatives = ["in-batch", "full"]
"#;

#[test]
fn a_file_names_what_is_searched() {
    let space = Space::from_toml(FILE, "space.toml").unwrap();
    let keys: Vec<&str> = space.0.keys().map(String::as_str).collect();
    let expected = ["loss.negatives", "model.popularity", "model.temperature", "model.user.history", "model.user.mlp"];
    assert_eq!(keys, expected);
    // As the state of a search keeps it.
    let text = serde_json::to_string(&space).unwrap();
    assert_eq!(serde_json::from_str::<Space>(&text).unwrap(), space);
}

#[test]
fn places_and_values_are_each_others_reverse() {
    let space = Space::from_toml(FILE, "space.toml").unwrap();
    let temperature = &space.0["model.temperature"];
    assert_eq!(temperature.at(0.0), json!(0.05));
    assert_eq!(temperature.at(0.5), json!(0.158));
    assert_eq!(temperature.at(1.0), json!(0.5));
    assert!((temperature.place(&json!(0.158)).unwrap() - 0.5).abs() < 1e-3);
    assert_eq!(temperature.place(&json!(0.6)), None);
    let mlp = &space.0["model.user.mlp"];
    assert_eq!((mlp.at(1.99), mlp.place(&json!([128]))), (json!([128]), Some(1.0)));
    assert_eq!(space.0["model.user.history"].place(&json!(2.0)), Some(1.0));
}

#[test]
fn of_a_setting_that_counts_whole_numbers_are_drawn() {
    let text = "[model.user]\nhistory = { from = 1, to = 5 }\n[train]\nepochs = { from = 5, to = 60, scale = 'log' }";
    let space = Space::from_toml(text, "space.toml").unwrap();
    let history = &space.0["model.user.history"];
    let drawn = [0.0, 0.199, 0.201, 0.5, 0.99, 1.0].map(|place| history.at(place));
    assert_eq!(drawn, [1, 1, 2, 3, 5, 5].map(|number| json!(number)));
    let epochs = &space.0["train.epochs"];
    assert_eq!([epochs.at(0.0), epochs.at(1.0)], [json!(5), json!(60)]);
    for (axis, numbers) in [(history, 1..=5), (epochs, 5..=60)] {
        assert!(numbers.clone().all(|number| axis.at(axis.place(&json!(number)).unwrap()) == json!(number)));
        assert_eq!(axis.place(&json!(numbers.end() + 1)), None);
    }
    assert_eq!(serde_json::from_str::<Space>(&serde_json::to_string(&space).unwrap()).unwrap(), space);
    let error = Space::from_toml("[train]\nepochs = { from = 1.5, to = 3.0 }", "space.toml").unwrap_err().to_string();
    assert!(error.contains("train.epochs: takes whole numbers from 0, so the range cannot be 1.5 to 3"), "{error}");
}

#[test]
fn what_cannot_be_searched_is_named() {
    for (text, words) in [
        ("", "no settings to search"),
        ("[model]\ntemprature = [1]", "model.temprature: no such setting"),
        ("[model]\ntemperature = []", "model.temperature: empty list"),
        ("[model]\ntemperature = { from = 0.0, to = 1.0, scale = \"log\" }", "model.temperature:"),
        ("[model]\ntemperature = { from = 1.0, to = 0.1 }", "is not a valid range"),
        ("[model]\ntemperature = { from = 1.0, too = 0.1 }", "unknown field `too`"),
        ("[optimizer]\nwarmup_steps = { from = -1, to = 9 }", "optimizer.warmup_steps: takes whole numbers from 0"),
        ("[loss]\nnegatives = { from = 1, to = 2 }", "loss.negatives: takes no numbers"),
        ("[model.user]\nid = { from = 0, to = 1 }", "model.user.id: takes no numbers"),
        (
            "[model]\ntemperature = { from = \"low\", to = 1.0 }",
            "model.temperature: invalid type: string \"low\", expected a number",
        ),
        ("[model]\ndim = [3]", "space.toml: model.dim: 3 is not a multiple of 4"),
        ("[train]\nbatch_size = [0]", "space.toml: train.batch_size: 0"),
        ("[train]\nbatch_size = [\"many\"]", "train.batch_size"),
        ("model = 3", "not a table"),
    ] {
        let error = Space::from_toml(text, "space.toml").unwrap_err().to_string();
        assert!(error.contains("space.toml") && error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_search_tries_what_makes_a_model_better_and_nothing_else() {
    let settings = Config::describe();
    let kept: Vec<&str> = settings.iter().filter(|one| !one.searched).map(|one| one.key.as_str()).collect();
    let expected = [
        "train.seed",
        "train.device",
        "train.instructions",
        "train.threads",
        "train.checkpoint_every",
        "train.early_stop",
    ];
    assert_eq!(kept, expected, "a new setting is searched, or says that it is not");
    for key in expected {
        let name = key.strip_prefix("train.").unwrap();
        let error = Space::from_toml(&format!("[train]\n{name} = [1, 2]"), "space.toml").unwrap_err().to_string();
        assert!(error.starts_with(&format!("space.toml: {key}: ")), "{error}");
        let (_, listed) = error.split_once("settings that can be searched: ").unwrap();
        assert!(listed.contains("optimizer.lr, ") && listed.contains(", train.epochs"), "{error}");
        assert!(expected.iter().all(|other| !listed.contains(other)), "{error}");
        // Not by hand either.
        let space = Space([(key.to_owned(), Axis::Choices(vec![json!(1)]))].into());
        assert!(space.check("space").unwrap_err().to_string().contains(key));
    }
}

#[test]
fn what_is_chosen_stands_over_the_settings() {
    let chosen = Chosen::from([
        ("model.user.history".to_owned(), json!(2)),
        ("loss.negatives".to_owned(), json!("full")),
        ("train.epochs".to_owned(), json!(7)),
    ]);
    let config = with(&Config::default(), &chosen).unwrap();
    assert_eq!(config.train.epochs, Some(7));
    let all = serde_json::to_value(&config).unwrap();
    assert_eq!(value_of(&all, "loss.negatives"), json!("full"));
    let half = with(&config, &Chosen::from([("model.temperature".to_owned(), json!(0.158))])).unwrap();
    let half = value_of(&serde_json::to_value(half).unwrap(), "model.temperature");
    assert_eq!(as_written(half), json!(0.158));
    assert_eq!([as_written(json!(3)), as_written(json!("full"))], [json!(3), json!("full")]);
    assert!(with(&config, &Chosen::from([("train.epochs".to_owned(), json!("x"))])).is_err());
}
