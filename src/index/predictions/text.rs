//! Predictions as text: the lines of JSON.

use serde::{Serialize, Serializer};

use super::Place;
use crate::data::vocabulary::RawId;

/// A place of a list: `{"user":…,"rank":1,"item":…,"score":…}`.
#[derive(Serialize)]
pub(super) struct PlaceLine<'a> {
    pub(super) user: Id<'a>,
    pub(super) rank: u32,
    pub(super) item: Id<'a>,
    pub(super) score: f32,
}

/// A user's list: `{"user":…,"items":[…],"scores":[…]}`.
#[derive(Serialize)]
pub(super) struct UserLine<'a> {
    user: Id<'a>,
    items: RowItems<'a>,
    scores: RowScores<'a>,
}

impl<'a> UserLine<'a> {
    pub(super) fn new(user: RawId<'a>, places: &'a [Place<'a>]) -> UserLine<'a> {
        UserLine { user: Id(user), items: RowItems(places), scores: RowScores(places) }
    }
}

struct RowItems<'a>(&'a [Place<'a>]);
struct RowScores<'a>(&'a [Place<'a>]);

impl Serialize for RowItems<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|place| Id(place.item)))
    }
}

impl Serialize for RowScores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|place| place.score))
    }
}

/// A raw id in JSON: a text or a whole number.
pub(crate) struct Id<'a>(pub(crate) RawId<'a>);

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            RawId::Text(text) => serializer.serialize_str(text),
            RawId::Integer(number) => serializer.serialize_i64(number),
        }
    }
}
