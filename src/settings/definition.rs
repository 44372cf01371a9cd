//! From an entry of a `settings!` table to its [`Setting`]s: the methods that stand after `=>`.

use super::setting::Check;
use super::{Flag, Setting, Table, Value, Word};

/// A setting of table `S` with a value `T` on its way to a [`Setting`].
pub(crate) struct Definition<S, T: Value> {
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
            searched: true,
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

    /// Is not about how good a model is: a search for settings does not try it.
    pub(crate) fn unsearched(mut self) -> Self {
        self.setting.searched = false;
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
            searched: self.setting.searched,
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
pub(crate) struct Nested<S, T> {
    get: fn(&S) -> &T,
    get_mut: fn(&mut S) -> &mut T,
    key: &'static str,
    doc: String,
    short: &'static str,
    flags: bool,
    only: &'static [&'static str],
    whole: Option<Setting<S>>,
}

impl<S: Table, T: Table> Nested<S, T> {
    pub(crate) fn new(key: &'static str, doc: &str, get: fn(&S) -> &T, get_mut: fn(&mut S) -> &mut T) -> Self {
        Nested { get, get_mut, key, doc: one_line(doc), short: "", flags: true, only: &[], whole: None }
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

    /// The flags of its settings are these subcommands' alone.
    pub(crate) fn only(mut self, commands: &'static [&'static str]) -> Self {
        self.only = commands;
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
            searched: true,
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
            if let Some(flag) = setting.flag.as_mut().filter(|_| !self.only.is_empty()) {
                flag.only = self.only;
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
