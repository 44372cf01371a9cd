//! Predictions as text: where it goes, and the lines of JSON.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use serde::{Serialize, Serializer};

use super::{Packing, Place};
use crate::data::vocabulary::RawId;

/// Where text goes: plain or packed.
pub(super) enum TextSink {
    Plain(BufWriter<File>),
    Gzip(flate2::write::GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl TextSink {
    pub(super) fn start(packing: Packing, out: BufWriter<File>) -> io::Result<TextSink> {
        Ok(match packing {
            Packing::None => TextSink::Plain(out),
            Packing::Gzip => TextSink::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default())),
            Packing::Zstd => TextSink::Zstd(zstd::Encoder::new(out, 0)?),
        })
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            TextSink::Plain(out) => out,
            TextSink::Gzip(out) => out.finish()?,
            TextSink::Zstd(out) => out.finish()?,
        }
        .flush()
    }
}

impl Write for TextSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            TextSink::Plain(out) => out.write(bytes),
            TextSink::Gzip(out) => out.write(bytes),
            TextSink::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            TextSink::Plain(out) => out.flush(),
            TextSink::Gzip(out) => out.flush(),
            TextSink::Zstd(out) => out.flush(),
        }
    }
}

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
