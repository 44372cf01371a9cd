//! What is known about MovieLens and H&M files, and about folders of purchases like H&M's.

use std::path::{Path, PathBuf};

use crate::data::ingest::config::{FeatureSpec, Format};
use crate::table::folder::{kind_of_name, plain_name};
use crate::table::names::Role;
use crate::table::{Mark, ReadOptions};
use crate::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntitySide {
    User,
    Item,
}

impl EntitySide {
    pub(super) fn role(self) -> Role {
        match self {
            EntitySide::User => Role::User,
            EntitySide::Item => Role::Item,
        }
    }
}

/// What a file of interactions is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preset {
    /// Told by its header alone.
    Plain,
    Movielens(Movielens),
    Hm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Movielens {
    /// `ratings.dat` (1M, 10M): `::`, no header.
    Dat,
    /// `u.data` (100k): tabs, no header.
    Data,
    /// `ratings.csv` (20M, latest).
    Csv,
}

/// Files of interactions, best first, without `.gz` and `.zst`.
const MAIN: [&str; 5] = ["ratings.dat", "u.data", "ratings.csv", "transactions_train.csv", "transactions.csv"];

/// Names of feature files beside them.
fn beside(side: EntitySide) -> &'static [&'static str] {
    match side {
        EntitySide::User => &["customers.csv", "households.csv", "users.csv", "users.dat", "u.user"],
        EntitySide::Item => &["articles.csv", "products.csv", "items.csv", "movies.dat", "movies.csv"],
    }
}

/// The name, without `.gz` and `.zst`, of the file of interactions in a folder whose layout is known.
pub(super) fn main_file<'a>(files: impl Iterator<Item = &'a Path> + Clone, format: Option<Format>) -> Option<String> {
    let names = match format {
        None => &MAIN[..],
        Some(Format::Movielens) => &MAIN[..3],
        Some(Format::Hm) => &MAIN[3..],
        Some(Format::Csv) => &MAIN[4..],
        Some(Format::Arrow | Format::Parquet) => &[],
    };
    names.iter().find(|name| files.clone().any(|file| plain_name(file) == **name)).map(|name| (*name).to_owned())
}

/// The side whose features a file of this name has.
pub(super) fn side_of(path: &Path) -> Option<EntitySide> {
    let name = plain_name(path);
    [EntitySide::User, EntitySide::Item].into_iter().find(|side| beside(*side).contains(&name.as_str()))
}

/// The feature file of a side beside a file of interactions, or above it up to the folder that was asked for.
pub(super) fn find_beside(file: &Path, root: Option<&Path>, side: EntitySide) -> Option<PathBuf> {
    let mut folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    loop {
        let candidates = |name: &'static str| ["", ".gz", ".zst"].map(|end| folder.join(format!("{name}{end}")));
        let found = beside(side).iter().copied().flat_map(candidates).find(|path| path.is_file());
        match (found, root, folder.parent()) {
            (Some(path), ..) => return Some(path),
            (None, Some(root), Some(above)) if folder != root && folder.starts_with(root) => folder = above,
            _ => return None,
        }
    }
}

/// How a feature file is to be read, told by its name.
pub(super) fn feature_options(path: &Path) -> ReadOptions {
    let columns = |names: &[&str]| Some(names.iter().map(|n| n.to_string()).collect());
    let (sep, columns) = match plain_name(path).as_str() {
        "movies.dat" => ("::", columns(&["movie", "title", "genres"])),
        "users.dat" => ("::", columns(&["user", "gender", "age", "occupation", "zip_code"])),
        "u.user" => ("|", columns(&["user", "age", "gender", "occupation", "zip_code"])),
        _ => return ReadOptions::default(),
    };
    ReadOptions { sep: Some(sep.into()), quote: Some(Mark::None), columns, ..ReadOptions::default() }
}

impl Preset {
    pub(super) fn of_file(path: &Path, format: Option<Format>) -> Result<Preset> {
        let movielens = match plain_name(path).as_str() {
            "ratings.dat" => Some(Movielens::Dat),
            "u.data" => Some(Movielens::Data),
            "ratings.csv" => Some(Movielens::Csv),
            _ => None,
        };
        Ok(match (format, movielens) {
            (Some(Format::Csv | Format::Arrow | Format::Parquet), _) => Preset::Plain,
            (Some(Format::Hm), _) => Preset::Hm,
            (_, Some(movielens)) => Preset::Movielens(movielens),
            (Some(Format::Movielens), None) => {
                return Err(Error::input(path, "is not one of MovieLens's ratings.dat, u.data, ratings.csv"));
            }
            (None, None) if plain_name(path) == "transactions_train.csv" => Preset::Hm,
            (None, None) => Preset::Plain,
        })
    }

    /// Whether a file of a folder with interactions of this layout may be a part of them: without a header its columns
    /// cannot tell, and its name has to.
    pub(super) fn may_be_part(self, path: &Path) -> bool {
        match self {
            Preset::Movielens(Movielens::Dat) => {
                let name = plain_name(path);
                name.starts_with("ratings") && name.ends_with(".dat")
            }
            Preset::Movielens(Movielens::Data) => false,
            _ => kind_of_name(path).is_some(),
        }
    }

    pub(super) fn text_options(self) -> ReadOptions {
        let sep = match self {
            Preset::Movielens(Movielens::Dat) => "::",
            Preset::Movielens(Movielens::Data) => "tab",
            _ => return ReadOptions::default(),
        };
        let columns = ["user", "movie", "rating", "timestamp"].map(String::from).into();
        ReadOptions { sep: Some(sep.into()), quote: Some(Mark::None), columns: Some(columns), ..ReadOptions::default() }
    }

    /// The names of the user, item and time columns, where the format gives them.
    pub(super) fn columns(self, header: &[String]) -> [Option<&'static str>; 3] {
        let names = match self {
            Preset::Movielens(Movielens::Csv) => ["userId", "movieId", "timestamp"],
            Preset::Movielens(_) => ["user", "movie", "timestamp"],
            Preset::Hm => ["customer_id", "article_id", "t_dat"],
            _ => return [None; 3],
        };
        // A file under one of these names may be something else: its header decides.
        names.map(|name| header.iter().any(|column| column == name).then_some(name))
    }

    /// What a feature column is to become, where the format tells.
    pub(super) fn feature_kind(self, side: EntitySide, column: &str) -> Option<FeatureSpec> {
        use FeatureSpec::{Categorical, MultiHot, Skip};
        match (self, side, column) {
            (Preset::Movielens(_), EntitySide::Item, "genres") => Some(MultiHot("|".into())),
            (Preset::Movielens(_), EntitySide::Item, "title") => Some(Skip),
            // The ages of `users.dat` are seven classes; zip codes are nearly unique.
            (Preset::Movielens(_), EntitySide::User, "zip_code") => Some(Skip),
            (Preset::Hm, EntitySide::User, "postal_code") => Some(Skip),
            (Preset::Hm, EntitySide::Item, "product_code") => Some(Categorical),
            (Preset::Hm, EntitySide::Item, "prod_name" | "detail_desc") => Some(Skip),
            // Each number stands beside its name: one of the two is enough.
            (Preset::Hm, EntitySide::Item, c) if c.ends_with("_no") || c.ends_with("_code") || c.ends_with("_id") => {
                Some(Skip)
            }
            _ => None,
        }
    }
}
