//! Which items may be given at all: allow-lists and tags.

use std::fmt;

use super::base::Base;
use super::bits::{count, ones};
use super::engine::LazyCatalogue;
use super::ivf::OwnRows;
use super::{Guides, ItemIndex};
use crate::{Error, Result};

/// A rule for items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admit {
    /// These items, in any order.
    Items(Vec<u32>),
    /// The items with this tag; see [`ItemIndex::set_tag`].
    Tag(String),
    /// Those that all of these rules admit; all items for no rule.
    All(Vec<Admit>),
    /// Those that one of these rules admits.
    Any(Vec<Admit>),
    /// Those that the rule does not admit.
    Not(Box<Admit>),
}

/// A rule, looked up for every item of an index: for as many searches as are asked with it. It does not outlive the next
/// change of the index.
pub struct Admitted {
    /// Bit j of word i: the item at place 32 i + j of the base, as [`ItemIndex`] has it.
    pub(super) base: Vec<u32>,
    /// The same of the tail.
    pub(super) tail: Vec<u32>,
    /// The base's items by themselves, where they are few: searched exactly.
    pub(super) narrow: Option<Base>,
    pub(super) guides: Guides,
    pub(super) device: LazyCatalogue,
    pub(super) generation: u64,
    count: usize,
}

/// Up to this many items, or this part of all, are searched by themselves: reading lists for them would take longer.
const NARROW: usize = 1 << 14;
const NARROW_PART: usize = 32;

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("items", &self.count).finish_non_exhaustive()
    }
}

impl Admitted {
    /// How many items are admitted.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no item is admitted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl ItemIndex {
    /// Looks a rule up for every item. Unknown items in it are left out.
    ///
    /// # Errors
    /// [`Error::Config`] for a tag that the index does not have.
    pub fn admit(&self, rule: &Admit) -> Result<Admitted> {
        self.check(rule)?;
        let rule = ResolvedRule::new(rule, self);
        let mut base = words(self.base.order(), &rule);
        if let Some(alive) = &self.alive {
            base.iter_mut().zip(alive).for_each(|(word, alive)| *word &= alive);
        }
        self.admitted(base, words(self.tail.ids(), &rule))
    }

    pub(super) fn admitted(&self, base: Vec<u32>, tail: Vec<u32>) -> Result<Admitted> {
        let (here, there) = (count(&base), count(&tail));
        let few = here <= NARROW.max(self.base.len() / NARROW_PART);
        let narrow = (few && self.engine.is_host()).then(|| self.narrow(&base)).transpose()?;
        Ok(Admitted {
            base,
            tail,
            narrow,
            guides: Guides::default(),
            device: LazyCatalogue::default(),
            generation: self.generation,
            count: here + there,
        })
    }

    fn narrow(&self, words: &[u32]) -> Result<Base> {
        let order = self.base.order();
        // Ascending numbers: a place that comes first wins ties.
        let mut places: Vec<u32> = ones(words).collect();
        places.sort_unstable_by_key(|&place| order[place as usize]);
        let items = self.base.items();
        let values = places.iter().flat_map(|&place| items.row(place as usize).iter().copied()).collect();
        let biases = self.biased.then(|| places.iter().map(|&place| items.bias(place as usize)).collect());
        let ids = places.iter().map(|&place| order[place as usize]).collect();
        Base::whole(&self.cpu, OwnRows { values, biases, dim: self.dim }, ids)
    }

    fn check(&self, rule: &Admit) -> Result<()> {
        match rule {
            Admit::Items(_) => Ok(()),
            Admit::Tag(tag) if self.tags.contains_key(tag) => Ok(()),
            Admit::Tag(tag) => {
                let known: Vec<&str> = self.tags.keys().map(String::as_str).take(8).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(Error::config("tag", format!("the index has no tag `{tag}`; its tags are: {known}")))
            }
            Admit::All(rules) | Admit::Any(rules) => rules.iter().try_for_each(|rule| self.check(rule)),
            Admit::Not(rule) => self.check(rule),
        }
    }

    /// Gives these items, and no others, the tag (`category=shoes`, `in stock`). Numbers that the index does not have are
    /// kept for when they come.
    ///
    /// # Errors
    /// [`Error::Config`] for an empty tag.
    pub fn set_tag(&mut self, tag: &str, items: &[u32]) -> Result<()> {
        if tag.is_empty() {
            return Err(Error::config("tag", "is empty; give it a name, as in `category=shoes`"));
        }
        self.tags.insert(tag.to_owned(), sorted(items));
        Ok(())
    }

    /// The tags, and how many items each has.
    pub fn tags(&self) -> impl Iterator<Item = (&str, usize)> {
        self.tags.iter().map(|(tag, items)| (tag.as_str(), items.len()))
    }
}

/// A rule with sorted lists in place of tags.
enum ResolvedRule<'a> {
    Owned(Vec<u32>),
    Tag(&'a [u32]),
    All(Vec<ResolvedRule<'a>>),
    Any(Vec<ResolvedRule<'a>>),
    Not(Box<ResolvedRule<'a>>),
}

impl<'a> ResolvedRule<'a> {
    fn new(rule: &Admit, index: &'a ItemIndex) -> ResolvedRule<'a> {
        let all = |rules: &[Admit]| rules.iter().map(|rule| ResolvedRule::new(rule, index)).collect();
        match rule {
            Admit::Items(items) => ResolvedRule::Owned(sorted(items)),
            Admit::Tag(tag) => ResolvedRule::Tag(index.tags.get(tag).map_or(&[], Vec::as_slice)),
            Admit::All(rules) => ResolvedRule::All(all(rules)),
            Admit::Any(rules) => ResolvedRule::Any(all(rules)),
            Admit::Not(rule) => ResolvedRule::Not(Box::new(ResolvedRule::new(rule, index))),
        }
    }

    fn admits(&self, item: u32) -> bool {
        match self {
            ResolvedRule::Owned(items) => items.binary_search(&item).is_ok(),
            ResolvedRule::Tag(items) => items.binary_search(&item).is_ok(),
            ResolvedRule::All(rules) => rules.iter().all(|rule| rule.admits(item)),
            ResolvedRule::Any(rules) => rules.iter().any(|rule| rule.admits(item)),
            ResolvedRule::Not(rule) => !rule.admits(item),
        }
    }
}

fn sorted(items: &[u32]) -> Vec<u32> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items.dedup();
    items
}

fn words(order: &[u32], rule: &ResolvedRule<'_>) -> Vec<u32> {
    let word = |ids: &[u32]| ids.iter().enumerate().fold(0, |word, (j, &id)| word | u32::from(rule.admits(id)) << j);
    order.chunks(32).map(word).collect()
}
