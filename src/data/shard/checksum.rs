//! Checksums of rows, kept in the metadata of a shard's footer: they make a lone shard self-checking.

use xxhash_rust::xxh3::Xxh3Default;

use crate::data::batch::Rows;

/// The metadata key of the number of rows.
const ROWS: &str = "tercel.rows";
/// The metadata key of the record batches' checksums: 16 hex digits each, without a separator.
const CHECKSUMS: &str = "tercel.xxh3";

/// The xxh3-64 of a record batch: of each column its name and type, its length and its values. So a value that
/// changed is found, and so is a column that vanished or moved.
pub(crate) fn of_rows(rows: Rows<'_>) -> u64 {
    let mut hasher = Xxh3Default::new();
    let mut column = |name: &str, bytes: &[u8]| {
        hasher.update(name.as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    column("user u32", bytemuck::cast_slice(rows.users));
    column("item u32", bytemuck::cast_slice(rows.items));
    if let Some(values) = rows.timestamps {
        column("timestamp i64", bytemuck::cast_slice(values));
    }
    if let Some(values) = rows.weights {
        column("weight f32", bytemuck::cast_slice(values));
    }
    hasher.digest()
}

/// What the footer says about `rows` rows in batches with these checksums.
pub(crate) fn to_metadata(rows: u64, checksums: &[u64]) -> Vec<(String, String)> {
    let text = checksums.iter().map(|checksum| format!("{checksum:016x}")).collect();
    vec![(ROWS.into(), rows.to_string()), (CHECKSUMS.into(), text)]
}

/// What a file says about its rows: their number, and a checksum for each record batch.
#[derive(Debug, PartialEq)]
pub(crate) struct RowChecksums {
    pub(crate) rows: u64,
    pub(crate) checksums: Vec<u64>,
}

impl RowChecksums {
    /// Reads the footer's metadata: `Ok(None)` where another program wrote the file, an error where it is damaged.
    pub(crate) fn from_metadata<'a>(
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<RowChecksums>, &'static str> {
        let (mut rows, mut checksums) = (None, None);
        for (key, value) in pairs {
            match key {
                ROWS => rows = Some(value.parse().map_err(|_| "the number of rows in the metadata")?),
                CHECKSUMS => {
                    let hex = value.as_bytes().chunks(16).map(|digits| {
                        let text = std::str::from_utf8(digits).ok().filter(|text| text.len() == 16)?;
                        u64::from_str_radix(text, 16).ok()
                    });
                    checksums = Some(hex.collect::<Option<Vec<u64>>>().ok_or("the checksums in the metadata")?);
                }
                _ => {}
            }
        }
        match (rows, checksums) {
            (None, None) => Ok(None),
            (Some(rows), Some(checksums)) => Ok(Some(RowChecksums { rows, checksums })),
            _ => Err("half of the metadata is missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_back() {
        let pairs = to_metadata(7, &[1, u64::MAX]);
        let read = |pairs: &[(String, String)]| {
            RowChecksums::from_metadata(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        };
        assert_eq!(read(&pairs), Ok(Some(RowChecksums { rows: 7, checksums: vec![1, u64::MAX] })));
        assert_eq!(read(&[]), Ok(None));
        assert!(read(&pairs[..1]).is_err());
        assert!(read(&[("tercel.rows".into(), "x".into())]).is_err());
        assert!(read(&[("tercel.rows".into(), "1".into()), ("tercel.xxh3".into(), "+123".into())]).is_err());
    }

    #[test]
    fn a_checksum_sees_values_columns_and_their_order() {
        let (users, items) = ([1, 2], [3, 4]);
        let rows = Rows { users: &users, items: &items, timestamps: None, weights: None };
        let all = [
            rows,
            Rows { users: &items, items: &users, ..rows },
            Rows { timestamps: Some(&[0, 0]), ..rows },
            Rows { weights: Some(&[0.0, 0.0]), ..rows },
            Rows { weights: Some(&[0.0, -0.0]), ..rows },
        ];
        let mut sums: Vec<u64> = all.map(of_rows).to_vec();
        sums.sort_unstable();
        sums.dedup();
        assert_eq!(sums.len(), all.len());
    }
}
