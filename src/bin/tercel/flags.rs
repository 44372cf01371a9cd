//! The flags of a table of settings: made from its definition, put over what a file says.

use std::ffi::{OsStr, OsString};
use std::marker::PhantomData;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Args, Command, FromArgMatches, Id};
use tercel::settings::{Flag, Setting, Table};

/// The flags of the table `T` that were given to a subcommand.
///
/// Where two tables have a flag of the same name, it is one flag that sets both.
#[derive(Clone, Debug)]
pub struct Flags<T> {
    given: ArgMatches,
    table: PhantomData<fn() -> T>,
}

impl<T: Table> Flags<T> {
    /// Puts every flag that was given over what `settings` says.
    pub fn apply(&self, settings: &mut T) {
        for setting in T::settings() {
            let values = self.values(&setting);
            if !values.is_empty() {
                // The parser has read each value once: none is refused here.
                let _ = setting.put(settings, &values);
            }
        }
    }

    /// The keys of the settings whose flags were given.
    pub fn keys(&self) -> Vec<String> {
        let settings = T::settings();
        let given = settings.iter().filter(|setting| !self.values(setting).is_empty());
        given.map(|setting| setting.key().to_owned()).collect()
    }

    fn values(&self, setting: &Setting<T>) -> Vec<&OsStr> {
        // A group names its one flag as often as the flag was given.
        let given = self.given.try_get_many::<Id>(&group(setting)).ok().flatten().and_then(|mut names| names.next());
        given.and_then(|name| self.given.get_raw(name.as_str())).into_iter().flatten().collect()
    }
}

impl<T: Table> FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Flags { given: matches.clone(), table: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.given = matches.clone();
        Ok(())
    }
}

