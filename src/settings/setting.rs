//! One setting of a table, whatever its type: what is said of it, and how a flag changes it.

use std::ffi::OsStr;
use std::fmt;

pub(super) type Check<S> = Box<dyn Fn(&S) -> Result<(), String> + Send + Sync>;
pub(super) type Put<S> = Box<dyn Fn(&mut S, &[&OsStr]) -> Result<(), String> + Send + Sync>;

/// One setting of a table `S`.
pub struct Setting<S> {
    pub(super) key: String,
    pub(super) doc: String,
    pub(super) heading: &'static str,
    pub(super) values: String,
    pub(super) default: Result<String, String>,
    pub(super) flag: Option<Flag>,
    pub(super) short: Option<String>,
    /// Whether a search for settings may try it.
    pub(super) searched: bool,
    pub(super) check: Check<S>,
    pub(super) put: Put<S>,
    pub(super) read: fn(&OsStr) -> Result<(), String>,
}

/// How a setting is written on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    pub(super) name: String,
    /// The value's name in `--help`; none for a switch.
    pub value: Option<&'static str>,
    /// May be given more than once.
    pub many: bool,
    /// Stands between the values of a list.
    pub delimiter: Option<char>,
    pub(super) only: &'static [&'static str],
    pub(super) named: Vec<(&'static str, &'static str)>,
    /// It sets a whole table, or one value, and is no key of its own.
    pub(super) shorthand: bool,
}

impl Flag {
    pub(super) fn new(name: String, value: Option<&'static str>) -> Flag {
        Flag { name, value, many: false, delimiter: None, only: &[], named: Vec::new(), shorthand: false }
    }

    /// Its name in a subcommand, without the dashes.
    #[must_use]
    pub fn name(&self, command: &str) -> &str {
        self.named.iter().find(|(of, _)| *of == command).map_or(&self.name, |(_, name)| name)
    }

    /// Whether a subcommand has it.
    #[must_use]
    pub fn is_of(&self, command: &str) -> bool {
        self.only.is_empty() || self.only.contains(&command)
    }
}

/// What is known of a setting, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Description {
    /// Where it stands in TOML, `model.dim`.
    pub key: String,
    /// The flag, `--dim`.
    pub flag: Option<String>,
    /// The name of Python's arguments, `dim`.
    pub short: Option<String>,
    /// What a value is: `number`, `exact|approx`.
    pub values: String,
    /// The default, as it is written.
    pub default: Option<String>,
    /// What becomes of it where it is left open.
    pub open: Option<String>,
    /// What it is.
    pub doc: String,
    /// Whether a search for settings may try it: it is about how good a model is, and not about where or how it is trained.
    pub searched: bool,
}

impl<S> Setting<S> {
    /// Where it stands in TOML; a flag that sets a whole table has the table's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it is a key of its own, and no shorthand: a flag for a whole table, or for one value.
    #[must_use]
    pub fn is_key(&self) -> bool {
        !self.flag.as_ref().is_some_and(|flag| flag.shorthand)
    }

    /// Its flag, where it has one.
    #[must_use]
    pub fn flag(&self) -> Option<&Flag> {
        self.flag.as_ref()
    }

    /// The heading of its flag.
    #[must_use]
    pub fn heading(&self) -> &'static str {
        self.heading
    }

    /// What `--help` says.
    #[must_use]
    pub fn help(&self) -> String {
        let doc = self.doc.strip_suffix('.').unwrap_or(&self.doc);
        match &self.default {
            _ if self.flag.as_ref().is_some_and(|flag| flag.value.is_none()) => doc.to_owned(),
            Ok(default) if !default.is_empty() => format!("{doc} [default: {default}]"),
            Err(open) if !open.is_empty() => format!("{doc} [default: {open}]"),
            _ => doc.to_owned(),
        }
    }

    /// Puts the values of a flag in the place of what is set.
    ///
    /// # Errors
    /// Why a value cannot be read.
    pub fn put(&self, settings: &mut S, values: &[&OsStr]) -> Result<(), String> {
        (self.put)(settings, values)
    }

    /// Whether one value of a flag can be read.
    #[must_use]
    pub fn reader(&self) -> fn(&OsStr) -> Result<(), String> {
        self.read
    }

    pub(super) fn describe(&self) -> Description {
        Description {
            key: self.key.clone(),
            flag: self.flag.as_ref().map(|flag| format!("--{}", flag.name)),
            short: self.short.clone(),
            values: self.values.clone(),
            default: self.default.clone().ok(),
            open: self.default.clone().err().filter(|open| !open.is_empty()),
            doc: self.doc.clone(),
            searched: self.searched,
        }
    }

    /// The same setting, seen from a table `Outer` that this one lies in.
    pub(super) fn lift<Outer>(self, get: fn(&Outer) -> &S, get_mut: fn(&mut Outer) -> &mut S) -> Setting<Outer>
    where
        S: 'static,
        Outer: 'static,
    {
        let (check, put) = (self.check, self.put);
        Setting {
            key: self.key,
            doc: self.doc,
            heading: self.heading,
            values: self.values,
            default: self.default,
            flag: self.flag,
            short: self.short,
            searched: self.searched,
            check: Box::new(move |outer| check(get(outer))),
            put: Box::new(move |outer, values| put(get_mut(outer), values)),
            read: self.read,
        }
    }
}

impl<S> fmt::Debug for Setting<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("key", &self.key).field("flag", &self.flag).finish_non_exhaustive()
    }
}
