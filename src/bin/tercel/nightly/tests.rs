//! What the commands can be told the night can be told, too.

use clap::{CommandFactory, Parser};

use tercel::Split;
use tercel::settings::{Bytes, Exclude, Views};

use super::*;
use crate::Cli;

/// The headings of what follows training, and of what every command is told of its machine.
const HEADINGS: [&str; 5] = ["Evaluation", "Recommendations", "Search", "Index", "Machine"];

/// Flags that say where the model, the data and the results are: a night knows.
const PLACES: [&str; 4] = ["model", "data", "out", "exclude-seen"];

/// Flags that mean something else to the night, and what they are called there.
const RENAMED: [(&str, &str, &str); 4] = [
    ("evaluate", "k", "eval-k"),
    ("evaluate", "split", "eval-split"),
    ("index", "k", "index-k"),
    ("index", "seed", "index-seed"),
];

/// The flags of a subcommand: name, heading, help.
fn flags(command: &str) -> Vec<(String, String, String)> {
    let cli = Cli::command();
    let command = cli.find_subcommand(command).expect("a subcommand");
    let words = |arg: &clap::Arg| arg.get_help().map(ToString::to_string).unwrap_or_default();
    let heading = |arg: &clap::Arg| arg.get_help_heading().unwrap_or_default().to_owned();
    let all = command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "json" | "quiet"));
    all.filter_map(|arg| Some((arg.get_long()?.to_owned(), heading(arg), words(arg)))).collect()
}

#[test]
fn every_flag_of_what_follows_training_is_one_of_the_night() {
    let night = flags("nightly");
    for command in ["recommend", "evaluate", "index"] {
        let flags = flags(command);
        assert!(flags.len() > 5, "{command} has flags: {flags:?}");
        for (flag, _, help) in flags.iter().filter(|(flag, ..)| !PLACES.contains(&flag.as_str())) {
            let renamed = RENAMED.iter().find(|(of, name, _)| (*of, *name) == (command, flag.as_str()));
            let name = renamed.map_or(flag.as_str(), |(.., name)| *name);
            let Some((_, heading, its_help)) = night.iter().find(|(found, ..)| found == name) else {
                panic!("nightly has no --{name}, which is `{command} --{flag}`");
            };
            // A flag of ingest or training by the same name is another one, unless it says the same.
            let is_it = HEADINGS.contains(&heading.as_str()) || its_help == help;
            assert!(is_it, "nightly --{name} is under {heading}, and is not `{command} --{flag}`");
        }
    }
}

/// The settings that flags come to.
fn settings_of(flags: &[&str]) -> Settings {
    let line = ["tercel", "nightly", "in.csv", "--out", "run"].iter().chain(flags);
    let Cli { command: crate::Command::Nightly(args), .. } = Cli::try_parse_from(line).expect("flags") else {
        panic!("another subcommand");
    };
    args.settings().expect("settings")
}

#[test]
fn flags_become_settings() {
    let default = settings_of(&[]);
    assert_eq!((default.searched(), default.recommend.k), (None, 12));
    let settings =
        settings_of(&["--tag", "kind=a", "--tag", "size=b", "--by-user", "--eval-split", "valid", "--k", "7"]);
    assert_eq!((settings.recommend.tags, settings.recommend.by_user), (vec!["kind=a".into(), "size=b".into()], true));
    assert_eq!((settings.evaluate.split, settings.recommend.k, settings.evaluate.k), (Split::Valid, 7, vec![10, 20]));
    let settings =
        settings_of(&["--index", "approx", "--recall", "0.9", "--index-k", "30", "--index-seed", "4", "--seed", "2"]);
    let (evaluate, recommend) = (&settings.evaluate.search, &settings.recommend.search);
    assert_eq!((evaluate.index, recommend.index), (IndexMode::Approx, IndexMode::Approx));
    assert_eq!((evaluate.recall, recommend.recall, settings.index.recall), (Some(0.9), Some(0.9), None));
    assert_eq!((settings.index.k, settings.index.seed, settings.train.seed), (Some(30), 4, 2));
    let settings =
        settings_of(&["--eval-k", "3,4", "--memory", "1GiB", "--include-seen", "--users", "u", "--items", "i"]);
    assert_eq!((settings.evaluate.k, settings.recommend.k), (vec![3, 4], 12));
    let memory = Some(Bytes(1 << 30));
    assert_eq!((settings.evaluate.search.memory, settings.recommend.search.memory), (memory, memory));
    assert_eq!((settings.evaluate.view, settings.recommend.include_seen), (Some(Views::Next), true));
    assert_eq!((settings.recommend.users, settings.recommend.items), (Some("u".into()), Some("i".into())));
}

