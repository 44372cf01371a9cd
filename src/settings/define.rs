//! One definition per setting: [`settings!`] makes the struct, its default, its documentation, its keys and its flags.

use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::ser::SerializeStruct;

use super::value::{Value, Word};
use crate::{Error, Result};

/// Defines a table of settings.
///
/// ```text
/// settings! {
///     /// What the table is.
///     pub struct Tower["Model and training"] {          // the heading of its flags in --help
///         /// Width of the embeddings.                     rustdoc and --help
///         pub dim: usize = 64 => flag("D").check(limits::width(MAX_DIM));      // --dim <D>, dim = 64 in TOML
///         /// How much popularity counts.
///         pub popularity: Option<f32> = None, "0.5 or 0";   // left open: what it becomes, in words
///         /// The user tower.
///         pub user: Tower, table;                           // a table in the table: [tower.user]
///         /// How files are read.
///         pub read: ReadOptions, flat;                      // its settings stand among these
///     }
/// }
/// ```
///
/// After `=>` stand methods of [`Definition`] (of [`Nested`] for tables). Everything else is derived: `Default`, serde
/// (every key may be left out, unknown keys are refused), [`Table::settings`], [`Table::check`].
macro_rules! settings {
    ($(
        $(#[doc = $about:literal])+
        $(#[derive($derive:ident)])?
        pub struct $name:ident[$heading:literal] {$(
            $(#[doc = $doc:literal])+
            pub $field:ident: $type:ty $(= $default:expr $(, $open:literal)?)? $(, $kind:ident)?
                $(=> $($option:ident($($argument:expr),*)).+)?;
        )+}
    )+) => {$(
        $(#[doc = $about])+
        $(#[derive($derive)])?
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {$(
            $(#[doc = $doc])+
            $(#[doc = ""]
            #[doc = $crate::settings::define::settings!(@says $default $(, $open)?)])?
            pub $field: $type,
        )+}

        impl Default for $name {
            fn default() -> Self {
                $name {$($field: $crate::settings::define::settings!(@default $($default)?),)+}
            }
        }

        impl $crate::settings::Table for $name {
            const HEADING: &'static str = $heading;

            fn settings() -> Vec<$crate::settings::Setting<Self>> {
                let mut all = Vec::new();
                $({
                    let words = concat!($($doc, "\n"),+);
                    let definition = $crate::settings::define::settings!(
                        @define $name $field [$($kind)?] words $($($open)?)?
                    );
                    definition $($(.$option($($argument),*))+)?.end(&mut all);
                })+
                all
            }

            fn keys() -> Vec<&'static str> {
                let mut keys = Vec::new();
                $($crate::settings::define::settings!(@key keys $field $type [$($kind)?]);)+
                keys
            }

            fn take<'de, A: serde::de::MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
                $($crate::settings::define::settings!(@take self map key $field [$($kind)?]);)+
                Ok(false)
            }

            fn give<S: serde::ser::SerializeStruct>(&self, to: &mut S) -> Result<(), S::Error> {
                $($crate::settings::define::settings!(@give self to $field [$($kind)?]);)+
                Ok(())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                $crate::settings::define::write(self, stringify!($name), to)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::settings::define::read(from)
            }
        }
    )+};
    (@says $default:expr) => { concat!("Default `", stringify!($default), "`.") };
    (@says $default:expr, $open:literal) => { concat!("Default: ", $open, ".") };
    (@default $default:expr) => { $default };
    (@default) => { Default::default() };
    (@define $name:ident $field:ident [] $doc:ident $($open:literal)?) => {
        $crate::settings::Definition::<$name, _>::new(
            stringify!($field), $doc, concat!("" $(, $open)?), |all| &all.$field, |all| &mut all.$field,
        )
    };
    (@define $name:ident $field:ident [table] $doc:ident) => {
        $crate::settings::Nested::<$name, _>::new(stringify!($field), $doc, |all| &all.$field, |all| &mut all.$field)
    };
    (@define $name:ident $field:ident [flat] $doc:ident) => {
        $crate::settings::Nested::<$name, _>::new("", $doc, |all| &all.$field, |all| &mut all.$field)
    };
    (@key $keys:ident $field:ident $type:ty [flat]) => {
        $keys.extend(<$type as $crate::settings::Table>::keys())
    };
    (@key $keys:ident $field:ident $type:ty [$($table:ident)?]) => { $keys.push(stringify!($field)) };
    (@take $self:ident $map:ident $key:ident $field:ident [flat]) => {
        if $crate::settings::Table::take(&mut $self.$field, $key, $map)? {
            return Ok(true);
        }
    };
    (@take $self:ident $map:ident $key:ident $field:ident [$($table:ident)?]) => {
        if $key == stringify!($field) {
            $self.$field = $map.next_value()?;
            return Ok(true);
        }
    };
    (@give $self:ident $to:ident $field:ident [flat]) => { $crate::settings::Table::give(&$self.$field, $to)? };
    (@give $self:ident $to:ident $field:ident [$($table:ident)?]) => {
        $to.serialize_field(stringify!($field), &$self.$field)?
    };
}
pub(crate) use settings;

/// A table of settings, as [`settings!`] defines it.
pub trait Table: Clone + Default + 'static {
    /// The heading of its flags.
    const HEADING: &'static str;

    /// Every setting of the table and of the tables in it.
    fn settings() -> Vec<Setting<Self>>;

    /// Its own keys.
    #[doc(hidden)]
    fn keys() -> Vec<&'static str>;

    /// Reads the value of `key`; false where there is no such key.
    #[doc(hidden)]
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;

    /// Writes every field.
    #[doc(hidden)]
    fn give<S: SerializeStruct>(&self, to: &mut S) -> Result<(), S::Error>;

    /// Checks every setting alone.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first setting that cannot be used.
    fn check(&self) -> Result<()> {
        self.check_in("")
    }

    /// Checks every setting alone; `table` is where they stand.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first setting that cannot be used.
    fn check_in(&self, table: &str) -> Result<()> {
        let dot = if table.is_empty() { "" } else { "." };
        Self::settings().iter().try_for_each(|setting| {
            (setting.check)(self).map_err(|reason| Error::config(format!("{table}{dot}{}", setting.key), reason))
        })
    }

    /// What is known of every setting: the source of `--help` and of every printed list.
    #[must_use]
    fn describe() -> Vec<Description> {
        Self::settings().iter().map(Setting::describe).collect()
    }
}

type Check<S> = Box<dyn Fn(&S) -> Result<(), String> + Send + Sync>;
type Put<S> = Box<dyn Fn(&mut S, &[&OsStr]) -> Result<(), String> + Send + Sync>;

/// One setting of a table `S`.
pub struct Setting<S> {
    key: String,
    doc: String,
    heading: &'static str,
    values: String,
    default: Result<String, String>,
    flag: Option<Flag>,
    short: Option<String>,
    check: Check<S>,
    put: Put<S>,
    read: fn(&OsStr) -> Result<(), String>,
}

/// How a setting is written on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    name: String,
    /// The value's name in `--help`; none for a switch.
    pub value: Option<&'static str>,
    /// May be given more than once.
    pub many: bool,
    /// Stands between the values of a list.
    pub delimiter: Option<char>,
    only: &'static [&'static str],
    named: Vec<(&'static str, &'static str)>,
    shorthand: bool,
}

impl Flag {
    fn new(name: String, value: Option<&'static str>) -> Flag {
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

    fn describe(&self) -> Description {
        Description {
            key: self.key.clone(),
            flag: self.flag.as_ref().map(|flag| format!("--{}", flag.name)),
            short: self.short.clone(),
            values: self.values.clone(),
            default: self.default.clone().ok(),
            open: self.default.clone().err().filter(|open| !open.is_empty()),
            doc: self.doc.clone(),
        }
    }

    /// The same setting, seen from a table `Outer` that this one lies in.
    fn lift<Outer>(self, get: fn(&Outer) -> &S, get_mut: fn(&mut Outer) -> &mut S) -> Setting<Outer>
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

/// A setting of table `S` with a value `T` on its way to a [`Setting`].
pub struct Definition<S, T: Value> {
    get: fn(&S) -> &T,
    get_mut: fn(&mut S) -> &mut T,
    checks: Vec<Check<T::Word>>,
    setting: Setting<S>,
    switch: Option<Setting<S>>,
}

impl<S: Table, T: Value + 'static> Definition<S, T> {
    pub(crate) fn new(
        key: &'static str,
        doc: &str,
        open: &str,
        get: fn(&S) -> &T,
        get_mut: fn(&mut S) -> &mut T,
    ) -> Self {
        let setting = Setting {
            key: key.to_owned(),
            doc: one_line(doc),
            heading: S::HEADING,
            values: <T::Word as Word>::values(),
            default: get(&S::default()).written().ok_or_else(|| open.to_owned()),
            flag: None,
            short: Some(key.to_owned()),
            check: Box::new(|_| Ok(())),
            put: Box::new(move |all, texts| {
                let words = texts.iter().map(|text| <T::Word as Word>::read(text)).collect::<Result<Vec<_>, _>>()?;
                get_mut(all).put(words);
                Ok(())
            }),
            read: |text| <T::Word as Word>::read(text).map(drop),
        };
        Definition { get, get_mut, checks: Vec::new(), setting, switch: None }
    }

    /// Has a flag: the key with `-` for `_`. `value` is the value's name in `--help`, empty for the list of the values.
    pub(crate) fn flag(self, value: &'static str) -> Self {
        let name = self.setting.key.replace('_', "-");
        self.flag_named(name, value)
    }

    /// Has a flag with a name of its own, which is Python's name too.
    pub(crate) fn flag_named(mut self, name: impl Into<String>, value: &'static str) -> Self {
        let name = name.into();
        let value = if value.is_empty() { <T::Word as Word>::NAMES } else { Some(value) };
        self.setting.short = Some(name.replace('-', "_"));
        let value = value.filter(|_| !T::SWITCH);
        self.setting.flag = Some(Flag { many: T::MANY, ..Flag::new(name, value) });
        self
    }

    /// The flag's values may stand in one, with commas between them.
    pub(crate) fn commas(mut self) -> Self {
        if let Some(flag) = &mut self.setting.flag {
            flag.delimiter = Some(',');
        }
        self
    }

    /// The flag is one of these subcommands alone.
    pub(crate) fn only(mut self, commands: &'static [&'static str]) -> Self {
        if let Some(flag) = &mut self.setting.flag {
            flag.only = commands;
        }
        self
    }

    /// The flag has another name in one subcommand.
    pub(crate) fn named_in(mut self, command: &'static str, name: &'static str) -> Self {
        if let Some(flag) = &mut self.setting.flag {
            flag.named.push((command, name));
        }
        self
    }

    /// The flag stands under this heading.
    pub(crate) fn under(mut self, heading: &'static str) -> Self {
        self.setting.heading = heading;
        self
    }

    /// Has no short name.
    pub(crate) fn long(mut self) -> Self {
        self.setting.short = None;
        self
    }

    /// Another flag, without a value, sets it to this word.
    pub(crate) fn switch(mut self, name: &str, word: &'static str, doc: &str) -> Self {
        let get_mut = self.get_mut;
        self.switch = Some(Setting {
            key: self.setting.key.clone(),
            doc: one_line(doc),
            heading: S::HEADING,
            values: <bool as Word>::values(),
            default: Err(String::new()),
            flag: Some(Flag { shorthand: true, ..Flag::new(name.to_owned(), None) }),
            short: None,
            check: Box::new(|_| Ok(())),
            put: Box::new(move |all, _| {
                get_mut(all).put(vec![<T::Word as Word>::parse(word)?]);
                Ok(())
            }),
            read: |_| Ok(()),
        });
        self
    }

    /// A value must pass this.
    pub(crate) fn check(mut self, check: impl Fn(&T::Word) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    pub(crate) fn end(self, all: &mut Vec<Setting<S>>) {
        let (get, checks) = (self.get, self.checks);
        let check: Check<S> = Box::new(move |settings| {
            get(settings).words().iter().try_for_each(|word| checks.iter().try_for_each(|check| check(word)))
        });
        all.push(Setting { check, ..self.setting });
        all.extend(self.switch);
    }
}

/// A table `T` in a table `S`, on its way to its [`Setting`]s.
pub struct Nested<S, T> {
    get: fn(&S) -> &T,
    get_mut: fn(&mut S) -> &mut T,
    key: &'static str,
    doc: String,
    short: &'static str,
    flags: bool,
    whole: Option<Setting<S>>,
}

impl<S: Table, T: Table> Nested<S, T> {
    pub(crate) fn new(key: &'static str, doc: &str, get: fn(&S) -> &T, get_mut: fn(&mut S) -> &mut T) -> Self {
        Nested { get, get_mut, key, doc: one_line(doc), short: "", flags: true, whole: None }
    }

    /// Its short names start with this and `_`, but for those of settings with a flag.
    pub(crate) fn short(mut self, prefix: &'static str) -> Self {
        self.short = prefix;
        self
    }

    /// Its settings have no flags here.
    pub(crate) fn without_flags(mut self) -> Self {
        self.flags = false;
        self
    }

    /// One flag sets the whole table.
    pub(crate) fn flag(mut self, value: &'static str) -> Self
    where
        T: Word,
    {
        let get_mut = self.get_mut;
        self.whole = Some(Setting {
            key: self.key.to_owned(),
            doc: self.doc.clone(),
            heading: S::HEADING,
            values: <T as Word>::values(),
            default: Err(String::new()),
            flag: Some(Flag { shorthand: true, ..Flag::new(self.key.replace('_', "-"), Some(value)) }),
            short: Some(self.key.to_owned()),
            check: Box::new(|_| Ok(())),
            put: Box::new(move |all, texts| {
                for text in texts {
                    *get_mut(all) = T::read(text)?;
                }
                Ok(())
            }),
            read: |text| T::read(text).map(drop),
        });
        self
    }

    pub(crate) fn end(self, all: &mut Vec<Setting<S>>) {
        all.extend(self.whole);
        for mut setting in T::settings() {
            if !self.key.is_empty() {
                setting.key = format!("{}.{}", self.key, setting.key);
            }
            if !self.flags {
                setting.flag = None;
            }
            if let (Some(short), None, false) = (&setting.short, &setting.flag, self.short.is_empty()) {
                setting.short = Some(format!("{}_{}", self.short, short));
            }
            all.push(setting.lift(self.get, self.get_mut));
        }
    }
}

/// Joins the lines of a doc comment.
fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Serializes a table.
pub(crate) fn write<T: Table, S: serde::Serializer>(table: &T, name: &'static str, to: S) -> Result<S::Ok, S::Error> {
    let mut to = to.serialize_struct(name, T::keys().len())?;
    table.give(&mut to)?;
    to.end()
}

/// Deserializes a table: keys that are left out keep their default, unknown ones and those that come twice are refused.
pub(crate) fn read<'de, T: Table, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_map(TableVisitor(PhantomData))
}

struct TableVisitor<T>(PhantomData<T>);

impl<'de, T: Table> Visitor<'de> for TableVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut table = T::default();
        let (known, mut found) = (T::keys(), Vec::new());
        while let Some(key) = map.next_key_seed(Key { known: &known, found: &found })? {
            table.take(key, &mut map)?;
            found.push(key);
        }
        Ok(table)
    }
}

/// A key of a table. It is checked while it is read, so that an error names the key's line.
struct Key<'a> {
    known: &'a [&'static str],
    found: &'a [&'static str],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<&'static str, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting's name")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<&'static str, E> {
        match self.known.iter().find(|known| **known == text) {
            Some(key) if self.found.contains(key) => Err(E::custom(format_args!("duplicate field `{text}`"))),
            Some(key) => Ok(key),
            None => {
                let known: Vec<String> = self.known.iter().map(|key| format!("`{key}`")).collect();
                Err(E::custom(format_args!("unknown field `{text}`, expected one of {}", known.join(", "))))
            }
        }
    }
}
