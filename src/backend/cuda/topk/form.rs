//! How queries and items stand in memory for a scan, and which form Hopper's scan reads.
//!
//! `TERCEL_SCAN=int8`, beside `TERCEL_KERNELS=sm_90a`, lets its exact scans read int8 codes where they serve a call: half the
//! bytes and twice the rate of bf16, but a wider bound of the error, so that more items are ranked. `TERCEL_SCAN=bf16`, or
//! nothing, reads bf16. The results are the same bits.

use crate::backend::cuda::architecture::Architecture;
use crate::{Error, Result};

/// The setting's name.
const NAME: &str = "TERCEL_SCAN";

/// How a query or an item stands in memory for the scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// bf16.
    Bf16,
    /// Codes of 8 bits, with a scale.
    Int8,
}

impl Form {
    /// Bytes of a row of `dim` columns.
    pub(crate) fn row_bytes(self, dim: usize) -> usize {
        match self {
            Form::Bf16 => dim.next_multiple_of(16) * 2,
            Form::Int8 => dim.next_multiple_of(32),
        }
    }

    /// What this host asks of exact scans by the kernels for sm_90a.
    ///
    /// # Errors
    /// [`Error::Config`] for a word that names none, and for one that other kernels do not know.
    pub(in crate::backend::cuda) fn of(kernels: Architecture) -> Result<Form> {
        let asked = std::env::var_os(NAME).map(|word| word.to_string_lossy().into_owned());
        Form::asked(asked.as_deref(), kernels)
    }

    fn asked(word: Option<&str>, kernels: Architecture) -> Result<Form> {
        match (word, kernels) {
            (None | Some("" | "bf16"), _) => Ok(Form::Bf16),
            (Some("int8"), Architecture::Sm90a) => Ok(Form::Int8),
            (Some("int8"), Architecture::Sm80) => Err(Error::config(NAME, "int8 needs TERCEL_KERNELS=sm_90a")),
            (Some(other), _) => Err(Error::config(NAME, format!("`{other}` is not one of bf16, int8"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_scan_is_asked_for() {
        for kernels in [Architecture::Sm80, Architecture::Sm90a] {
            for word in [None, Some(""), Some("bf16")] {
                assert_eq!(Form::asked(word, kernels).unwrap(), Form::Bf16);
            }
            for word in ["fp8", "INT8", "8"] {
                let error = Form::asked(Some(word), kernels).unwrap_err();
                assert!(matches!(&error, Error::Config { .. }) && error.to_string().contains("bf16, int8"), "{error}");
            }
        }
        assert_eq!(Form::asked(Some("int8"), Architecture::Sm90a).unwrap(), Form::Int8);
        let error = Form::asked(Some("int8"), Architecture::Sm80).unwrap_err();
        assert!(matches!(&error, Error::Config { .. }) && error.to_string().contains("sm_90a"), "{error}");
    }
}
