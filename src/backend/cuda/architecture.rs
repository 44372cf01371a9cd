//! Which kernels a device gets: those of sm_80, which every device runs, or Hopper's own where there are some.
//!
//! `TERCEL_KERNELS=sm_90a` takes Hopper's: for a device of compute capability 9.0 alone (what sm_90a has, no other
//! architecture has), with a driver that takes their PTX; an error elsewhere. `TERCEL_KERNELS=sm_80` takes the others, and so
//! does a host that does not set it, until a run on a card is on record. Either gives results within the same tolerances,
//! but not the same bits. An operation without kernels for sm_90a, or that they do not serve, uses sm_80's.

use crate::device::CudaInfo;
use crate::{Error, Result};

/// The setting's name.
const NAME: &str = "TERCEL_KERNELS";

/// Of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// Tensor cores by warps: every device.
    Sm80,
    /// Tensor cores by warpgroups, bulk copies: compute capability 9.0.
    Sm90a,
}

/// The compute capability that sm_90a's kernels need.
const SM_90A_CAPABILITY: u32 = 90;
/// The CUDA version of a driver that takes their PTX, of ISA 8.0.
const SM_90A_DRIVER: u32 = 12_000;

impl Architecture {
    /// Its name, as `TERCEL_KERNELS` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Architecture::Sm80 => "sm_80",
            Architecture::Sm90a => "sm_90a",
        }
    }

    /// What this host asks for, for this device.
    ///
    /// # Errors
    /// [`Error::Config`] for a word that names none; [`Error::CudaUnavailable`] where the device or its driver cannot run
    /// what is asked for.
    pub(super) fn of(device: &CudaInfo) -> Result<Architecture> {
        let asked = std::env::var_os(NAME).map(|word| word.to_string_lossy().into_owned());
        let architecture = Architecture::asked(asked.as_deref())?.unwrap_or(Architecture::Sm80);
        architecture.runs_on(device.ordinal, device.compute_capability, device.driver_version)?;
        Ok(architecture)
    }

    /// What the setting asks for.
    fn asked(word: Option<&str>) -> Result<Option<Architecture>> {
        match word {
            None | Some("") => Ok(None),
            Some("sm_80") => Ok(Some(Architecture::Sm80)),
            Some("sm_90a") => Ok(Some(Architecture::Sm90a)),
            Some(other) => Err(Error::config(NAME, format!("`{other}` is not one of sm_80, sm_90a"))),
        }
    }

    /// Whether a device runs its kernels: the N of `cuda:N`, its compute capability, its driver's version as 1000 x major +
    /// 10 x minor.
    pub(super) fn runs_on(self, ordinal: usize, capability: u32, driver: u32) -> Result<()> {
        let refused = |what: String| {
            let reason = format!("{NAME}={}, but {what}; {NAME}=sm_80 serves every device", self.name());
            Err(Error::CudaUnavailable { reason })
        };
        if self == Architecture::Sm80 {
            return Ok(());
        }
        if capability != SM_90A_CAPABILITY {
            let (major, minor) = (capability / 10, capability % 10);
            return refused(format!("cuda:{ordinal} has compute capability {major}.{minor}, not 9.0"));
        }
        if driver < SM_90A_DRIVER {
            let (major, minor) = (driver / 1000, driver % 1000 / 10);
            return refused(format!("the driver is for CUDA {major}.{minor}, and these kernels need 12.0"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        assert_eq!(Architecture::asked(None).unwrap(), None);
        assert_eq!(Architecture::asked(Some("")).unwrap(), None);
        for architecture in [Architecture::Sm80, Architecture::Sm90a] {
            assert_eq!(Architecture::asked(Some(architecture.name())).unwrap(), Some(architecture));
        }
        for word in ["sm_90", "SM_90A", "hopper", " sm_80"] {
            let error = Architecture::asked(Some(word)).unwrap_err();
            assert!(matches!(&error, Error::Config { .. }), "{error}");
            let words = error.to_string();
            assert!(words.contains("TERCEL_KERNELS") && words.contains("sm_80, sm_90a"), "{words}");
        }
    }

    #[test]
    fn sm_90a_is_for_capability_9_0_and_drivers_from_12_0_on() {
        let refusal = |capability, driver| {
            let error = Architecture::Sm90a.runs_on(1, capability, driver).unwrap_err();
            assert!(matches!(&error, Error::CudaUnavailable { .. }), "{error}");
            error.to_string()
        };
        for capability in [80, 86, 89, 100, 120] {
            let words = refusal(capability, 13_000);
            let capability = format!("{}.{}", capability / 10, capability % 10);
            assert!(words.contains("cuda:1") && words.contains(&capability) && words.contains("sm_80"), "{words}");
            Architecture::Sm80.runs_on(0, 90, 11_080).unwrap();
        }
        let words = refusal(90, 11_080);
        assert!(words.contains("11.8") && words.contains("12.0"), "{words}");
        for driver in [12_000, 12_020, 13_000] {
            Architecture::Sm90a.runs_on(0, 90, driver).unwrap();
        }
    }
}