impl<T: Table> Args for Flags<T> {
    fn augment_args(command: Command) -> Command {
        add(command, &T::settings())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Adds the flags that a subcommand has. A group of one flag says which setting the flag sets.
pub fn add<T>(mut command: Command, settings: &[Setting<T>]) -> Command {
    for setting in settings {
        let Some(flag) = setting.flag().filter(|flag| flag.is_of(command.get_name())) else { continue };
        let (name, group) = (flag.name(command.get_name()).to_owned(), group(setting));
        let new = argument(name.clone(), flag, setting);
        let there = command.get_arguments().any(|there| there.get_id() == name.as_str());
        command = if there { command.mut_arg(&name, |_| new) } else { command.arg(new) };
        if command.get_groups().all(|there| there.get_id() != group.as_str()) {
            command = command.group(ArgGroup::new(group).arg(name));
        }
    }
    command
}

fn group<T>(setting: &Setting<T>) -> String {
    // A setting may have a second flag, which sets it to one word.
    let flag = setting.flag().map_or("", |flag| flag.name(""));
    format!("{} {} {flag}", std::any::type_name::<T>(), setting.key())
}

fn argument<T>(name: String, flag: &Flag, setting: &Setting<T>) -> Arg {
    let argument = Arg::new(name.clone()).long(name).help(setting.help()).help_heading(setting.heading());
    let Some(value) = flag.value else { return argument.action(ArgAction::SetTrue) };
    let read = setting.reader();
    let parser = OsStringValueParser::new().try_map(move |text: OsString| match read(&text) {
        Ok(()) => Ok(text),
        Err(reason) => Err(reason),
    });
    // A number below zero is the setting's to refuse, in its own words.
    let argument = argument.value_name(value).value_parser(parser).allow_negative_numbers(true);
    let argument = if flag.many { argument.action(ArgAction::Append) } else { argument };
    match flag.delimiter {
        Some(delimiter) => argument.value_delimiter(delimiter),
        None => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercel::Config;
    use tercel::data::ingest::{IngestConfig, MinCount};
    use tercel::settings::{EvaluateSettings, Views};

    fn parsed(command: &'static str, arguments: &[&str]) -> Result<ArgMatches, clap::Error> {
        let command = Flags::<Config>::augment_args(Flags::<IngestConfig>::augment_args(Command::new(command)));
        command.try_get_matches_from(std::iter::once("tercel").chain(arguments.iter().copied()))
    }

    fn config(arguments: &[&str]) -> Config {
        let mut config = Config::default();
        config.train.epochs = Some(7);
        Flags::from_arg_matches(&parsed("nightly", arguments).unwrap()).unwrap().apply(&mut config);
        config
    }

    fn ingest(arguments: &[&str]) -> IngestConfig {
        let mut config = IngestConfig::default();
        Flags::from_arg_matches(&parsed("nightly", arguments).unwrap()).unwrap().apply(&mut config);
        config
    }

    #[test]
    fn only_flags_that_were_given_change_a_configuration() {
        let found = config(&["--dim", "32", "--history=5", "--optimizer", "sgd"]);
        assert_eq!((found.model.dim, found.train.epochs, found.train.batch_size), (32, Some(7), None));
        assert_eq!((found.model.user.history, found.model.item.history), (Some(5), None));
        assert_eq!(found.optimizer.name.name(), "sgd");
        assert_eq!(config(&[]).train.epochs, Some(7));
    }

    #[test]
    fn lists_maps_and_tables() {
        let found = ingest(&[
            "--columns",
            "a,b",
            "--valid",
            "x",
            "--valid",
            "y,z",
            "--item-feature",
            "age=numeric",
            "--item-feature",
            "tags=multi-hot:|",
            "--min-count",
            "5",
            "--min-item-count",
            "2",
            "--sep",
            "|",
            "--escape",
            "\\",
        ]);
        assert_eq!(found.read.columns, Some(vec!["a".into(), "b".into()]));
        assert_eq!(found.valid, [std::path::PathBuf::from("x"), "y,z".into()]);
        assert_eq!(found.item_feature_kinds.len(), 2);
        assert_eq!(found.min_count, MinCount { user: 5, item: 2 });
        assert_eq!(found.read.sep.as_deref(), Some("|"));
        assert_eq!(found.read.escape.map(|mark| mark.to_string()).as_deref(), Some("\\"));
    }

    #[test]
    fn each_of_the_two_flags_of_a_setting_sets_it() {
        let view = |arguments: &[&str]| {
            let command = Flags::<EvaluateSettings>::augment_args(Command::new("evaluate"));
            let given = command.try_get_matches_from(std::iter::once(&"tercel").chain(arguments)).unwrap();
            let mut settings = EvaluateSettings::default();
            Flags::from_arg_matches(&given).unwrap().apply(&mut settings);
            settings.view
        };
        assert_eq!(view(&[]), None);
        assert_eq!(view(&["--view", "both"]), Some(Views::Both));
        assert_eq!(view(&["--include-seen"]), Some(Views::Next));
    }

    #[test]
    fn a_flag_that_two_tables_have_sets_both() {
        let arguments = ["--seed", "9", "--threads", "3"];
        let (train, ingest) = (config(&arguments).train, ingest(&arguments));
        assert_eq!((train.seed, train.threads, ingest.seed, ingest.threads), (9, 3, 9, 3));
    }

    #[test]
    fn a_value_that_cannot_be_read_is_refused_with_its_flag() {
        for (arguments, part) in [
            (["--dim", "six"], "'--dim <D>'"),
            (["--on-error", "wait"], "`wait` is not one of stop, skip"),
            (["--min-count", "5,"], "'--min-count <N[,M]>'"),
            (["--item-feature", "age"], "`age` is not NAME="),
            (["--time-unit", "hours"], "s, ms, us, ns, days, excel"),
            (["--quote", "ab"], "one ASCII character"),
        ] {
            let error = parsed("ingest", &arguments).unwrap_err().to_string();
            assert!(error.contains(part), "{arguments:?}: {error}");
        }
    }
}
