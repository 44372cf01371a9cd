//! Flags that more than one subcommand has, and what they change in a configuration.

use std::collections::BTreeSet;
use std::path::Path;

use clap::error::{ContextKind, ErrorKind};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use tercel::data::ingest::IngestConfig;
use tercel::settings::{Table, TrainConfig, said};
use tercel::{Config, Device, Error};

use crate::flags::{self, Flags};
use crate::output::Output;

/// How the input is read and split.
pub type IngestFlags = Flags<IngestConfig>;
/// What the model is and how it learns.
pub type TrainFlags = Flags<Config>;

/// Where the work runs: the flags of [`TrainConfig`] that are about the machine.
#[derive(Clone, Debug, Default)]
pub struct MachineFlags(TrainConfig);

/// The heading of the flags that are about the machine.
const MACHINE: &str = "Machine";

impl Args for MachineFlags {
    fn augment_args(command: Command) -> Command {
        let mut settings = TrainConfig::settings();
        settings.retain(|setting| setting.heading() == MACHINE);
        flags::add(command, &settings)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for MachineFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut machine = MachineFlags::default();
        machine.update_from_arg_matches(matches)?;
        Ok(machine)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        Flags::from_arg_matches(matches)?.apply(&mut self.0);
        Ok(())
    }
}

impl MachineFlags {
    /// The device, checked and said: a device that is not there is an error at once, not after an hour of ingest.
    pub fn device(&self, out: &Output) -> tercel::Result<Device> {
        self.0.check()?;
        announce(self.0.device, out)
    }

    pub fn threads(&self) -> usize {
        self.0.threads
    }
}

/// What a training is told.
pub struct GivenConfig {
    pub config: Config,
    /// The settings that were given, by key, whatever their values.
    pub keys: BTreeSet<String>,
}

/// What a file says of training, and over it what the flags say.
pub fn given_config(file: Option<&Path>, flags: &TrainFlags) -> tercel::Result<GivenConfig> {
    let (mut config, mut keys) = match file {
        Some(path) => (read_toml(path)?, said::<Config>(&read_toml(path)?)),
        None => (Config::default(), BTreeSet::new()),
    };
    flags.apply(&mut config);
    keys.extend(flags.keys());
    config.validate()?;
    Ok(GivenConfig { config, keys })
}

/// Says which device `asked` stands for, and why.
pub fn announce(asked: Device, out: &Output) -> tercel::Result<Device> {
    let choice = asked.choose()?;
    out.event("device", &choice);
    out.text(format_args!("device: {} ({})", choice.device, choice.reason));
    Ok(choice.device)
}

/// Reads a TOML file into a configuration; an error names the file, the line and the field.
pub fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> tercel::Result<T> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    parse_toml(&text, &path.display().to_string())
}

/// [`read_toml`] of a text; `name` is what an error calls it.
pub fn parse_toml<T: serde::de::DeserializeOwned>(text: &str, name: &str) -> tercel::Result<T> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let at = line.map_or(name.to_owned(), |line| format!("{name}: line {line}"));
        Error::config(at, one_line(error.message()))
    })
}

/// Joins the lines of a message: an error is one line.
pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The library's words for settings (`time_unit=ms`) in those of the command (`--time-unit ms`).
pub fn in_flags(text: &str) -> String {
    let settings: Vec<(String, String)> = IngestConfig::describe()
        .into_iter()
        .filter_map(|setting| Some((format!("{}=", setting.key.rsplit('.').next()?), setting.flag?)))
        .collect();
    let word = |word: &str| {
        let found = settings.iter().find_map(|(name, flag)| Some((flag, word.strip_prefix(name.as_str())?)));
        match found {
            Some((flag, "")) => flag.clone(),
            Some((flag, value)) => format!("{flag} {value}"),
            None => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// clap's message without the usage text, in one line, and where to read on.
pub fn usage_error(error: &clap::Error) -> String {
    let text = error.to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return text;
    }
    let words = text.split("\n\nUsage:").next().unwrap_or(&text);
    let words = words.split("\n\nFor more information").next().unwrap_or(words);
    // The usage line names the subcommand: `Usage: tercel train [OPTIONS] …`.
    let command: String = match error.get(ContextKind::Usage) {
        Some(usage) => {
            let usage = usage.to_string();
            let names = usage.split_whitespace().skip_while(|w| *w != "tercel").skip(1);
            names.take_while(|w| w.chars().all(|c| c.is_ascii_lowercase())).map(|w| format!("{w} ")).collect()
        }
        None => String::new(),
    };
    format!("{} (see `tercel {command}--help`)", one_line(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_over_the_file_and_both_are_known() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let file = folder.path().join("c.toml");
        std::fs::write(&file, "[train]\nepochs = 3\n[model]\ndim = 64\n").expect("written");
        let command = TrainFlags::augment_args(Command::new("train"));
        let given = command.get_matches_from(["tercel", "--epochs", "4", "--lr", "0.5"]);
        let flags = TrainFlags::from_arg_matches(&given).expect("flags");
        let GivenConfig { config, keys } = given_config(Some(&file), &flags).expect("settings");
        assert_eq!((config.train.epochs, config.optimizer.lr), (Some(4), Some(0.5)));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(keys, ["model.dim", "optimizer.lr", "train.epochs"], "a default that is given is given");
        assert!(given_config(Some(&folder.path().join("none.toml")), &flags).is_err());
    }

    #[test]
    fn a_toml_error_names_file_line_and_field() {
        let error = parse_toml::<Config>("[train]\nepochs = 3\nepoch = 4\n", "c.toml").expect_err("no such field");
        let text = error.to_string();
        assert!(text.starts_with("c.toml: line 3: ") && text.contains("`epoch`"), "{text}");
        assert_eq!((error.exit_code(), text.lines().count()), (2, 1));
    }
}
