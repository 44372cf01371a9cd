//! What evaluations of a dataset look at where nobody says it.

use crate::Result;
use crate::data::dataset::{Dataset, Split};
use crate::data::repeats::repeats;
use crate::settings::{View, Views};

/// The views that a split is evaluated in: those that were `asked` for, or else both where at least 1 % of its rows
/// repeat training rows, and discovery where people hardly ever take a thing again. The training split has nothing to
/// discover.
///
/// # Errors
/// Whatever counting the repeated rows gives, where ingest did not.
pub fn views(dataset: &Dataset, split: Split, asked: Option<Views>) -> Result<&'static [View]> {
    if let Some(asked) = asked {
        return Ok(asked.all());
    }
    if split == Split::Train {
        return Ok(Views::Next.all());
    }
    let (rows, repeats) = (dataset.split(split).rows, repeats(dataset, split)?);
    let often = repeats > 0 && u128::from(repeats) * 100 >= u128::from(rows);
    Ok(if often { Views::Both.all() } else { Views::Discovery.all() })
}
