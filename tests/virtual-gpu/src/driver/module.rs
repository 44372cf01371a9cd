//! Modules and functions: what is loaded, and what a driver refuses to load.

use std::sync::Arc;

use super::error::*;
use super::settings::Settings;
use super::stream::OpId;
use crate::ptx;

/// A loaded module.
pub struct LoadedModule {
    /// The handle.
    pub handle: usize,
    /// The context it belongs to.
    pub context: usize,
    /// The decoded PTX.
    pub ptx: ptx::Module,
}

impl std::fmt::Debug for LoadedModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedModule").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// A module in the driver's table.
#[derive(Debug)]
pub struct ModuleEntry {
    /// The module; queued launches hold it too.
    pub module: Arc<LoadedModule>,
    /// The last launch of one of its kernels on each stream.
    pub launches: Vec<(OpId, Arc<str>)>,
    /// Device addresses of the variables that were asked for.
    pub variables: Vec<u64>,
}

/// A function in the driver's table.
#[derive(Clone, Debug)]
pub struct Function {
    /// Handle of its module.
    pub module: usize,
    /// The kernel's name.
    pub name: String,
    /// Dynamic shared memory allowed, bytes; 0 until it was set.
    pub max_dynamic_shared: i32,
}

/// A fatbin's or a cubin's first bytes, by which they are told from PTX.
const BINARY_MAGIC: [[u8; 4]; 2] = [[0x7f, b'E', b'L', b'F'], [0x50, 0xed, 0x55, 0xba]];

/// Whether an image is machine code, which no CPU can run.
pub fn is_binary(first: [u8; 4]) -> bool {
    BINARY_MAGIC.contains(&first)
}

/// The newest PTX version that the driver of a CUDA version takes, as (major, minor).
pub fn newest_ptx(driver_version: i32) -> (u32, u32) {
    let (major, minor) = (driver_version / 1000, (driver_version % 1000 / 10) as u32);
    match (major, minor) {
        (..=11, _) => (7, minor),
        (12, 0..=5) => (8, minor),
        (12, _) => (8, minor - 1),
        (_, _) => (major as u32 - 4, minor),
    }
}

/// Refuses what a driver refuses before it compiles: a PTX version newer than the driver, a target newer than the
/// device or of another device's special features.
pub fn check_header(text: &str, settings: &Settings) -> Result<(), (CUresult, String)> {
    let directive = |name: &str| {
        text.lines().map(str::trim_start).find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
    };
    let version = directive(".version").ok_or((CUDA_ERROR_INVALID_PTX, "the PTX has no .version".to_owned()))?;
    let asked = version
        .split_once('.')
        .and_then(|(a, b)| Some((a.parse::<u32>().ok()?, b.parse::<u32>().ok()?)))
        .ok_or((CUDA_ERROR_INVALID_PTX, format!("`.version {version}` is not a version")))?;
    let newest = newest_ptx(settings.driver_version);
    if asked > newest {
        let (major, minor) = (settings.driver_version / 1000, settings.driver_version % 1000 / 10);
        return Err((
            CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
            format!(
                "PTX {version} is newer than the {}.{} that a driver of CUDA {major}.{minor} takes: use an older NVRTC \
                 or set VIRTUAL_GPU_DRIVER_VERSION",
                newest.0, newest.1
            ),
        ));
    }
    let target = directive(".target").ok_or((CUDA_ERROR_INVALID_PTX, "the PTX has no .target".to_owned()))?;
    let name = target.split(',').next().unwrap_or_default().trim();
    let number = name.strip_prefix("sm_").unwrap_or_default();
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let device = settings.arch.0 * 10 + settings.arch.1;
    match digits.parse::<i32>() {
        Ok(sm) if sm == device || (sm < device && digits == number) => Ok(()),
        Ok(_) => Err((CUDA_ERROR_INVALID_PTX, format!("PTX for {name} does not run on a device of sm_{device}"))),
        Err(_) => Err((CUDA_ERROR_INVALID_PTX, format!("`.target {target}` names no architecture"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_takes_ptx_up_to_its_own_version() {
        for (driver, ptx) in [(11080, (7, 8)), (12040, (8, 4)), (12060, (8, 5)), (12090, (8, 8)), (13050, (9, 5))] {
            assert_eq!(newest_ptx(driver), ptx, "{driver}");
        }
        let settings = Settings::default();
        let code = |text: &str| check_header(text, &settings).err().map(|e| e.0);
        assert_eq!(code("//\n.version 8.4\n.target sm_80\n"), None);
        assert_eq!(code(".version 7.8\n.target sm_75, debug\n"), None);
        assert_eq!(code(".version 8.5\n.target sm_80\n"), Some(CUDA_ERROR_UNSUPPORTED_PTX_VERSION));
        assert_eq!(code(".version 8.4\n.target sm_90\n"), Some(CUDA_ERROR_INVALID_PTX));
        assert_eq!(code(".version 8.4\n.target sm_75a\n"), Some(CUDA_ERROR_INVALID_PTX));
        assert_eq!(code("__global__ void k() {}"), Some(CUDA_ERROR_INVALID_PTX));
        // Hopper's own instructions run on Hopper alone.
        let sm_90a = ".version 8.0\n.target sm_90a\n";
        for (arch, refused) in [((8, 0), true), ((9, 0), false), ((10, 0), true)] {
            let settings = Settings { arch, ..Settings::default() };
            assert_eq!(check_header(sm_90a, &settings).is_err(), refused, "{arch:?}");
        }
    }
}