#[test]
fn a_flag_wins_over_both_ways_to_say_what_is_left_out() {
    let over = |file: &str, flag: &[&str]| {
        let mut settings: RecommendSettings = toml::from_str(file).expect("settings");
        let line = ["tercel", "nightly", "in.csv"].iter().chain(flag);
        let Cli { command: crate::Command::Nightly(args), .. } = Cli::try_parse_from(line).expect("flags") else {
            panic!("another subcommand");
        };
        args.apply_recommend(&mut settings);
        settings.excluded().expect("one way")
    };
    assert_eq!(over("include_seen = true", &["--exclude", "train"]), Exclude::Train);
    assert_eq!(over("exclude = \"train\"", &["--include-seen"]), Exclude::None);
    assert_eq!(over("exclude = \"train\"", &[]), Exclude::Train);
}

#[test]
fn the_index_keeps_the_larger_recall() {
    let recall = |settings: &Settings| settings.searched().and_then(|index| index.recall);
    let mut settings = settings_of(&["--index", "approx"]);
    assert_eq!(recall(&settings), Some(tercel::Search::RECALL));
    settings.evaluate.search.recall = Some(0.99);
    settings.recommend.search.recall = Some(0.8);
    assert_eq!(recall(&settings), Some(0.99));
    settings.evaluate.search.index = IndexMode::Exact;
    assert_eq!(recall(&settings), Some(0.8));
    settings.index.recall = Some(0.7);
    assert_eq!(recall(&settings), Some(0.8));
    settings.index.recall = Some(0.9);
    assert_eq!(recall(&settings), Some(0.9));
    assert_eq!(settings.searched().and_then(|index| index.k), Some(12), "the list length of the recommendations");
    for (flags, field) in [(["--index-k", "5"], "index.k"), (["--index-seed", "5"], "index.seed")] {
        let error = settings_of(&flags).check_index().expect_err("there is no index");
        assert!(error.to_string().starts_with(field), "{error}");
    }
    let error = settings_of(&["--index", "approx", "--index-k", "0"]).check_index().expect_err("no list length");
    assert!(error.to_string().starts_with("index.k: "), "{error}");
}

#[test]
fn lists_are_written_as_the_input_is_where_nothing_else_is_said() {
    let mut settings =
        settings_of(&["--sep", "tab", "--null", "-", "--time-unit", "ms", "--columns", "user,item,time"]);
    assert_eq!(settings.recommend, RecommendSettings::default());
    let read = settings.recommending().read;
    assert_eq!((read.sep.as_deref(), read.null, read.columns), (Some("tab"), Some(vec!["-".into()]), None));
    assert!(read.time_unit.is_some());
    settings.recommend.read = toml::from_str("sep = \";\"\ntime_format = \"%Y%m%d\"").expect("options");
    let read = settings.recommending().read;
    assert_eq!((read.sep.as_deref(), read.time_unit), (Some(";"), None));
    read.validate().expect("options that go together");
}

#[test]
fn standard_input_lies_in_no_folder() {
    let mut settings = settings_of(&["--users", "-", "--items", "items.txt"]);
    settings.relative_to(Path::new("night"));
    assert_eq!(
        (settings.recommend.users, settings.recommend.items),
        (Some("-".into()), Some("night/items.txt".into()))
    );
}
